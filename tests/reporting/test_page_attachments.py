"""Predictions, logs and the points of pareto sets on the page, in headless Chromium."""

import base64
import io
import itertools

import numpy as np
import pytest
from PIL import Image

from mtsearch.config.preferences import simplex_grid
from mtsearch.config.schema import Objective
from mtsearch.pareto import search_result
from mtsearch.pareto.choice import choose
from mtsearch.reporting.page import write_report
from tests.helpers import browser as browsers
from tests.helpers.synthetic_search import OBJECTIVES, TWO, evaluated, search

pytestmark = pytest.mark.slow
LOG = 'Traceback (most recent call last):\n  File "x.py", line 1\nMemoryError: <b>out</b>'


@pytest.fixture(scope="module")
def browser():
    if reason := browsers.missing():
        pytest.skip(reason)
    with browsers.chromium() as found:
        yield found


@pytest.fixture
def open_page(browser):
    contexts, problems = [], []

    def go(path, scheme="light", width=1400, fragment=""):
        context = browser.new_context(
            viewport={"width": width, "height": 1000}, color_scheme=scheme, has_touch=width < 500
        )
        contexts.append(context)
        tab = context.new_page()
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        tab.on("request", lambda r: problems.append(r.url) if r.url != path.as_uri() else None)
        tab.goto(path.as_uri() + fragment)
        tab.wait_for_selector("html[data-ready]")
        return tab

    yield go
    for context in contexts:
        context.close()
    assert [p for p in problems if not p.startswith("data:image/")] == []


def image(*colour):
    file = io.BytesIO()
    Image.new("RGB", (12, 12), colour).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def predictions(wrong=1):
    """Two classes, tags, values and masks."""
    examples = [{"image": 0, "truth": 0, "answer": 0, "share": 0.8}]
    examples.append({"image": 1, "truth": 0, "answer": 1, "share": 0.6})
    return {
        "images": [image(9, 9, 200), image(200, 9, 9), image(0, 200, 0)],
        "tasks": {
            "image": {
                "kind": "classification",
                "classes": ["cat", "<b>dog</b>"],
                "confusion": [[7, wrong], [0, 5]],
                "examples": examples,
            },
            "tags": {
                "kind": "multilabel",
                "classes": ["wet", "red"],
                "counts": [[3, 1, 2, 9], [0, 0, 0, 9]],
                "examples": [{"image": 0, "truth": [0], "answer": [0, 1]}],
            },
            "age": {
                "kind": "regression",
                "classes": [],
                "examples": [{"image": 0, "truth": [31.5], "answer": [30.25]}],
            },
            "pixels": {
                "kind": "segmentation",
                "classes": ["roof", "road"],
                "confusion": [[90, 10], [20, 24]],
                "masks": [[0, "#0072b2"], [1, "#d55e00"]],
                "examples": [{"image": 0, "truth": 2, "answer": 1}],
            },
            "many": {"kind": "classification", "classes": [], "confusion": large()},
        },
    }


def large(classes=40):
    table = 9 * np.eye(classes, dtype=int)
    table[3, 17] = 6
    return table.tolist()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    rows, history = search()
    front = {row["trial"] for row in search_result(rows, history, OBJECTIVES).front_rows}
    result = search_result(evaluated(rows, front), history, OBJECTIVES)
    path = tmp_path_factory.mktemp("pages") / "page.html"
    names = [*front, "stl"]
    write_report(
        path,
        result,
        name="pareto_cm",
        configuration="name: pareto_cm",
        address="results/a",
        predictions={name: predictions(i) for i, name in enumerate(names)},
        logs={"0005": LOG, "0000": "of no failed trial"},
    )
    return result, path


def shown(tab):
    tab.locator("#predictions").scroll_into_view_if_needed()
    tab.wait_for_selector("#predictions-body .panel")
    return tab.locator("#predictions-body")


