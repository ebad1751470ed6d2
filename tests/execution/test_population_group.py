"""Populations in worker groups: members on several ranks give the rows that one process gives, bit
for bit."""

import pytest

from mtsearch.config.reading import load_space
from tests.execution.test_search import comparable_rows, event_counts, history_of
from tests.helpers.fake import order

pytestmark = pytest.mark.slow

POPULATION = "mtsearch.population:trial_class_for"
MORTAL = "tests.helpers.mortal:MortalPopulation"


def small(root, workers):
    """One trial of the quick profile of mto_rsscn7 and its controls, on the embedded sample."""
    words = [
        "search.trials=1",
        "search.slots=1",
        f"workers={workers}",
        f"results.root={root}",
        "resources.cpu=0.5",
    ]
    return load_space("mto_rsscn7", words, profile="quick")


@pytest.fixture(scope="module")
def alone(ray_cluster, tmp_path_factory):
    """The search with one process a trial."""
    import io

    from rich.console import Console

    from mtsearch.execution import engine
    from mtsearch.runs.directory import RunDirectory

    console = Console(file=io.StringIO(), width=200)
    code = engine.run(
        small(tmp_path_factory.mktemp("alone"), 1),
        name="toy",
        trial_class=POPULATION,
        console=console,
    )
    assert code == 0
    return RunDirectory(console.file.getvalue().splitlines()[-1].removeprefix("run: "))


def differences(run, other):
    """The differences between two runs' rows and reports, by trial and column; empty if equal."""
    found = []
    for kind, mine, theirs in (
        ("row", comparable_rows(run), comparable_rows(other)),
        ("report", history_of(run), history_of(other)),
    ):
        assert [row["trial"] for row in mine] == [row["trial"] for row in theirs], kind
        for a, b in zip(mine, theirs, strict=True):
            found += [
                (kind, a["trial"], a.get("report"), key, a.get(key), b.get(key))
                for key in a | b
                if a.get(key) != b.get(key)
            ]
    return found


def test_populations_on_two_workers_give_equal_rows(search, alone):
    code, run, _ = search(small(search.root, 2), trial_class=POPULATION)
    assert code == 0
    assert [row["state"] for row in run.rows()] == ["done"] * 6
    assert differences(run, alone) == []


def test_populations_continue_bit_identically_after_rank_death(search, alone):
    order("die", 32, 2)  # once, in the first trial that reaches its second report
    code, run, _ = search(small(search.root, 2), trial_class=MORTAL)
    assert code == 0
    assert differences(run, alone) == []
    assert set(event_counts(run, "end").values()) == {1}
