"""The report page in headless Chromium: bytes, time until it can be used, time to sort and select.

    python benchmarks/page.py [--trials 24 1000 10000]

The searches are synthetic. Interactive means that the front, the table and the selected trial are
drawn and every control answers; the time runs from the start of the navigation. Needs
`pip install playwright` and a Chromium on the path.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mtsearch.pareto import search_result
from mtsearch.reporting.page import write_report
from tests.helpers import browser as browsers
from tests.helpers.synthetic_search import OBJECTIVES, search

BARS = {24: 1.5, 1_000: 2.0, 10_000: 4.0}  # seconds until the page is interactive
BYTES = {24: 1.5e6, 10_000: 25e6}
ANSWER = 0.1  # seconds to sort and to select at 1,000 trials
REPEATS = 5

# The time of an action until the next frame is painted, in milliseconds.
TIMED = """act => new Promise(done => {
  const start = performance.now();
  act();
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
})"""
SORT = "() => document.querySelectorAll('#trials thead th button')[2].click()"
SELECT = """() => {
  const rows = [...document.querySelectorAll('#trials tbody tr[data-trial]')];
  rows.find(row => row.getAttribute('aria-selected') === 'false').click();
}"""


def measure(browser, path: Path) -> dict[str, float]:
    """The figures of one load."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    tab = context.new_page()
    began = time.perf_counter()
    tab.goto(path.as_uri(), wait_until="commit")
    tab.wait_for_selector("html[data-ready]", state="attached", timeout=60_000)
    tab.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    interactive = time.perf_counter() - began
    tab.click('#table-tabs button[data-show="all"]')
    for section in ("parallel", "curves", "hypervolume"):  # all that a selection draws again
        tab.locator(f"#{section}").scroll_into_view_if_needed()
        tab.wait_for_timeout(50)
    found = {"interactive_s": interactive}
    for name, act in (("sort_s", SORT), ("select_s", SELECT)):
        found[name] = tab.evaluate(f"({TIMED})({act})") / 1000
    context.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=list(BARS))
    counts = parser.parse_args().trials
    if reason := browsers.missing():
        print(f"page.py: {reason}", file=sys.stderr)
        return 2
    rows, failed = [], []
    with tempfile.TemporaryDirectory() as folder, browsers.chromium() as browser:
        for count in counts:
            path = Path(folder) / f"{count}.html"
            began = time.perf_counter()
            result = search_result(*search(count), OBJECTIVES)
            write_report(path, result, name="synthetic", address="results/a", configuration="a: 1")
            written = time.perf_counter() - began
            runs = [measure(browser, path) for _ in range(REPEATS)]
            figures = {key: sorted(run[key] for run in runs)[REPEATS // 2] for key in runs[0]}
            rows.append(
                {"trials": count, "bytes": path.stat().st_size, "written_s": written, **figures}
            )
            late = figures["interactive_s"] > BARS.get(count, float("inf"))
            heavy = path.stat().st_size > BYTES.get(count, float("inf"))
            slow = count == 1_000 and max(figures["sort_s"], figures["select_s"]) > ANSWER
            failed += [count] * (late or heavy or slow)
            print(
                f"{count:>6} trials: {path.stat().st_size / 1e6:6.2f} MB, interactive after"
                f" {figures['interactive_s']:.2f} s, sorts in {1000 * figures['sort_s']:.0f} ms,"
                f" selects in {1000 * figures['select_s']:.0f} ms"
            )
    print(json.dumps({"benchmark": "page", "rows": rows, "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
