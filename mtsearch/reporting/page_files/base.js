// Data, small helpers and the state that all parts of the page share.

const D = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

const place = new Map(D.metrics.map((metric, i) => [metric, i]));
const setting = new Map(D.settings.map((key, i) => [key, i]));
for (const row of D.rows) {
  row.name ??= row.id;
  row.kind ??= "search";
  row.run ??= 0;
  row.trial ??= row.id;
}
const byId = new Map(D.rows.map((row) => [row.id, row]));
const searched = D.rows.filter((row) => row.kind !== "control");
const controls = D.rows.filter((row) => row.kind === "control");
const done = searched.filter((row) => row.state === "done");
const members = done.filter((row) => row.front);
const knee = members.find((row) => row.knee);
const goals = new Map(D.objectives.map((o) => [o.metric, o.goal]));

const raw = (row, metric) => row.values[place.get(metric)];
const number = (row, metric) => {
  const v = raw(row, metric);
  return typeof v === "number" ? v : null;
};
const has = (row, ...metrics) => metrics.every((metric) => number(row, metric) !== null);
const label = (metric) => D.labels[metric] || metric;
const validated = (metric) => metric.startsWith("val/") || metric === "delta_m";
const longLabel = (metric) => {
  if (!validated(metric)) return label(metric);
  const [words, unit] = label(metric).split(" (");
  return `${words}, validation${unit ? ` (${unit}` : ""}`;
};

// Numbers in the format of the tables: the same digits, exact ties to the even digit.
function fixed(value, decimals) {
  const tie =
    Number.isInteger(value * 2 ** (decimals + 1)) && !Number.isInteger(value * 2 ** decimals);
  const scaled = value * 10 ** decimals;
  if (!tie || Math.abs(scaled % 1) !== 0.5) return value.toFixed(decimals);
  return ((2 * Math.round(scaled / 2)) / 10 ** decimals).toFixed(decimals);
}

function general(value, digits = 4) {
  if (value === 0) return "0";
  const exponent = Number(value.toExponential(digits - 1).split("e")[1]);
  if (exponent >= -4 && exponent < digits)
    return String(Number(fixed(value, digits - 1 - exponent)));
  const [mantissa, power] = value.toExponential(digits - 1).split("e");
  const size = Math.abs(Number(power));
  return `${Number(mantissa)}e${power[0]}${size < 10 ? "0" : ""}${size}`;
}

function format(value, metric) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  const how = D.formats[place.get(metric)] || {};
  if (how.decimals !== undefined) {
    const text = fixed(value, how.decimals).replace(/^-(?=[0.]*$)/, ""); // no negative zero
    return (how.sign && !text.startsWith("-") ? "+" : "") + text;
  }
  if (Number.isInteger(value)) return how.thousands ? value.toLocaleString("en-US") : String(value);
  return general(value);
}

const settingText = (value) => {
  if (value === null || value === undefined) return "–";
  return typeof value === "number" && !Number.isInteger(value) ? general(value) : String(value);
};

// A column of the table is `trial`, `state`, a metric or a setting.
const cellValue = (row, column) => {
  if (column === "trial") return row.name;
  if (column === "state") return row.reason ? `${row.state}: ${row.reason}` : row.state;
  return place.has(column) ? raw(row, column) : row.config[setting.get(column)];
};
const cellText = (row, column) => {
  if (column === "trial") return identity(row);
  return place.has(column) ? figure(row, column) : settingText(cellValue(row, column));
};
const columnLabel = (column) =>
  setting.has(column) ? column.replace(/^trial\./, "") : longLabel(column);
const identity = (row) =>
  `${row.kind === "control" ? "control " : ""}${row.name}${row.knee ? " ★" : ""}${row.front && row.not_better ? " ≈" : ""}`;
// Half the width of the 95 % interval of a mean over seeds.
const halfWidth = (row, metric) => (row.intervals || {})[place.get(metric)];
const figure = (row, metric) => {
  const text = format(raw(row, metric), metric),
    half = halfWidth(row, metric);
  return half === undefined ? text : `${text} ± ${format(half, metric).replace(/^\+/, "")}`;
};
const several = D.runs.length > 1;

// ---------------------------------------------------------------- elements

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}
const element = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);
const SVG = "http://www.w3.org/2000/svg";
const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

const chooser = (title, options, value, change) => {
  const select = element(
    "select",
    { onchange: () => change(select.value) },
    ...options.map(([key, text]) => element("option", { value: key }, text)),
  );
  select.value = value;
  return element("label", {}, `${title} `, select);
};
const checkbox = (title, value, change) => {
  const box = element("input", { type: "checkbox", onchange: () => change(box.checked) });
  box.checked = value;
  return element("label", {}, box, ` ${title}`);
};
const button = (text, act, attributes = {}) =>
  element("button", { type: "button", onclick: act, ...attributes }, text);

function copyButton(name, text) {
  const node = button(
    "Copy",
    async () => {
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        const area = element("textarea", { "aria-hidden": "true" });
        area.value = text;
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
      }
      node.textContent = "Copied";
      setTimeout(() => {
        node.textContent = "Copy";
      }, 1500);
    },
    { class: "copy", "aria-label": `Copy: ${name}` },
  );
  return node;
}
const command = (name, text) =>
  element(
    "div",
    { class: "command" },
    element("code", { tabindex: "0" }, text),
    copyButton(name, text),
  );

// ---------------------------------------------------------------- state

const state = {
  selected: undefined,
  all: !members.length, // whether the front's plot and the curves show dominated trials
  brush: new Map(), // by column: the range (numbers) or the set (texts) that a row keeps
};
const listeners = [];
const onChange = (act) => listeners.push(act);
const announce = (what) => {
  for (const act of listeners) act(what);
};

function brushed(row) {
  for (const [column, [low, high]] of state.brush) {
    const value = axisPosition(column, row);
    if (value === null || value < low || value > high) return false;
  }
  return true;
}

// A section is drawn when it comes into view and drawn again after changes.
const sections = new Map();
function section(id, draw) {
  sections.set(id, { draw, seen: false });
  watcher.observe($(id));
}
const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      show(entry.target.id);
    }
  },
  { rootMargin: "300px" },
);
function show(id) {
  const found = sections.get(id);
  if (found.seen) return;
  found.seen = true;
  watcher.unobserve($(id));
  found.draw();
}
const redraw = (id) => {
  const found = sections.get(id);
  if (found && found.seen) found.draw();
};
