// The plot of the front.

const better = (a, b, metric) => (goals.get(metric) === "max" ? a > b : a < b);

const front = {
  x: D.axes[0],
  y: D.axes[1] || D.axes[0],
  bars: true, // whether the 95 % intervals are drawn
  colour: D.objectives.length > 2 && !several ? D.axes[2] : "",
  plot: null,
};

function frontControls() {
  const options = D.axes.map((metric) => [metric, longLabel(metric)]);
  const set = (key) => (value) => {
    front[key] = value;
    drawFront();
  };
  $("front-controls").replaceChildren(
    chooser("x", options, front.x, set("x")),
    chooser("y", options, front.y, set("y")),
    ...(several
      ? []
      : [
          chooser(
            "colour of the front",
            [["", "one colour"], ...options],
            front.colour,
            set("colour"),
          ),
        ]),
    ...(D.rows.some((row) => row.intervals)
      ? [checkbox("95 % intervals", front.bars, set("bars"))]
      : []),
    checkbox(`all ${done.length} finished trials`, state.all, (value) => {
      state.all = value;
      front.plot.zoom = null;
      announce("all");
    }),
  );
}

// The boundary of what the points dominate, in the two metrics of the plot.
function staircase(rows) {
  const { x, y } = front;
  if (!goals.has(x) || !goals.has(y) || x === y) return [];
  const sorted = [...rows].sort((a, b) =>
    better(number(a, x), number(b, x), x)
      ? -1
      : better(number(b, x), number(a, x), x)
        ? 1
        : better(number(a, y), number(b, y), y)
          ? -1
          : 1,
  );
  const edge = [];
  for (const row of sorted)
    if (!edge.length || better(number(row, y), number(edge[edge.length - 1], y), y)) edge.push(row);
  return edge.map((row) => ({ x: number(row, x), y: number(row, y) })).sort((a, b) => a.x - b.x);
}

// The points of one pareto-set training, such as 0012@01 and 0012@02, in their order.
function paretoSets(rows) {
  const sets = new Map();
  for (const row of rows) {
    const [, trial, number_] = /^(.+)@(\d+)$/.exec(row.id) || [];
    if (trial) sets.set(trial, [...(sets.get(trial) || []), [Number(number_), row]]);
  }
  return [...sets.values()]
    .filter((set) => set.length > 1)
    .map((set) => set.sort((a, b) => a[0] - b[0]).map(([, row]) => row));
}

const RUN_SHAPES = ["circle", "square", "diamond", "up"]; // of the fronts of several runs
const STEPS = 7; // of the sequential scale
function stepOf(metric, rows) {
  const values = rows.map((row) => number(row, metric)).filter((v) => v !== null);
  const low = values.reduce((a, b) => Math.min(a, b)),
    high = values.reduce((a, b) => Math.max(a, b));
  const log = low > 0 && high / low > 15,
    at = log ? Math.log : Number,
    span = at(high) - at(low);
  const step = (v) =>
    v === null || !span ? 0 : Math.min(STEPS - 1, Math.floor(((at(v) - at(low)) / span) * STEPS));
  return { step, low, high, log };
}
function scaleLegend(metric, { low, high, log }) {
  return element(
    "span",
    { class: "scale" },
    `${longLabel(metric)}: ${format(low, metric)} `,
    ...Array.from({ length: STEPS }, (_, i) => element("i", { class: `scale-${i}` })),
    ` ${format(high, metric)}${log ? " (logarithmic)" : ""}`,
  );
}

// The point of a row, with the ends of its 95 % intervals where it is a mean over seeds.
function pointOf(row, x, y) {
  const point = { x: number(row, x), y: number(row, y), id: row.id };
  const across = halfWidth(row, x) ?? 0,
    along = halfWidth(row, y) ?? 0;
  if (front.bars && (across || along))
    point.bars = [
      [point.x - across, point.y],
      [point.x + across, point.y],
      [point.x, point.y - along],
      [point.x, point.y + along],
    ];
  return point;
}

function drawFront() {
  const { x, y, colour } = front;
  const whole = (rows) => rows.filter((row) => has(row, x, y));
  const kept = (rows) => rows.filter(brushed);
  const at = (row) => pointOf(row, x, y);
  const inside = whole(members),
    others = state.all ? kept(whole(done)).filter((row) => !row.front) : [];
  const text = tooltip([...new Set([x, y, colour, ...D.results])]);
  const layers = [];
  const add = (layer) => {
    if ((layer.points || layer.lines).length) layers.push({ text, ...layer });
  };
  add({
    name: "dominated",
    kind: "dots",
    size: 3.5,
    className: "other",
    points: others.filter((r) => !r.infeasible).map(at),
  });
  add({
    name: "breaks a constraint",
    kind: "marks",
    shape: "cross",
    size: 3.5,
    className: "other hollow",
    points: others.filter((r) => r.infeasible).map(at),
  });
  const sets = paretoSets(state.all ? whole(done) : inside).map((rows) => rows.map(at));
  add({ name: "one pareto-set training", kind: "line", className: "set", lines: sets });
  const shaded = colour && !several && new Set(inside.map((r) => number(r, colour))).size > 1;
  const scale = shaded ? stepOf(colour, inside) : null;
  D.runs.forEach((run, i) => {
    const own = inside.filter((row) => row.run === i),
      edge = staircase(own);
    const style = several ? `run-${i % RUN_SHAPES.length}` : "front",
      two = D.objectives.length === 2;
    const name = (text) => (several ? `${text}, ${run.name}` : text);
    if (edge.length > 1)
      add({
        name: name(two ? "boundary" : "best of these two alone"),
        kind: "line",
        className: two ? style : `${style} dotted`,
        lines: [edge],
        step: goals.get(x) === "min" ? "after" : "before",
      });
    const shown = (row) =>
      `${shaded ? `scale-${scale.step(number(row, colour))}` : style}${brushed(row) ? "" : " faded"}`;
    add({
      name: name("front"),
      kind: "marks",
      shape: RUN_SHAPES[i % RUN_SHAPES.length],
      size: 5.5,
      className: shaded ? "scale-3" : style,
      points: own.map((row) => ({ ...at(row), className: shown(row) })),
    });
  });
  if (knee && !several && has(knee, x, y))
    add({
      name: "knee",
      kind: "marks",
      shape: "star",
      size: 10,
      className: "knee",
      points: [at(knee)],
    });
  for (const row of controls)
    if (row.state === "done" && has(row, x, y))
      add({
        name: `control ${row.name}`,
        kind: "marks",
        shape: controlShape(row),
        size: 5.5,
        className: controlClass(row),
        points: [at(row)],
      });
  $("front-scale").replaceChildren(...(shaded ? [scaleLegend(colour, scale)] : []));
  $("front-empty").hidden = layers.length > 0;
  front.plot ??= new Plot($("front-plot"), { name: "Front of the search", height: 520 });
  const count = inside.length + others.length;
  front.plot.draw({
    x: { title: longLabel(x), key: x },
    y: { title: longLabel(y), key: y },
    layers,
    description: `${count} trials and ${controls.length} controls by ${longLabel(x)} and ${longLabel(y)}; ${members.length} trials are on the front.`,
  });
}
