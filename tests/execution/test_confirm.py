"""`search.confirm` on Ray: the same rows after an interruption, later on a finished run, and the
reference page of a confirmed search."""

import os

import pytest

from mtsearch.commands.report import main as report
from tests.execution.test_search import comparable_rows, event_counts
from tests.helpers.fake import order
from tests.helpers.spaces import real, space


def test_interrupted_confirmation_continues(search):
    code, run, text = search(space(search.root / "whole", trials=3, confirm=3))
    assert code == 0
    assert "one seed each (3 for the front and the controls)" in text
    whole = comparable_rows(run)
    names = [row["trial"] for row in whole]
    assert {"stl", "stl.s1", "stl.s2"} <= set(names)

    _, cut, _ = search(space(search.root / "cut", trials=3))
    assert len(cut.rows()) == 4
    order("interrupt", 8, 2, os.getpid())  # of a repeat of the control
    code, cut, _ = search.resume(cut, {"search.confirm": 3})
    assert code == 130
    code, cut, _ = search.resume(cut)
    assert code == 0
    assert comparable_rows(cut) == whole
    assert event_counts(cut, "end").most_common(1)[0][1] == 1
    _, cut, _ = search.resume(cut)
    assert comparable_rows(cut) == whole


@pytest.mark.slow
def test_confirmed_search_makes_a_reference_page(search):
    raw = real(search.root).raw | {
        "controls": {"constant": {"preference": {"image": 0.3, "digit": 0.7}}},
        "delta_m": None,
    }
    raw["search"] = raw["search"] | {"confirm": 3}
    raw["data"] = raw["data"] | {"limit": 400}
    from mtsearch.config.space import Space
    from mtsearch.jobs.description import TRIAL_CLASS

    code, run, _ = search(Space(raw), trial_class=TRIAL_CLASS)
    assert code == 0
    folder = search.root / "reference"
    assert report([f"run={run.path}", f"reference={folder}"]) == 0
    page = (folder / "README.md").read_text()
    assert " ± " in page
    assert "| constant |" in page
    assert "Differences to the controls, paired by seed" in page
    assert page.splitlines()[2].startswith("**")
