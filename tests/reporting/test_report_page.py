"""The report page: complete, without network access, with all text escaped."""

import json
import math
from html.parser import HTMLParser

import pytest

from mtsearch.config.schema import Constraint
from mtsearch.pareto import search_result
from mtsearch.reporting.page import page, write_report
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
                ("text", found["metrics"]),
                ("config", found["settings"]),
            ):
                row[key] = dict(zip(names, row[key], strict=True))
        return found


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
    own = found.scripts[-1][1]
    assert "showSendToCloud: false" in own and 'plotlyServerURL: ""' in own and "http" not in own


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


def test_table_has_every_trial_with_command(whole):
    found = Page(whole)
    assert sorted(row["data-trial"] for row in found.rows) == sorted(
        [f"{i:04d}" for i in range(24)] + ["plain", "published", "stl"]
    )
    commands = [a["data-copy"] for t, a in found.tags if t == "button" and "data-copy" in a]
    assert len(commands) == 27 and all(c.startswith("python -m mtsearch.train") for c in commands)
    assert any("val/image/loss is NaN at report 3" in text for text in found.text)


def test_page_data_are_complete_and_finite(whole):
    data = Page(whole).data
    assert len(data["rows"]) == 27 and sum(row["front"] for row in data["rows"]) == len(
        search_result(*search(), OBJECTIVES).front_rows
    )
    assert (
        data["history"]["0011"]["val/image/error"][2] is None
        and len(data["history"]["0000"]["report"]) == 10
    )
    assert len(data["hypervolume"]["values"]) == 21 and 0 < data["hypervolume"]["values"][-1] < 100
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
    assert any(row["reason"] == EVIL for row in found.data["rows"]) and any(
        EVIL in text for text in found.text
    )


@pytest.mark.parametrize("count", [0, 1, 2])
def test_page_of_few_trials(count):
    rows, history = search()
    found = Page(render(rows[:count], history))
    assert len(found.rows) == count == len(found.data["rows"])


def test_page_without_finished_trial_has_reasons():
    rows, _ = search()
    found = Page(render([rows[5], rows[11], rows[17]], []))
    text = " ".join(found.text)
    assert (
        "0 on the front" in text
        and "out of memory" in text
        and found.data["hypervolume"]["values"] == []
    )


def test_page_with_broken_values():
    rows, history = search(trials=4)
    rows[0] |= {"val/image/error": math.inf, "trial.optimizer.lr": None}
    rows[1] |= {"val/digit/error": -math.inf, "trial.clip": 0.5}
    rows[2] |= {"val/image/error": None, "trial.flag": True, "trial.list": [1, 2]}
    history[0] |= {"val/image/error": math.inf}
    data = Page(render(rows, history, TWO)).data
    assert (
        data["rows"][0]["values"]["val/image/error"] is None
        and data["rows"][2]["config"]["trial.flag"] == "true"
    )


def test_infeasible_trials_are_marked():
    data = Page(render(*search(), constraints=[Constraint(metric="model/density", max=0.5)])).data
    assert {row["feasible"] for row in data["rows"] if row["state"] == "done"} == {True, False}


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


def test_page_has_export_commands_of_the_run():
    found = Page(render(*search(), address="results/my space/1"))
    assert found.data["export"] == (
        "python -m mtsearch.export run='results/my space/1' pick=trial:"
    )
    assert Page(render(*search())).data["export"] is None


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
