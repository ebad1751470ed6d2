// A plot of marks and lines in SVG with axes, zoom, a tooltip, a selection ring and keyboard use.

const SHAPES = {
  circle: (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0Z`,
  square: (r) => `M${-r},${-r}h${2 * r}v${2 * r}h${-2 * r}Z`,
  diamond: (r) => `M0,${-1.3 * r}L${1.3 * r},0L0,${1.3 * r}L${-1.3 * r},0Z`,
  up: (r) => `M0,${-1.2 * r}L${1.15 * r},${r}H${-1.15 * r}Z`,
  down: (r) => `M0,${1.2 * r}L${1.15 * r},${-r}H${-1.15 * r}Z`,
  plus: (r) => { const w = r / 2.4; return `M${-w},${-r}h${2 * w}v${r - w}h${r - w}v${2 * w}h${w - r}v${r - w}h${-2 * w}v${w - r}h${w - r}v${-2 * w}h${r - w}Z`; },
  cross: (r) => `M${-r},${-r}L${r},${r}M${-r},${r}L${r},${-r}`,
  star: (r) => `M${Array.from({ length: 10 }, (_, i) => {
    const size = i % 2 ? 0.45 * r : r, angle = (Math.PI * i) / 5 - Math.PI / 2;
    return `${(size * Math.cos(angle)).toFixed(2)},${(size * Math.sin(angle)).toFixed(2)}`;
  }).join("L")}Z`,
};
const CONTROL_SHAPES = ["square", "diamond", "up", "down", "plus"];
const controlClass = (row) => `control-${controls.indexOf(row) % CONTROL_SHAPES.length}`;
const controlShape = (row) => CONTROL_SHAPES[controls.indexOf(row) % CONTROL_SHAPES.length];

function ticks(low, high, count, log) {
  if (log && high / low > 5) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
      for (const n of [1, 2, 5]) {
        const value = Number((n * 10 ** power).toPrecision(3));
        if (value >= 0.999 * low && value <= 1.001 * high) found.push(value);
      }
    }
    return found.length > 9 ? found.filter((v) => Math.abs(Math.log10(v) % 1) < 1e-9) : found;
  }
  if (!(high > low)) return [low];
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) found.push(Number((i * step).toPrecision(12)));
  return found;
}

function tickText(value) {
  const size = Math.abs(value);
  for (const [limit, letter] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    const unit = { G: 1e9, M: 1e6, k: 1e3 }[letter];
    if (size >= limit) return `${Number((value / unit).toPrecision(4))}${letter}`;
  }
  return String(Number(value.toPrecision(6)));
}

function extent(values, log) {
  let low = Infinity, high = -Infinity;
  for (const v of values) {
    if (v === null || (log && v <= 0)) continue;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  if (low > high) return log ? [1, 10] : [0, 1];
  if (log) return [low / 1.15, high * 1.15];
  const margin = 0.06 * (high > low ? high - low : Math.max(Math.abs(high), 1e-3));
  return [low - margin, high + margin];
}

class Plot {
  constructor(host, options) {
    Object.assign(this, { host, height: 430, ...options });
    this.zoom = null; // the ranges that the reader chose, and the axes they belong to
    this.tip = element("div", { class: "tip", hidden: true });
    this.tools = element("div", { class: "tools" },
      button("+", () => this.scale(0.6), { "aria-label": "Zoom in" }),
      button("−", () => this.scale(1 / 0.6), { "aria-label": "Zoom out" }),
      button("Reset zoom", () => { this.zoom = null; this.paint(); }));
    this.area = element("div", { class: "drawing" });
    this.legend = element("ul", { class: "legend" });
    this.table = element("details", { class: "alternative" }, element("summary", {}, "Table of this plot"));
    this.table.addEventListener("toggle", () => { if (this.table.open) this.tabulate(); });
    host.replaceChildren(this.tools, this.area, this.legend, this.table, this.tip);
    this.cursor = -1;
    new ResizeObserver(() => { if (this.spec && host.clientWidth !== this.width && host.clientWidth) this.paint(); }).observe(host);
  }

  // spec: x and y {title, key, log, range}; layers {name, kind: marks|dots|line, shape, size, className,
  // points: [{x, y, id, text}], lines: [[{x, y}]], step, base: whether the axes contain it}
  draw(spec) {
    this.spec = spec;
    this.paint();
    if (this.table.open) this.tabulate();
  }

  domain(axis) {
    const { key, log, range } = this.spec[axis];
    if (this.zoom && this.zoom[axis].key === key && this.zoom[axis].log === !!log) return this.zoom[axis].range;
    if (range) return range;
    const values = [];
    for (const layer of this.spec.layers) {
      if (layer.base === false) continue;
      for (const point of layer.points || []) values.push(point[axis]);
      for (const line of layer.lines || []) for (const point of line) values.push(point[axis]);
    }
    return extent(values, log);
  }

  scale(factor) {
    const zoom = {};
    for (const axis of ["x", "y"]) {
      const log = !!this.spec[axis].log, at = log ? Math.log : Number, back = log ? Math.exp : Number;
      const [low, high] = this.domain(axis).map(at), middle = (low + high) / 2, half = ((high - low) / 2) * factor;
      zoom[axis] = { key: this.spec[axis].key, log, range: [back(middle - half), back(middle + half)] };
    }
    this.zoom = zoom;
    this.paint();
  }

  paint() {
    const width = this.width = Math.max(this.host.clientWidth, 280), height = this.height;
    const box = this.box = { left: 62, right: width - 14, top: 14, bottom: height - 48 };
    const place = {}, axes = svg("g", { class: "axes" });
    for (const axis of ["x", "y"]) {
      const [low, high] = this.domain(axis), { log, title, integer } = this.spec[axis];
      const at = log ? Math.log10 : Number, span = at(high) - at(low) || 1;
      const [from, to] = axis === "x" ? [box.left, box.right] : [box.bottom, box.top];
      place[axis] = (v) => from + ((at(v) - at(low)) / span) * (to - from);
      this[`${axis}Back`] = (pixel) => { const v = at(low) + ((pixel - from) / (to - from)) * span; return log ? 10 ** v : v; };
      for (const tick of ticks(low, high, axis === "x" ? Math.max(4.5, width / 110) : 6, log)) {
        if (integer && !Number.isInteger(tick)) continue;
        const p = place[axis](tick);
        axes.append(axis === "x"
          ? svg("path", { d: `M${p},${box.top}V${box.bottom}` }) : svg("path", { d: `M${box.left},${p}H${box.right}` }));
        axes.append(axis === "x"
          ? svg("text", { x: p, y: box.bottom + 17, "text-anchor": "middle" }, tickText(tick))
          : svg("text", { x: box.left - 7, y: p + 4, "text-anchor": "end" }, tickText(tick)));
      }
      axes.append(axis === "x"
        ? svg("text", { class: "title", x: (box.left + box.right) / 2, y: height - 8, "text-anchor": "middle" }, title)
        : svg("text", { class: "title", transform: `translate(15,${(box.top + box.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, title));
    }
    this.place = place;
    const clip = `${this.host.id}-clip`;
    const marks = svg("g", { "clip-path": `url(#${clip})` });
    this.points = [];
    for (const layer of this.spec.layers) marks.append(...this.layer(layer));
    this.line = svg("path", { class: "line selected" });
    marks.append(this.line);
    this.ring = svg("path", { class: "ring", d: SHAPES.circle(12) });
    const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: "0", "aria-label": this.name, "aria-describedby": `${this.host.id}-description` },
      svg("clipPath", { id: clip }, svg("rect", { x: box.left, y: box.top - 10, width: Math.max(box.right - box.left + 10, 0), height: box.bottom - box.top + 10 })),
      svg("rect", { class: "frame", x: box.left, y: box.top, width: Math.max(box.right - box.left, 0), height: box.bottom - box.top }), axes, marks, this.ring);
    this.handle(root);
    this.root = root;
    const description = element("p", { class: "described", id: `${this.host.id}-description` },
      `${this.spec.description || ""} Arrow keys move through the points, Enter or Space selects one.`);
    const focused = this.area.contains(document.activeElement);
    this.area.replaceChildren(root, description);
    if (focused) root.focus({ preventScroll: true });
    this.legend.replaceChildren(...(this.spec.legend || this.spec.layers).filter((l) => l.name).map((l) => element("li", {}, legendMark(l), ` ${l.name}`)));
    this.select(state.selected);
  }

  layer({ kind, shape = "circle", size = 5, className, points = [], lines = [], step, text }) {
    const { x, y } = this.place, at = (p) => `${x(p.x).toFixed(1)},${y(p.y).toFixed(1)}`;
    const found = [];
    if (lines.length) found.push(svg("path", { class: `line ${className}`, d: this.path(lines, step) }));
    const inside = points.filter((p) => p.x !== null && p.y !== null && (!this.spec.x.log || p.x > 0) && (!this.spec.y.log || p.y > 0));
    for (const p of inside) if (p.id !== undefined) this.points.push({ ...p, left: x(p.x), top: y(p.y), describe: p.text || text });
    if (kind === "dots") { // one path for thousands of marks
      found.push(svg("path", { class: `dots ${className}`, "stroke-width": 2 * size, d: inside.map((p) => `M${at(p)}h0`).join("") }));
    } else if (kind === "marks") {
      for (const p of inside) {
        const mark = svg("path", { class: `mark ${p.className || className}`, d: SHAPES[p.shape || shape](size), transform: `translate(${at(p)})` });
        if (p.id !== undefined) mark.dataset.trial = p.id;
        if (p.bars) found.push(svg("path", { class: "line interval", d: p.bars.map(([fx, fy], i) => `${i % 2 ? "L" : "M"}${x(fx).toFixed(1)},${y(fy).toFixed(1)}`).join("") }));
        found.push(mark);
      }
    }
    return found;
  }

  // Lines as path data: straight, or in steps that change y after or before x; null is a gap.
  path(lines, step) {
    const { x, y } = this.place, at = (p) => `${x(p.x).toFixed(1)},${y(p.y).toFixed(1)}`;
    const part = (p, i, line) => {
      if (p.y === null) return "";
      if (!i || line[i - 1].y === null) return `M${at(p)}`;
      if (step === "after") return `H${x(p.x).toFixed(1)}V${y(p.y).toFixed(1)}`;
      if (step === "before") return `V${y(p.y).toFixed(1)}H${x(p.x).toFixed(1)}`;
      return `L${at(p)}`;
    };
    return lines.map((line) => line.map(part).join("")).join("");
  }

  nearest(left, top, within) {
    let best = null, least = within * within;
    for (const p of this.points) {
      const distance = (p.left - left) ** 2 + (p.top - top) ** 2;
      if (distance <= least) { best = p; least = distance; }
    }
    return best;
  }

  select(id) {
    const found = this.points && this.points.find((p) => p.id === id && this.within(p));
    if (!this.ring) return;
    if (this.trace) this.line.setAttribute("d", this.path([this.trace(id)]));
    this.ring.style.display = found ? "" : "none";
    if (found) { this.ring.setAttribute("transform", `translate(${found.left.toFixed(1)},${found.top.toFixed(1)})`); this.ring.dataset.trial = id; }
  }

  within(p) {
    const { left, right, top, bottom } = this.box;
    return p.left >= left - 8 && p.left <= right + 8 && p.top >= top - 8 && p.top <= bottom + 8;
  }

  handle(root) {
    const where = (event) => { const area = root.getBoundingClientRect(), f = this.width / area.width; return [(event.clientX - area.left) * f, (event.clientY - area.top) * f]; };
    let start = null, band = null;
    root.addEventListener("pointerdown", (event) => { if (event.button === 0) start = where(event); });
    root.addEventListener("pointermove", (event) => {
      const [left, top] = where(event);
      if (start && event.pointerType === "mouse" && Math.hypot(left - start[0], top - start[1]) > 6) {
        if (!band) { band = svg("rect", { class: "band" }); root.append(band); root.setPointerCapture(event.pointerId); }
        fill(band, { x: Math.min(left, start[0]), y: Math.min(top, start[1]), width: Math.abs(left - start[0]), height: Math.abs(top - start[1]) }, []);
        return this.hint(null);
      }
      this.hint(this.nearest(left, top, 16));
    });
    root.addEventListener("pointerup", (event) => {
      if (!start) return;
      const [left, top] = where(event);
      if (band) {
        const xs = [this.xBack(start[0]), this.xBack(left)].sort((a, b) => a - b), ys = [this.yBack(start[1]), this.yBack(top)].sort((a, b) => a - b);
        this.zoom = { x: { key: this.spec.x.key, log: !!this.spec.x.log, range: xs }, y: { key: this.spec.y.key, log: !!this.spec.y.log, range: ys } };
        start = band = null;
        return this.paint();
      }
      start = null;
      const found = this.nearest(left, top, 24);
      if (found) select(found.id);
    });
    root.addEventListener("pointercancel", () => { start = null; if (band) band.remove(); band = null; });
    root.addEventListener("pointerleave", () => this.hint(null));
    root.addEventListener("dblclick", () => { this.zoom = null; this.paint(); });
    root.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
      const order = [...new Map(this.points.filter((p) => this.within(p)).map((p) => [p.id, p])).values()].sort((a, b) => a.left - b.left);
      if (!order.length) return;
      if (event.key in steps) {
        if (this.cursor < 0) this.cursor = order.findIndex((p) => p.id === state.selected);
        this.cursor = (this.cursor + steps[event.key] + order.length) % order.length;
        this.hint(order[this.cursor]);
      } else if ((event.key === "Enter" || event.key === " ") && order[this.cursor]) select(order[this.cursor].id);
      else if (event.key === "Escape") this.hint(null);
      else return;
      event.preventDefault();
    });
    root.addEventListener("blur", () => { this.cursor = -1; this.hint(null); });
  }

  hint(point) {
    this.tip.hidden = !point;
    if (!point) return;
    this.tip.replaceChildren(...(point.describe ? point.describe(point) : []));
    const area = this.area, scale = area.clientWidth / this.width || 1;
    const left = point.left * scale, room = this.host.clientWidth;
    this.tip.style.left = `${Math.max(4, Math.min(left + 14, room - this.tip.offsetWidth - 4))}px`;
    this.tip.style.top = `${area.offsetTop + point.top * scale + 14}px`;
  }

  tabulate() {
    const points = [...new Map(this.points.map((p) => [`${p.id} ${p.x} ${p.y}`, p])).values()], most = 200;
    const head = element("tr", {}, ...["trial", this.spec.x.title, this.spec.y.title].map((t) => element("th", { scope: "col" }, t)));
    const body = points.slice(0, most).map((p) => element("tr", {}, element("th", { scope: "row" }, byId.get(p.id).name), element("td", {}, general(p.x, 6)), element("td", {}, general(p.y, 6))));
    const note = points.length > most ? [element("p", { class: "hint" }, `The first ${most} of ${points.length} points.`)] : [];
    const table = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table: ${this.name}` }, element("table", { class: "facts" }, element("thead", {}, head), element("tbody", {}, ...body)));
    this.table.replaceChildren(this.table.firstChild, table, ...note);
  }
}

function legendMark({ kind, shape = "circle", className = "" }) {
  const inner = kind === "line" ? svg("path", { class: `line ${className}`, d: "M-9,0H9" }) : svg("path", { class: `mark ${className}`, d: SHAPES[shape](5) });
  return svg("svg", { viewBox: "-10 -8 20 16", width: 20, height: 16, "aria-hidden": "true" }, inner);
}

// The words of a tooltip: the row's name and some metrics.
const tooltip = (metrics) => (point) => {
  const row = byId.get(point.id);
  return [element("strong", {}, identity(row)), ...metrics.filter((m) => m && raw(row, m) !== undefined).map((m) => element("div", {}, `${longLabel(m)}: ${figure(row, m)}`))];
};
