"""The report page in headless Chromium: bytes, time until it can be used, time to sort and select.

    python benchmarks/page.py [--trials 24 1000 10000]
    python benchmarks/page.py --pictures PAGE FOLDER    the pictures of docs/report.md

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


def pictures(page: Path, folder: Path) -> None:
    """Screenshots of a page at three widths."""
    import io

    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    with browsers.chromium() as browser:
        for width, height, scheme in (
            (1400, 980, "light"),
            (900, 1100, "dark"),
            (390, 844, "light"),
        ):
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme
            )
            tab = context.new_page()
            tab.goto(page.resolve().as_uri())
            tab.wait_for_selector("html[data-ready]", state="attached")
            # The widest picture begins at the top, the others at the front.
            tab.evaluate("w => w < 1400 && document.querySelector('nav').scrollIntoView()", width)
            tab.wait_for_timeout(700)  # the browser scrolls smoothly
            shot = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
            shot.save(folder / f"report_{width}.png", optimize=True)
            context.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=list(BARS))
    parser.add_argument("--pictures", type=Path, nargs=2, metavar=("PAGE", "FOLDER"))
    given = parser.parse_args()
    counts = given.trials
    if reason := browsers.missing():
        print(f"page.py: {reason}", file=sys.stderr)
        return 2
    if given.pictures:
        pictures(*given.pictures)
        return 0
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
