// A plot of marks and lines in SVG with axes, zoom, a tooltip, a selection ring and keyboard use.

class Plot {
  constructor(host, options) {
    Object.assign(this, { host, height: 430, ...options });
    this.zoom = null; // the ranges that the reader chose, and the axes they belong to
    this.tip = element("div", { class: "tip", hidden: true });
    this.tools = element(
      "div",
      { class: "tools" },
      button("+", () => this.scale(0.6), { "aria-label": "Zoom in" }),
      button("−", () => this.scale(1 / 0.6), { "aria-label": "Zoom out" }),
      button("Reset zoom", () => {
        this.zoom = null;
        this.paint();
      }),
    );
    this.area = element("div", { class: "drawing" });
    this.legend = element("ul", { class: "legend" });
    this.table = element(
      "details",
      { class: "alternative" },
      element("summary", {}, "Table of this plot"),
    );
    this.table.addEventListener("toggle", () => {
      if (this.table.open) this.tabulate();
    });
    host.replaceChildren(this.tools, this.area, this.legend, this.table, this.tip);
    this.cursor = -1;
    new ResizeObserver(() => {
      if (this.spec && host.clientWidth !== this.width && host.clientWidth) this.paint();
    }).observe(host);
  }

  // spec: x and y {title, key, log, range}; layers {name, kind: marks|dots|line, shape, size,
  // className, points: [{x, y, id, text}], lines: [[{x, y}]], step, base: whether axes contain it}
  draw(spec) {
    this.spec = spec;
    this.paint();
    if (this.table.open) this.tabulate();
  }

