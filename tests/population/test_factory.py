"""Populations in the commands: they are trained, tested and exported like other trials."""

import pytest

from mtsearch.commands import export, train
from mtsearch.config.errors import BadInput
from mtsearch.config.reading import load_space
from mtsearch.config.schema import TrialConfig
from mtsearch.data import load_card
from mtsearch.population import Population, restore_trial, total_epochs_of, trial_class_for
from mtsearch.runs.directory import RunDirectory
from mtsearch.training import Trial
from tests.population.tiny import config

SPACE = """
data: {dataset: drawn_scenes, limit: 100, size: 16}
objectives: [val/scene/error]
delta_m: null
trial:
  backbone: cm
  batch_size: 32
  population: {name: mto, tasks: 2, interval: 2, budget: 16, holdout_fraction: 0.2}
"""


@pytest.fixture(autouse=True)
def tiny_data():
    """Override the fixture of the same name: these tests use a dataset card."""


def test_a_population_is_trained_tested_and_exported(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SPACE)
    assert train.main(["space=small.yaml", "test=true"]) == 0
    run = RunDirectory(capsys.readouterr().out.splitlines()[-1].removeprefix("run: "))
    (row,) = run.rows()
    assert (row["state"], row["cost/steps"], row["population/round"]) == ("done", 16, 2)
    assert row["trial.population.tasks"] == 2 and 0 <= row["test/scene/error"] <= 100
    assert isinstance(restore_trial(run.checkpoint("0000")), Population)
    assert export.main([f"run={run.path}", "pick=trial:0000", f"out={tmp_path / 'out'}"]) == 0
    assert (tmp_path / "out" / "model.pt2").exists()


def test_factory_class_and_epochs_follow_the_configuration():
    assert trial_class_for(TrialConfig()) is Trial and trial_class_for(config()) is Population
    assert total_epochs_of(TrialConfig(), 100) == 12
    assert total_epochs_of(config(), 96) == 48 * 16 / 96
    assert total_epochs_of(config(trial__epochs={"search": 1, "retrain": 1}), 96) == 4 * 2


def test_the_reference_preset_fills_what_is_not_given():
    found = TrialConfig.model_validate(
        {"population": {"name": "mto", "preset": "reference", "tasks": 6}}
    ).population
    assert (
        found.tasks,
        found.group_size,
        found.interval,
        found.validation_policy,
        found.eval_transform,
    ) == (
        6,
        2,
        100,
        "independent",
        "train",
    )
    assert (
        TrialConfig.model_validate({"population": found.model_dump(mode="json")}).population
        == found
    )


@pytest.mark.parametrize("name", ["mto_rsscn7", "mto_losses"])
@pytest.mark.parametrize("profile", [None, "quick"])
def test_controls_execute_as_many_steps_as_the_search(name, profile):
    """All but the plain training, which has one member's, and the hard-shared network, which has
    epochs."""
    space = load_space(name, profile=profile)
    whole = space.trial().population
    for control, tree in space.controls.items():
        found = space.trial(tree).population
        if found is None:
            continue
        share = whole.tasks * whole.group_size if control == "single" else 1
        assert found.budget * share == whole.budget and found.budget % found.per_round == 0, control
    for dimension in ("tasks", "group_size", "interval"):
        options = space.tree["population"][dimension]
        for option in options["choice"] if isinstance(options, dict) else [options]:
            assert whole.budget % whole.model_copy(update={dimension: option}).per_round == 0


def test_a_space_names_its_target():
    space = load_space("mto_losses", ["trial.population.target=null"])
    with pytest.raises(
        BadInput,
        match=r"`trial.population.target` should be a task of rsscn7_sr_losses: .*\. Found none\.",
    ):
        space.check(load_card("rsscn7_sr_losses"))
