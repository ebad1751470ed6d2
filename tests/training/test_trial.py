"""A trial: equal seeds give equal reports, a restored trial continues bit-identically, and
retraining keeps the structure."""

import json
import math

import pytest
import torch

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import open_dataset
from mtsearch.training import Diverged, Trial, state
from mtsearch.training.aggregates import error_units
from mtsearch.training.checks import check_trial
from mtsearch.training.state import load_state, save_state

DATA = DataConfig(dataset="patches10_digits", limit=300)


def config(**changes):
    base = {
        "architecture": "hps",
        "backbone": "cm",
        "batch_size": 64,
        "epochs": {"search": 2, "retrain": 2},
        "optimizer": {"name": "adamw", "lr": 0.003},
        "lr_schedule": "onecycle",
        "sparsity": {"mode": "target", "target": 0.5},
    }
    return TrialConfig.model_validate({**base, **changes})


def timeless(reports):
    return [{k: v for k, v in report.items() if k != "cost/seconds"} for report in reports]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "architecture": "mdmtn",
            "init": "lsuv",
            "sparsity": {"mode": "target", "target": 0.5, "share": {"preference": 0.6}},
        },
        {
            "sparsity": {"mode": "coefficient"},
            "balancing": {"name": "chebyshev_al", "mu": 0.5, "rho": 1.5},
            "clip": 1.0,
        },
        {
            "sparsity": "none",
            "ema": 0.9,
            "optimizer": {"name": "sgd", "lr": 0.05},
            "lr_multipliers": {"heads": 0.5},
            "augment": {"rotation": 20, "flip": True, "crop": 2},
        },
        {
            "architecture": "stl",
            "sparsity": "none",
            "optimizer": "adam",
            "balancing": "smooth_chebyshev",
        },
        {
            "architecture": {"name": "hps", "norm": "task_affine"},
            "task_schedule": {"name": "coin", "rounds": 4},
            "ema": 0.9,
        },
    ],
    ids=[
        "target",
        "mdmtn-shared",
        "coefficient-al",
        "dense-ema-sgd-augmented",
        "stl",
        "per-task-norm",
    ],
)
def test_restored_trial_continues_bit_identically(changes, tmp_path):
    whole = list(Trial(config(**changes), DATA))
    assert [r["report"] for r in whole] == [1, 2, 3, 4]
    trial = Trial(config(**changes), DATA)
    for number in range(4):
        trial.save(tmp_path / "state")
        trial = Trial.restore(tmp_path / "state")
        assert timeless([next(trial)]) == timeless(whole[number : number + 1])
    trial.save(tmp_path / "end")
    done = Trial.restore(tmp_path / "end")
    with pytest.raises(StopIteration):
        next(done)
    assert timeless([done.selected]) == timeless([trial.selected])
    assert done.evaluate("val") == {k: v for k, v in done.selected.items() if k.startswith("val/")}


def test_trials_in_one_process_are_independent():
    alone = list(Trial(config(), DATA))
    first, second = Trial(config(), DATA), Trial(config(seed=1), DATA)
    mixed = []
    for report in first:
        mixed.append(report)
        next(second)
        torch.rand(3)
    assert timeless(mixed) == timeless(alone)


def test_dense_phase_is_search_plus_retrain_epochs():
    assert [r["phase"] for r in Trial(config(sparsity="none"), DATA)] == ["train"] * 4
    assert [r["phase"] for r in Trial(config(), DATA)] == ["search", "search", "retrain", "retrain"]
    assert [r["epoch"] for r in Trial(config(report_every=2), DATA)] == [2, 4]


def test_sparsity_target_is_kept_in_every_layer():
    trial = Trial(config(), DATA)
    rates = [report["model/sparsity_rate"] for report in trial]
    assert rates[1] == rates[2] == rates[3] > 40
    model = trial.selected_model()
    for name in model.prunable:
        weight = model.get_submodule(name).weight
        zero = (weight.transpose(0, 1).flatten(1) == 0).all(1).sum().item()
        assert zero == math.floor(0.5 * weight.shape[1])


