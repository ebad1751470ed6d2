// The table of trials: only the rows in view exist as elements.

const HEIGHT = 30; // of a row in pixels, as in the style sheet
const EXTRA = 12; // rows above and below the view

const all = [
  "trial",
  "state",
  ...D.results,
  ...D.varied.filter((c) => D.columns.includes(c)),
  ...D.measures.filter((m) => !D.results.includes(m)),
  ...D.columns.filter((c) => !D.varied.includes(c)),
];
for (const c of ["model/params", "cost/seconds"]) if (place.has(c) && !all.includes(c)) all.push(c);
const table = {
  columns: [...new Set(all)],
  possible: [...new Set([...all, ...D.metrics, ...D.settings])],
  tab: members.length ? "front" : "all",
  find: "",
  order: null,
  down: false,
  rows: [],
};
const TABS = [
  ["front", "front and controls", (row) => row.front || row.kind === "control"],
  ["all", "all", () => true],
  ["failed", "failed", (row) => row.state === "failed"],
].filter(([key]) => key !== "front" || members.length);
const textOf = new Map();
function searchText(row) {
  if (!textOf.has(row))
    textOf.set(
      row,
      table.possible
        .map((c) => cellText(row, c))
        .join("\n")
        .toLowerCase(),
    );
  return textOf.get(row);
}
const isNumeric = (column) =>
  place.has(column) || D.rows.some((row) => typeof cellValue(row, column) === "number");
const numeric = new Map();

function ordered(rows) {
  const groups = [
    rows.filter((r) => r.kind !== "control"),
    rows.filter((r) => r.kind === "control"),
  ];
  if (!table.order) {
    const first = D.objectives[0].metric,
      sign = goals.get(first) === "max" ? -1 : 1;
    const on = groups[0]
      .filter((r) => r.front)
      .sort((a, b) => sign * (number(a, first) - number(b, first)));
    return [...on, ...groups[0].filter((r) => !r.front), ...groups[1]];
  }
  const column = table.order,
    sign = table.down ? -1 : 1,
    compare = new Intl.Collator("en", { numeric: true }).compare;
  const empty = (v) => v === null || v === undefined;
  return groups.flatMap((group) =>
    group
      .map((row) => [cellValue(row, column), row])
      .sort(([a], [b]) => {
        if (empty(a) || empty(b)) return empty(a) - empty(b);
        return (
          sign *
          (typeof a === "number" && typeof b === "number" ? a - b : compare(String(a), String(b)))
        );
      })
      .map(([, row]) => row),
  );
}

function filterTable() {
  const words = table.find.toLowerCase(),
    [, , belongs] = TABS.find(([key]) => key === table.tab);
  const matching = D.rows.filter(
    (row) => brushed(row) && (!words || searchText(row).includes(words)),
  );
  const counts = new Map(TABS.map(([key, , inside]) => [key, matching.filter(inside).length]));
  for (const node of $("table-tabs").children) {
    const [key, , inside] = TABS.find(([name]) => name === node.dataset.show);
    const whole = D.rows.filter(inside).length;
    node.setAttribute("aria-pressed", key === table.tab);
    node.querySelector("small").textContent =
      counts.get(key) === whole ? whole : `${counts.get(key)} of ${whole}`;
  }
  table.rows = ordered(matching.filter(belongs));
  const elsewhere = TABS.filter(([key]) => key !== table.tab && counts.get(key));
  $("table-empty").hidden = table.rows.length > 0;
  $("table-empty").replaceChildren(
    `No trial matches here. `,
    ...elsewhere.map(([key, title]) =>
      button(`${counts.get(key)} under “${title}”`, () => {
        table.tab = key;
        filterTable();
      }),
    ),
  );
  $("trials").setAttribute("aria-rowcount", table.rows.length + 1);
  drawRows();
}

function tableHead() {
  for (const column of table.columns)
    if (!numeric.has(column)) numeric.set(column, isNumeric(column));
  $("trials-head").replaceChildren(
    element(
      "tr",
      { "aria-rowindex": 1 },
      ...table.columns.map((column) => {
        const sort = table.order === column ? (table.down ? "descending" : "ascending") : null;
        return element(
          "th",
          {
            scope: "col",
            class: numeric.get(column) ? "number" : "text",
            "aria-sort": sort,
            "data-column": column,
          },
          button(columnLabel(column), () => {
            table.down = table.order === column && !table.down;
            table.order = column;
            tableHead();
            filterTable();
            [...$("trials-head").querySelectorAll("th")]
              .find((th) => th.dataset.column === column)
              .firstChild.focus({ preventScroll: true });
          }),
        );
      }),
    ),
  );
}

function tableRow(row, index) {
  const style = [
    row.front ? "front" : row.kind === "control" ? "control" : "rest",
    row.knee && "knee",
    row.state === "failed" && "failed",
  ]
    .filter(Boolean)
    .join(" ");
  return element(
    "tr",
    {
      class: style,
      "data-trial": row.id,
      "data-index": index,
      "aria-rowindex": index + 2,
      "aria-selected": String(row.id === state.selected),
      tabindex: row.id === state.selected || index === 0 ? "0" : "-1",
    },
    ...table.columns.map((column, i) =>
      element(
        i ? "td" : "th",
        {
          class: numeric.get(column) ? "number" : column,
          ...(i ? {} : { scope: "row" }),
          title: column === "state" ? cellText(row, column) : null,
        },
        cellText(row, column),
      ),
    ),
  );
}

