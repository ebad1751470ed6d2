// Connects the parts: what changes when a trial is selected, a range is set or a trial is shown.

onChange((what) => {
  if (what.selected !== undefined) {
    drawDetail();
    for (const plot of [front.plot, curves.plot, hypervolumePlot, timelinePlot])
      if (plot && plot.spec) plot.select(what.selected);
    if (what.origin === "table") markRow();
    else reveal(what.selected);
    parallel.mark();
    redraw("predictions");
  } else {
    redraw("front");
    redraw("parallel");
    if (what === "brush") filterTable();
  }
});

function start() {
  const first = fromAddress() || (knee || members[0] || done[0] || D.rows[0] || {}).id;
  startTable();
  if (D.rows.length) {
    frontControls();
    chooseControls();
    parallelControls();
    curveControls();
    drawFront();
    sections.set("front", { draw: drawFront, seen: true });
    if (D.predictions) section("predictions", drawPredictions);
    section("parallel", drawParallel);
    section("curves", drawCurves);
    section("hypervolume", drawHypervolume);
    $("timeline").hidden = !times.length;
    if (times.length) section("timeline", drawTimeline);
  }
  if (first !== undefined) {
    state.selected = first;
    announce({ selected: first });
  }
  addEventListener("hashchange", () => {
    const id = fromAddress();
    if (!id) return;
    select(id);
    $("detail").scrollIntoView({ block: "nearest" });
  });
  addEventListener("beforeprint", () => {
    for (const id of sections.keys()) show(id);
    drawRows(true);
  });
  addEventListener("afterprint", () => drawRows());
  document.documentElement.dataset.ready = Math.round(performance.now());
}
start();
