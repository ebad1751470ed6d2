"""Repeats with further seeds: `search.repeats` and `search.confirm`, also after a restart."""

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.opening import create_run
from mtsearch.strategy.manager import TrialManager
from mtsearch.strategy.repeats import means
from mtsearch.strategy.study import check_search
from tests.helpers.spaces import space

DATA = DataConfig(dataset="cifar10_mnist")


class Search:
    """A search whose trials end at once; batch size 1 and 3 make the front."""

    def __init__(self, root, **search):
        self.space = space(root, trials=4, **search)
        self.run = create_run(self.space, {}, name="toy")
        self.manager = TrialManager(self.run, self.space, DATA)
        self.order = []

    def restart(self, **changes):
        self.run.log.close()
        self.run = RunDirectory(self.run.path).drive()
        if changes:
            self.run.log.append("resume", changes=changes)
        self.space = self.run.space
        self.manager = TrialManager(self.run, self.space, DATA)

    def metrics(self, trial):
        size, seed = trial.config["batch_size"], trial.config.get("seed", 0)
        return {
            "report": 1,
            "epoch": 1,
            "val/image/error": 30.0 + 5 * size + seed,
            "val/digit/error": 20.0 - 4 * (size % 4) - seed,
        }

    def step(self):
        """Train the next trial; returns its name, or None at the end."""
        trial = self.manager.next_trial()
        if trial is not None:
            self.run.checkpoint(trial.trial).mkdir(parents=True, exist_ok=True)
            self.manager.reports(trial.trial, [self.metrics(trial)])
            self.manager.done(trial.trial, 1)
            self.order.append(trial.trial)
        return None if trial is None else trial.trial

    def finish(self):
        while self.step():
            pass
        while (trial := self.manager.next_test()) is not None:
            self.manager.tested(trial.trial, {"test/image/error": 1.0})
        return self

    def checkpoints(self):
        return sorted(path.name for path in (self.run.path / "checkpoints").iterdir())

    def told(self):
        return [trial.values for trial in self.manager.study._study.get_trials()]


@pytest.fixture
def make(tmp_path):
    made = []

    def one(**search):
        made.append(Search(tmp_path / str(len(made)), **search))
        return made[-1]

    yield one
    for search in made:
        search.run.log.close()


def test_every_configuration_has_its_seeds(make):
    search = make(repeats=3).finish()
    names = ["stl", "0000", "0001", "0002", "0003"]
    assert search.order == [f"{n}{part}" for n in names for part in ("", ".s1", ".s2")]
    trials = [t for t in search.manager.state.sorted() if t.configuration == "0002"]
    assert [t.config.get("seed", 0) for t in trials] == [0, 1, 2]
    assert search.manager.proposed == 4
    assert search.manager.total == 15
    assert not search.manager.unfinished


def test_sampler_is_told_means(make):
    search = make(repeats=3).finish()
    assert search.told()[0] == pytest.approx([36.0, 15.0])  # seeds 0, 1, 2 of batch size 1
    search.restart()
    assert search.told()[0] == pytest.approx([36.0, 15.0])


def test_lost_journal_is_rebuilt_with_means(make):
    search = make(repeats=2)
    for _ in range(6):  # the last trial of the control, of 0000 and of 0001
        search.step()
    search.step()  # 0002, whose repeat has not begun
    told = search.told()
    search.run.journal.unlink()
    search.restart()
    assert search.told() == told
    assert told[2] is None
    assert search.step() == "0002.s1"


def test_confirm_repeats_front_and_controls(make):
    search = make(confirm=3).finish()
    first = ["stl", "0000", "0001", "0002", "0003"]
    assert search.order[:5] == first
    front = [trial.trial for trial in search.manager.front()]
    assert front == ["0000", "0001", "0002"]
    assert search.order[5:] == [f"{n}.s{i}" for n in [*front, "stl"] for i in (1, 2)]
    assert search.told()[0] == pytest.approx([35.0, 16.0])  # the first seed alone
    tested = [t.trial for t in search.manager.state.sorted() if t.test]
    assert sorted(tested) == sorted([*front, "stl", *search.order[5:]])
    assert search.checkpoints() == sorted(tested)


@pytest.mark.parametrize("stop", range(1, 13))
def test_restart_gives_the_same_rows(make, stop):
    whole, search = make(confirm=3).finish(), make(confirm=3)
    for _ in range(stop):
        if search.step() is None:
            break
    search.manager.next_trial()  # begun, without a report
    search.restart()
    search.finish()
    drop = ("attempts", "command")
    rows = [
        [{k: v for k, v in row.items() if k not in drop} for row in one.run.rows()]
        for one in (whole, search)
    ]
    assert rows[0] == rows[1]


def test_finished_run_is_confirmed_later(make):
    search = make().finish()
    assert not search.manager.unfinished
    search.restart(**{"search.confirm": 2})
    assert search.manager.unfinished
    search.finish()
    assert search.order[5:] == ["0000.s1", "0001.s1", "0002.s1", "stl.s1"]
    search.restart(**{"search.trials": 4})
    assert not search.manager.unfinished


def test_failed_repeat_leaves_the_mean_of_others(make):
    search = make(repeats=2)
    for _ in range(3):
        search.step()
    trial = search.manager.next_trial()
    assert trial.trial == "0000.s1"
    search.manager.failed(trial.trial, "out of memory")
    assert search.told()[0] == pytest.approx([35.0, 16.0])
    assert search.step() == "0001"


def test_failed_trial_has_no_repeats(make):
    search = make(repeats=2)
    search.step(), search.step()
    trial = search.manager.next_trial()
    search.manager.failed(trial.trial, "out of memory")
    assert search.step() == "0001"


def test_searched_seed_refuses_repeats(tmp_path):
    raw = space(tmp_path, repeats=2).raw
    raw["trial"] = raw["trial"] | {"seed": {"choice": [0, 1], "default": 0}}
    with pytest.raises(BadInput, match=r"`search\.repeats` sets `trial.seed` itself"):
        check_search(Space(raw))


def test_means_ignore_the_order_of_results():
    results = [{"a": 0.1 * i, "b": None, "c": "x"} for i in range(7)]
    assert means(results) == {"a": pytest.approx(0.3), "b": None, "c": "x"}
    assert means(results)["a"] == means(results[::-1])["a"]
