// The networks between the measured points of one pareto-set training: a slider over the
// preference, the figures that are interpolated there, and the command that makes the network.

const PREFERENCE = "trial.preference.";

// The set of a point such as 0012@03: its tasks, divisions of the grid, and rows by place on it.
function setOf(row) {
  const trial = /^(.+)@\d+$/.exec(row.id);
  if (!trial || row.state !== "done") return null;
  const tasks = D.settings
    .filter((key) => key.startsWith(PREFERENCE) && row.config[setting.get(key)] !== null)
    .map((key) => key.slice(PREFERENCE.length));
  const rank = (task) => D.objectives.findIndex((o) => o.metric.startsWith(`val/${task}/`));
  tasks.sort((a, b) => rank(a) - rank(b));
  const weights = (r) => tasks.map((task) => r.config[setting.get(PREFERENCE + task)]);
  const rows = D.rows.filter((r) => r.id.startsWith(`${trial[1]}@`) && r.state === "done");
  const all = rows.map(weights);
  if (tasks.length < 2 || rows.length < 2 || !all.flat().every((w) => typeof w === "number"))
    return null;
  const smallest = Math.min(...all.flat().filter((w) => w > 1e-9));
  const divisions = Math.round(1 / smallest);
  const places = new Map(
    rows.map((r, i) => [all[i].map((w) => Math.round(w * divisions)).join(), r]),
  );
  return { trial: trial[1], tasks, divisions, places, weights };
}

// The measured points around a preference, with weights that sum to 1: linear interpolation on the
// simplices of a regular grid (Freudenthal 1942). Null where one of them is missing.
function around({ divisions, places }, preference) {
  let sum = 0;
  const at = preference.slice(0, -1).map((w) => {
    sum += w;
    return Math.round(1e9 * sum * divisions) / 1e9;
  });
  const base = at.map(Math.floor);
  const parts = at.map((x, i) => x - base[i]);
  const order = parts.map((_, i) => i).sort((a, b) => parts[b] - parts[a] || b - a);
  const found = [];
  const corner = [...base];
  for (let step = 0; step <= order.length; step += 1) {
    const high = step ? parts[order[step - 1]] : 1;
    const weight = high - (step < order.length ? parts[order[step]] : 0);
    if (weight > 1e-9) {
      const counts = [...corner, divisions].map((c, i) => c - (i ? corner[i - 1] : 0));
      if (!places.has(counts.join())) return null;
      found.push([places.get(counts.join()), weight]);
    }
    if (step < order.length) corner[order[step]] += 1;
  }
  return found;
}

// The figure of a metric at a preference; null where a neighbour has none.
const interpolated = (neighbours, metric) =>
  neighbours.every(([row]) => number(row, metric) !== null)
    ? total(neighbours.map(([row, weight]) => weight * number(row, metric)))
    : null;

// What `pick=preference:` gives for these weights of tasks: the pick, and whether the network that
// it makes is one of this set. Null where the objectives do not have all tasks.
function pickOf(set, preference) {
  const of = (task) => D.objectives.find((o) => o.metric.startsWith(`val/${task}/`));
  if (!set.tasks.every(of) || several || !members.length) return null;
  const given = set.tasks.map((task, i) => [of(task), preference[i]]).filter(([, w]) => w > 0);
  const weights = D.objectives.map((o) => (given.find(([own]) => own === o) || [0, 0])[1]);
  const rows = members.filter((row) => D.objectives.every((o) => has(row, o.metric)));
  const row = rows[byPreference(rows.map(minimised), weights)];
  const words = given.map(([o, w]) => `${o.name}=${rounded(w)}`);
  return { pick: `pick=preference:${words.join(",")}`, row };
}

function between(row) {
  const set = setOf(row);
  if (!set) return [];
  const raws = set.weights(row).map((w) => Math.round(100 * w));
  const output = element("div", { role: "status" });
  const sliders = set.tasks.slice(0, set.tasks.length === 2 ? 1 : undefined).map((task, i) => {
    const range = element("input", {
      type: "range",
      min: 0,
      max: 100,
      step: 1,
      value: raws[i],
      "aria-label": `Weight of ${task} in percent`,
      oninput: () => {
        raws[i] = Number(range.value);
        if (set.tasks.length === 2) raws[1] = 100 - raws[0];
        show_();
      },
    });
    return element("label", { class: "slider" }, `weight of ${task}`, range);
  });
  const show_ = () => {
    const sum = total(raws);
    output.replaceChildren(
      ...(sum
        ? betweenFigures(
            set,
            raws.map((w) => w / sum),
            row,
          )
        : ["At least one weight should be above 0."]),
    );
  };
  show_();
  return [
    element(
      "details",
      { class: "between", open: true },
      element("summary", {}, `Other preferences of training ${set.trial}`),
      ...sliders,
      output,
    ),
  ];
}

function betweenFigures(set, preference, row) {
  const words = set.tasks.map((task, i) => `${task} ${preference[i].toFixed(2)}`).join(", ");
  const neighbours = around(set, preference);
  if (!neighbours) return [`${words}: a measured point next to this preference is missing.`];
  const measured = neighbours.length === 1;
  const names = neighbours.map(([near]) => near.name).join(" and ");
  const lines = D.objectives.map((o) => {
    const value = interpolated(neighbours, o.metric);
    const text = measured ? figure(neighbours[0][0], o.metric) : format(value, o.metric);
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, longLabel(o.metric)),
      element("td", {}, text),
    );
  });
  const { address } = D.runs[row.run];
  const nearest = neighbours.reduce((a, b) => (b[1] > a[1] ? b : a))[0];
  const found = measured ? null : pickOf(set, preference);
  const ours = found && found.row.id.startsWith(`${set.trial}@`);
  const own = `pick=trial:${nearest.trial}`;
  const commands = [];
  if (address && found && ours)
    commands.push(
      command("the command of this preference", `mtsearch export run=${address} ${shellWord(found.pick)}`),
    );
  else if (address && keepsWeights(nearest))
    commands.push(
      ...(found
        ? [
            element(
              "p",
              { class: "hint" },
              `${found.pick} chooses trial ${found.row.name} of the front instead. The nearest measured point of this training:`,
            ),
          ]
        : []),
      command("the command of the nearest point", `mtsearch export run=${address} ${shellWord(own)}`),
    );
  return [
    element("p", { class: "hint" }, measured ? `${words}: measured (${names}).` : `${words}: interpolated linearly between ${names}, not measured.`),
    element("table", { class: "figures" }, element("tbody", {}, ...lines)),
    ...commands,
  ];
}
