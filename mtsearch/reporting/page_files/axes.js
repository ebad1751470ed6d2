// Shapes of marks, ticks and ranges of axes.

const SHAPES = {
  circle: (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0Z`,
  square: (r) => `M${-r},${-r}h${2 * r}v${2 * r}h${-2 * r}Z`,
  diamond: (r) => `M0,${-1.3 * r}L${1.3 * r},0L0,${1.3 * r}L${-1.3 * r},0Z`,
  up: (r) => `M0,${-1.2 * r}L${1.15 * r},${r}H${-1.15 * r}Z`,
  down: (r) => `M0,${1.2 * r}L${1.15 * r},${-r}H${-1.15 * r}Z`,
  plus: (r) => {
    const w = r / 2.4;
    return `M${-w},${-r}h${2 * w}v${r - w}h${r - w}v${2 * w}h${w - r}v${r - w}h${-2 * w}v${w - r}h${w - r}v${-2 * w}h${r - w}Z`;
  },
  cross: (r) => `M${-r},${-r}L${r},${r}M${-r},${r}L${r},${-r}`,
  star: (r) =>
    `M${Array.from({ length: 10 }, (_, i) => {
      const size = i % 2 ? 0.45 * r : r,
        angle = (Math.PI * i) / 5 - Math.PI / 2;
      return `${(size * Math.cos(angle)).toFixed(2)},${(size * Math.sin(angle)).toFixed(2)}`;
    }).join("L")}Z`,
};
const CONTROL_SHAPES = ["square", "diamond", "up", "down", "plus"];
// After as many controls as there are shapes the colours shift: 25 pairs differ.
const controlRound = (row) => Math.floor(controls.indexOf(row) / CONTROL_SHAPES.length);
const controlClass = (row) =>
  `control-${(controls.indexOf(row) + controlRound(row)) % CONTROL_SHAPES.length}`;
const controlDash = (row) => (controlRound(row) % 2 ? "dashed short" : "dashed");
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
  const rough = (high - low) / count,
    power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1)
    found.push(Number((i * step).toPrecision(12)));
  return found;
}

function tickText(value) {
  const size = Math.abs(value);
  for (const [limit, letter] of [
    [1e9, "G"],
    [1e6, "M"],
    [1e4, "k"],
  ]) {
    const unit = { G: 1e9, M: 1e6, k: 1e3 }[letter];
    if (size >= limit) return `${Number((value / unit).toPrecision(4))}${letter}`;
  }
  return String(Number(value.toPrecision(6)));
}

function extent(values, log) {
  let low = Infinity,
    high = -Infinity;
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
