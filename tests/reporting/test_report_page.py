"""The report page: complete, without network access, with all text escaped."""

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser

import pytest

from mtsearch.config.schema import Constraint
from mtsearch.config.text import printable
from mtsearch.pareto import search_result
from mtsearch.reporting import page_data
from mtsearch.reporting.page import _coded, page, write_report
from mtsearch.reporting.palette import control_style
from tests.helpers.synthetic_search import LABEL, OBJECTIVES, TWO, search

EVIL = "</script><script>alert('x')</script><img src=x onerror=alert(1)>&\u2028"


class Page(HTMLParser):
    """Collects tags, the JSON, the table's rows and the text outside scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.rows, self.text, self.inside = [], [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag in ("script", "style"):
            self.inside = tag
            if tag == "script":
                self.scripts.append([attributes, ""])
        if tag == "tr" and "data-trial" in attributes:
            self.rows.append(attributes)

    def handle_endtag(self, tag):
        if tag == self.inside:
            self.inside = None

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1][1] += data
        elif self.inside is None:
            self.text.append(data)

    @property
    def data(self):
        def refuse(word):
            raise AssertionError(word)

        found = json.loads(
            next(body for attributes, body in self.scripts if attributes.get("id") == "data"),
            parse_constant=refuse,
        )
        for row in found["rows"]:  # as the page's script does it
            for key, names in (
                ("values", found["metrics"]),
                ("config", found["settings"]),
            ):
                row[key] = dict(zip(names, row[key], strict=True))
            if "command" in row:
                row["command"] = found["command"] + row["command"]
        return found


def own_text(text, tag):
    return re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[-1]


def policy_hash(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def render(rows, history, objectives=OBJECTIVES, constraints=(), **more):
    facts = {
        "name": "pareto_cm",
        "description": "",
        "configuration": "name: pareto_cm\n",
        "environment": {"python": "3.11"},
        **more,
    }
    return page(search_result(rows, history, objectives, constraints), **facts)


@pytest.fixture(scope="module")
def whole():
    return render(
        *search(),
        description="Which network?",
        environment={"torch": "2.14", "cores": 2, "tasks": {"image": "classification"}},
    )


def test_page_has_no_network_access(whole):
    found = Page(whole)
    for tag, attributes in found.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "img", "form")
        assert "src" not in attributes and not str(attributes.get("href", "#")).startswith(
            ("http", "//")
        )
        assert not any(name.startswith("on") for name in attributes)
    policy = next(
        a["content"]
        for t, a in found.tags
        if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy and "http" not in policy
    assert "unsafe" not in policy
    own = found.scripts[-1][1].replace("http://www.w3.org/2000/svg", "")
    assert "http" not in own and "fetch(" not in own and "XMLHttp" not in own
    assert policy_hash(own_text(whole, "script")) in policy
    assert policy_hash(own_text(whole, "style")) in policy


def test_page_is_below_its_size(whole):
    assert len(whole.encode()) < 200_000


def test_page_shows_data_counts_and_environment(whole):
    text = " ".join(Page(whole).text)
    for words in (
        LABEL,
        "Which network?",
        "21 of 24",
        "2 failed, 1 running",
        "torch",
        "2.14",
        "name: pareto_cm",
        "Hypervolume",
    ):
        assert words in text


def test_data_have_every_trial_with_command(whole):
    rows = Page(whole).data["rows"]
    assert [row["id"] for row in rows] == (
        [f"{i:04d}" for i in range(24)] + ["plain", "published", "stl"]
    )
    given = {row["trial"]: row["command"] for row in search()[0]}
    assert {row["id"]: row["command"] for row in rows} == given
    assert rows[11]["reason"] == "val/image/loss is NaN at report 3"


def test_static_table_has_front_and_controls(whole):
    result = search_result(*search(), OBJECTIVES)
    front = [row["trial"] for row in result.front_rows]
    assert [row["data-trial"] for row in Page(whole).rows] == [*front, "plain", "published", "stl"]


def test_curves_of_dominated_trials_are_thinned(monkeypatch):
    monkeypatch.setattr(page_data, "CURVE_NUMBERS", 60)
    rows, history = search()
    found = Page(render(rows, history))
    reports = {row["id"]: row for row in found.data["rows"]}
    for trial, lines in found.data["history"].items():
        full = [entry["report"] for entry in history if entry["trial"] == trial]
        if reports[trial].get("front") or reports[trial].get("kind") == "control":
            assert lines["report"] == full
        else:
            assert len(lines["report"]) < 10 and lines["report"][-1] == full[-1]
    assert any("history.parquet" in text for text in found.text)


def test_page_data_are_complete_and_finite(whole):
    data = Page(whole).data
    assert len(data["rows"]) == 27 and sum("front" in row for row in data["rows"]) == len(
        search_result(*search(), OBJECTIVES).front_rows
    )
    assert (
        data["history"]["0011"]["val/image/error"][2] is None
        and len(data["history"]["0000"]["report"]) == 10
    )
    assert (
        len(data["hypervolumes"][0]["values"]) == 21
        and 0 < data["hypervolumes"][0]["values"][-1] < 100
    )
    assert data["curves"][:2] == ["val/image/error", "val/digit/error"]
    assert {"trial.architecture.name", "trial.balancing.mu"} <= set(
        data["varied"]
    ) and "trial.backbone.name" not in data["varied"]
    assert any(row["config"]["trial.balancing.mu"] is None for row in data["rows"])


def test_hostile_text_is_shown_as_text():
    rows, history = search(trials=3)
    rows[0] |= {"trial": EVIL, "command": EVIL, "dataset": EVIL, "trial.architecture.name": EVIL}
    rows[1] |= {"state": "failed", "reason": EVIL}
    rows[2] |= {f"val/{EVIL}/error": 1.0}
    clean = Page(render(*search(trials=3)))
    found = Page(
        render(
            rows, history, name=EVIL, description=EVIL, configuration=EVIL, environment={EVIL: EVIL}
        )
    )
    assert len(found.scripts) == len(clean.scripts) and not any(
        tag == "img" for tag, _ in found.tags
    )
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    evil = printable(EVIL)
    assert any(row.get("reason") == evil for row in found.data["rows"])
    assert any(evil in text for text in found.text)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_page_of_few_trials(count):
    rows, history = search()
    found = Page(render(rows[:count], history))
    assert len(found.data["rows"]) == count and len(found.rows) == min(count, 1)


def test_page_without_finished_trial_has_reasons():
    rows, _ = search()
    found = Page(render([rows[5], rows[11], rows[17]], []))
    text = " ".join(found.text)
    assert (
        "0 on the front" in text
        and "out of memory" in text
        and found.data["hypervolumes"][0]["values"] == []
    )


def test_page_with_broken_values():
    rows, history = search(trials=4)
    rows[0] |= {"val/image/error": math.inf, "trial.optimizer.lr": None}
    rows[1] |= {"val/digit/error": -math.inf, "trial.clip": 0.5}
    rows[2] |= {"val/image/error": None, "trial.flag": True, "trial.list": [1, 2]}
    history[0] |= {"val/image/error": math.inf}
    data = Page(render(rows, history, TWO)).data
    assert data["rows"][0]["values"]["val/image/error"] == "∞"
    assert data["rows"][2]["values"]["val/image/error"] is None
    assert data["rows"][2]["config"]["trial.flag"] == "true"


def test_infeasible_trials_are_marked():
    data = Page(render(*search(), constraints=[Constraint(metric="model/density", max=0.5)])).data
    infeasible = {row["id"] for row in data["rows"] if row.get("infeasible")}
    assert infeasible and not infeasible & {row["id"] for row in data["rows"] if "front" in row}


def test_page_is_written_atomically(tmp_path):
    write_report(
        tmp_path / "report.html", search_result(*search(), TWO), name="two", configuration="a: 1"
    )
    assert (tmp_path / "report.html").read_text(encoding="utf-8").rstrip().endswith(
        "</html>"
    ) and len(list(tmp_path.iterdir())) == 1


def test_page_of_the_embedded_sample_has_a_banner(whole):
    rows, history = search(trials=3)
    full = render([{**row, "dataset": "cifar10_mnist"} for row in rows], history)
    assert "results on the embedded sample" in whole
    assert "results on the embedded sample" not in full


def test_configuration_of_the_sample_has_no_notes():
    notes = "name: a\nnotes: |\n  The full data give 46.45 %.\n\n  More.\ndata: b\n"
    rows, history = search(trials=3)
    shown = " ".join(Page(render(rows, history, configuration=notes)).text)
    full = [{**row, "dataset": "cifar10_mnist"} for row in rows]
    assert "46.45" not in shown and "name: a\ndata: b" in shown
    assert "46.45" in " ".join(Page(render(full, history, configuration=notes)).text)


def test_names_of_objectives_are_those_of_pick():
    assert [o["name"] for o in Page(render(*search())).data["objectives"]] == [
        "image",
        "digit",
        "density",
    ]


def test_page_has_the_address_of_the_run():
    found = Page(render(*search(), address="results/my space/1"))
    assert found.data["runs"][0]["address"] == "'results/my space/1'"
    assert Page(render(*search())).data["runs"][0]["address"] is None


def test_validation_figures_are_labelled_beside_test_figures():
    rows, history = search()
    for row in rows:
        if row["state"] == "done":
            row["test/image/error"] = 12.5
    text = " ".join(Page(render(rows, history)).text)
    assert "image error, validation (%)" in text and "image error, test (%)" in text
    assert "; test 12.50" in text


@pytest.mark.parametrize(("count", "stars"), [(1, 0), (2, 0), (24, 1)])
def test_star_needs_a_front_of_three_points(count, stars):
    rows, history = search()
    text = " ".join(Page(render(rows[:count], history, TWO)).text)
    assert text.count("★ is the knee") == stars and ("★" in text) == bool(stars)


def test_timeline_is_in_the_data(whole):
    rows, history = search(trials=2)
    times = {"0000": (0.0, 12.3449), "0001": (1.0, 20.0)}
    data = Page(render(rows, history, timeline=times)).data
    assert data["timeline"] == {"0000": [0.0, 12.34], "0001": [1.0, 20.0]}
    assert Page(whole).data["timeline"] == {}


def test_twenty_five_controls_have_different_marks():
    assert len({control_style(i) for i in range(25)}) == 25


def test_code_of_a_note_is_escaped():
    assert _coded("`a<b>` and <i>") == "<code>a&lt;b&gt;</code> and &lt;i&gt;"
