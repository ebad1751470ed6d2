"""The private state of TorchJD is where `compat` expects it."""

import inspect

import pytest
import torch

from mtsearch.balancing import compat

OPTIONS = {"ExcessMTLWeighting": {"n_warmup_steps": 1}, "SDMGradWeighting": {"lr": 0.1}}


def inputs(name, number):
    generator = torch.Generator().manual_seed(number)
    rows = torch.randn(3, 8, generator=generator, dtype=torch.float64)
    return rows if name == "ExcessMTLWeighting" else rows @ rows.T


@pytest.mark.parametrize("name", compat.STATE)
def test_a_restored_weighting_continues_bit_for_bit(name):
    method = compat.aggregation(name, **OPTIONS.get(name, {}))
    for number in range(3):
        method(inputs(name, number))
    other = compat.aggregation(name, **OPTIONS.get(name, {}))
    compat.restore(other, compat.state_of(method))
    for number in range(3, 6):
        torch.manual_seed(number)
        expected = method(inputs(name, number)).clone()
        torch.manual_seed(number)
        assert torch.equal(other(inputs(name, number)), expected)


@pytest.mark.parametrize("name", compat.STATE)
def test_all_private_attributes_of_a_weighting_are_known(name):
    """A new attribute of TorchJD that changes in a call would be missing in checkpoints."""
    options = OPTIONS.get(name, {})
    fresh, called = (compat.aggregation(name, **options) for _ in range(2))
    for number in range(3):
        called(inputs(name, number))
    compat.restore(fresh, compat.state_of(fresh))  # nothing to restore before the first call
    known = {*compat.STATE[name].values(), "_state_key", "_buffers"}
    before, after = vars(fresh), vars(called)
    assert before.keys() == after.keys()
    assert set(called._buffers) <= known
    changed = {key for key in after if key not in known and str(before[key]) != str(after[key])}
    assert not changed


def test_a_restored_famo_continues_bit_for_bit():
    method, other = (compat.scalarization("FAMO", 3, lr=0.1) for _ in range(2))

    def walk(one, numbers):
        for number in numbers:
            losses = torch.rand(3, generator=torch.Generator().manual_seed(number)) + 0.1
            value = one(losses)
            one.update(0.9 * losses)
        return value

    walk(method, range(3))
    compat.restore_famo(other, compat.famo_state(method))
    assert torch.equal(walk(method, range(3, 6)), walk(other, range(3, 6)))
    assert {"_w"} == {name for name, _ in method.named_parameters()}


def test_trainable_scalarizers_start_at_zero():
    for name in ("UW", "IMTLL"):
        (parameter,) = compat.scalarization(name, 3).parameters()
        assert parameter.tolist() == [0, 0, 0]


def test_only_compat_uses_torchjd():
    from pathlib import Path

    folder = Path(inspect.getfile(compat)).parents[1]
    users = {
        path.name
        for path in folder.rglob("*.py")
        if "from torchjd" in path.read_text() or "import torchjd" in path.read_text()
    }
    assert users == {"compat.py"}
