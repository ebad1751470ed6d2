"""The report page in headless Chromium: reading, selecting, filtering, deploying, print, access."""

import csv
import re
from pathlib import Path

import pytest

from mtsearch.pareto import search_result
from mtsearch.pareto.choice import choose
from mtsearch.reporting.comparison import ComparedRun, write_comparison
from mtsearch.reporting.page import write_report
from tests.helpers import browser as browsers
from tests.helpers.synthetic_search import OBJECTIVES, TWO, evaluated, search

pytestmark = pytest.mark.slow

THEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser():
    if reason := browsers.missing():
        pytest.skip(reason)
    with browsers.chromium() as found:
        yield found


def with_outlier(trials=24):
    """A search with test figures on its front and a dominated trial far away."""
    rows, history = search(trials)
    rows[1] |= {"val/image/error": 95.0, "val/digit/error": 93.0, "model/density": 1.0}
    front = {row["trial"] for row in search_result(rows, history, OBJECTIVES).front_rows}
    return evaluated(rows, front), history


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Results and their pages by the number of objectives."""
    folder, found = tmp_path_factory.mktemp("pages"), {}
    for objectives in (OBJECTIVES, TWO):
        result = search_result(*with_outlier(), objectives)
        path = folder / f"{len(objectives)}.html"
        write_report(
            path,
            result,
            name="pareto_cm",
            description="Which network?",
            configuration="name: pareto_cm\n" + "key: value\n" * 60,
            environment={f"fact {i}": "value" for i in range(14)},
            address="results/pareto_cm/1",
            timeline={row["trial"]: (i * 10.0, i * 10.0 + 17) for i, row in enumerate(result.rows)},
        )
        found[len(objectives)] = (result, path)
    return found


@pytest.fixture
def open_page(browser, written):
    """Opens a page; afterwards no error and no request may have occurred."""
    contexts, problems = [], []

    def go(objectives=3, width=1400, height=1000, scheme="light", fragment="", path=None):
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            has_touch=width < 500,
            permissions=["clipboard-read", "clipboard-write"],
        )
        contexts.append(context)
        tab = context.new_page()
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        address = (path or written[objectives][1]).as_uri()
        tab.on("request", lambda r: problems.append(r.url) if r.url != address else None)
        tab.goto(address + fragment)
        tab.wait_for_selector("html[data-ready]")
        return tab

    yield go
    for context in contexts:
        context.close()
    assert [p for p in problems if not p.startswith("blob:")] == []  # a download is a blob


def selected(tab):
    return tab.evaluate("location.hash")


def axis_range(tab, axis="x"):
    side = 'text[text-anchor="middle"]' if axis == "x" else 'text[text-anchor="end"]'
    words = tab.locator(f"#front-plot .axes {side}:not(.title)").all_text_contents()
    return [float(word) for word in words]


def scroll_through(tab):
    """Bring every section into view once."""
    for name in ("parallel", "curves", "hypervolume", "timeline", "environment"):
        if tab.locator(f"#{name}").is_visible():
            tab.locator(f"#{name}").scroll_into_view_if_needed()
            tab.wait_for_timeout(60)  # the browser tells the page later what is in view
    tab.wait_for_selector("#hypervolume-plot svg")


def mark(tab, trial):
    return tab.locator(f'#front-plot .mark[data-trial="{trial}"]').last


# ------------------------------------------------------------ the front


def test_axes_show_front_and_controls_by_default(open_page):
    tab = open_page()
    assert max(axis_range(tab)) < 70 and tab.locator("#front-plot .dots").count() == 0
    tab.get_by_label(re.compile("all .* finished trials")).check()
    assert max(axis_range(tab)) >= 80 and tab.locator("#front-plot .dots.other").count() == 1


def test_zoom_stays_when_the_colour_changes(open_page):
    tab = open_page()
    before = axis_range(tab)
    tab.locator("#front-plot").get_by_role("button", name="Zoom in").click()
    zoomed = axis_range(tab)
    assert zoomed != before
    tab.get_by_label("colour of the front").select_option("val/image/error")
    assert axis_range(tab) == zoomed
    tab.get_by_label("colour of the front").select_option("")
    assert axis_range(tab) == zoomed
    tab.locator("#front-plot").get_by_role("button", name="Reset zoom").click()
    assert axis_range(tab) == before


def test_drag_zooms_into_the_rectangle(open_page):
    tab = open_page()
    box = tab.locator("#front-plot .frame").bounding_box()
    tab.mouse.move(box["x"] + 50, box["y"] + 50)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 250, box["y"] + 200, steps=4)
    tab.mouse.up()
    zoomed = axis_range(tab)
    tab.dblclick("#front-plot .frame", position={"x": 5, "y": 5}, force=True)
    whole = axis_range(tab)
    assert zoomed[-1] - zoomed[0] < (whole[-1] - whole[0]) / 2


def test_hover_shows_the_trial(open_page, written):
    tab, result = open_page(), written[3][0]
    row = result.front_rows[0]
    mark(tab, row["trial"]).hover(force=True)
    assert tab.locator("#front-plot .tip").inner_text().startswith(row["trial"])


# ------------------------------------------------------------ selecting


def test_click_selects_without_scrolling(open_page, written):
    tab, result = open_page(), written[3][0]
    trial = result.front_rows[-1]["trial"]
    tab.evaluate("document.getElementById('detail').scrollTop = 500")
    before = tab.evaluate("scrollY")
    mark(tab, trial).click(force=True)
    assert selected(tab) == f"#trial={trial}" and tab.evaluate("scrollY") == before
    assert tab.inner_text("#detail-title") == f"Trial {trial}"
    assert tab.evaluate("document.getElementById('detail').scrollTop") == 0
    assert tab.locator("#front-plot .ring").get_attribute("data-trial") == trial
    row = tab.locator(f'#trials tr[data-trial="{trial}"]')
    assert row.get_attribute("aria-selected") == "true"


def test_selection_opens_the_tab_of_the_row(open_page):
    tab = open_page()
    tab.get_by_label(re.compile("all .* finished trials")).check()
    tab.evaluate("location.hash = '#trial=0001'")
    row = tab.locator('#trials tr[data-trial="0001"]')
    row.wait_for()
    assert tab.locator('#table-tabs button[data-show="all"]').get_attribute("aria-pressed") == (
        "true"
    )


def test_address_and_cards_select_a_trial(open_page, written):
    tab = open_page(fragment="#trial=0005")
    assert tab.inner_text("#detail-title") == "Trial 0005"
    best = min(written[3][0].front_rows, key=lambda row: row["val/image/error"])
    tab.locator(".cards a").first.click()
    tab.locator("#detail-title", has_text=f"Trial {best['trial']}").wait_for()


def test_keys_select_in_table_and_plot(open_page):
    tab = open_page()
    tab.locator("#trials tbody tr").first.focus()
    tab.keyboard.press("ArrowDown")
    second = tab.evaluate("document.activeElement.dataset.trial")
    tab.keyboard.press("Space")
    assert selected(tab) == f"#trial={second}"
    tab.keyboard.press("ArrowDown")
    third = tab.evaluate("document.activeElement.dataset.trial")
    tab.keyboard.press("Enter")
    assert third != second and selected(tab) == f"#trial={third}"
    tab.locator("#front-plot svg").first.focus()
    tab.keyboard.press("ArrowRight")
    tip = tab.locator("#front-plot .tip strong").inner_text()
    tab.keyboard.press("Enter")
    assert tab.inner_text("#detail-title").split()[-1] == tip.replace(" ★", "").split()[-1]


# ------------------------------------------------------------ the model


def test_detail_begins_with_export_and_predict(open_page, written):
    tab = open_page()
    trial = written[3][0].knee["trial"]
    heads = tab.locator("#detail h4").all_inner_texts()
    assert heads == ["Export this model", "Predict with it", "Train it again"]
    codes = tab.locator("#detail .command code").all_inner_texts()
    assert codes[0] == f"mtsearch export run=results/pareto_cm/1 pick=trial:{trial}"
    assert codes[1] == f"mtsearch predict run=results/pareto_cm/1 pick=trial:{trial} images=PATH"
    tab.get_by_role("button", name="Copy: the export command").click()
    tab.locator("#detail .copy", has_text="Copied").wait_for()
    assert tab.evaluate("navigator.clipboard.readText()") == codes[0]
    names = tab.locator("#detail .copy").evaluate_all("all => all.map(b => b.ariaLabel)")
    assert len(set(names)) == 3


def test_dominated_trial_has_no_export(open_page):
    tab = open_page(fragment="#trial=0001")
    assert tab.locator("#detail h4").all_inner_texts() == ["Train it again"]


@pytest.mark.parametrize("weights", [(1, 1, 1), (7, 1, 0), (0, 10, 2), (1, 0, 9)])
def test_importance_chooses_as_the_command_does(open_page, written, weights):
    tab, result = open_page(), written[3][0]
    tab.click("#choose summary")
    for i, weight in enumerate(weights):
        tab.locator("#choose-table input[type=range]").nth(i).fill(str(weight))
    pick = tab.locator("#choose-result code").inner_text().removeprefix("pick=")
    row = choose(result.rows, OBJECTIVES, pick)
    assert selected(tab) == f"#trial={row['trial']}" and pick.startswith("preference:")


@pytest.mark.parametrize("bounds", [("48", "", ""), ("", "6", "0.7"), ("60", "9", "0.9")])
def test_bounds_choose_as_the_command_does(open_page, written, bounds):
    tab, result = open_page(), written[3][0]
    tab.click("#choose summary")
    for i, bound in enumerate(bounds):
        tab.locator("#choose-table input[type=text]").nth(i).fill(bound)
    pick = tab.locator("#choose-result code").inner_text().removeprefix("pick=")
    assert pick.startswith("bound:")
    assert selected(tab) == f"#trial={choose(result.rows, OBJECTIVES, pick)['trial']}"
    tab.locator("#choose-table input[type=text]").first.fill("0")
    assert "No trial of the front keeps" in tab.inner_text("#choose-result")


def test_test_figures_stand_beside_validation(open_page, written):
    tab, result = open_page(), written[3][0]
    heads = tab.locator("#detail .figures thead th").all_inner_texts()
    assert heads == ["validation", "test"]
    line = tab.locator("#detail .figures tbody tr").first.inner_text().split("\t")
    knee = result.knee
    assert line[1:] == [f"{knee['val/image/error']:.2f}", f"{knee['test/image/error']:.2f}"]
    cards = tab.inner_text(".cards")
    assert "best image error, validation (%)" in cards and "; test " in cards


# ------------------------------------------------------------ the table


def test_search_counts_over_all_tabs(open_page):
    tab = open_page()
    tab.fill("#table-find", "out of memory")
    words = [" ".join(t.split()) for t in tab.locator("#table-tabs button").all_inner_texts()]
    assert words[1:] == ["all 1 of 27", "failed 1 of 2"] and " 0 of " in words[0]
    assert tab.locator("#trials tbody tr").count() == 0
    tab.locator("#table-empty button").first.click()
    assert tab.locator("#trials tbody tr").get_attribute("data-trial") == "0005"
    tab.fill("#table-find", "nothing has this text")
    assert "No trial matches" in tab.inner_text("#table-empty")


def test_sort_by_a_column(open_page):
    tab = open_page()
    tab.click('#table-tabs button[data-show="all"]')
    head = tab.locator("#trials thead th").nth(2)
    head.locator("button").click()
    cells = tab.locator("#trials tbody tr:not(.control) td:nth-child(3)").all_inner_texts()
    numbers = [float(cell) for cell in cells if cell != "–"]
    assert numbers == sorted(numbers) and cells[len(numbers) :] == ["–"] * 3
    assert tab.locator("#trials thead th").nth(2).get_attribute("aria-sort") == "ascending"
    assert tab.evaluate("document.activeElement.closest('th') !== null")


def test_head_and_first_column_stay(open_page):
    tab = open_page(width=700, height=500)
    tab.click('#table-tabs button[data-show="all"]')
    places = """() => [...document.querySelectorAll('#trials thead th:first-child, #table-view')]
        .map(node => { const b = node.getBoundingClientRect(); return [b.left, b.top]; })"""
    tab.evaluate("document.getElementById('table-view').scrollTo(300, 200)")
    tab.wait_for_timeout(50)
    (view, head) = tab.evaluate(places)
    assert abs(view[0] - head[0]) < 3 and abs(view[1] - head[1]) < 3


def test_columns_can_be_chosen(open_page):
    tab = open_page()
    before = tab.locator("#trials thead th").count()
    tab.locator(".chooser summary").click()
    tab.locator("#table-columns").get_by_label("image loss, validation").check()
    assert tab.locator("#trials thead th").count() == before + 1
    order = tab.locator("#trials thead th").all_inner_texts()
    assert order[2:5] == ["image error, validation (%)", "digit error, validation (%)", "density"]


def test_csv_download_has_the_rows_shown(open_page, written, tmp_path):
    tab = open_page()
    with tab.expect_download() as waiting:
        tab.click("#table-download")
    waiting.value.save_as(tmp_path / "rows.csv")
    with Path(tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    result = written[3][0]
    expected = [*result.front_rows, *result.control_rows]
    assert [row["trial"] for row in rows] == [row["trial"] for row in expected]
    assert [float(row["val/image/error"]) for row in rows] == [
        row["val/image/error"] for row in expected
    ]
    assert rows[0]["command"] == expected[0]["command"]


def test_numbers_read_as_in_the_other_tables(open_page, written):
    from mtsearch.pareto.columns import format_value

    tab, result = open_page(), written[3][0]
    tab.click('#table-tabs button[data-show="all"]')
    for row in result.rows:
        shown = tab.locator(f'#trials tr[data-trial="{row["trial"]}"] td').all_inner_texts()
        for metric in ("val/image/error", "model/density"):
            assert format_value(row.get(metric), metric) in shown


def test_pinned_trials_stand_side_by_side(open_page):
    tab = open_page(fragment="#trial=0002")
    tab.get_by_role("button", name="Pin for comparison").click()
    tab.evaluate("location.hash = '#trial=0003'")
    tab.locator("#detail-title", has_text="Trial 0003").wait_for()
    tab.get_by_role("button", name="Pin for comparison").click()
    heads = tab.locator("#pinned-table thead th").all_inner_texts()
    assert [head.replace(" ★", "") for head in heads] == ["trial", "0002", "0003"]
    assert tab.locator("#pinned-table tbody tr").count() > 4
    tab.get_by_role("button", name="Remove from the comparison").click()
    assert tab.locator("#pinned-table thead th").count() == 2


def test_means_over_seeds_have_intervals(open_page, tmp_path):
    rows, history = search(8)
    repeats = [
        {**row, "trial": f"{row['trial']}.s1", "val/image/error": row["val/image/error"] + 2}
        for row in rows[:5]
    ]
    path = tmp_path / "seeds.html"
    result = search_result([*rows, *repeats], history, TWO)
    write_report(path, result, name="seeds", configuration="", address="results/a")
    tab = open_page(path=path)
    means = [row for row in result.front_rows if "ci95/val/image/error" in row]
    assert tab.locator("#front-plot .interval").count() == len(means) > 0
    shown = tab.locator(f'#trials tr[data-trial="{means[0]["trial"]}"]').inner_text()
    assert " ± 12.71" in shown


def test_points_of_a_pareto_set_are_joined(open_page, tmp_path):
    rows, history = search(6)
    image = max(row["val/image/error"] for row in rows if row["state"] == "done")
    points = [
        {**rows[0], "trial": f"0009@{i:02d}", "val/image/error": 30.0 + i, "val/digit/error": 3 - i}
        for i in range(3)
    ]
    path = tmp_path / "set.html"
    result = search_result([*rows, *points], history, TWO)
    write_report(path, result, name="set", configuration="", address="results/a")
    tab = open_page(path=path)
    assert image > 33 and tab.locator("#front-plot .drawing .line.set").count() == 1
    line = tab.locator("#front-plot .drawing .line.set").get_attribute("d")
    assert line.count("M") == 1 and line.count("L") == 2


def test_comparison_shows_both_fronts(open_page, tmp_path):
    runs = [
        ComparedRun(name, f"results/{name}", search_result(*search(seed=i), TWO), "", {"a": 1})
        for i, name in enumerate(("first", "second"))
    ]
    path = tmp_path / "both.html"
    write_comparison(path, runs)
    tab = open_page(path=path)
    scroll_through(tab)
    legend = " ".join(tab.locator("#front-plot .legend").inner_text().split())
    assert "front, A" in legend and "front, B" in legend
    for i, run in enumerate(runs):
        marks = tab.locator(f"#front-plot .drawing .mark.run-{i}")
        assert marks.count() == len(run.result.front_rows)
    tab.locator("#front-plot .drawing .mark.run-1").first.click(force=True)
    assert "mtsearch export run=results/second pick=trial:0" in tab.inner_text("#detail-body")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(tab, options={"resultTypes": ["violations"]}).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []


# ------------------------------------------------------------ parallel coordinates


def test_range_filters_table_and_front(open_page, written):
    tab, result = open_page(), written[3][0]
    scroll_through(tab)
    titles = tab.locator("#parallel-plot .axis text.title").all_text_contents()
    assert titles[:3] == ["image error, validation (%)", "digit error, validation (%)", "density"]
    grip = tab.locator("#parallel-plot .grip").first
    grip.scroll_into_view_if_needed()
    box = grip.bounding_box()
    x, bottom = box["x"] + box["width"] / 2, box["y"] + box["height"]
    tab.mouse.move(x, bottom - 5)
    tab.mouse.down()
    tab.mouse.move(x, bottom - 0.35 * box["height"], steps=4)
    tab.mouse.up()
    count = int(tab.inner_text("#parallel-count").split()[0])
    assert 0 < count < 21
    shown = " ".join(tab.locator("#table-tabs button").nth(1).inner_text().split())
    assert " of 27" in shown
    faded = tab.locator("#front-plot .mark.faded").count()
    assert faded > 0
    tab.click("#parallel-clear")
    assert tab.locator("#front-plot .mark.faded").count() == 0
    assert tab.inner_text("#parallel-count") == ""
    assert len(result.rows) == 27


def test_range_can_be_typed(open_page, written):
    tab, result = open_page(), written[3][0]
    scroll_through(tab)
    tab.get_by_label("To", exact=True).fill("50")
    tab.get_by_role("button", name="Apply").click()
    wanted = sum(row["val/image/error"] <= 50 for row in result.eligible)
    assert tab.inner_text("#parallel-count").startswith(f"{wanted} of ")


# ------------------------------------------------------------ everybody


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 1400), ("light", 390)])
def test_axe_finds_no_violation(open_page, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    tab = open_page(scheme=scheme, width=width, height=900)
    scroll_through(tab)
    tab.click("#choose summary")
    found = axe.run(tab, options={"resultTypes": ["violations"]})
    assert [(v["id"], v["nodes"][0]["html"]) for v in found.response["violations"]] == []


CONTRAST = """() => {
  const channel = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = text => text.match(/[\\d.]+/g).slice(0, 3)
    .reduce((sum, v, i) => sum + channel(v / 255) * [.2126, .7152, .0722][i], 0);
  const panel = getComputedStyle(document.querySelector('.panel'));
  const ground = light(panel.backgroundColor);
  const numbered = (name, count) => Array.from({length: count}, (_, i) => `${name}-${i}`);
  const names = ['front', 'knee', 'other', ...numbered('control', 5), ...numbered('scale', 7)];
  const probe = document.createElement('i');
  document.body.append(probe);
  return names.map(name => {
    probe.className = name;
    const mark = light(getComputedStyle(probe).color);
    return [name, (Math.max(mark, ground) + .05) / (Math.min(mark, ground) + .05)];
  });
}"""


@pytest.mark.parametrize("scheme", THEMES)
def test_marks_have_contrast(open_page, scheme):
    ratios = open_page(scheme=scheme).evaluate(CONTRAST)
    assert [(name, ratio) for name, ratio in ratios if ratio < 3] == []


def test_dark_theme_reaches_the_plots(open_page):
    colours = {}
    for scheme in THEMES:
        tab = open_page(scheme=scheme)
        read = "s => getComputedStyle(document.querySelector(s))"
        colours[scheme] = (
            tab.evaluate(f"({read})('body').backgroundColor"),
            tab.evaluate(f"({read})('#front-plot .axes text').fill"),
            tab.evaluate(f"({read})('#front-plot .mark.knee').color"),
        )
    assert all(a != b for a, b in zip(*colours.values(), strict=True))


def test_targets_have_24_pixels(open_page):
    tab = open_page(width=390, height=844)
    scroll_through(tab)
    small = tab.evaluate(
        """() => [...document.querySelectorAll('button, select, input, summary, nav a')]
        .map(node => node.type === 'checkbox' ? node.closest('label') : node)
        .map(node => [node.outerHTML.slice(0, 80), node.getBoundingClientRect()])
        .filter(([, box]) => box.width && (box.width < 23.9 || box.height < 23.9))
        .map(([html, box]) => [html, box.width, box.height])"""
    )
    assert small == []


def test_narrow_screen(open_page):
    tab = open_page(width=390, height=844)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tops = tab.locator(".cards div").evaluate_all("all => all.map(c => c.offsetTop)")
    assert tops[0] == tops[1] != tops[2]
    box = tab.locator("#front-plot svg").first.bounding_box()
    assert box["height"] >= 300 and box["width"] >= 300


def test_plots_have_names_descriptions_and_tables(open_page):
    tab = open_page()
    scroll_through(tab)
    for name in ("front", "curve", "hypervolume", "timeline"):
        drawing = tab.locator(f"#{name}-plot svg[role=img]")
        assert drawing.get_attribute("aria-label")
        described = tab.locator(f"#{drawing.get_attribute('aria-describedby')}")
        assert len(described.inner_text()) > 40
        tab.locator(f"#{name}-plot .alternative summary").click()
        tab.locator(f"#{name}-plot .alternative tbody tr").nth(3).wait_for()
    live = tab.locator("[aria-live]").evaluate_all("all => all.map(n => n.tagName)")
    assert live == ["H3"]


def test_print_has_at_most_four_pages(open_page):
    tab = open_page(scheme="dark")
    pdf = tab.pdf(format="A4", print_background=True, prefer_css_page_size=True)
    pages = len(re.findall(rb"/Type\s*/Page[^s]", pdf))
    assert 1 <= pages <= 4


def test_sections_are_drawn_when_they_come_into_view(open_page):
    tab = open_page(height=700)
    assert tab.locator("#curve-plot svg[role=img]").count() == 0
    scroll_through(tab)
    assert tab.locator("#curve-plot svg[role=img]").count() == 1


def test_page_of_an_empty_search(open_page, tmp_path):
    for rows in ([], [search()[0][5]]):
        path = tmp_path / f"{len(rows)}.html"
        write_report(path, search_result(rows, [], OBJECTIVES), name="none", configuration="")
        tab = open_page(path=path)
        assert tab.locator("#trials tbody tr").count() == len(rows)


def test_table_stands_without_scripts(browser, written):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(written[3][1].as_uri())
    result = written[3][0]
    assert tab.locator("#trials tbody tr").count() == (
        len(result.front_rows) + len(result.control_rows)
    )
    context.close()
