// Pointer and keys on a plot: a tooltip, a click that selects, a drag that zooms, arrow keys.

function attachInput(plot, root) {
  const where = (event) => {
    const area = root.getBoundingClientRect(),
      f = plot.width / area.width;
    return [(event.clientX - area.left) * f, (event.clientY - area.top) * f];
  };
  let start = null,
    band = null;
  root.addEventListener("pointerdown", (event) => {
    if (event.button === 0) start = where(event);
  });
  root.addEventListener("pointermove", (event) => {
    const [left, top] = where(event);
    if (start && event.pointerType === "mouse" && Math.hypot(left - start[0], top - start[1]) > 6) {
      if (!band) {
        band = svg("rect", { class: "band" });
        root.append(band);
        root.setPointerCapture(event.pointerId);
      }
      fill(
        band,
        {
          x: Math.min(left, start[0]),
          y: Math.min(top, start[1]),
          width: Math.abs(left - start[0]),
          height: Math.abs(top - start[1]),
        },
        [],
      );
      return plot.hint(null);
    }
    plot.hint(plot.nearest(left, top, 16));
  });
  root.addEventListener("pointerup", (event) => {
    if (!start) return;
    const [left, top] = where(event);
    if (band) {
      const xs = [plot.xBack(start[0]), plot.xBack(left)].sort((a, b) => a - b),
        ys = [plot.yBack(start[1]), plot.yBack(top)].sort((a, b) => a - b);
      plot.zoom = {
        x: { key: plot.spec.x.key, log: !!plot.spec.x.log, range: xs },
        y: { key: plot.spec.y.key, log: !!plot.spec.y.log, range: ys },
      };
      start = band = null;
      return plot.paint();
    }
    start = null;
    const found = plot.nearest(left, top, 24);
    if (found) select(found.id);
  });
  root.addEventListener("pointercancel", () => {
    start = null;
    if (band) band.remove();
    band = null;
  });
  root.addEventListener("pointerleave", () => plot.hint(null));
  root.addEventListener("dblclick", () => {
    plot.zoom = null;
    plot.paint();
  });
  root.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    const order = [
      ...new Map(plot.points.filter((p) => plot.within(p)).map((p) => [p.id, p])).values(),
    ].sort((a, b) => a.left - b.left);
    if (!order.length) return;
    if (event.key in steps) {
      if (plot.cursor < 0) plot.cursor = order.findIndex((p) => p.id === state.selected);
      plot.cursor = (plot.cursor + steps[event.key] + order.length) % order.length;
      plot.hint(order[plot.cursor]);
    } else if ((event.key === "Enter" || event.key === " ") && order[plot.cursor])
      select(order[plot.cursor].id);
    else if (event.key === "Escape") plot.hint(null);
    else return;
    event.preventDefault();
  });
  root.addEventListener("blur", () => {
    plot.cursor = -1;
    plot.hint(null);
  });
}
