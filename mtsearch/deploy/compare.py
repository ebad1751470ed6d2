"""Random inputs for two networks, and the comparison of what they return."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_BATCHES = (3, 5)
_SEED = 20260101


@dataclass(frozen=True)
class Probe:
    """An input (B, ...) and what the original network returns for it."""

    images: Tensor
    expected: Any


def probes_for(precise: nn.Module, shape: tuple[int, ...] | Tensor) -> list[Probe]:
    """Inputs at two batch sizes and, where the network takes them, of one sample and another size.

    Args:
        precise: the network in float64; left as it is.
        shape: the shape of one sample, or an example input (B, ...).

    Raises:
        Exception: what the network raises at the two batch sizes.
    """
    generator = torch.Generator().manual_seed(_SEED)
    sample = tuple(shape.shape[1:]) if isinstance(shape, Tensor) else tuple(shape)
    probes = [
        _probe(precise, _images((batch, *sample), shape, generator, uniform=batch == _BATCHES[0]))
        for batch in _BATCHES
    ]
    others = [(1, *sample)]
    if len(sample) == 3:
        step = 32 if sample[1] % 32 == 0 and sample[2] % 32 == 0 else 8
        others.append((2, sample[0], sample[1] + step, sample[2] + step))
    for size in others:
        try:
            probes.append(_probe(precise, _images(size, shape, generator, uniform=False)))
        except Exception:  # this network takes one size only
            continue
    return probes


def run(network: nn.Module, probe: Probe) -> Any:
    """The outputs of a copy of a network, from a fixed state of the random numbers."""
    return _run(network, probe.images)


def first_difference(expected: Any, found: Any, tolerance: float) -> str | None:
    """What differs first between two outputs; None where they agree.

    Args:
        expected, found: tensors, or lists, tuples and dicts of them.
        tolerance: the largest difference, relative to each tensor's largest expected value.
    """
    if isinstance(expected, Tensor):
        if not isinstance(found, Tensor) or expected.shape != found.shape:
            return "an output has another shape"
        if expected.dtype != found.dtype:
            return "an output has another type"
        return _tensor_difference(expected, found, tolerance)
    if isinstance(expected, dict):
        if not isinstance(found, dict) or list(expected) != list(found):
            return "the outputs have other names"
        pairs = [(expected[key], found[key]) for key in expected]
    elif isinstance(expected, list | tuple):
        if type(found) is not type(expected) or len(found) != len(expected):
            return "the outputs have another structure"
        pairs = list(zip(expected, found, strict=True))
    elif hasattr(expected, "__dataclass_fields__"):
        return first_difference(vars(expected), vars(found), tolerance)
    else:
        return None if expected == found else "an output that is not a tensor differs"
    for pair in pairs:
        difference = first_difference(*pair, tolerance)
        if difference is not None:
            return difference
    return None


def _tensor_difference(expected: Tensor, found: Tensor, tolerance: float) -> str | None:
    if not (expected.is_floating_point() or expected.is_complex()):
        return None if torch.equal(expected, found) else "an integer output differs"
    finite = torch.isfinite(expected)
    same = torch.equal(finite, torch.isfinite(found)) and torch.equal(
        torch.nan_to_num(expected[~finite]), torch.nan_to_num(found[~finite])
    )
    if not same:
        return "outputs that are not finite differ"
    if not finite.any():
        return None if not expected.numel() else "no output is a finite number"
    gap = float((expected[finite] - found[finite]).abs().max())
    size = float(expected[finite].abs().max())
    if gap <= tolerance * size:
        return None
    return f"outputs differ by {gap / size if size else gap:.2g} of the largest"


def _probe(precise: nn.Module, images: Tensor) -> Probe:
    return Probe(images, _run(precise, images))


@torch.no_grad()
def _run(network: nn.Module, images: Tensor) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return copy.deepcopy(network)(images.clone())


def _images(
    size: tuple[int, ...], like: Any, generator: torch.Generator, *, uniform: bool
) -> Tensor:
    if isinstance(like, Tensor) and not like.is_floating_point():
        values = like.flatten()
        return values[torch.randint(len(values), size, generator=generator)]
    if uniform:
        return torch.rand(size, generator=generator, dtype=torch.float64)
    return torch.randn(size, generator=generator, dtype=torch.float64)
