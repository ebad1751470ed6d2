// What the selected trial predicted on the test split: tables of counts and examples.

const P = D.predictions;
const FEW_CLASSES = 20; // more are a list of the most frequent confusions

const classNames = (task, count) =>
  Array.from({ length: count }, (_, i) => P.tasks[task].classes[i] ?? (P.tasks[task].classes.length ? "undefined" : String(i)));
const sumOf = (matrix, i) => [total(matrix[i]), total(matrix.map((row) => row[i]))];
const share = (a, b) => (b ? `${fixed((100 * a) / b, 1)}` : "–");

function drawPredictions() {
  const row = byId.get(state.selected);
  const found = row && P.trials[row.id];
  const title = row ? `${row.kind === "control" ? "control" : "trial"} ${row.name}` : "";
  const seeds = row && row.seeds ? " (of its first seed)" : "";
  $("predictions-note").replaceChildren(
    found
      ? `The test split of ${title}${seeds}. Examples are at equal distances among the labelled test images, the same for every trial.`
      : P.left.includes(row && row.id)
        ? `The predictions of ${title} are in predictions/${row.id}.json; this page has no room for them.`
        : `There are no predictions of ${title}: trials of the front and controls have them once they are tested.`,
  );
  $("predictions-body").replaceChildren(
    ...(found ? Object.keys(found).map((task) => taskPanel(task, found[task])) : []),
  );
}

function taskPanel(task, entry) {
  const parts = [];
  if (entry.confusion)
    parts.push(
      entry.confusion.length <= FEW_CLASSES
        ? confusionTable(task, entry.confusion)
        : confusionList(task, entry.confusion),
      classTable(task, entry.confusion),
    );
  if (entry.counts) parts.push(tagTable(task, entry.counts));
  if ((entry.examples || []).length) parts.push(exampleList(task, entry));
  if (!parts.length) parts.push(element("p", { class: "hint" }, "Nothing of this task can be shown."));
  return element("div", { class: "panel" }, element("h3", {}, `${task} (${P.tasks[task].kind})`), ...parts);
}

const heading = (text) => element("th", { scope: "col" }, text);
const scrolled = (name, table) =>
  element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, table);
const unit = (task) => (P.tasks[task].kind === "segmentation" ? "pixels" : "images");

function confusionTable(task, matrix) {
  const names = classNames(task, matrix.length);
  const lines = matrix.map((counts, i) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, names[i]),
      ...counts.map((count, j) => {
        const cell = element("td", { class: i === j ? "right" : "wrong" }, count ? count.toLocaleString("en-US") : "·");
        cell.style.setProperty("--share", `${Math.round((40 * count) / (total(counts) || 1))}%`);
        return cell;
      }),
    ),
  );
  return scrolled(
    `Confusion matrix of ${task}`,
    element(
      "table",
      { class: "confusion" },
      element("caption", {}, `Confusion matrix in ${unit(task)}: a row for each true class, a column for each predicted one`),
      element("thead", {}, element("tr", {}, element("td", {}), ...names.map(heading))),
      element("tbody", {}, ...lines),
    ),
  );
}

function confusionList(task, matrix) {
  const names = classNames(task, matrix.length);
  const pairs = matrix.flatMap((counts, i) => counts.map((count, j) => [count, i, j]));
  const wrong = pairs.filter(([count, i, j]) => count && i !== j).sort((a, b) => b[0] - a[0]);
  return element(
    "table",
    { class: "facts compared" },
    element("caption", {}, `The most frequent confusions of ${matrix.length} classes, in ${unit(task)}`),
    element("thead", {}, element("tr", {}, ...["true class", "predicted", unit(task), "% of the class"].map(heading))),
    element(
      "tbody",
      {},
      ...wrong.slice(0, 12).map(([count, i, j]) =>
        element(
          "tr",
          {},
          element("th", { scope: "row" }, names[i]),
          element("td", {}, names[j]),
          element("td", {}, count.toLocaleString("en-US")),
          element("td", {}, share(count, total(matrix[i]))),
        ),
      ),
    ),
  );
}

function figuresTable(task, heads, lines) {
  return element(
    "details",
    {},
    element("summary", {}, "Figures of each class"),
    scrolled(
      `Figures of each class of ${task}`,
      element(
        "table",
        { class: "facts compared" },
        element("thead", {}, element("tr", {}, ...heads.map(heading))),
        element(
          "tbody",
          {},
          ...lines.map(([name, ...cells]) =>
            element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((c) => element("td", {}, c))),
          ),
        ),
      ),
    ),
  );
}

