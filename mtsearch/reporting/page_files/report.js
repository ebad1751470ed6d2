"use strict";
(() => {
  const D = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const named = (names, values) => Object.fromEntries(names.map((name, i) => [name, values[i]]));
  for (const r of D.rows) Object.assign(r, { values: named(D.metrics, r.values), text: named(D.metrics, r.text), config: named(D.settings, r.config) });
  const search = D.rows.filter((r) => r.kind !== "control");
  const done = search.filter((r) => r.state === "done");
  const controls = D.rows.filter((r) => r.kind === "control");
  const byId = Object.fromEntries(D.rows.map((r) => [r.id, r]));
  const label = (metric) => (D.labels[metric] || metric);
  const splitLabel = (metric) => (metric.startsWith("val/") ? `${label(metric)}, validation` : label(metric));
  const goals = Object.fromEntries(D.objectives.map((o) => [o.metric, o.goal]));
  const knee = search.find((r) => r.knee);
  const INK = "#1f2933", GRID = "#e6e9ec", SCALE = "Cividis";
  const FONT = { family: "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif", size: 13, color: INK };
  const CONFIG = { displaylogo: false, showSendToCloud: false, plotlyServerURL: "", responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"], toImageButtonOptions: { scale: 3, filename: D.name } };
  let selected = (knee || search.find((r) => r.front) || search.find((r) => r.state === "done") || D.rows[0] || {}).id;

  // ---------------------------------------------------------------- small helpers

  const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
  const element = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (key === "class") node.className = value;
      else node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
  };
  const chooser = (title, options, value, change) => {
    const select = element("select", { onchange: () => change(select.value) }, ...options.map(([key, text]) => element("option", { value: key }, text)));
    select.value = value;
    return element("label", {}, title, select);
  };
  const checkbox = (title, value, change) => {
    const box = element("input", { type: "checkbox", onchange: () => change(box.checked) });
    box.checked = value;
    return element("label", {}, box, title);
  };
  const tabs = (options, value, change) => {
    const node = element("span", { class: "tabs" });
    for (const [key, text] of options) {
      const button = element("button", { type: "button", onclick: () => { for (const b of node.children) b.className = ""; button.className = "on"; change(key); } }, text);
      if (key === value) button.className = "on";
      node.append(button);
    }
    return node;
  };
  const layout = (extra) => ({
    font: FONT, paper_bgcolor: "#fff", plot_bgcolor: "#fff", margin: { l: 66, r: 20, t: 26, b: 54 }, hovermode: "closest",
    hoverlabel: { bgcolor: "#fff", bordercolor: "#c8d0d7", font: { ...FONT, size: 12 }, align: "left" },
    legend: { orientation: "h", y: -0.17, yanchor: "top", x: 0 }, ...extra,
  });
  const axis = (title, extra = {}) => ({ title: { text: escaped(title), standoff: 8 }, gridcolor: GRID, zeroline: false, linecolor: INK, showline: true, ticks: "outside", tickcolor: INK, ticklen: 4, ...extra });
  const nothing = (id, text) => { const node = $(id); Plotly.purge(node); node.style.height = "auto"; node.replaceChildren(element("p", { class: "hint" }, text)); };
  const draw = (id, traces, arrangement) => {
    const node = $(id);
    if (node.firstChild && node.firstChild.className === "hint") { node.replaceChildren(); node.style.height = ""; }
    return Plotly.react(node, traces, arrangement, CONFIG);
  };
  const has = (row, metric) => row.values[metric] !== undefined && row.values[metric] !== null;
  const setting = (value) => (typeof value === "number" ? String(Number(value.toPrecision(5))) : String(value));
  const hover = (row) => {
    const lines = [`<b>${escaped(row.name)}</b>${row.knee ? " (knee)" : ""}`];
    for (const metric of D.results) if (has(row, metric)) lines.push(`${escaped(label(metric))}: <b>${escaped(row.text[metric])}</b>`);
    for (const key of D.varied) if (row.config[key] !== undefined && row.config[key] !== null) lines.push(`<span style="color:#5b6773">${escaped(key.slice(6))}: ${escaped(setting(row.config[key]))}</span>`);
    return lines.join("<br>");
  };

  // ---------------------------------------------------------------- one trial in full

  function detail() {
    const row = byId[selected], box = $("detail");
    box.replaceChildren();
    if (!row) return box.append(element("p", { class: "hint" }, "No trial yet."));
    box.append(element("h3", {}, row.kind === "control" ? `control ${row.name}` : `trial ${row.name}`));
    const tag = (text, style = "") => box.append(element("span", { class: `tag ${style}` }, text));
    if (row.knee) tag("knee", "knee");
    if (row.front) tag("front");
    if (row.state !== "done") tag(row.state, row.state === "failed" ? "failed" : "");
    if (row.kind !== "control" && row.state === "done" && !row.feasible) tag("breaks a constraint", "failed");
    if (row.reason) box.append(element("p", { class: "reason" }, row.reason));
    const table = (title, entries) => {
      if (entries.length) box.append(element("h4", {}, title), element("table", {}, ...entries.map(([k, v]) => element("tr", {}, element("td", {}, k), element("td", {}, v)))));
    };
    const objectives = D.objectives.map((o) => o.metric);
    const tested = (m) => (m.startsWith("val/") ? `test/${m.slice(4)}` : "");
    const both = objectives.flatMap((m) => [[m, splitLabel(m)], ...(tested(m) ? [[tested(m), label(tested(m))]] : [])]);
    const commands = [];
    if (D.export && /^[\w.@-]+$/.test(row.id) && row.state === "done" && (row.front || row.kind === "control")) commands.push(["Export this model", D.export + row.id]);
    if (row.command) commands.push(["Train it again", row.command]);
    const command = ([title, text]) => box.append(element("h4", {}, title), element("code", { class: "command" }, text), element("p", {}, element("button", { type: "button", class: "copy", "data-copy": text }, "copy")));
    if (commands.length > 1) command(commands.shift());
    table("Objectives", both.filter(([m]) => has(row, m)).map(([m, text]) => [text, row.text[m]]));
    const rest = Object.keys(row.values).filter((m) => !both.some(([name]) => name === m) && has(row, m));
    table("Settings", D.settings.filter((k) => row.config[k] !== undefined && row.config[k] !== null).map((k) => [k.slice(6), setting(row.config[k])]));
    table("Other metrics", rest.map((m) => [splitLabel(m), row.text[m]]));
    commands.forEach(command);
  }

  function select(id, scroll = false) {
    selected = id;
    detail();
    for (const tr of document.querySelectorAll("#trials tbody tr")) {
      tr.classList.toggle("selected", tr.dataset.trial === id);
      if (scroll && tr.dataset.trial === id) tr.scrollIntoView({ block: "nearest" });
    }
    drawCurves();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    event.stopPropagation();
    const confirm = () => { button.textContent = "copied"; setTimeout(() => { button.textContent = "copy"; }, 1200); };
    const byHand = () => {
      const area = element("textarea"); area.value = button.dataset.copy; document.body.append(area); area.select(); document.execCommand("copy"); area.remove(); confirm();
    };
    if (navigator.clipboard && window.isSecureContext) navigator.clipboard.writeText(button.dataset.copy).then(confirm, byHand); else byHand();
  }, true);

  // ---------------------------------------------------------------- the front

  const front = { mode: "2", x: D.axes[0], y: D.axes[1] || D.axes[0], z: D.axes[2] || "", colour: D.objectives.length > 2 ? D.axes[2] : "", all: !search.some((r) => r.front) };

  function frontControls() {
    const options = D.axes.map((m) => [m, splitLabel(m)]);
    const set = (key) => (value) => { front[key] = value; drawFront(); };
    const box = $("front-controls");
    box.replaceChildren();
    if (D.axes.length > 2) box.append(tabs([["2", "2-D"], ["3", "3-D"]], front.mode, (mode) => { front.mode = mode; frontControls(); drawFront(); }));
    box.append(chooser("x", options, front.x, set("x")), chooser("y", options, front.y, set("y")));
    if (front.mode === "3") box.append(chooser("z", options, front.z, set("z")));
    box.append(chooser("colour of the front", [["", "one colour"], ...options], front.colour, set("colour")), checkbox("all trials", front.all, set("all")));
  }

  const better = (a, b, metric) => (goals[metric] === "max" ? a > b : a < b);

  function staircase(rows) {
    const { x, y } = front;
    if (!goals[x] || !goals[y] || x === y || !rows.length) return [];
    const dominated = (r) => rows.some((o) => !better(r.values[x], o.values[x], x) && !better(r.values[y], o.values[y], y) && (o.values[x] !== r.values[x] || o.values[y] !== r.values[y]));
    const edge = rows.filter((r) => !dominated(r)).sort((a, b) => a.values[x] - b.values[x]);
    if (edge.length < 2) return [];
    const two = D.objectives.length === 2;
    return [{
      type: "scatter", mode: "lines", x: edge.map((r) => r.values[x]), y: edge.map((r) => r.values[y]), hoverinfo: "skip", name: two ? "boundary" : "best of these two alone",
      line: { shape: goals[x] === "min" ? "hv" : "vh", color: D.palette.front, width: 1.6, dash: two ? "solid" : "dot" },
    }];
  }

  function drawFront() {
    const three = front.mode === "3";
    const used = three ? ["x", "y", "z"] : ["x", "y"];
    const whole = (row) => used.every((k) => has(row, front[k]));
    const trace = (rows, name, marker) => ({
      type: three ? "scatter3d" : "scatter", mode: "markers", name, ids: rows.map((r) => r.id), customdata: rows.map((r) => r.id), text: rows.map(hover), hovertemplate: "%{text}<extra></extra>",
      marker: three && ["cross", "x"].includes(marker.symbol) ? { ...marker, size: marker.size * 0.8, line: { width: 0 } } : marker, ...Object.fromEntries(used.map((k) => [k, rows.map((r) => r.values[front[k]])])),
    });
    const size = (n) => (three ? n * 0.6 : n);
    const members = done.filter((r) => r.front && whole(r));
    const others = front.all ? done.filter(whole) : [];
    const traces = [
      trace(others.filter((r) => !r.front && r.feasible), "dominated", { color: D.palette.other, size: size(8), opacity: 0.8 }),
      trace(others.filter((r) => !r.feasible), "breaks a constraint", { color: D.palette.other, size: size(7), symbol: "x" }),
      ...(three ? [] : staircase(members)),
    ];
    const shade = front.colour && new Set(members.filter((r) => has(r, front.colour)).map((r) => r.values[front.colour])).size > 1;
    traces.push(trace(members, "front", {
      size: size(11), line: { color: "#fff", width: 1 },
      ...(shade ? { color: members.map((r) => r.values[front.colour] ?? null), colorscale: SCALE, colorbar: { title: { text: escaped(label(front.colour)), side: "right" }, thickness: 12, outlinewidth: 0, len: 0.85 } } : { color: D.palette.front }),
    }));
    if (knee && whole(knee)) traces.push(trace([knee], "knee", { color: D.palette.knee, size: size(17), symbol: three ? "diamond" : "star", line: { color: "#fff", width: 1 } }));
    controls.forEach((row, i) => {
      if (row.state === "done" && whole(row)) {
        const symbols = three ? D.palette.solids : D.palette.symbols, symbol = symbols[i % symbols.length];
        traces.push(trace([row], escaped(row.name), { color: D.palette.controls[i % D.palette.controls.length], size: size(11), symbol, line: { color: "#fff", width: 1 } }));
      }
    });
    const kept = traces.filter((t) => t.x.length);
    if (!kept.length) return nothing("front-plot", "No finished trial has these values.");
    const titles = used.map((k) => splitLabel(front[k]));
    const scene = Object.fromEntries(used.map((k, i) => [`${k}axis`, { title: { text: escaped(titles[i]) }, gridcolor: GRID, zeroline: false, backgroundcolor: "#fff" }]));
    const extra = three
      ? { scene: { ...scene, aspectmode: "cube", camera: { eye: { x: 1.45, y: 1.35, z: 0.75 }, center: { x: 0, y: 0, z: -0.12 } } }, margin: { l: 0, r: 0, t: 10, b: 0 } }
      : { xaxis: axis(titles[0]), yaxis: axis(titles[1]) };
    draw("front-plot", kept, layout(extra)).then((node) => {
      node.removeAllListeners("plotly_click");
      node.on("plotly_click", (event) => { const id = event.points[0].customdata; if (id) select(id, true); });
    });
  }

  // ---------------------------------------------------------------- the table

  function table() {
    const shown = { which: "front", find: "" };
    const rows = [...document.querySelectorAll("#trials tbody tr")];
    const filter = () => {
      for (const tr of rows) {
        const group = { front: tr.dataset.front === "true", all: true, failed: tr.dataset.state === "failed" }[shown.which];
        const pinned = tr.parentNode.className === "controls" && shown.which === "front";
        tr.hidden = !((group || pinned) && tr.textContent.toLowerCase().includes(shown.find));
      }
    };
    const buttons = [...document.querySelectorAll("#table-tabs button")];
    for (const button of buttons) button.addEventListener("click", () => { buttons.forEach((b) => b.classList.toggle("on", b === button)); shown.which = button.dataset.show; filter(); });
    shown.which = (document.querySelector("#table-tabs button.on") || { dataset: { show: "all" } }).dataset.show;
    $("table-find").addEventListener("input", (event) => { shown.find = event.target.value.toLowerCase(); filter(); });
    const heads = [...document.querySelectorAll("#trials th")];
    heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending", sign = up ? 1 : -1, numeric = head.className === "number";
      heads.forEach((h) => h.setAttribute("aria-sort", h === head ? (up ? "ascending" : "descending") : "none"));
      for (const body of document.querySelectorAll("#trials tbody")) {
        const key = (tr) => tr.children[column].dataset.v;
        const order = (a, b) => {
          if ((key(a) === "") !== (key(b) === "")) return key(a) === "" ? 1 : -1;
          return sign * (numeric ? Number(key(a)) - Number(key(b)) : key(a).localeCompare(key(b), "en", { numeric: true }));
        };
        body.append(...[...body.children].sort(order));
      }
    }));
    for (const tr of rows) {
      tr.addEventListener("click", () => select(tr.dataset.trial));
      tr.addEventListener("keydown", (event) => { if (event.key === "Enter") select(tr.dataset.trial); });
    }
    filter();
  }

  // ---------------------------------------------------------------- parallel coordinates

  const parallel = { colour: D.objectives[0].metric, only: false };

  function linearTicks(low, high) {
    if (high === low) return [low];
    const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) found.push(Number((i * step).toPrecision(10)));
    return found;
  }

  function logTicks(low, high) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
      for (const n of [1, 2, 5]) {
        const value = Number((n * 10 ** power).toPrecision(3));
        if (value >= 0.999 * low && value <= 1.001 * high) found.push(value);
      }
    }
    return found.length > 9 ? found.filter((v) => /^0?\.?0*1/.test(String(v)) || /^1e/.test(String(v))) : found;
  }

  function dimension(name, cells) {
    const filled = cells.filter((v) => v !== null && v !== undefined), missing = filled.length < cells.length;
    if (filled.every((v) => typeof v === "number")) {
      const log = Math.min(...filled) > 0 && Math.max(...filled) / Math.min(...filled) > 15;
      const place = (v) => (log ? Math.log10(v) : v);
      const low = place(Math.min(...filled)), high = place(Math.max(...filled)), span = high - low || Math.abs(high) || 1;
      const none = low - 0.14 * span;
      const out = { label: name, values: cells.map((v) => (v === null || v === undefined ? none : place(v))), range: [(missing ? none : low) - 0.03 * span, high + 0.03 * span] };
      if (log || missing) {
        const marks = log ? logTicks(10 ** low, 10 ** high) : linearTicks(low, high);
        out.tickvals = [...(missing ? [none] : []), ...marks.map(place)];
        out.ticktext = [...(missing ? ["–"] : []), ...marks.map(String)];
      }
      return out;
    }
    const words = [...new Set(cells.map((v) => (v === null || v === undefined ? "–" : String(v))))].sort();
    const values = cells.map((v) => words.indexOf(v === null || v === undefined ? "–" : String(v)));
    return { label: name, values, tickvals: words.map((_, i) => i), ticktext: words.map((w) => (w.length > 22 ? `${w.slice(0, 21)}…` : w)), range: [-0.15, Math.max(words.length - 1, 0.5) + 0.15] };
  }

  function parallelControls() {
    const options = D.axes.map((m) => [m, splitLabel(m)]);
    $("parallel-controls").replaceChildren(
      chooser("colour", options, parallel.colour, (value) => { parallel.colour = value; drawParallel(); }),
      checkbox("front only", parallel.only, (value) => { parallel.only = value; drawParallel(); }),
    );
  }

  function drawParallel() {
    const metrics = D.objectives.map((o) => o.metric);
    const rows = done.filter((r) => (!parallel.only || r.front) && metrics.every((m) => has(r, m)) && has(r, parallel.colour));
    if (!rows.length) return nothing("parallel-plot", "No finished trial to show.");
    const dimensions = [
      ...D.varied.map((key) => dimension(escaped(key.slice(6)), rows.map((r) => r.config[key]))),
      ...metrics.map((m) => dimension(escaped(splitLabel(m)), rows.map((r) => r.values[m]))),
    ];
    $("parallel-plot").style.minWidth = `${Math.max(600, 126 * dimensions.length)}px`;
    const colour = rows.map((r) => r.values[parallel.colour]);
    draw("parallel-plot", [{
      type: "parcoords", dimensions, labelangle: -14, labelfont: { ...FONT, size: 12 }, tickfont: { ...FONT, size: 11 }, rangefont: { size: 1, color: "rgba(0,0,0,0)" },
      line: { color: colour, colorscale: SCALE, showscale: true, colorbar: { title: { text: escaped(label(parallel.colour)), side: "right" }, thickness: 12, outlinewidth: 0 } },
      unselected: { line: { color: "#d5dade", opacity: 0.35 } },
    }], { font: FONT, paper_bgcolor: "#fff", margin: { l: 70, r: 30, t: 74, b: 26 } });
  }

  // ---------------------------------------------------------------- curves

  const curves = { metric: D.curves[0], all: true, log: false, by: "epoch" };

  function curveControls() {
    if (!D.curves.length) return;
    $("curve-controls").replaceChildren(
      chooser("metric", D.curves.map((m) => [m, splitLabel(m)]), curves.metric, (value) => { curves.metric = value; drawCurves(); }),
      chooser("over", [["epoch", "epochs"], ["report", "reports"]], curves.by, (value) => { curves.by = value; drawCurves(); }),
      checkbox("dominated trials too", curves.all, (value) => { curves.all = value; drawCurves(); }),
      checkbox("logarithmic", curves.log, (value) => { curves.log = value; drawCurves(); }),
    );
  }

  function line(rows, name, style, width, extra = {}) {
    const x = [], y = [], text = [], ids = [];
    for (const row of rows) {
      const h = D.history[row.id];
      if (!h || !h[curves.metric]) continue;
      h[curves.metric].forEach((value, i) => { x.push((h[curves.by] || h.report)[i]); y.push(value); text.push(escaped(row.name)); ids.push(row.id); });
      x.push(null); y.push(null); text.push(""); ids.push(row.id);
    }
    return { type: "scatter", mode: "lines+markers", x, y, text, customdata: ids, name, connectgaps: false, line: { width, ...style }, marker: { size: width + 2.5, color: style.color }, hovertemplate: `<b>%{text}</b><br>${curves.by} %{x}<br>${escaped(label(curves.metric))}: <b>%{y:.4~g}</b><extra></extra>`, ...extra };
  }

  function drawCurves() {
    if (!D.curves.length) return nothing("curve-plot", "No trial has reported yet.");
    const other = search.filter((r) => !r.front), traces = [];
    if (curves.all) traces.push(line(other, "not on the front", { color: D.palette.other }, 1, { opacity: 0.65 }));
    traces.push(line(search.filter((r) => r.front && !r.knee), "front", { color: D.palette.front }, 1.6, { opacity: 0.7 }));
    if (knee) traces.push(line([knee], "knee", { color: D.palette.knee }, 2.6));
    controls.forEach((row, i) => traces.push(line([row], escaped(row.name), { color: D.palette.controls[i % D.palette.controls.length], dash: "dash" }, 1.8)));
    const chosen = byId[selected];
    if (chosen && !chosen.knee) traces.push(line([chosen], `selected: ${escaped(chosen.name)}`, { color: INK }, 2.6));
    draw("curve-plot", traces.filter((t) => t.y.some((v) => v !== null)), layout({ xaxis: axis(curves.by), yaxis: axis(splitLabel(curves.metric), { type: curves.log ? "log" : "linear" }) })).then((node) => {
      node.removeAllListeners("plotly_click");
      node.on("plotly_click", (event) => select(event.points[0].customdata, true));
    });
  }

  // ---------------------------------------------------------------- hypervolume

  function drawHypervolume() {
    const h = D.hypervolume;
    if (!h.values.length) return nothing("hypervolume-plot", "No finished trial yet.");
    draw("hypervolume-plot", [{
      type: "scatter", mode: "lines+markers", x: h.values.map((_, i) => i + 1), y: h.values, text: h.trials.map((id) => escaped(byId[id].name)), hovertemplate: "trial %{text}<br><b>%{y:.5~g}</b><extra></extra>",
      line: { shape: "hv", color: D.palette.front, width: 2 }, marker: { size: 5 }, fill: "tozeroy", fillcolor: "rgba(0,114,178,0.08)",
    }], layout({ xaxis: axis("finished trials, by number", { range: [0.5, h.values.length + 0.5] }), yaxis: axis(h.title), showlegend: false }));
    const low = Math.min(...h.values.filter((v) => v > 0), Infinity), high = Math.max(...h.values);
    if (Number.isFinite(low) && high > low) Plotly.relayout("hypervolume-plot", { "yaxis.range": [Math.max(0, low - 0.25 * (high - low)), high + 0.08 * (high - low)] });
  }

  table();
  frontControls();
  parallelControls();
  curveControls();
  drawFront();
  drawParallel();
  drawHypervolume();
  if (selected !== undefined) select(selected); else { detail(); drawCurves(); }
})();
