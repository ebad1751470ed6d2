"""Repeats with further seeds: `search.repeats` and `search.confirm`, also after a restart."""

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.execution.remarks import remarks
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.opening import create_run
from mtsearch.strategy.controls import control_trials
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


def searched(root, trials=4, **search):
    """A space whose control `stl` searches its learning rate."""
    raw = space(root, trials=2, **search).raw
    raw["controls"] = {
        "stl": {
            **raw["controls"]["stl"],
            "optimizer": {"name": "adam", "lr": {"loguniform": [1e-4, 1e-1], "default": 1e-3}},
            "search": {"trials": trials, "over": ["optimizer.lr"]},
        }
    }
    return Space(raw)


class ControlSearch(Search):
    """The error of the control is smallest at a learning rate of 0.02."""

    def __init__(self, root, **search):
        self.space = searched(root, **search)
        self.run = create_run(self.space, {}, name="toy")
        self.manager = TrialManager(self.run, self.space, DATA)
        self.order = []

    def metrics(self, trial):
        found = super().metrics(trial)
        lr = trial.config.get("optimizer", {}).get("lr", 0.02)
        return found | {"val/image/error": found["val/image/error"] + 1e3 * abs(lr - 0.02)}


@pytest.fixture
def control_search(tmp_path):
    search = ControlSearch(tmp_path, confirm=2)
    yield search
    search.run.log.close()


def test_best_configuration_of_a_control_is_the_control(control_search):
    search = control_search.finish()
    assert search.order[:6] == ["stl", "stl.t01", "stl.t02", "stl.t03", "0000", "0001"]
    state = search.manager.state
    rates = {name: state.trials[name].config["optimizer"]["lr"] for name in search.order[:4]}
    assert rates["stl"] == 1e-3
    assert len(set(rates.values())) == 4
    best = min(rates, key=lambda name: abs(rates[name] - 0.02))
    assert best != "stl"
    assert f"{best}.s1" in search.order
    rows = search.run.rows()
    assert [row["trial"] for row in rows if row["kind"] == "control"] == [best, f"{best}.s1"]
    assert sum(row["kind"] == "candidate" for row in rows) == 3
    assert {name for name in search.checkpoints() if name.startswith("stl")} == {
        best,
        f"{best}.s1",
    }
    (command,) = (row["command"] for row in rows if row["trial"] == best)
    assert f"controls.stl.optimizer.lr={rates[best]!r}" in command.replace("'", "")


@pytest.mark.parametrize("stop", [1, 3, 6, 7])
def test_searched_control_continues_after_a_restart(control_search, tmp_path, stop):
    whole = control_search.finish()
    search = ControlSearch(tmp_path / "cut", confirm=2)
    for _ in range(stop):
        search.step()
    search.restart()
    search.finish()
    rows = [
        [(r["trial"], r["kind"], r["val/image/error"]) for r in s.run.rows()]
        for s in (whole, search)
    ]
    assert rows[0] == rows[1]
    search.run.log.close()


def test_fixed_setting_of_a_searched_control_stays_fixed(tmp_path):
    raw = space(tmp_path, trials=1).raw
    raw["trial"] |= {"batch_size": 4}
    raw["controls"] = {"stl": {"search": {"trials": 3, "over": ["batch_size"]}}}
    one = Space(raw)
    assert list(control_trials(one)) == ["stl"]
    assert any(
        "`controls.stl.search` draws nothing" in line for line in remarks(one, 1, [{"CPU": 8}])
    )


def test_small_searched_control_has_fewer_trials(tmp_path):
    raw = space(tmp_path).raw
    raw["controls"]["stl"] |= {
        "batch_size": {"choice": [8, 16], "default": 8},
        "search": {"trials": 9, "over": ["batch_size"]},
    }
    assert list(control_trials(Space(raw))) == ["stl", "stl.t01"]
    raw["controls"]["stl"] |= {"batch_size": 8}  # the dimension is that of the trial
    assert len(control_trials(Space(raw))) == 8


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        ({"over": ["clip"]}, r"`controls\.stl\.search\.over` names `clip`"),
        ({"over": ["optimizer.nothing"]}, "names `optimizer.nothing`"),
        ({"over": []}, r"`controls\.stl\.search\.over`"),
        ({"trials": 1, "over": ["batch_size"]}, r"`controls\.stl\.search\.trials`"),
        ({"trails": 3, "over": ["batch_size"]}, r"unknown key `controls\.stl\.search\.trails`"),
    ],
)
def test_wrong_search_of_a_control_is_refused(tmp_path, search, sentence):
    raw = space(tmp_path).raw
    raw["controls"] = {"stl": {"architecture": "stl", "search": search}}
    with pytest.raises(BadInput, match=sentence):
        Space(raw)
