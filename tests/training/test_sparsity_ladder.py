"""Sparsity ladders: phases, points, continuation and what is refused."""

import pytest
import torch

from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.population import build_trial, restore_trial
from mtsearch.sparsity import prunable_layers, zero_rows
from mtsearch.training import Trial
from tests.training.test_pareto_set import timeless

DATA = DataConfig(dataset="patches10_digits", limit=200)


def config(**changes):
    base = {
        "batch_size": 64,
        "epochs": {"search": 0, "retrain": 2},
        "optimizer": {"name": "adamw", "lr": 0.003},
        "pareto_set": {"name": "sparsity_ladder", "levels": [0.5, 0.75], "epochs": 1},
    }
    return TrialConfig.model_validate({**base, **changes})


@pytest.fixture(scope="module")
def ladder():
    trial = build_trial(config(ema=0.5), DATA)
    list(trial)
    return trial


def test_every_level_is_a_point_with_its_zero_rows(ladder):
    points = list(ladder.points())
    assert [point.settings for point in points] == [{"level": v} for v in (0.0, 0.5, 0.75)]
    assert [point.metrics["epoch"] for point in points][1:] == [3, 4]
    sizes = [point.metrics["model/nonzero"] for point in points]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3
    for level, index in ((0.5, 1), (0.75, 2)):
        model = ladder.point_model(index)
        for layer in prunable_layers(model, model.prunable).values():
            rows = layer.weight.shape[1]
            assert len(zero_rows(layer.weight)) >= int(level * rows + 1e-9)


def test_zero_rows_stay_zero_at_the_next_level(ladder):
    models = [ladder.point_model(i) for i in (1, 2)]
    layers = [prunable_layers(model, model.prunable) for model in models]
    for name in layers[0]:
        before, after = ({*map(int, zero_rows(found[name].weight))} for found in layers)
        assert before <= after


def test_first_point_equals_the_dense_training(ladder):
    dense = Trial(config(ema=0.5, pareto_set=None), DATA)
    list(dense)
    for name, weight in dense.selected_model().state_dict().items():
        assert torch.equal(weight, ladder.point_model(0).state_dict()[name])


def test_points_restore_as_plain_trials(ladder, tmp_path):
    for index, point in enumerate(ladder.points()):
        point.save(tmp_path / str(index))
        plain = restore_trial(tmp_path / str(index), DATA)
        assert type(plain) is Trial and plain.finished and plain.config.pareto_set is None
        found = plain.evaluate("val")
        assert found == {key: point.metrics[key] for key in found}


@pytest.mark.parametrize("reports", [1, 2, 3])
def test_continued_ladder_equals_the_uninterrupted_one(ladder, tmp_path, reports):
    trial = build_trial(config(ema=0.5), DATA)
    for _ in range(reports):
        next(trial)
    trial.save(tmp_path)
    again = restore_trial(tmp_path, DATA)
    assert timeless([*again.reports, *again]) == timeless(ladder.reports)
    ours, theirs = ([timeless([p.metrics]) for p in t.points()] for t in (again, ladder))
    assert ours == theirs


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pareto_set": {"name": "sparsity_ladder", "levels": [0.5, 0.5]}}, "ascending order"),
        ({"pareto_set": {"name": "sparsity_ladder", "levels": [0.0, 0.5]}}, "between 0 and 1"),
        ({"sparsity": {"mode": "target"}, "epochs": {"search": 1}}, "`sparsity` none"),
    ],
)
def test_wrong_ladders_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        config(**changes)
