"""Training steps with torch.compile: reports are equal up to rounding errors, and states and
exports do not depend on it."""

import pytest
import torch

import tests.training.plain  # noqa: F401  (registers the backbone)
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import methods
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.training import Trial
from mtsearch.training.compiling import check_compile
from mtsearch.training.sync_norm import SyncBatchNorm2d

DATA = DataConfig(dataset="patches10_digits", limit=128)
WRN = {"name": "wrn", "depth": 10, "widen": 1}


def config(**changes):
    base = {
        "backbone": "plain",
        "batch_size": 64,
        "epochs": {"search": 0, "retrain": 2},
        "optimizer": {"name": "adamw", "lr": 0.002},
    }
    return TrialConfig.model_validate({**base, **changes})


def timeless(reports):
    return [{k: v for k, v in report.items() if k != "cost/seconds"} for report in reports]


def agrees(changes, tmp_path):
    """Compiled and eager reports agree, a restored compiled trial continues bit-identically, and
    states can be exchanged between the two."""
    plain = list(Trial(config(**changes), DATA))
    trial = Trial(config(compile=True, **changes), DATA)
    first = next(trial)
    trial.save(tmp_path / "state")
    whole = [first, next(trial)]
    for ours, theirs in zip(whole, plain, strict=True):
        assert ours.keys() == theirs.keys()
        for key in (k for k in ours if k.endswith("/loss")):
            assert ours[key] == pytest.approx(theirs[key], rel=0.02), key
    assert timeless([next(Trial.restore(tmp_path / "state"))]) == timeless(whole[1:])
    other = Trial(config(**changes), DATA)
    other.load_state_dict(trial.state_dict())
    assert trial.selected_model().state_dict().keys() == other.selected_model().state_dict().keys()
    assert not any("_orig_mod" in key for key in trial.model.state_dict())
    assert trial.evaluate("val") == other.evaluate("val")


def test_compiled_trial_agrees_with_eager_and_restores(tmp_path):
    agrees({}, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bfloat16", "backbone": "cm"},
        {"balancing": {"name": "upgrad", "level": "feature"}},
        {"balancing": {"name": "mgda", "level": "parameter"}},
        {"balancing": "famo"},
        {
            "architecture": {"name": "hps", "norm": "task_affine"},
            "backbone": "cm",
            "task_schedule": {"name": "coin", "rounds": 4},
        },
        {
            "architecture": {"name": "mtln", "head_hidden": 8, "dropout": 0.5},
            "backbone": WRN,
            "batch_size": 48,
        },
        {
            "backbone": "cm",
            "epochs": {"search": 1, "retrain": 1},
            "sparsity": {"mode": "target", "target": 0.5, "share": {"preference": 0.6}},
        },
    ],
    ids=["bfloat16", "features", "parameters", "famo", "task-norm", "dropout", "tied"],
)
def test_step_settings_agree_with_eager_training(changes, tmp_path):
    agrees(changes, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [n for n in methods("architecture") if n not in ("mtln_segnet", "broadcast_scene", "own")],
)
def test_every_architecture_of_several_labels_compiles(name):
    changes = {
        "architecture": name,
        "backbone": WRN if name == "mtln" else "cm",
        "epochs": {"search": 0, "retrain": 1},
    }
    if name == "kdmtl":
        changes["architecture"] = {"name": name, "teacher_epochs": 1}
    plain, trial = Trial(config(**changes), DATA), Trial(config(compile=True, **changes), DATA)
    for ours, theirs in zip(trial, plain, strict=True):
        for key in (k for k in ours if k.endswith("/loss")):
            assert ours[key] == pytest.approx(theirs[key], rel=0.02), key
    trial.close()


def test_synchronised_layers_are_refused():
    with pytest.raises(BadInput, match=r"Use `bn: local`, or leave `compile` out"):
        check_compile(torch.nn.Sequential(SyncBatchNorm2d(3)), torch.device("cpu"))


def test_a_missing_compiler_is_refused(monkeypatch):
    from torch._inductor import config as inductor
    from torch._inductor import cpp_builder

    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    cpp_builder.cpp_compiler_search.cache_clear()
    with pytest.raises(BadInput, match=r"needs a C\+\+ compiler on a CPU\. Found none"):
        check_compile(torch.nn.Identity(), torch.device("cpu"))
    cpp_builder.cpp_compiler_search.cache_clear()


def test_populations_are_not_compiled():
    with pytest.raises(ValueError, match="should have `compile` false"):
        config(compile=True, population={"name": "mto", "tasks": 2, "group_size": 2})