def test_selected_report_is_earliest_best_of_last_phase():
    trial = Trial(config(epochs={"search": 1, "retrain": 4}), DATA)
    reports = list(trial)[1:]
    units = error_units(trial.dataset, trial.tasks)
    errors = [units.mean(r, ["image", "digit"]) for r in reports]
    assert trial.selected["report"] == reports[errors.index(min(errors))]["report"]


def test_selection_keeps_last_phase_until_first_report(tmp_path):
    trial = Trial(config(epochs={"search": 2, "retrain": 1}), DATA)
    reports = [next(trial), next(trial)]
    trial.save(tmp_path)
    for found in (trial, Trial.restore(tmp_path)):
        assert found.selected["phase"] == "search" and found.selected in reports
        found.selected_model()
        assert next(found)["phase"] == found.selected["phase"] == "retrain"


def test_single_image_last_batch_is_refused():
    data = DataConfig(dataset="patches10_digits", limit=49)
    small = config(
        backbone="efficientnet_cifar", architecture="hps", sparsity="none", batch_size=16
    )
    said = r"`trial.batch_size` 16 gives a last batch of one image for 49 images, .* have one pixel"
    with pytest.raises(BadInput, match=said):
        Trial(small, data)
    dataset = open_dataset(data)
    with pytest.raises(BadInput, match=said):
        check_trial(small, dataset.card, dataset.splits)
    dropped = {**small.model_dump(), "task_schedule": {"name": "sequential", "drop_last": True}}
    next(Trial(TrialConfig.model_validate(dropped), data))  # it does not train on that image
    # with this backbone the maps have several pixels
    next(Trial(small.model_copy(update={"batch_size": 48, "backbone": config().backbone}), data))


def test_zero_preference_leaves_a_task_untrained():
    trial = Trial(config(sparsity="none", preference={"image": 1.0, "digit": 0.0}), DATA)
    before = [p.clone() for p in trial.model.task_parameters("digit") if p.ndim > 1]
    next(trial)
    after = [p for p in trial.model.task_parameters("digit") if p.ndim > 1]
    # only decoupled weight decay moved them: their directions stay
    assert all(
        torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0) > 0.9999
        for a, b in zip(before, after, strict=True)
    )


def test_optimiser_holds_every_trained_tensor_once():
    """Invariant 12 of the MDMTN specification. The original implementation did not optimise the
    mixing weights, so that their gradients accumulated."""
    trial = Trial(config(architecture="mdmtn"), DATA)
    next(trial)
    named = dict(trial.model.named_parameters())
    held = [id(p) for group in trial._trainer.optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(map(id, named.values()))
    trial._trainer.optimizer.zero_grad()
    assert all(p.grad is None or not p.grad.any() for p in named.values())

    mixings = [p for name, p in named.items() if name.endswith("alpha")]
    faulty = torch.optim.SGD([p for name, p in named.items() if not name.endswith("alpha")], lr=0.0)
    images, seen = torch.rand(4, 3, 32, 32), {}
    for optimizer in (trial._trainer.optimizer, faulty):
        for _ in range(2):
            optimizer.zero_grad()
            sum(out.logsumexp(1).sum() for out in trial.model.eval()(images).values()).backward()
            seen.setdefault(optimizer, []).append(torch.stack([p.grad.clone() for p in mixings]))
        trial._trainer.optimizer.zero_grad()
    (first, again), (once, twice) = seen.values()
    assert torch.equal(first, again) and torch.allclose(twice, 2 * once)


def test_nan_loss_raises_diverged():
    trial = Trial(config(sparsity="none", optimizer={"name": "sgd", "lr": 1e36}), DATA)
    with pytest.raises(Diverged, match=r"`(train|val)/\w+/loss` is (nan|inf) at epoch \d"):
        list(trial)


def test_damaged_checkpoint_raises_bad_input(tmp_path):
    trial = Trial(config(), DATA)
    next(trial)
    trial.save(tmp_path / "state")
    file = tmp_path / "state" / "state.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BadInput, match="is missing or damaged"):
        Trial.restore(tmp_path / "state")


@pytest.mark.parametrize(
    ("version", "sentence"), [(1, "Train the trial again"), (99, "Update mtsearch")]
)
def test_a_state_of_another_version_is_refused(tmp_path, version, sentence, monkeypatch):
    with monkeypatch.context() as other:
        other.setattr(state, "VERSION", version)
        save_state(tmp_path / "s", {"a": 1})
    with pytest.raises(BadInput, match=f"has version {version}, .*{sentence}"):
        load_state(tmp_path / "s")


@pytest.mark.parametrize("version", [2, 3, 4, 99])
def test_damaged_version_is_reported_as_damage(tmp_path, version):
    save_state(tmp_path / "s", {"a": 1})
    file = tmp_path / "s" / "state.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": version}))
    with pytest.raises(BadInput, match="is missing or damaged"):
        load_state(tmp_path / "s")


