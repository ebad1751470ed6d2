"""Entries of `search.start` that begin with the weights of another trial of the run."""

import pytest
from optuna.trial import TrialState

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, Search
from mtsearch.runs.opening import create_run
from mtsearch.strategy.children import check_added, finished_parent
from mtsearch.strategy.manager import TrialManager
from mtsearch.strategy.repeats import repeat_record, stoppable
from mtsearch.strategy.study import check_search
from tests.helpers.spaces import space
from tests.strategy.test_study import StudyRun

CHILD = {"start": {"trial": "0000"}, "optimizer.lr": 1e-4, "epochs.retrain": 1}


@pytest.mark.parametrize("sampler", ["tpe", "curves", "random"])
def test_children_inherit_the_settings_of_their_parent(tmp_path, sampler):
    one = StudyRun(space(tmp_path, sampler=sampler, start=[{"optimizer.lr": 0.02}, CHILD]))
    for _ in range(3):
        one.end(one.ask())
    first, second, third = (t.config for t in one.state.sorted())
    assert second["start"] == {"trial": "0000", "config": first}
    assert second["optimizer"] == {"name": "adam", "lr": 1e-4}
    assert second["epochs"] == {"search": 1, "retrain": 1}
    rest = set(first) - {"optimizer", "epochs"}
    assert {key: second[key] for key in rest} == {key: first[key] for key in rest}
    assert "start" not in third
    one.run.log.close()


def test_samplers_do_not_learn_from_children(tmp_path):
    with_child = StudyRun(space(tmp_path / "a", sampler="tpe", start=[{}, CHILD]))
    for _ in range(2):
        with_child.end(with_child.ask())
    states = [t.state for t in with_child.study._study.get_trials()]
    assert states == [TrialState.COMPLETE, TrialState.FAIL]
    assert not stoppable(with_child.state.trials["0001"])
    proposal = with_child.study.ask().params
    with_child.run.log.close()

    again = StudyRun(space(tmp_path / "a", sampler="tpe", start=[{}, CHILD]))
    again.run.log.close()
    for _ in range(2):
        again.end(again.ask())
    again.reload()
    assert again.study.ask().params == proposal


START = [{}, CHILD, {"batch_size": 2}]


def test_child_waits_for_its_parent(tmp_path):
    one = StudyRun(
        space(tmp_path, sampler="random", trials=4, start=[{}, CHILD, {"batch_size": 2}])
    )
    first = one.ask()
    assert one.study.waits
    one.end(first)
    assert not one.study.waits
    assert "start" in one.state.trials[one.ask()].config
    assert one.state.trials[one.ask()].config["batch_size"] == 2
    one.run.log.close()


def test_grid_counts_children_apart(tmp_path):
    child = {"start": {"trial": "0001"}, "epochs.retrain": 1}
    one = StudyRun(space(tmp_path, trials=20, start=[child]))
    while len(one.state.trials) < one.study.size:
        one.end(one.ask())
    assert len(one.state.trials) == 9
    assert sum("start" in trial.config for trial in one.state.trials.values()) == 1
    one.run.log.close()


def test_repeat_begins_with_the_repeat_of_its_parent(tmp_path):
    one = StudyRun(space(tmp_path, sampler="random", start=[{}, CHILD]))
    one.end(one.ask())
    repeat = repeat_record(one.state.trials[one.ask()], 2)
    assert repeat.config["seed"] == 2
    assert repeat.config["start"]["trial"] == "0000.s2"
    assert repeat.config["start"]["config"]["seed"] == 2
    one.run.log.close()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"start": {"trial": 3}}, "should name a trial or point of this search in quotes"),
        ({"start": {"trial": "stl"}}, "should name a trial or point"),
        ({"start": "0000"}, "should name a trial or point"),
        ({"start": {"trial": "0004"}}, "`search.trials` should be at least 6. Found 5"),
        ({**CHILD, "architecture": "mdmtn"}, "cannot set `architecture`"),
        ({**CHILD, "optimizer.rate": 1}, "unknown key `search.start[0].optimizer.rate`"),
        ({**CHILD, "optimizer.lr": -1}, "`search.start[0].optimizer.lr`"),
    ],
)
def test_wrong_children_are_refused(tmp_path, entry, said):
    with pytest.raises(BadInput) as error:
        check_search(space(tmp_path, sampler="random", start=[entry]))
    assert said in str(error.value)


def test_resume_adds_entries_at_the_end():
    old = Search(trials=4, start=({"a": 1},))
    check_added(old, Search(trials=5, start=({"a": 1}, CHILD)), 4)
    with pytest.raises(BadInput, match="its 1 present entries"):
        check_added(old, Search(trials=5, start=(CHILD,)), 4)
    with pytest.raises(BadInput, match=r"`search\.trials` should be at least 5"):
        check_added(old, Search(trials=4, start=({"a": 1}, CHILD)), 4)


class ManagedSearch:
    """A search with a child of trial 0, which trial 1 dominates."""

    def __init__(self, root, start):
        self.space = space(root, sampler="random", trials=4, start=start)
        self.run = create_run(self.space, {}, name="toy")
        self.manager = TrialManager(self.run, self.space, DataConfig(dataset="cifar10_mnist"))

    def end(self, name, error):
        self.run.checkpoint(name).mkdir(parents=True, exist_ok=True)
        metrics = {"report": 1, "epoch": 1, "val/image/error": error, "val/digit/error": error}
        self.manager.reports(name, [metrics])
        self.manager.done(name, 1)


def test_parents_keep_their_checkpoints(tmp_path):
    one = ManagedSearch(tmp_path, [{}, {"optimizer.lr": 0.01}, CHILD])
    assert one.manager.next_trial().trial == "stl"
    for name, error in (("0000", 9.0), ("0001", 5.0)):
        assert one.manager.next_trial().trial == name
        one.end(name, error)
    child = one.manager.next_trial()
    assert finished_parent(one.manager.state, child).trial == "0000"
    one.end(child.trial, 3.0)
    assert one.run.checkpoint("0000").exists()
    one.run.log.close()


@pytest.mark.parametrize("index", ["", "@07"])
def test_child_of_an_unusable_parent_fails(tmp_path, index):
    one = ManagedSearch(tmp_path, [{}, {**CHILD, "start": {"trial": f"0000{index}"}}])
    one.manager.next_trial()
    first = one.manager.next_trial()
    one.end(first.trial, 1.0) if index else one.manager.failed(first.trial, "diverged")
    after = one.manager.next_trial()
    failed = one.manager.state.trials["0001"]
    assert failed.state == "failed" and after.trial == "0002"
    assert ("has no point" if index else "is failed") in failed.reason
    one.run.log.close()