function classTable(task, matrix) {
  const dense = P.tasks[task].kind === "segmentation";
  const names = classNames(task, matrix.length);
  const lines = names.map((name, i) => {
    const [labelled, predicted] = sumOf(matrix, i);
    const right = matrix[i][i];
    return [
      name,
      labelled.toLocaleString("en-US"),
      share(right, labelled),
      share(right, predicted),
      share(2 * right, labelled + predicted),
      ...(dense ? [share(right, labelled + predicted - right)] : []),
    ];
  });
  const heads = ["class", unit(task), "recall (%)", "precision (%)", "F1 (%)"];
  return figuresTable(task, dense ? [...heads, "IoU (%)"] : heads, lines);
}

function tagTable(task, counts) {
  const lines = classNames(task, counts.length).map((name, i) => {
    const [hit, extra, missed, labelled] = counts[i];
    return [
      name,
      labelled.toLocaleString("en-US"),
      (hit + missed).toLocaleString("en-US"),
      share(hit, hit + missed),
      share(hit, hit + extra),
      share(2 * hit, 2 * hit + extra + missed),
    ];
  });
  const heads = ["tag", "labelled", "set", "recall (%)", "precision (%)", "F1 (%)"];
  const table = figuresTable(task, heads, lines);
  table.open = true;
  return table;
}

// ---------------------------------------------------------------- examples

const picture = (place, alt) => element("img", { src: P.images[place], alt, loading: "lazy" });
const value = (v) => (v === null ? "–" : general(v));

function exampleList(task, entry) {
  const { kind } = P.tasks[task];
  const draw = { segmentation: maskExample, restoration: restoredExample }[kind] || labelExample;
  const masks = entry.masks || [];
  const names = classNames(task, Math.max(0, ...masks.map(([c]) => c)) + 1);
  return element(
    "div",
    { class: "examples" },
    element("h4", {}, kind === "segmentation" ? "Examples: image, truth, prediction" : kind === "restoration" ? "Examples: input, truth, prediction" : "Examples"),
    ...(masks.length
      ? [
          element(
            "ul",
            { class: "legend" },
            ...masks.map(([c, colour]) => {
              const swatch = element("i", { class: "swatch" });
              swatch.style.backgroundColor = colour;
              return element("li", {}, swatch, ` ${names[c]}`);
            }),
          ),
        ]
      : []),
    element("div", { class: kind === "segmentation" || kind === "restoration" ? "gallery wide" : "gallery" }, ...entry.examples.map((e, i) => draw(task, e, i + 1))),
  );
}

function labelExample(task, example, count) {
  const { kind, classes } = P.tasks[task];
  const names = (v) => {
    const name = (c) => classes[c] ?? String(c);
    if (kind === "multilabel") return v.map(name).join(", ") || "none";
    return kind === "regression" || Array.isArray(v) ? v.map(value).join(", ") : name(v);
  };
  const truth = names(example.truth),
    answer = names(example.answer);
  const sure = example.share === undefined ? "" : ` (${Math.round(100 * example.share)} %)`;
  const judged = kind !== "regression" && !(Array.isArray(example.truth) && kind !== "multilabel");
  const right = judged && truth === answer;
  return element(
    "figure",
    { class: judged ? (right ? "hit" : "miss") : "" },
    picture(example.image, `Test image ${count}`),
    element(
      "figcaption",
      {},
      element("span", {}, `true ${truth}`),
      element("span", { class: "answer" }, `${judged ? (right ? "✓ " : "✗ ") : "→ "}${answer}${sure}`),
    ),
  );
}

function maskExample(task, example, count) {
  const over = (mask, name) =>
    element(
      "span",
      { class: "stack" },
      picture(example.image, `Test image ${count} with its ${name}`),
      element("img", { src: P.images[mask], alt: "", class: "mask" }),
    );
  return element(
    "figure",
    {},
    picture(example.image, `Test image ${count}`),
    over(example.truth, "true classes"),
    over(example.answer, "predicted classes"),
  );
}

const restoredExample = (task, example, count) =>
  element(
    "figure",
    {},
    picture(example.image, `Input ${count}`),
    picture(example.truth, `Truth of input ${count}`),
    picture(example.answer, `Prediction for input ${count}`),
  );