function drawRows(everything = false) {
  const view = $("table-view"),
    body = $("trials-body"),
    count = table.rows.length;
  const first = everything ? 0 : firstRow();
  const last = everything
    ? Math.min(count, 60)
    : Math.min(count, first + Math.ceil((view.clientHeight || 560) / HEIGHT) + 2 * EXTRA);
  const spacer = (rows) =>
    rows > 0 && !everything
      ? [
          element(
            "tr",
            { class: "spacer", "aria-hidden": "true" },
            fill(document.createElement("td"), { colspan: table.columns.length }, []),
          ),
        ]
      : [];
  const above = spacer(first),
    below = spacer(count - last);
  if (above[0]) above[0].firstChild.style.height = `${first * HEIGHT}px`;
  if (below[0]) below[0].firstChild.style.height = `${(count - last) * HEIGHT}px`;
  body.replaceChildren(
    ...above,
    ...table.rows.slice(first, last).map((row, i) => tableRow(row, first + i)),
    ...below,
  );
  table.first = first;
}

// Bring a row into the table's own view; a tab that lacks it gives way to one that has it.
function reveal(id) {
  let index = table.rows.findIndex((row) => row.id === id);
  if (index < 0) {
    const row = byId.get(id);
    if (table.find || !brushed(row)) return markRow();
    table.tab = TABS.find(([, , inside]) => inside(row))[0];
    filterTable();
    index = table.rows.findIndex((other) => other.id === id);
  }
  const view = $("table-view"),
    top = index * HEIGHT,
    room = view.clientHeight - 80;
  if (top < view.scrollTop || top > view.scrollTop + room)
    view.scrollTop = Math.max(0, top - room / 2);
  if (firstRow() === table.first) markRow();
  else drawRows();
}

const firstRow = () => Math.max(0, Math.floor($("table-view").scrollTop / HEIGHT) - EXTRA);

// Show which of the rows that exist as elements is selected.
function markRow() {
  for (const row of $("trials-body").children) {
    if (row.dataset.trial === undefined) continue;
    const on = row.dataset.trial === state.selected;
    row.setAttribute("aria-selected", String(on));
    row.tabIndex = on || row.dataset.index === "0" ? 0 : -1;
  }
}

function moveFocus(index) {
  const view = $("table-view"),
    top = index * HEIGHT,
    room = view.clientHeight - 80;
  if (index < 0 || index >= table.rows.length) return;
  if (top < view.scrollTop) view.scrollTop = top;
  if (top > view.scrollTop + room) view.scrollTop = top - room;
  drawRows();
  const row = $("trials-body").querySelector(`tr[data-index="${index}"]`);
  if (row) row.focus({ preventScroll: true });
}

function csvCell(value) {
  const text = value === null || value === undefined ? "" : String(value);
  const safe =
    typeof value !== "number" && /^[=+\-@]/.test(text.trimStart()) && Number.isNaN(Number(text))
      ? `'${text}`
      : text;
  return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function download() {
  const columns = ["trial", "kind", "state", "reason", ...D.metrics, ...D.settings];
  const own = (row, column) =>
    ({ trial: row.id, kind: row.kind, state: row.state, reason: row.reason })[column] ??
    (column.length && (place.has(column) || setting.has(column)) ? cellValue(row, column) : null);
  const lines = [
    [...columns, "command"],
    ...table.rows.map((row) => [
      ...columns.map((c) => own(row, c)),
      row.command === undefined ? null : D.command + row.command,
    ]),
  ];
  const url = URL.createObjectURL(
    new Blob([`${lines.map((line) => line.map(csvCell).join(",")).join("\n")}\n`], {
      type: "text/csv",
    }),
  );
  const link = element("a", {
    href: url,
    download: `${D.name.replace(/[^\w-]+/g, "_")}-trials.csv`,
  });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function columnChooser() {
  const boxes = table.possible.map((column) =>
    checkbox(columnLabel(column), table.columns.includes(column), (on) => {
      table.columns = table.possible.filter((c) => (c === column ? on : table.columns.includes(c)));
      if (!table.columns.includes("trial")) table.columns.unshift("trial");
      tableHead();
      drawRows();
    }),
  );
  boxes[0].firstChild.disabled = true;
  $("table-columns").replaceChildren(...boxes);
}

function startTable() {
  $("trials-head").className = "sortable";
  const view = $("table-view");
  tableHead();
  columnChooser();
  for (const node of $("table-tabs").children)
    node.addEventListener("click", () => {
      table.tab = node.dataset.show;
      view.scrollTop = 0;
      filterTable();
    });
  $("table-find").addEventListener("input", (event) => {
    table.find = event.target.value;
    view.scrollTop = 0;
    filterTable();
  });
  $("table-download").addEventListener("click", download);
  view.addEventListener(
    "scroll",
    () => {
      const first = firstRow();
      if (Math.abs(first - table.first) > EXTRA / 2) {
        const focused = document.activeElement.dataset.index;
        drawRows();
        if (focused !== undefined) {
          const row = $("trials-body").querySelector(`tr[data-index="${focused}"]`);
          if (row) row.focus({ preventScroll: true });
        }
      }
    },
    { passive: true },
  );
  const rowOf = (event) => event.target.closest("tr[data-trial]");
  $("trials-body").addEventListener("click", (event) => {
    const row = rowOf(event);
    if (row) select(row.dataset.trial, "table");
  });
  $("trials-body").addEventListener("keydown", (event) => {
    const row = rowOf(event);
    if (!row) return;
    const index = Number(row.dataset.index);
    if (event.key === "Enter" || event.key === " ") {
      select(row.dataset.trial, "table");
      moveFocus(index);
    } else if (event.key === "ArrowDown") moveFocus(index + 1);
    else if (event.key === "ArrowUp") moveFocus(index - 1);
    else if (event.key === "Home") moveFocus(0);
    else if (event.key === "End") moveFocus(table.rows.length - 1);
    else return;
    event.preventDefault();
  });
  filterTable();
}