def test_a_state_of_the_version_before_is_read(tmp_path, monkeypatch):
    with monkeypatch.context() as older:
        older.setattr(state, "VERSION", 3)
        save_state(tmp_path / "s", {"a": 1})
    assert load_state(tmp_path / "s") == {"a": 1}


def test_state_survives_a_crash_between_the_renames(tmp_path):
    save_state(tmp_path / "s", {"a": torch.arange(3), "b": (1, [math.inf, None]), 3: "x"})
    (tmp_path / "s").rename(tmp_path / ".s.old")
    state = load_state(tmp_path / "s")
    assert (
        torch.equal(state["a"], torch.arange(3))
        and state["b"] == (1, [math.inf, None])
        and state[3] == "x"
    )


def test_state_refuses_what_is_not_plain(tmp_path):
    with pytest.raises(TypeError, match="State `/a` should be a tensor or a plain value"):
        save_state(tmp_path / "s", {"a": object()})


def test_every_layer_starts_with_unit_variance_under_lsuv():
    """Invariant 19 of the MDMTN specification, on the trial's own images."""
    trial = Trial(config(architecture="mdmtn", init="lsuv"), DATA)
    again = Trial(config(architecture="mdmtn", init="lsuv"), DATA)
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            trial.model.state_dict().values(), again.model.state_dict().values(), strict=True
        )
    )
    seen = {}
    for name, layer in trial.model.named_modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(
                lambda _, __, output, name=name: seen.__setitem__(name, output.std().item())
            )
    images, _ = next(iter(trial._parts("train", 512)[0][1]))
    trial.model.eval()(images)
    assert len(seen) == 9 and all(0.9 <= deviation <= 1.1 for deviation in seen.values()), seen


def test_weight_average_keeps_the_zero_rows():
    trial = Trial(config(epochs={"search": 3, "retrain": 0}, ema=0.9), DATA)
    assert [report["model/sparsity_rate"] for report in trial][-1] > 40


def test_missed_sparsity_rate_is_reported():
    sparsity = {
        "mode": "coefficient",
        "coefficient": 0.01,
        "beta1": 0.0,
        "beta2": 1e-9,
        "min_rate": 10,
        "share": None,
    }
    *_, last = Trial(config(sparsity=sparsity), DATA)
    assert last["search/shortfall"] == pytest.approx(10 - last["model/sparsity_rate"], abs=0.1)


def test_affinity_on_too_many_rows_is_refused():
    sparsity = {"mode": "target", "target": 0.5, "share": {"method": "affinity"}}
    with pytest.raises(
        BadInput, match=r"supports at most 2,000 rows per layer. Found at least 3,600"
    ):
        Trial(config(architecture="mdmtn", sparsity=sparsity), DATA)
