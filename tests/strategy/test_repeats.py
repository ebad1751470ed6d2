"""No configuration is proposed twice, and a space without new configurations ends the search."""

import pytest

from mtsearch.config.space import Space
from mtsearch.strategy.points import configuration_key
from tests.helpers.spaces import space
from tests.strategy.test_study import StudyRun

SAMPLERS = ["tpe", "nsga2", "nsga3", "random", "qmc", "grid"]


def small(root, trial, *, sampler="tpe", trials=12, **search):
    """A space with these dimensions."""
    settings = {"name": sampler}
    if sampler in ("tpe", "nsga2", "nsga3", "gp"):
        settings["startup"] = 4
    raw = space(root, trials=trials, sampler=settings, **search).raw
    return Space(raw | {"trial": {"epochs": {"search": 1, "retrain": 0}, **trial}})


def sizes(*options):
    return {"batch_size": {"choice": list(options), "default": options[0]}}


@pytest.fixture
def study_run(tmp_path):
    made = []

    def make(trial, **settings):
        made.append(StudyRun(small(tmp_path, trial, **settings)))
        return made[-1]

    yield make
    for one in made:
        one.run.log.close()


def finish(one, reload_every=0):
    """Run the study to its end. Returns the configurations."""
    while len(one.state.trials) < one.study.size:
        one.end(one.ask())
        if reload_every and len(one.state.trials) % reload_every == 0:
            one.reload()
    return [trial.config for trial in one.state.sorted()]


def distinct(one, configs):
    return len({configuration_key(one.space, config) for config in configs})


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_two_choices_are_trained_once_each(study_run, sampler):
    one = study_run(sizes(32, 64), sampler=sampler, trials=5)
    assert one.study.size == 2
    assert sorted(config["batch_size"] for config in finish(one)) == [32, 64]
    with pytest.raises(RuntimeError, match="all 2 configurations"):
        one.study.ask()


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "qmc", "gp"])
def test_space_is_exhausted_without_repeats(study_run, sampler):
    trial = {**sizes(1, 2, 3), "seed": {"int": [0, 1], "default": 0}}
    one = study_run(trial, sampler=sampler, trials=99)
    configs = finish(one)
    assert len(configs) == one.study.size == distinct(one, configs) == 6


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_resume_proposes_the_same_after_repeats(study_run, sampler):
    trial = {**sizes(*range(1, 9)), "seed": {"int": [0, 2], "default": 0}}
    plain, resumed = (study_run(trial, sampler=sampler, trials=24) for _ in range(2))
    assert finish(plain) == finish(resumed, reload_every=3)
    resumed.run.journal.unlink()
    resumed.reload()
    assert resumed.study.size == len(resumed.state.trials) == 24


def test_seeds_are_the_repeats_that_are_asked_for(study_run):
    one = study_run({**sizes(32, 64), "seed": {"int": [0, 2], "default": 0}})
    configs = finish(one)
    assert sorted((c["batch_size"], c["seed"]) for c in configs) == [
        (size, seed) for size in (32, 64) for seed in (0, 1, 2)
    ]


def test_options_that_make_the_same_trial_count_once(study_run):
    rate = {"name": "adam", "lr": {"choice": [1, 1.0, 0.001], "default": 1}}
    one = study_run({"optimizer": rate, **sizes(32)})
    assert one.study.size == 2
    configs = finish(one)
    assert len(configs) == distinct(one, configs) == 2


def test_genetic_sampler_in_continuous_space_does_not_repeat(study_run):
    trial = {"optimizer": {"name": "adam", "lr": {"loguniform": [1e-4, 1e-1], "default": 1e-3}}}
    one = study_run({**trial, **sizes(8)}, sampler="nsga2", trials=60)
    assert distinct(one, finish(one)) == 60


def test_rare_continuous_branch_gives_new_configurations(study_run):
    branch = {"mode": "target", "target": {"uniform": [0.1, 0.9], "default": 0.5}}
    trial = {**sizes(32), "sparsity": {"choice": ["none", branch], "default": "none"}}
    one = study_run(trial, sampler="random", trials=12)
    configs = finish(one)
    assert distinct(one, configs) == 12
    assert sum(config["sparsity"] == "none" for config in configs) == 1


def test_failed_configuration_is_not_repeated(study_run):
    one = study_run(sizes(32, 64), trials=5)
    name = one.ask()
    one.write("end", trial=name, state="failed", reason="out of memory")
    one.study.tell(one.state.trials[name])
    one.reload()
    assert one.study.size == 2
    assert one.study.ask().config != one.state.trials[name].config


def test_longer_search_continues_an_exhausted_one(study_run):
    one = study_run(sizes(1, 2, 3, 4), trials=2)
    assert one.study.size == 2 and len(finish(one)) == 2
    one.space = small(one.space.config.results.root, sizes(1, 2, 3, 4), trials=9)
    one.reload()
    assert one.study.size == 4
    assert sorted(config["batch_size"] for config in finish(one)) == [1, 2, 3, 4]