def test_selected_trial_has_its_predictions(open_page, written):
    result, path = written
    tab = open_page(path, fragment="#trial=stl")
    body = shown(tab)
    count = len(result.front_rows)
    cells = body.locator(".confusion").first.locator("tbody td").all_text_contents()
    assert cells == ["7", str(count), "·", "5"]
    assert "control stl" in tab.inner_text("#predictions-note")
    assert body.locator("h3").all_text_contents() == [
        "image (classification)",
        "tags (multilabel)",
        "age (regression)",
        "pixels (segmentation)",
        "many (classification)",
    ]
    captions = body.locator("figcaption").all_inner_texts()
    assert captions[:2] == ["true cat\n✓ cat (80 %)", "true cat\n✗ <b>dog</b> (60 %)"]
    assert captions[2:] == ["true wet\n✗ wet, red", "true 31.5\n→ 30.25"]
    assert tab.locator(".stack .mask").count() == 2
    first = result.front_rows[0]["trial"]
    tab.evaluate(f"location.hash = '#trial={first}'")
    tab.locator("#predictions-note", has_text=first).wait_for()


def test_figures_of_each_class_follow_from_the_counts(open_page, written):
    tab = open_page(written[1], fragment="#trial=stl")
    body = shown(tab)
    body.locator("details summary").nth(0).click()
    lines = body.locator("details").nth(0).locator("tbody tr").all_inner_texts()
    count = len(written[0].front_rows)
    recall, f1 = 700 / (7 + count), 1400 / (14 + count)
    assert lines[0].split("\t") == ["cat", str(7 + count), f"{recall:.1f}", "100.0", f"{f1:.1f}"]
    tags = body.locator("details").nth(1).locator("tbody tr").all_inner_texts()
    assert tags[0].split("\t") == ["wet", "9", "5", "60.0", "75.0", "66.7"]
    assert tags[1].split("\t") == ["red", "9", "0", "–", "–", "–"]
    body.locator("details summary").nth(2).click()
    pixels = body.locator("details").nth(2).locator("tbody tr").all_inner_texts()
    assert pixels[0].split("\t") == ["roof", "100", "90.0", "81.8", "85.7", "75.0"]
    worst = body.locator("table", has_text="most frequent confusions").locator("tbody tr")
    assert worst.all_inner_texts() == ["3\t17\t6\t40.0"]


def test_trials_without_predictions_say_so(open_page, written):
    result, path = written
    rest = next(r["trial"] for r in result.search_rows if r["state"] == "done" and not r["front"])
    tab = open_page(path, fragment=f"#trial={rest}")
    tab.locator("#predictions").scroll_into_view_if_needed()
    tab.locator("#predictions-note", has_text="no predictions").wait_for()


def test_failed_trial_shows_its_log(open_page, written):
    tab = open_page(written[1], fragment="#trial=0005")
    assert tab.inner_text("#detail .log pre") == LOG
    tab.evaluate("location.hash = '#trial=0000'")
    tab.locator("#detail-title", has_text="0000").wait_for()
    assert tab.locator("#detail .log").count() == 0


# ------------------------------------------------------------ pareto sets


def with_set(folder, divisions=4, objectives=TWO):
    """A search of which one training yields points; their errors are known at each preference."""
    rows, history = search(4)
    base = {**rows[0], "trial.pareto_set.name": "weights_line"}
    points = []
    for i, (image_weight, digit_weight) in enumerate(simplex_grid(2, divisions + 1)):
        points.append(
            {
                **base,
                "trial": f"0009@{i:02d}",
                "trial.preference.image": image_weight,
                "trial.preference.digit": digit_weight,
                "val/image/error": 40 - 20 * image_weight**2,
                "val/digit/error": 5 - 4 * digit_weight**2,
            }
        )
    result = search_result([*rows[1:], *points], history, objectives)
    path = folder / "set.html"
    write_report(path, result, name="set", configuration="", address="results/a")
    return result, path, points


