// The trial that is selected: commands first, then its figures and settings.

const picked = (row) => `pick=trial:${row.trial}`;
const shellWord = (text) =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;

// All points of a pareto-set training keep their weights while one of them is on the front.
const trainingOf = (id) => id.split("@")[0];
const keepsWeights = (row) =>
  row.front ||
  row.kind === "control" ||
  (row.id.includes("@") && members.some((m) => trainingOf(m.id) === trainingOf(row.id)));

function deploy(row) {
  const { address } = D.runs[row.run];
  if (row.state !== "done" || !address) return [];
  if (!keepsWeights(row)) {
    return [
      element(
        "p",
        { class: "hint" },
        "The weights of a trial that is not on the front are not kept. Train it again for its model.",
      ),
    ];
  }
  const pick = shellWord(picked(row));
  return [
    element("h4", {}, "Export this model"),
    command("the export command", `mtsearch export run=${address} ${pick}`),
    element("h4", {}, "Predict with it"),
    command("the prediction command", `mtsearch predict run=${address} ${pick} images=PATH`),
  ];
}

function figures(row) {
  const shown = new Set();
  const lines = D.objectives.map((o) => {
    const test = `test/${o.metric.replace(/^val\//, "")}`;
    shown.add(o.metric).add(test);
    return [label(o.metric), o.metric, o.metric.startsWith("val/") ? test : null];
  });
  if (number(row, "delta_m") !== null) {
    shown.add("delta_m").add("test/delta_m");
    lines.push([label("delta_m"), "delta_m", "test/delta_m"]);
  }
  const body = lines.map(([name, metric, test]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, name),
      element("td", {}, figure(row, metric)),
      element("td", {}, test ? figure(row, test) : ""),
    ),
  );
  const head = element(
    "tr",
    {},
    element("td", {}),
    element("th", { scope: "col" }, "validation"),
    element("th", { scope: "col" }, "test"),
  );
  const rest = D.metrics.filter(
    (m) => !shown.has(m) && raw(row, m) !== null && raw(row, m) !== undefined,
  );
  return [
    element(
      "table",
      { class: "figures" },
      element("thead", {}, head),
      element("tbody", {}, ...body),
    ),
    ...folded(
      "Other figures",
      rest.map((m) => [longLabel(m), figure(row, m)]),
    ),
  ];
}

function folded(title, pairs, open = false) {
  if (!pairs.length) return [];
  const lines = pairs.map(([name, text]) =>
    element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, text)),
  );
  return [
    element(
      "details",
      { open },
      element("summary", {}, title),
      element("table", { class: "facts" }, element("tbody", {}, ...lines)),
    ),
  ];
}

function logOf(row) {
  const log = (D.logs || {})[row.id];
  if (!log) return [];
  const lines = element("pre", { tabindex: "0", role: "region", "aria-label": "Log" }, log);
  return [
    element("details", { class: "log", open: true }, element("summary", {}, "Last lines of its log"), lines),
  ];
}

function drawDetail() {
  const row = byId.get(state.selected);
  if (!row) return;
  const tags = [
    row.front && "front",
    row.knee && "knee",
    row.kind === "control" && "control",
    row.state !== "done" && row.state,
    row.infeasible && "breaks a constraint",
    row.seeds && `mean of ${row.seeds} seeds`,
    row.not_better && `not better than ${row.not_better}`,
  ].filter(Boolean);
  const settings = D.settings.filter((key) => row.config[setting.get(key)] !== null);
  const retrain =
    row.command === undefined
      ? []
      : [
          element("h4", {}, "Train it again"),
          command("the training command", D.command + row.command),
        ];
  $("detail-title").replaceChildren(
    row.kind === "control" ? `Control ${row.name}` : `Trial ${row.name}`,
  );
  $("detail-body").replaceChildren(
    element(
      "p",
      { class: "tags" },
      ...tags.map((t) =>
        element("span", { class: ["knee", "failed"].includes(t) ? `tag ${t}` : "tag" }, t),
      ),
    ),
    ...(row.reason ? [element("p", { class: "reason" }, row.reason)] : []),
    ...logOf(row),
    ...deploy(row),
    ...figures(row),
    ...between(row),
    ...folded(
      "Settings that differ between trials",
      settings.map((key) => [
        key.replace(/^trial\./, ""),
        settingText(row.config[setting.get(key)]),
      ]),
      true,
    ),
    ...retrain,
    pinButton(row),
  );
  $("detail").scrollTop = 0;
}

// ---------------------------------------------------------------- pinned trials, side by side

const pinned = [];

function pinButton(row) {
  const on = pinned.includes(row);
  return button(
    on ? "Remove from the comparison" : "Pin for comparison",
    () => {
      if (on) pinned.splice(pinned.indexOf(row), 1);
      else pinned.push(row);
      drawDetail();
      drawPinned();
      $("detail").querySelector(".pin").focus({ preventScroll: true });
    },
    { class: "pin", "aria-pressed": String(on) },
  );
}

function drawPinned() {
  $("pinned").hidden = !pinned.length;
  const differs = (column) => new Set(pinned.map((row) => cellText(row, column))).size > 1;
  const columns = [
    ...D.results,
    ...[...D.measures, ...D.settings].filter((c) => !D.results.includes(c) && differs(c)),
  ];
  const head = element(
    "tr",
    {},
    element("th", { scope: "col" }, "trial"),
    ...pinned.map((row) =>
      element(
        "th",
        { scope: "col" },
        element("a", { href: `#trial=${encodeURIComponent(row.id)}` }, identity(row)),
      ),
    ),
  );
  const lines = columns.map((column) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, columnLabel(column)),
      ...pinned.map((row) => element("td", {}, cellText(row, column))),
    ),
  );
  $("pinned-table").replaceChildren(element("thead", {}, head), element("tbody", {}, ...lines));
}

// Select a trial: ring it, show its detail, reveal its row. The page does not scroll.
function select(id, origin) {
  if (!byId.has(id)) return;
  state.selected = id;
  try {
    history.replaceState(null, "", `#trial=${encodeURIComponent(id)}`);
  } catch {
    /* a page inside another page */
  }
  announce({ selected: id, origin });
}

function fromAddress() {
  const [, name] = /^#trial=(.+)$/.exec(location.hash) || [];
  return name && byId.has(decodeURIComponent(name)) ? decodeURIComponent(name) : null;
}
