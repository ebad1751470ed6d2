// The choice of a point of the front by importance or bounds.

const choice = { weights: D.objectives.map(() => 1), bounds: D.objectives.map(() => "") };

const minimised = (row) =>
  D.objectives.map((o) => (o.goal === "max" ? -number(row, o.metric) : number(row, o.metric)));
const dominates = (a, b) => a.every((v, i) => v <= b[i]) && a.some((v, i) => v < b[i]);

function normalised(points) {
  const k = points[0].length;
  const low = Array.from({ length: k }, (_, i) => Math.min(...points.map((p) => p[i])));
  const high = Array.from({ length: k }, (_, i) => Math.max(...points.map((p) => p[i])));
  return points.map((p) =>
    p.map((v, i) => (high[i] > low[i] ? (v - low[i]) / (high[i] - low[i]) : 0)),
  );
}

const total = (values) => values.reduce((a, b) => a + b, 0);
const rounded = (v) => Math.round(v * 1e12) / 1e12;
function firstSmallest(keys) {
  // keys: per row a list; ties go to the next key, then to the earlier row
  let best = 0;
  for (let i = 1; i < keys.length; i += 1) {
    const at = keys[i].findIndex((v, j) => rounded(v) !== rounded(keys[best][j]));
    if (at >= 0 && keys[i][at] < keys[best][at]) best = i;
  }
  return best;
}

// As `pick=preference:` and `pick=bound:` choose; see mtsearch/pareto/choice.py.
function byPreference(points, weights) {
  const scaled = normalised(points);
  return firstSmallest(
    scaled.map((p) => {
      const w = p.map((v, i) => v * weights[i]);
      return [Math.max(...w), total(w), total(p)];
    }),
  );
}

function byKnee(points) {
  const distinct = new Set(points.map((p) => p.join())).size;
  if (distinct < 3)
    return byPreference(
      points,
      points[0].map(() => 1 / points[0].length),
    );
  return firstSmallest(normalised(points).map((p) => [total(p), Math.max(...p)]));
}

function chosen() {
  const rows = members.filter((row) => D.objectives.every((o) => has(row, o.metric)));
  const limits = choice.bounds.map((text) =>
    text.trim() === "" || Number.isNaN(Number(text)) ? null : Number(text),
  );
  if (limits.every((limit) => limit === null)) {
    const sum = total(choice.weights);
    if (!sum) return { problem: "At least one importance should be above 0." };
    const row =
      rows[
        byPreference(
          rows.map(minimised),
          choice.weights.map((w) => w / sum),
        )
      ];
    const given = D.objectives.map((o, i) => [o.name, choice.weights[i]]).filter(([, w]) => w > 0);
    return { row, pick: `preference:${given.map(([name, w]) => `${name}=${w}`).join(",")}` };
  }
  const keeps = (row) =>
    D.objectives.every(
      (o, i) =>
        limits[i] === null ||
        (o.goal === "max"
          ? number(row, o.metric) >= limits[i]
          : number(row, o.metric) <= limits[i]),
    );
  const left = rows.filter(keeps);
  if (!left.length) return { problem: "No trial of the front keeps these bounds. Loosen one." };
  let free = D.objectives.map((_, i) => i).filter((i) => limits[i] === null);
  if (!free.length) free = D.objectives.map((_, i) => i);
  const points = left.map((row) => minimised(row)),
    some = points.map((p) => free.map((i) => p[i]));
  const best = some
    .map((p, i) => i)
    .filter((i) => !some.some((other) => dominates(other, some[i])));
  const index = byKnee(best.map((i) => some[i])),
    target = some[best[index]].join();
  const equal = best.filter((i) => some[i].join() === target);
  const sums = normalised(equal.map((i) => points[i])).map((p) => [total(p)]);
  const parts = D.objectives
    .map((o, i) =>
      limits[i] === null
        ? ""
        : `${o.metric}${o.goal === "max" ? ">=" : "<="}${choice.bounds[i].trim()}`,
    )
    .filter(Boolean);
  return { row: left[equal[firstSmallest(sums)]], pick: `bound:${parts.join(",")}` };
}

function chooseControls() {
  if (!members.length || several) {
    $("choose").hidden = true;
    return;
  }
  const rows = D.objectives.map((o, i) => {
    const values = members.map((row) => number(row, o.metric)).filter((v) => v !== null);
    const range = element("input", {
      type: "range",
      min: 0,
      max: 10,
      step: 1,
      value: 1,
      "aria-label": `Importance of ${longLabel(o.metric)}`,
      oninput: () => {
        choice.weights[i] = Number(range.value);
        choose();
      },
    });
    const bound = element("input", {
      type: "text",
      inputmode: "decimal",
      size: 8,
      placeholder: format(
        o.goal === "max" ? Math.min(...values) : Math.max(...values),
        o.metric,
      ).replace(/,/g, ""),
      "aria-label": `${longLabel(o.metric)} at ${o.goal === "max" ? "least" : "most"}`,
      oninput: () => {
        choice.bounds[i] = bound.value;
        choose();
      },
    });
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, longLabel(o.metric)),
      element("td", {}, range),
      element("td", {}, o.goal === "max" ? "at least " : "at most ", bound),
    );
  });
  $("choose-table").replaceChildren(
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        ...["objective", "importance", "bound"].map((t) => element("th", { scope: "col" }, t)),
      ),
    ),
    element("tbody", {}, ...rows),
  );
}

function choose() {
  const { row, pick, problem } = chosen();
  $("choose-result").replaceChildren(
    ...(problem
      ? [problem]
      : [element("span", {}, `Trial ${row.name}: `), command("pick", `pick=${pick}`)]),
  );
  if (row) select(row.id);
}
