"""The order of trials by identifier."""

from mtsearch.pareto import trial_order


def test_search_trials_by_number_then_controls_by_name():
    names = ["0000", "0002", "0002.s1", "0002@01", "0010", "9999", "10000", str(2**70), "alpha"]
    assert sorted(reversed(names), key=trial_order) == names
    mixed = [("0003", False), ("0001", True), ("stl", True)]
    assert sorted(reversed(mixed), key=lambda entry: trial_order(*entry)) == mixed
