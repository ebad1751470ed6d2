"""Every registered balancing method passes the public suite."""

import inspect
from typing import get_args

import pytest
import torch

from mtsearch.balancing import Linear
from mtsearch.config import schema
from mtsearch.config.registry import methods
from mtsearch.testing import BalancingConformance

# attributes of the suite, for methods that need others than the defaults or several settings
SPECIAL: dict[str, list[dict]] = {
    "db_mtl": [{}, {"settings": schema.DBMTLConfig(level="feature", memory=0)}],
}


def entries(name, settings):
    """Return the entries of the method; by default its default settings at each level that it
    supports."""
    if name in SPECIAL:
        return SPECIAL[name]
    if "level" not in settings.model_fields:
        return [{}]
    return [
        {"settings": settings(level=level)}
        for level in get_args(settings.model_fields["level"].annotation)
    ]


def cases():
    for name, settings in methods("balancing").items():
        if settings.__module__.startswith("mtsearch."):
            for number, entry in enumerate(entries(name, settings)):
                yield pytest.param({"settings": settings(), **entry}, id=f"{name}-{number}")


TESTS = [name for name in dir(BalancingConformance) if name.startswith("test_")]


@pytest.mark.parametrize("attributes", list(cases()))
def test_methods_pass_the_public_suite(attributes, tmp_path):
    """One test item per method and level; the assertion messages name the failed property."""
    suite = type("Suite", (BalancingConformance,), attributes)()
    for name in TESTS:
        test = getattr(suite, name)
        test(tmp_path) if "tmp_path" in inspect.signature(test).parameters else test()


class _Forgetful(BalancingConformance):
    """A method that draws from its own generator and does not save its state."""

    settings = schema.LinearConfig()

    def method(self, tasks=3, preference=None):
        class Drifting(Linear):
            drawn = torch.Generator().manual_seed(int(torch.randint(0, 1000, ())))

            def __call__(self, losses, penalty=0.0):
                return (torch.rand(len(losses), generator=self.drawn) * losses).sum()

        return Drifting(self.settings, torch.tensor(preference or [1 / tasks] * tasks), 0.0)


def test_suite_finds_unsaved_random_state(tmp_path):
    with pytest.raises(AssertionError, match="differs after the state was loaded"):
        _Forgetful().test_restored_state_continues_bit_identically(tmp_path)
