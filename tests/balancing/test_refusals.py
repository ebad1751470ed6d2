"""Settings and steps that balancing methods refuse, and the messages."""

import pytest
import torch
from small import equal

from mtsearch.balancing import Step, build_balancing
from mtsearch.config import schema
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import methods


def test_unused_unequal_preference_is_refused():
    for name, settings in methods("balancing").items():
        weights = torch.tensor([0.7, 0.3])
        if getattr(settings, "takes_preference", True):
            build_balancing(settings(), weights)
        else:
            with pytest.raises(BadInput, match=f"`balancing: {name}`, which takes no preference"):
                build_balancing(settings(), weights)


def test_unsupported_level_is_refused():
    with pytest.raises(ValueError, match="parameter"):
        schema.ExcessMTLConfig(level="feature")
    with pytest.raises(ValueError, match="memory"):
        schema.DBMTLConfig(level="feature")


@pytest.mark.parametrize("level", ["feature", "parameter"])
def test_a_network_that_shares_nothing_is_refused(level):
    losses = torch.ones(2, requires_grad=True)
    with pytest.raises(
        BadInput, match=r"Found none\. Use `linear`, or an architecture with a shared part\."
    ):
        build_balancing(schema.MGDAConfig(level=level), equal(2)).backward(Step(losses * 1, (0, 1)))
    with pytest.raises(ValueError, match="with `architecture: stl`, which shares nothing"):
        schema.TrialConfig.model_validate(
            {"architecture": "stl", "balancing": {"name": "mgda", "level": level}}
        )


def test_method_can_be_given_by_name():
    named = build_balancing("upgrad", [0.5, 0.5])
    assert named.settings == schema.UPGradConfig() and named.task_weights.tolist() == [0.5, 0.5]
    assert build_balancing(
        {"name": "chebyshev_al", "mu": 0.5}, [0.3, 0.7]
    ).settings == schema.ChebyshevALConfig(mu=0.5)
    for wrong, sentence in (
        ("upgrat", "Did you mean `upgrad`?"),
        ({"name": "upgrad", "levle": "feature"}, "Did you mean `trial.balancing.level`?"),
    ):
        with pytest.raises(BadInput, match=sentence.replace("?", r"\?")):
            build_balancing(wrong, [0.5, 0.5])


def test_a_step_that_does_not_fit_is_refused():
    losses = torch.ones(3, requires_grad=True) * 1
    with pytest.raises(ValueError, match="`tasks` should name the task of each of 3 losses"):
        Step(losses, (0, 1))
    weight = torch.ones(4, requires_grad=True)
    shared = weight * 2
    step = Step(
        torch.stack([shared.sum(), shared.prod()]),
        (0, 1),
        shared=[shared],
        read=[shared],
        shared_parameters=[weight],
    )
    with pytest.raises(
        ValueError, match=r"`read` should contain `feature.detach\(\).requires_grad_\(\)`"
    ):
        build_balancing({"name": "upgrad", "level": "feature"}, [0.5, 0.5]).backward(step)
