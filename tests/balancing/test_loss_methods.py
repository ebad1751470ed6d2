"""Methods that weight the losses, against those of TorchJD."""

import math

import pytest
import torch
from small import equal, method_of
from torchjd import scalarization as jd

from mtsearch.config import schema
from mtsearch.config.errors import BadInput
from mtsearch.config.space import Space

LOSSES = torch.tensor([0.5, 2.0, 1.2], dtype=torch.float64)
COUNTERPARTS = {
    "uncertainty": lambda: jd.UW(3).double(),
    "imtl_l": lambda: jd.IMTLL(3).double(),
    "gls": lambda: jd.GeometricMean(),
    "rlw": lambda: jd.Random(),
    "famo": lambda: jd.FAMO(3).double(),
}


def value_and_slope(method, at=LOSSES):
    at = at.clone().requires_grad_()
    torch.manual_seed(0)
    value = method(at)
    return value.detach(), torch.autograd.grad(value, at)[0]


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_value_and_gradient_are_torchjds(name):
    settings = {
        s.model_fields["name"].default: s
        for s in (
            schema.UncertaintyConfig,
            schema.IMTLLConfig,
            schema.GLSConfig,
            schema.RLWConfig,
            schema.FAMOConfig,
        )
    }[name]
    ours, theirs = value_and_slope(method_of(settings(), 3)), value_and_slope(COUNTERPARTS[name]())
    assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(ours, theirs, strict=True))


def test_famo_moves_towards_the_loss_that_fell_least():
    method, counterpart = method_of(schema.FAMOConfig(), 3), jd.FAMO(3).double()
    for number in range(3):
        before = LOSSES * (1 + number)
        value_and_slope(method, before), value_and_slope(counterpart, before)
        after = before * torch.tensor([0.5, 1.0, 0.9])
        method.after_step(lambda after=after: after)
        counterpart.update(after)
    weights = method.state_dict()["logits"].softmax(0)
    assert weights.argmax() == 1 and torch.equal(method.state_dict()["logits"], counterpart._w)


@pytest.mark.parametrize("settings", [schema.UncertaintyConfig(), schema.IMTLLConfig()])
def test_learned_parameters_are_optimised_and_saved(settings):
    method = method_of(settings, 3)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    method(LOSSES).backward()
    optimizer.step()
    other = method_of(settings, 3)
    other.load_state_dict(method.state_dict())
    assert torch.equal(method(LOSSES), other(LOSSES)) and not torch.equal(
        other(LOSSES), method_of(settings, 3)(LOSSES)
    )
    with pytest.raises(ValueError, match=r"of 2 tasks\. Found 3"):
        method_of(settings, 2).load_state_dict(method.state_dict())


def test_dwa_weights_follow_last_two_loss_ratios():
    method = method_of(schema.DWAConfig(temperature=2.0), 2)
    now = torch.tensor([1.0, 1.0], dtype=torch.float64)
    method.end_of_epoch(1, torch.tensor([2.0, 2.0]))
    assert method.weights(now).tolist() == [1.0, 1.0] and method.due(1)
    method.end_of_epoch(2, torch.tensor([1.0, 1.8]))
    shares = [math.exp(0.5 / 2), math.exp(0.9 / 2)]
    assert method.weights(now).tolist() == pytest.approx([2 * s / sum(shares) for s in shares])
    other = method_of(schema.DWAConfig(temperature=2.0), 2)
    other.load_state_dict(method.state_dict())
    assert torch.equal(other.weights(now), method.weights(now))
    with pytest.raises(ValueError, match="of 3 tasks"):
        method_of(schema.DWAConfig(), 3).load_state_dict(method.state_dict())


def test_pbi_minimum_lies_on_equal_weighted_ray():
    preference = torch.tensor([0.8, 0.2], dtype=torch.float64)
    method = method_of(schema.PBIConfig(theta=5.0), 2, preference)
    counterpart = jd.PBI(5.0, torch.tensor([0.2, 0.8], dtype=torch.float64))
    at = torch.tensor([0.7, 1.1], dtype=torch.float64)
    assert method(at).item() == pytest.approx(counterpart(at).item())
    on, off = torch.tensor([0.2, 0.8]).double(), torch.tensor([0.8, 0.2]).double()
    assert method(on) < method(off)
    assert method_of(schema.PBIConfig(), 2, torch.tensor([1.0, 0.0]).double())(at).isfinite()


def test_pbi_default_raises_no_loss():
    for at in ([0.1, 3.0], [3.0, 0.1], [1.0, 1.0]):
        assert (
            value_and_slope(
                method_of(schema.PBIConfig(), 2), torch.tensor(at, dtype=torch.float64)
            )[1]
            > 0
        ).all()


def test_gls_gradient_is_finite_at_zero_loss():
    value, slope = value_and_slope(
        method_of(schema.GLSConfig(), 2), torch.tensor([0.0, 1.0], dtype=torch.float64)
    )
    assert value.isfinite() and slope.isfinite().all()


@pytest.mark.parametrize(
    "settings",
    [
        schema.UncertaintyConfig(),
        schema.IMTLLConfig(),
        schema.GLSConfig(),
        schema.RLWConfig(),
        schema.DWAConfig(),
        schema.FAMOConfig(),
    ],
)
def test_nan_loss_reaches_the_scalar(settings):
    assert method_of(settings, 3)(torch.tensor([1.0, math.nan, 2.0], dtype=torch.float64)).isnan()


# ---------------------------------------------------------------- preferences in configurations

PLAIN = {"architecture": "hps", "preference": {"image": 0.5, "digit": 0.5}}


def test_trial_refuses_unused_unequal_preference():
    schema.TrialConfig.model_validate({**PLAIN, "balancing": "pcgrad"})
    with pytest.raises(ValueError, match="`balancing: pcgrad`, which takes no preference"):
        schema.TrialConfig.model_validate(
            {"preference": {"image": 0.6, "digit": 0.4}, "balancing": "pcgrad"}
        )


def space(balancing, preference):
    return {
        "name": "s",
        "data": {"dataset": "patches10_digits"},
        "objectives": ["val/image/error"],
        "trial": {"balancing": balancing, "preference": preference},
    }


def test_space_refuses_searched_preference_that_is_unused():
    searched = {"simplex": ["image", "digit"], "default": "equal"}
    listed = {
        "choice": [{"image": 0.5, "digit": 0.5}, {"image": 0.2, "digit": 0.8}],
        "default": {"image": 0.5, "digit": 0.5},
    }
    Space(space({"choice": ["linear", "upgrad"], "default": "linear"}, searched))
    Space(space({"choice": ["linear", "dwa"], "default": "linear"}, None))
    for balancing in ("dwa", {"choice": ["linear", "dwa"], "default": "linear"}):
        with pytest.raises(BadInput, match=r"`trial\.balancing` dwa, which takes no preference"):
            Space(space(balancing, searched))
        with pytest.raises(BadInput, match=r"`trial\.balancing` dwa, which takes no preference"):
            Space(space(balancing, listed))


def test_equal_preferences_are_recognised_for_any_count():
    for k in range(1, 12):
        method_of(schema.FAMOConfig(), k, equal(k).float())
