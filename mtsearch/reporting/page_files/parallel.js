// Parallel coordinates: objectives first; a range on an axis filters the table and the front.

const parallel = { colour: D.objectives[0].metric, only: false, axes: new Map(), mark: () => {} };
const GAP = 128; // pixels between two axes
const MAX_AXES = 24;

const parallelColumns = () =>
  [...new Set([...D.objectives.map((o) => o.metric), ...D.varied])].slice(0, MAX_AXES);

// The scale of a column over all finished trials: numbers (linear or logarithmic) or texts.
function parallelAxis(column) {
  if (parallel.axes.has(column)) return parallel.axes.get(column);
  const cells = done.map((row) => cellValue(row, column)),
    filled = cells.filter((v) => v !== null && v !== undefined);
  let axis;
  if (filled.length && filled.every((v) => typeof v === "number")) {
    const [least, most] = [
      filled.reduce((a, b) => Math.min(a, b)),
      filled.reduce((a, b) => Math.max(a, b)),
    ];
    const log = least > 0 && most / least > 15,
      at = log ? Math.log10 : Number;
    const missing = filled.length < cells.length,
      low = at(least),
      span = at(most) - low || Math.abs(low) || 1;
    axis = {
      position: (v) =>
        v === null || v === undefined
          ? missing
            ? -0.12
            : null
          : typeof v === "number"
            ? (at(v) - low) / span
            : null,
      value: (p) => (log ? 10 ** (low + p * span) : low + p * span),
      ticks: ticks(least, most, 5, log).map((v) => [(at(v) - low) / span, tickText(v)]),
      low: missing ? -0.12 : 0,
    };
    if (missing) axis.ticks.push([-0.12, "–"]);
  } else {
    const words = [...new Set(cells.map(settingText))].sort(),
      step = 1 / Math.max(words.length - 1, 1);
    axis = {
      position: (v) => {
        const i = words.indexOf(settingText(v));
        return i < 0 ? null : words.length > 1 ? i * step : 0.5;
      },
      value: null,
      words,
      low: 0,
      ticks: words.map((w, i) => [
        words.length > 1 ? i * step : 0.5,
        w.length > 18 ? `${w.slice(0, 17)}…` : w,
      ]),
    };
  }
  parallel.axes.set(column, axis);
  return axis;
}
const axisPosition = (column, row) => parallelAxis(column).position(cellValue(row, column));

function parallelControls() {
  const options = D.axes.map((metric) => [metric, longLabel(metric)]);
  const bounds = parallelColumns().map((column) => [column, columnLabel(column)]);
  const range = { column: bounds[0][0] };
  const from = element("input", {
      type: "text",
      size: 8,
      "aria-label": "From",
      inputmode: "decimal",
    }),
    to = element("input", { type: "text", size: 8, "aria-label": "To", inputmode: "decimal" });
  const apply = () => {
    const axis = parallelAxis(range.column),
      position = (text, other) =>
        text.trim() === "" ? other : axis.position(axis.words ? text.trim() : Number(text));
    const low = position(from.value, axis.low - 0.02),
      high = position(to.value, 1.02);
    if (low !== null && high !== null && !Number.isNaN(low + high))
      brush(range.column, [Math.min(low, high) - 1e-9, Math.max(low, high) + 1e-9]);
  };
  $("parallel-controls").replaceChildren(
    chooser("colour", options, parallel.colour, (value) => {
      parallel.colour = value;
      drawParallel();
    }),
    checkbox("front only", parallel.only, (value) => {
      parallel.only = value;
      drawParallel();
    }),
    chooser("range of", bounds, range.column, (value) => {
      range.column = value;
    }),
    from,
    " to ",
    to,
    button("Apply", apply),
    button(
      "Clear all ranges",
      () => {
        state.brush.clear();
        announce("brush");
      },
      { id: "parallel-clear" },
    ),
    element("span", { id: "parallel-count", role: "status" }),
  );
}

function brush(column, range) {
  if (range) state.brush.set(column, range);
  else state.brush.delete(column);
  announce("brush");
}