  domain(axis) {
    const { key, log, range } = this.spec[axis];
    if (this.zoom && this.zoom[axis].key === key && this.zoom[axis].log === !!log)
      return this.zoom[axis].range;
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
      const log = !!this.spec[axis].log,
        at = log ? Math.log : Number,
        back = log ? Math.exp : Number;
      const [low, high] = this.domain(axis).map(at),
        middle = (low + high) / 2,
        half = ((high - low) / 2) * factor;
      zoom[axis] = {
        key: this.spec[axis].key,
        log,
        range: [back(middle - half), back(middle + half)],
      };
    }
    this.zoom = zoom;
    this.paint();
  }

  paint() {
    const width = (this.width = Math.max(this.host.clientWidth, 280)),
      height = this.height;
    const box = (this.box = { left: 62, right: width - 14, top: 14, bottom: height - 48 });
    const place = {},
      axes = svg("g", { class: "axes" });
    for (const axis of ["x", "y"]) {
      const [low, high] = this.domain(axis),
        { log, title, integer } = this.spec[axis];
      const at = log ? Math.log10 : Number,
        span = at(high) - at(low) || 1;
      const [from, to] = axis === "x" ? [box.left, box.right] : [box.bottom, box.top];
      place[axis] = (v) => from + ((at(v) - at(low)) / span) * (to - from);
      this[`${axis}Back`] = (pixel) => {
        const v = at(low) + ((pixel - from) / (to - from)) * span;
        return log ? 10 ** v : v;
      };
      for (const tick of ticks(low, high, axis === "x" ? Math.max(4.5, width / 110) : 6, log)) {
        if (integer && !Number.isInteger(tick)) continue;
        const p = place[axis](tick);
        axes.append(
          axis === "x"
            ? svg("path", { d: `M${p},${box.top}V${box.bottom}` })
            : svg("path", { d: `M${box.left},${p}H${box.right}` }),
        );
        axes.append(
          axis === "x"
            ? svg("text", { x: p, y: box.bottom + 17, "text-anchor": "middle" }, tickText(tick))
            : svg("text", { x: box.left - 7, y: p + 4, "text-anchor": "end" }, tickText(tick)),
        );
      }
      axes.append(
        axis === "x"
          ? svg(
              "text",
              {
                class: "title",
                x: (box.left + box.right) / 2,
                y: height - 8,
                "text-anchor": "middle",
              },
              title,
            )
          : svg(
              "text",
              {
                class: "title",
                transform: `translate(15,${(box.top + box.bottom) / 2}) rotate(-90)`,
                "text-anchor": "middle",
              },
              title,
            ),
      );
    }
    this.place = place;
    const clip = `${this.host.id}-clip`;
    const marks = svg("g", { "clip-path": `url(#${clip})` });
    this.points = [];
    for (const layer of this.spec.layers) marks.append(...this.layer(layer));
    this.line = svg("path", { class: "line selected" });
    marks.append(this.line);
    this.ring = svg("path", { class: "ring", d: SHAPES.circle(12) });
    const root = svg(
      "svg",
      {
        viewBox: `0 0 ${width} ${height}`,
        role: "img",
        tabindex: "0",
        "aria-label": this.name,
        "aria-describedby": `${this.host.id}-description`,
      },
      svg(
        "clipPath",
        { id: clip },
        svg("rect", {
          x: box.left,
          y: box.top - 10,
          width: Math.max(box.right - box.left + 10, 0),
          height: box.bottom - box.top + 10,
        }),
      ),
      svg("rect", {
        class: "frame",
        x: box.left,
        y: box.top,
        width: Math.max(box.right - box.left, 0),
        height: box.bottom - box.top,
      }),
      axes,
      marks,
      this.ring,
    );
    attachInput(this, root);
    this.root = root;
    const description = element(
      "p",
      { class: "described", id: `${this.host.id}-description` },
      `${this.spec.description || ""} Arrow keys move through the points, Enter or Space selects one.`,
    );
    const focused = this.area.contains(document.activeElement);
    this.area.replaceChildren(root, description);
    if (focused) root.focus({ preventScroll: true });
    this.legend.replaceChildren(
      ...(this.spec.legend || this.spec.layers)
        .filter((l) => l.name)
        .map((l) => element("li", {}, legendMark(l), ` ${l.name}`)),
    );
    this.select(state.selected);
  }

  layer({ kind, shape = "circle", size = 5, className, points = [], lines = [], step, text }) {
    const { x, y } = this.place,
      at = (p) => `${x(p.x).toFixed(1)},${y(p.y).toFixed(1)}`;
    const found = [];
    if (lines.length)
      found.push(svg("path", { class: `line ${className}`, d: this.path(lines, step) }));
    for (const line of lines) {
      const drawn = line.filter((p) => p.y !== null);
      if (drawn.length !== 1) continue; // a line of one point is a dot
      found.push(
        svg("path", { class: `dots ${className}`, "stroke-width": 6, d: `M${at(drawn[0])}h0` }),
      );
    }
    const inside = points.filter(
      (p) =>
        p.x !== null &&
        p.y !== null &&
        (!this.spec.x.log || p.x > 0) &&
        (!this.spec.y.log || p.y > 0),
    );
    for (const p of inside)
      if (p.id !== undefined)
        this.points.push({ ...p, left: x(p.x), top: y(p.y), describe: p.text || text });
    if (kind === "dots") {
      // one path for thousands of marks
      found.push(
        svg("path", {
          class: `dots ${className}`,
          "stroke-width": 2 * size,
          d: inside.map((p) => `M${at(p)}h0`).join(""),
        }),
      );
    } else if (kind === "marks") {
      for (const p of inside) {
        const mark = svg("path", {
          class: `mark ${p.className || className}`,
          d: SHAPES[p.shape || shape](size),
          transform: `translate(${at(p)})`,
        });
        if (p.id !== undefined) mark.dataset.trial = p.id;
        if (p.bars)
          found.push(
            svg("path", {
              class: "line interval",
              d: p.bars
                .map(([fx, fy], i) => `${i % 2 ? "L" : "M"}${x(fx).toFixed(1)},${y(fy).toFixed(1)}`)
                .join(""),
            }),
          );
        found.push(mark);
      }
    }
    return found;
  }

  // Lines as path data: straight, or in steps that change y after or before x; null is a gap.
  path(lines, step) {
    const { x, y } = this.place,
      at = (p) => `${x(p.x).toFixed(1)},${y(p.y).toFixed(1)}`;
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
    let best = null,
      least = within * within;
    for (const p of this.points) {
      const distance = (p.left - left) ** 2 + (p.top - top) ** 2;
      if (distance <= least) {
        best = p;
        least = distance;
      }
    }
    return best;
  }

  select(id) {
    const found = this.points && this.points.find((p) => p.id === id && this.within(p));
    if (!this.ring) return;
    if (this.trace) this.line.setAttribute("d", this.path([this.trace(id)]));
    this.ring.style.display = found ? "" : "none";
    if (found) {
      this.ring.setAttribute(
        "transform",
        `translate(${found.left.toFixed(1)},${found.top.toFixed(1)})`,
      );
      this.ring.dataset.trial = id;
    }
  }

  within(p) {
    const { left, right, top, bottom } = this.box;
    return p.left >= left - 8 && p.left <= right + 8 && p.top >= top - 8 && p.top <= bottom + 8;
  }

  hint(point) {
    this.tip.hidden = !point;
    if (!point) return;
    this.tip.replaceChildren(...(point.describe ? point.describe(point) : []));
    const area = this.area,
      scale = area.clientWidth / this.width || 1;
    const left = point.left * scale,
      room = this.host.clientWidth;
    this.tip.style.left = `${Math.max(4, Math.min(left + 14, room - this.tip.offsetWidth - 4))}px`;
    this.tip.style.top = `${area.offsetTop + point.top * scale + 14}px`;
  }

  tabulate() {
    const points = [...new Map(this.points.map((p) => [`${p.id} ${p.x} ${p.y}`, p])).values()],
      most = 200;
    const head = element(
      "tr",
      {},
      ...["trial", this.spec.x.title, this.spec.y.title].map((t) =>
        element("th", { scope: "col" }, t),
      ),
    );
    const body = points
      .slice(0, most)
      .map((p) =>
        element(
          "tr",
          {},
          element("th", { scope: "row" }, byId.get(p.id).name),
          element("td", {}, general(p.x, 6)),
          element("td", {}, general(p.y, 6)),
        ),
      );
    const note =
      points.length > most
        ? [element("p", { class: "hint" }, `The first ${most} of ${points.length} points.`)]
        : [];
    const table = element(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table: ${this.name}` },
      element(
        "table",
        { class: "facts" },
        element("thead", {}, head),
        element("tbody", {}, ...body),
      ),
    );
    this.table.replaceChildren(this.table.firstChild, table, ...note);
  }
}

function legendMark({ kind, shape = "circle", className = "" }) {
  const inner =
    kind === "line"
      ? svg("path", { class: `line ${className}`, d: "M-9,0H9" })
      : svg("path", { class: `mark ${className}`, d: SHAPES[shape](5) });
  return svg(
    "svg",
    { viewBox: "-10 -8 20 16", width: 20, height: 16, "aria-hidden": "true" },
    inner,
  );
}

// The words of a tooltip: the row's name and some metrics.
const tooltip = (metrics) => (point) => {
  const row = byId.get(point.id);
  return [
    element("strong", {}, identity(row)),
    ...metrics
      .filter((m) => m && raw(row, m) !== undefined)
      .map((m) => element("div", {}, `${longLabel(m)}: ${figure(row, m)}`)),
  ];
};
