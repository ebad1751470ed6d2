"""Trials with per-task normalisation."""

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.training import Trial

DATA = DataConfig(dataset="patches10_digits", limit=200)


def config(norm, **changes):
    base = {
        "architecture": {"name": "hps", "norm": norm},
        "backbone": "cm",
        "batch_size": 64,
        "epochs": {"search": 0, "retrain": 1},
    }
    return TrialConfig.model_validate({**base, **changes})


@pytest.mark.parametrize("norm", ["task_statistics", "task_affine"])
def test_task_norm_requires_parameter_level_balancing(norm):
    with pytest.raises(
        BadInput,
        match=(
            rf"`trial.architecture.norm: {norm}` every task has its own features. Use `level:"
            r" parameter`"
        ),
    ):
        Trial(config(norm, balancing="mgda"), DATA)
    assert list(Trial(config(norm, balancing={"name": "mgda", "level": "parameter"}), DATA))
    assert list(Trial(config("group", balancing="mgda"), DATA))


def test_macs_count_the_trunk_once_per_task():
    shared, apart = (
        next(Trial(config(norm), DATA))["model/macs"] for norm in ("shared", "task_statistics")
    )
    assert apart > 1.9 * shared


def test_populations_refuse_norms_by_task_and_drift():
    for changes, part in (
        ({}, "`architecture.norm` shared or group"),
        ({"architecture": "hps", "idle": "drift"}, "`idle` frozen"),
    ):
        with pytest.raises(ValueError, match=part):
            config("task_affine", population="mto", **changes)
