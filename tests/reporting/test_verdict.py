"""The first line of a reference page."""

from mtsearch.config.schema import SpaceConfig
from mtsearch.pareto import search_result
from mtsearch.reporting.plots import front_figure
from mtsearch.reporting.reference import page
from mtsearch.reporting.verdict import verdict
from tests.pareto.test_seeds import TWO, seeded

CONFIG = SpaceConfig.model_validate(
    {"name": "toy", "data": {"dataset": "x"}, "objectives": [o.model_dump() for o in TWO]}
)


def balanced(name, values, method, **more):
    entries = {"trial.balancing.name": method, "trial.architecture.name": "hps", **more}
    return [row | entries for row in seeded(name, values)]


def result(*groups):
    return search_result([row for group in groups for row in group], [], TWO, control=None)


CONSTANT = balanced("0000", [(20, 20), (21, 21), (22, 22)], "linear")
EQUAL = balanced("0001", [(21, 20), (20, 22), (21, 21)], "mgda")
BETTER = balanced("0002", [(10, 20), (11, 22), (12, 21)], "famo")


def test_method_within_noise_does_not_beat_constants():
    line = verdict(result(CONSTANT, EQUAL))
    assert line.startswith("A published method does not beat tuned constant weights")
    assert "`mgda`" in line


def test_method_beyond_noise_is_named():
    line = verdict(result(CONSTANT, EQUAL, BETTER))
    assert "`famo`. A published method does not beat tuned constant weights here: `mgda`." in line


def test_method_is_compared_with_every_constant():
    other = balanced("0003", [(10, 20), (11, 22), (12, 21)], "linear")
    assert "`famo`" in verdict(result(CONSTANT, other, BETTER)).partition("does not beat")[2]


def test_configurations_of_one_seed_are_not_compared():
    single = balanced("0005", [(19, 19)], "linear"), balanced("0006", [(9, 30)], "mgda")
    line = verdict(result(CONSTANT, BETTER, *single))
    assert line.startswith("Better than the one configuration with constant weights")
    assert "does not beat" not in line
    assert line.endswith("no other was trained: `mgda`.")


def test_single_tasks_are_no_constant_weights():
    stl = balanced("0004", [(1, 1), (2, 2), (3, 3)], "linear", **{"trial.architecture.name": "stl"})
    assert "`famo`" in verdict(result(CONSTANT, stl, BETTER)).partition("does not beat")[0]


def test_one_seed_is_no_evidence():
    assert "no evidence" in verdict(result(CONSTANT[:1], EQUAL[:1]))


def test_front_without_methods_is_compared_with_controls():
    rows = seeded("0000", [(10, 5), (12, 5), (14, 5)])
    near = seeded("near", [(13, 5), (11, 5), (15, 5)], control="near")
    far = seeded("far", [(33, 5), (31, 5), (35, 5)], control="far")
    line = verdict(result(rows, near, far))
    assert line.startswith("Points of the front are better in an objective than control `far`")
    assert line.endswith("none is better than `near`.")
    assert verdict(result(rows, near)).startswith("No point of the front is better")


def test_page_begins_with_the_verdict():
    text = page(result(CONSTANT, EQUAL), CONFIG, {"commit": "abc123"}, "command")
    assert text.splitlines()[2].startswith("**A published method does not beat")
    assert "commit abc123" in text


def test_front_of_several_seeds_is_a_band():
    axes = front_figure(result(CONSTANT, EQUAL)).axes[0]
    labels = axes.get_legend_handles_labels()[1]
    assert "attained by 1 to all of 3 seeds" in labels
    assert "attained by half of the seeds" in labels
    single = front_figure(result(CONSTANT[:1], EQUAL[:1])).axes[0]
    assert "attained by half of the seeds" not in single.get_legend_handles_labels()[1]