def slide(tab, *values):
    for i, value in enumerate(values):
        box = tab.locator(".between input").nth(i)
        box.fill(str(value))
    return tab.locator(".between")


def test_slider_interpolates_between_measured_points(open_page, tmp_path):
    result, path, points = with_set(tmp_path)
    tab = open_page(path, fragment="#trial=0009@02")
    assert "measured (0009@02)" in tab.inner_text(".between")
    weights = [p["trial.preference.image"] for p in points]
    seen = 0
    for percent in (0, 10, 25, 37, 62, 99, 100):
        box = slide(tab, percent)
        text = box.inner_text()
        for metric in ("val/image/error", "val/digit/error"):
            value = np.interp(percent / 100, weights, [p[metric] for p in points])
            assert f"{value:.2f}" in text
        assert ("not measured" in text) == (percent % 25 > 0)
        pick = f"preference:image={percent / 100:g},digit={1 - percent / 100:g}"
        if percent % 25:
            chosen = choose(result.front_rows, result.objectives, pick)["trial"]
            ours = chosen.startswith("0009@")
            assert (f"mtsearch export run=results/a pick={pick}" in text) == ours
            assert (f"chooses trial {chosen} of the front instead" in text) != ours
            seen += ours
    assert seen


def test_three_tasks_interpolate_a_linear_metric_exactly(open_page, tmp_path):
    rows, _ = search(2)
    objectives = [Objective(metric=f"val/{t}/error", goal="min") for t in "abc"]
    points = []
    for i, weights in enumerate(simplex_grid(3, 15)):
        point = {**rows[0], "trial": f"0009@{i:02d}", "trial.pareto_set.name": "weights_line"}
        point = {k: v for k, v in point.items() if not k.startswith("trial.preference.")}
        point |= {f"trial.preference.{t}": w for t, w in zip("abc", weights, strict=True)}
        point |= {f"val/{t}/error": 50 - 30 * w for t, w in zip("abc", weights, strict=True)}
        points.append(point)
    result = search_result(points, [], objectives)
    path = tmp_path / "three.html"
    write_report(path, result, name="set", configuration="", address="results/a")
    tab = open_page(path, fragment="#trial=0009@03")
    for raw in itertools.chain([(20, 30, 50), (7, 90, 3), (0, 40, 50)], [(33, 33, 33)]):
        text = slide(tab, *raw).inner_text()
        for value in raw:
            assert f"{50 - 30 * value / sum(raw):.2f}" in text
        assert "interpolated linearly" in text
    assert "At least one weight" in slide(tab, 0, 0, 0).inner_text()


def test_missing_neighbour_is_said(open_page, tmp_path):
    _, _, points = with_set(tmp_path)
    result = search_result([p for p in points if not p["trial"].endswith("02")], [], TWO)
    path = tmp_path / "gap.html"
    write_report(path, result, name="set", configuration="", address="results/a")
    tab = open_page(path, fragment="#trial=0009@01")
    assert "is missing" in slide(tab, 40).inner_text()


# ------------------------------------------------------------ everybody


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 1400), ("light", 390)])
def test_axe_finds_no_violation_in_attachments(open_page, written, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for fragment in ("#trial=stl", "#trial=0005"):
        tab = open_page(written[1], scheme=scheme, width=width, fragment=fragment)
        if fragment.endswith("stl"):
            body = shown(tab)
            for summary in body.locator("details:not([open]) > summary").element_handles():
                summary.click()
        found = axe.run(tab, options={"resultTypes": ["violations"]})
        assert [(v["id"], v["nodes"][0]["html"]) for v in found.response["violations"]] == []
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_axe_finds_no_violation_in_the_slider(open_page, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    tab = open_page(with_set(tmp_path)[1], scheme="dark", fragment="#trial=0009@01")
    slide(tab, 40)
    found = axe.run(tab, options={"resultTypes": ["violations"]})
    assert [(v["id"], v["nodes"][0]["html"]) for v in found.response["violations"]] == []