function drawParallel() {
  const columns = parallelColumns(),
    rows = done.filter((row) => (!parallel.only || row.front) && has(row, parallel.colour));
  const kept = rows.filter(brushed);
  const host = $("parallel-plot");
  $("parallel-count").textContent = state.brush.size
    ? `${kept.length} of ${rows.length} trials`
    : "";
  $("parallel-clear").disabled = !state.brush.size;
  if (!rows.length) {
    host.replaceChildren(element("p", { class: "hint" }, "No finished trial to show."));
    return;
  }
  const right = 30 + 7 * columnLabel(columns[columns.length - 1]).length; // its title is inclined
  const width = Math.max(host.parentNode.clientWidth - 4, GAP * (columns.length - 1) + 60 + right),
    most = Math.max(...columns.map((column) => (parallelAxis(column).words || []).length)),
    height = Math.max(360, 144 + 14 * most), // texts of an axis stand 14 pixels apart
    top = 76,
    bottom = height - 22;
  const x = (i) => 60 + (columns.length > 1 ? (i * (width - 60 - right)) / (columns.length - 1) : 0),
    y = (p) => bottom - 46 - p * (bottom - 46 - top);
  const path = (row) =>
    columns
      .map((column, i) => [i, axisPosition(column, row)])
      .filter(([, p]) => p !== null)
      .map(([i, p], n) => `${n ? "L" : "M"}${x(i).toFixed(1)},${y(p).toFixed(1)}`)
      .join("");
  const scale = stepOf(parallel.colour, rows);
  const lines = Array.from({ length: STEPS }, () => []);
  for (const row of kept) lines[scale.step(number(row, parallel.colour))].push(path(row));
  const many = kept.length > 300;
  const groups = lines.map((paths, i) =>
    svg("path", { class: `line scale-${i}${many ? " many" : ""}`, d: paths.join("") }),
  );
  const faded =
    kept.length < rows.length
      ? [
          svg("path", {
            class: "line faded",
            d: rows
              .filter((row) => !brushed(row))
              .slice(0, 500)
              .map(path)
              .join(""),
          }),
        ]
      : [];
  const line = svg("path", { class: "line selected" });
  parallel.mark = () => {
    const row = byId.get(state.selected);
    line.setAttribute("d", row && row.state === "done" ? path(row) : "");
  };
  parallel.mark();
  const axes = columns.map((column, i) => {
    const axis = parallelAxis(column),
      range = state.brush.get(column);
    const node = svg(
      "g",
      { class: "axis", "data-column": column },
      svg("path", { d: `M${x(i)},${y(1)}V${y(axis.low)}` }),
      ...axis.ticks.map(([p, text]) => svg("text", { x: x(i) + 6, y: y(p) + 4 }, text)),
      svg(
        "text",
        { class: "title", transform: `translate(${x(i) - 6},${top - 14}) rotate(-14)` },
        columnLabel(column),
      ),
      svg("rect", { class: "grip", x: x(i) - 14, y: top - 8, width: 28, height: bottom - top + 8 }),
    );
    if (range)
      node.append(
        svg("rect", {
          class: "band",
          x: x(i) - 7,
          width: 14,
          y: y(Math.min(range[1], 1.04)),
          height: Math.max(2, y(Math.max(range[0], -0.16)) - y(Math.min(range[1], 1.04))),
        }),
      );
    return node;
  });
  const root = svg(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: "img",
      "aria-label": "Parallel coordinates",
      "aria-describedby": "parallel-hint",
    },
    ...faded,
    ...groups,
    line,
    ...axes,
  );
  brushing(root, columns, x, (pixel) => (bottom - 46 - pixel) / (bottom - 46 - top));
  host.replaceChildren(root);
  $("parallel-scale").replaceChildren(scaleLegend(parallel.colour, scale));
}

function brushing(root, columns, x, back) {
  let drag = null;
  const height = (event) => event.clientY - root.getBoundingClientRect().top;
  root.addEventListener("pointerdown", (event) => {
    const axis = event.target.closest(".axis");
    if (!axis) return;
    drag = {
      column: axis.dataset.column,
      from: height(event),
      band: svg("rect", {
        class: "band",
        x: x(columns.indexOf(axis.dataset.column)) - 7,
        width: 14,
      }),
    };
    root.append(drag.band);
    root.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  root.addEventListener("pointermove", (event) => {
    if (drag)
      fill(
        drag.band,
        { y: Math.min(drag.from, height(event)), height: Math.abs(height(event) - drag.from) },
        [],
      );
  });
  root.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const { column, from } = drag,
      to = height(event);
    drag = null;
    brush(
      column,
      Math.abs(to - from) < 4 ? null : [back(Math.max(from, to)), back(Math.min(from, to))],
    );
  });
}
