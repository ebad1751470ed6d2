"""Points of a trial: the front, the tests and the checkpoints that a search keeps, also after a
restart and with repeats."""

from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.opening import create_run
from mtsearch.runs.points import point_name
from mtsearch.strategy.manager import TrialManager
from tests.helpers.spaces import space

DATA = DataConfig(dataset="cifar10_mnist")
SET = {"name": "weights_line", "points": 3}


class Search:
    """A search whose trials end at once with three points each: trial 1 dominates trial 0 in its
    first point only; point 2 of every trial is dominated."""

    def __init__(self, root, **search):
        raw = space(root, trials=2, **search).raw
        self.space = Space({**raw, "trial": {**raw["trial"], "pareto_set": SET}})
        self.run, self.worse = create_run(self.space, {}, name="toy"), False
        self.manager = TrialManager(self.run, self.space, DATA)

    def restart(self):
        self.run.log.close()
        self.run = RunDirectory(self.run.path).drive()
        self.manager = TrialManager(self.run, self.run.space, DATA)

    def metrics(self, image, digit):
        return {"report": 1, "epoch": 1, "val/image/error": image, "val/digit/error": digit}

    def step(self):
        trial = self.manager.next_trial()
        if trial is None:
            return False
        number = trial.trial.startswith("0001")
        errors = [(10.0 - number, 50.0), (30.0 + 5 * number, 20.0), (60.0, 60.0)]
        if number and self.worse:
            errors = [(90.0, 90.0)] * 3
        self.manager.reports(trial.trial, [self.metrics(30.0, 30.0)])
        points = [
            {"preference": {"image": i / 2, "digit": 1 - i / 2}, "metrics": self.metrics(*pair)}
            for i, pair in enumerate(errors)
        ]
        names = [trial.trial, *(point_name(trial.trial, i) for i in range(3))]
        for name in names:
            self.run.checkpoint(name).mkdir(parents=True, exist_ok=True)
        self.manager.done(trial.trial, 1, points)
        return True

    def train(self):
        while self.step():
            pass
        return self

    def tests(self):
        found = []
        while (record := self.manager.next_test()) is not None:
            self.manager.tested(record.trial, {"test/image/error": 1.0})
            found.append(record.trial)
        return found

    def checkpoints(self):
        return sorted(path.name for path in (self.run.path / "checkpoints").iterdir())


CONTROL = ["stl@00", "stl@01", "stl@02"]


def test_front_consists_of_points(make):
    search = make().train()
    assert [record.trial for record in search.manager.front()] == ["0000@01", "0001@00"]
    assert search.manager.front_size == 2
    search.restart()
    assert [record.trial for record in search.manager.front()] == ["0000@01", "0001@00"]


def test_points_keep_checkpoints_with_their_trial(make):
    search = make().train()
    points = [f"{trial}@0{i}" for trial in ("0000", "0001") for i in range(3)]
    assert search.checkpoints() == sorted(["0000", "0001", "stl", *points, *CONTROL])
    search.restart()
    assert search.checkpoints() == sorted(["0000", "0001", "stl", *points, *CONTROL])


def test_trials_without_front_points_lose_checkpoints(make):
    search = make()
    search.worse = True  # trial 1 is dominated in every point
    search.train()
    kept = ["0000", "0000@00", "0000@01", "0000@02", "stl", *CONTROL]
    assert search.checkpoints() == kept
    search.restart()
    assert search.checkpoints() == kept


def test_confirmed_points_have_checkpoints_to_test(make):
    search = make().train()
    search.restart()
    raw = search.run.space.raw
    search.space = Space({**raw, "search": {**raw["search"], "confirm": 2}})
    search.manager = TrialManager(search.run, search.space, DATA)
    search.train()
    tested = search.tests()
    assert {"0000@02", "0000.s1@02"} <= set(tested)  # dominated by the first seed
    assert set(tested) <= set(search.checkpoints())


def test_points_of_the_front_are_tested_once(make):
    search = make().train()
    assert search.tests() == ["0000@01", "0001@00", *CONTROL]
    search.restart()
    assert search.tests() == [] and not search.manager.unfinished
    rows = {row["trial"]: row for row in search.run.rows()}
    assert list(rows) == [f"{t}@{i:02d}" for t in ("0000", "0001", "stl") for i in range(3)]
    assert rows["0000@01"]["test/image/error"] == 1.0 and "test/image/error" not in rows["0000@00"]
    assert rows["0000@01"]["trial.preference.image"] == 0.5
    assert rows["0000@01"]["trial.pareto_set.name"] == "weights_line"


def test_sampler_gets_the_report_of_the_trial(make):
    search = make().train()
    told = [trial.values for trial in search.manager.study._study.get_trials()]
    assert told == [[30.0, 30.0], [30.0, 30.0]]


def test_repeats_of_points_are_confirmed_together(make):
    search = make(confirm=2).train()
    names = [trial.trial for trial in search.manager.state.sorted()]
    assert names == ["0000", "0000.s1", "0001", "0001.s1", "stl", "stl.s1"]
    assert "0000.s1@01" in search.tests()
    assert {"0000.s1", "0000.s1@01"} <= set(search.checkpoints())
    search.restart()
    assert {"0000.s1", "0000.s1@01"} <= set(search.checkpoints())
    assert not search.manager.unfinished
