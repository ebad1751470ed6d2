"""`search.stop`: which rule ends a search, after how many trials, also after a restart."""

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.opening import create_run
from mtsearch.strategy.manager import TrialManager
from mtsearch.strategy.stop_rules import described
from mtsearch.strategy.study import check_search
from tests.helpers.spaces import space

DATA = DataConfig(dataset="cifar10_mnist")


class Search:
    """Trials of two epochs, one at a time; each new trial improves the front as `gains` says."""

    def __init__(self, root, gains=(), gpu=0, **search):
        raw = space(root, trials=12, sampler="random", **search).raw
        self.space = Space({**raw, "controls": {}, "resources": {"cpu": 0.5, "gpu": gpu}})
        self.run = create_run(self.space, {}, name="toy")
        self.manager = TrialManager(self.run, self.space, DATA)
        self.gains = list(gains)

    def restart(self, **changes):
        self.run.log.close()
        self.run = RunDirectory(self.run.path).drive()
        if changes:
            self.run.log.append("resume", changes=changes)
        self.space = self.run.space
        self.manager = TrialManager(self.run, self.space, DATA)

    def step(self, epochs=2):
        """Train the next trial; returns its name, or None at the end."""
        if (trial := self.manager.next_trial()) is None:
            return None
        done = self.manager.proposed
        error = 50.0 - sum(self.gains[:done])
        for number in range(1, epochs + 1):
            report = {"report": number, "epoch": number, "cost/seconds": 1800.0 * number}
            report |= {"val/image/error": error, "val/digit/error": 50.0}
            self.manager.reports(trial.trial, [report])
        self.manager.done(trial.trial, epochs)
        return trial.trial

    def finish(self, restart_after=None):
        """The number of trials that the search trains."""
        while self.step() is not None:
            if self.manager.proposed == restart_after:
                self.restart()
        return self.manager.proposed


@pytest.fixture
def make(tmp_path):
    made = []

    def one(**search):
        made.append(Search(tmp_path / str(len(made)), **search))
        return made[-1]

    yield one
    for search in made:
        search.run.log.close()


@pytest.mark.parametrize("restart_after", [None, 2, 4])
def test_epochs_end_the_search(make, restart_after):
    """7 epochs are reached within the fourth trial of two."""
    search = make(stop={"epochs": 7})
    assert search.finish(restart_after) == 4
    assert search.run.state().stop == (
        "`search.stop.epochs` has ended the search: 7 epochs are trained, the limit is 7"
    )
    search.restart()
    assert not search.manager.pending


@pytest.mark.parametrize("restart_after", [None, 5, 7])
def test_plateau_ends_the_search(make, restart_after):
    """The last gain is the fourth trial's; three trials later the window has none."""
    gains = [0.0, 5.0, 0.0, 5.0] + 8 * [0.0]
    search = make(gains=gains, stop={"plateau": {"window": 3, "gain": 0.01}})
    assert search.finish(restart_after) == 7
    assert "grew by 0 % in 3 trials" in search.run.state().stop


def test_stopped_and_failed_trials_count_in_the_window(make):
    search = make(stop={"plateau": {"window": 2}})
    search.step()
    for end in (search.manager.stopped, search.manager.failed):
        trial = search.manager.next_trial()
        end(trial.trial, "a reason")
    assert search.manager.next_trial() is None


def test_gpu_hours_count_the_gpus_of_a_trial(make):
    """Each trial trains for an hour with two GPUs."""
    search = make(stop={"gpu_hours": 6}, gpu=2)
    assert search.finish() == 3


def test_gpu_hours_without_gpus_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"`resources\.gpu` is 0"):
        check_search(space(tmp_path, trials=4, stop={"gpu_hours": 6}))


def test_running_trials_finish_by_default(make):
    search = make(stop={"epochs": 2})
    running = search.manager.next_trial()
    search.step()
    assert search.manager.rules.reason and search.manager.rules.stops_running is None
    assert search.manager.next_trial() is None and search.manager.has_running_trials
    search.restart()
    assert search.manager.next_trial().trial == running.trial


def test_running_trials_are_stopped_where_asked(make):
    """Also those that an interrupted driver left."""
    search = make(stop={"epochs": 2, "running": "stop"})
    running = search.manager.next_trial()
    search.step()
    assert search.manager.rules.stops_running == search.manager.rules.reason
    search.restart()
    assert search.manager.next_trial() is None
    ended = search.manager.state.trials[running.trial]
    assert ended.state == "stopped" and ended.reason.startswith("`search.stop.epochs` has ended")


def test_resume_with_a_larger_limit_continues(make):
    search = make(stop={"epochs": 4})
    assert search.finish() == 2
    search.restart(**{"search.stop.epochs": 8})
    assert search.finish() == 4
    search.restart(**{"search.stop.epochs": None})
    assert search.finish() == 12
    assert search.run.state().stop is None


def test_front_is_confirmed_after_a_rule(make):
    search = make(stop={"epochs": 4}, confirm=2)
    search.finish()
    assert [name for name in search.manager.state.trials if "s1" in name]


def test_budget_is_the_recorded_reason(make):
    search = make(budget=1e-9)
    assert search.finish() == 0
    assert search.run.state().stop.startswith("`search.budget` has ended the search")
    search.restart(**{"search.budget": None})
    assert search.finish() == 12


def test_rules_in_words(tmp_path):
    assert described(space(tmp_path, trials=4).config) is None
    stop = {"epochs": 40, "plateau": {"window": 5}, "running": "stop"}
    assert described(space(tmp_path, trials=4, stop=stop).config) == (
        "at the first of 4 trials, 40 epochs, a gain in hypervolume of at most 1 % in 5 trials;"
        " running trials are stopped at their next report"
    )
