"""A resumed search with `curves` and `moasha` makes the same proposals, stopped trials included."""

import math

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.opening import create_run
from mtsearch.strategy.manager import TrialManager
from mtsearch.strategy.study import check_search
from tests.helpers.spaces import space

DATA = DataConfig(dataset="cifar10_mnist")
CURVES = {"sampler": {"name": "curves", "startup": 3}, "scheduler": {"name": "moasha", "grace": 1}}


class Search:
    """A search without training: the errors follow from the learning rate and the batch size."""

    def __init__(self, root, **search):
        self.space = space(root, trials=9, **{**CURVES, **search})
        self.run = create_run(self.space, {}, name="toy")
        self.manager = TrialManager(self.run, self.space, DATA)

    def restart(self):
        self.run.log.close()
        self.run = RunDirectory(self.run.path).drive()
        self.manager = TrialManager(self.run, self.run.space, DATA)

    def report(self, trial, number):
        """Report; returns whether the trial was stopped."""
        far = abs(math.log10(trial.config["optimizer"]["lr"]) + 3)
        metrics = {
            "report": number,
            "epoch": number,
            "val/image/error": 30 + 5 * far + trial.config["batch_size"] + 9 / number,
            "val/digit/error": 20 + 5 * far - trial.config["batch_size"] + 9 / number,
        }
        stop = self.manager.scheduler.judge(trial.trial, [metrics])
        self.manager.reports(trial.trial, [metrics], stop)
        if stop:
            self.manager.stopped(trial.trial, stop)
        return stop is not None

    def play(self, restarts=()):
        """All trials, two at a time; before the steps in `restarts` the driver starts again."""
        running = []
        for step in range(100):
            if step in restarts:
                self.restart()
                running = []
            while len(running) < 2 and (trial := self.manager.next_trial()) is not None:
                running.append(trial)
            if not running:
                break
            trial = running.pop(0)
            number = max(trial.reports, default=0) + 1
            if trial.kind == "search" and self.report(trial, number):
                continue
            if trial.kind == "control" or number == 4:
                if trial.kind == "control":
                    self.manager.reports(
                        trial.trial,
                        [{"report": 1, "val/image/error": 1.0, "val/digit/error": 1.0}],
                    )
                self.manager.done(trial.trial, max(trial.reports))
            else:
                running.insert(0, trial)
        return [t for t in self.manager.state.sorted() if t.kind == "search"]


def test_restarted_driver_proposes_the_same(make):
    plain, restarted = make().play(), make().play(restarts=(6, 11, 17))
    assert {t.state for t in plain} == {"done", "stopped"}
    assert [t.params for t in plain] == [t.params for t in restarted]
    assert [t.state for t in plain] == [t.state for t in restarted]


def test_prior_moves_the_first_trials(make):
    found = make(prior={"optimizer.lr": {"around": 0.003, "width": 1.2}}).play()
    assert all(0.001 < t.params["trial.optimizer.lr"] < 0.01 for t in found[:3])


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        ({"optimizer.rate": {"around": 1}}, "`search.prior` has `optimizer.rate`"),
        ({"optimizer.lr": {"around": 7, "width": 2}}, "`search.prior.optimizer.lr.around`"),
        ({"optimizer.lr": {"around": 0.01, "width": 1}}, "should be above 1. Found 1"),
        ({"sparsity": {"around": "all"}}, "`search.prior.sparsity` should have `around`"),
        ({"preference": {"around": 0.3}}, "is a simplex"),
    ],
)
def test_wrong_priors_are_refused(tmp_path, prior, said):
    with pytest.raises(BadInput) as error:
        check_search(space(tmp_path, sampler="curves", prior=prior))
    assert said in str(error.value)


def test_prior_without_the_sampler_is_refused(tmp_path):
    with pytest.raises(BadInput, match="prior"):
        space(tmp_path, sampler="random", prior={"optimizer.lr": {"around": 0.01, "width": 2}})
