// The curves of the trials, the hypervolume and the timeline.

const curves = { metric: D.curves[0], log: false, by: "epoch", plot: null };

function curveControls() {
  if (!D.curves.length) return;
  const set = (key) => (value) => {
    curves[key] = value;
    drawCurves();
  };
  $("curve-controls").replaceChildren(
    chooser(
      "metric",
      D.curves.map((metric) => [metric, longLabel(metric)]),
      curves.metric,
      set("metric"),
    ),
    chooser(
      "over",
      [
        ["epoch", "epochs"],
        ["report", "reports"],
      ],
      curves.by,
      set("by"),
    ),
    checkbox("trials that are not on the front", curves.all ?? true, set("all")),
    checkbox("logarithmic", curves.log, set("log")),
  );
}

function lineOf(row) {
  const found = D.history[row.id.split("@")[0]];
  if (!found || !found[curves.metric]) return [];
  const x = found[curves.by] || found.report;
  return found[curves.metric]
    .map((y, i) => ({ x: x[i], y, id: row.id }))
    .filter((p) => p.x !== null && (!curves.log || p.y === null || p.y > 0));
}

function drawCurves() {
  if (!D.curves.length) {
    $("curve-plot").replaceChildren(element("p", { class: "hint" }, "No trial has reported yet."));
    return;
  }
  const others = searched.filter((row) => !row.front),
    layers = [];
  const text = tooltip(D.objectives.map((o) => o.metric));
  const add = (name, rows, className, more = {}) => {
    const lines = rows.map(lineOf).filter((line) => line.some((p) => p.y !== null));
    if (lines.length)
      layers.push({ name, kind: "line", className, lines, points: lines.flat(), text, ...more });
  };
  if (curves.all ?? true)
    add("not on the front", others, `other${others.length > 200 ? " many" : ""}`, { base: false });
  add("front", members, "front");
  for (const row of controls) add(`control ${row.name}`, [row], `${controlClass(row)} ${controlDash(row)}`);
  if (knee) add("knee", [knee], "knee wide");
  if (!layers.some((layer) => layer.base !== false)) for (const layer of layers) layer.base = true;
  const legend = [...layers, { name: "selected", kind: "line", className: "selected" }];
  curves.plot ??= new Plot($("curve-plot"), {
    name: "Curves of the trials",
    height: 400,
    trace: (id) => (byId.has(id) ? lineOf(byId.get(id)) : []),
  });
  curves.plot.draw({
    x: { title: curves.by, key: curves.by, integer: true },
    y: { title: longLabel(curves.metric), key: curves.metric, log: curves.log },
    layers,
    legend,
    description: `${longLabel(curves.metric)} of each trial over its ${curves.by}s.`,
  });
}

let hypervolumePlot = null;
function drawHypervolume() {
  const series = D.hypervolumes
    .map((one, i) => ({ ...one, i }))
    .filter(({ values }) => values.length);
  if (!series.length) {
    $("hypervolume-plot").replaceChildren(
      element("p", { class: "hint" }, "No finished trial yet."),
    );
    return;
  }
  hypervolumePlot ??= new Plot($("hypervolume-plot"), {
    name: "Hypervolume over the trials",
    height: 300,
  });
  const { title } = series[0],
    words = [];
  const text = (point) => [
    element("strong", {}, `trial ${byId.get(point.id).name}`),
    element("div", {}, `${title}: ${general(point.y, 5)}`),
  ];
  const layers = series.flatMap(({ values, trials, i }) => {
    const points = values.map((y, at) => ({ x: at + 1, y, id: trials[at] })),
      className = several ? `run-${i % RUN_SHAPES.length}` : "front";
    words.push(
      `${several ? `Of ${D.runs[i].name} it` : "The hypervolume"} grows from ${general(values[0])} to ${general(values[values.length - 1])}.`,
    );
    return [
      {
        name: several ? D.runs[i].name : "",
        kind: "line",
        className,
        lines: [points],
        step: "after",
      },
      { kind: "dots", size: values.length > 500 ? 1 : 2.5, className, points, text },
    ];
  });
  hypervolumePlot.draw({
    x: { title: series[0].counted || "finished trials, by number", key: "trials", integer: true },
    y: { title, key: "hypervolume" },
    layers,
    description: words.join(" "),
  });
}

let timelinePlot = null;
const times = Object.entries(D.timeline || {}).filter(([, [began, ended]]) => ended > began);

// A line per trial from its start to its end; repeats by other seeds belong to their configuration.
function drawTimeline() {
  const minutes = times.length && Math.max(...times.map(([, [, ended]]) => ended)) > 300,
    unit = minutes ? 60 : 1;
  const kinds = [
    ["front", "on the front"],
    ["other", "not on the front"],
    ["control-0", "control"],
    ["knee", "failed or stopped"],
  ];
  const kindOf = (row) =>
    !row
      ? "other"
      : row.kind === "control"
        ? "control-0"
        : ["failed", "stopped"].includes(row.state)
          ? "knee"
          : row.front
            ? "front"
            : "other";
  // of a pareto-set training a point on the front, where it has one
  const ofTraining = new Map();
  for (const row of D.rows) {
    const name = row.id.split("@")[0];
    if (row.front || !ofTraining.has(name)) ofTraining.set(name, row);
  }
  const groups = new Map(kinds.map(([key]) => [key, []]));
  times.forEach(([name, [began, ended]], i) => {
    const y = i + 1,
      row = byId.get(name) || ofTraining.get(name.replace(/\.s\d+$/, ""));
    groups.get(kindOf(row)).push([
      { x: began / unit, y, id: row && row.id },
      { x: ended / unit, y, id: row && row.id },
    ]);
  });
  const text = (point) => [
    element("strong", {}, identity(byId.get(point.id))),
    element("div", {}, byId.get(point.id).state),
  ];
  const layers = kinds
    .map(([key, name]) => ({
      name,
      kind: "line",
      className: `${key} wide`,
      lines: groups.get(key),
      points: groups.get(key).flat(),
      text,
    }))
    .filter(({ lines }) => lines.length);
  timelinePlot ??= new Plot($("timeline-plot"), { name: "Timeline of the trials", height: 300 });
  timelinePlot.draw({
    x: { title: minutes ? "minutes" : "seconds", key: "time" },
    y: { title: "training, by number", key: "number", integer: true },
    layers,
    description: `${times.length} trials by the time at which they ran.`,
  });
}
