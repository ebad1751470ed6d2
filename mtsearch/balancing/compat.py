"""Construction of TorchJD's classes, and access to their private state.

TorchJD's methods keep their state in private attributes and provide no public way to save it. Only
this module reads and writes them; a test compares it with the installed TorchJD.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

STATE: Mapping[str, Mapping[str, str]] = {
    "GradVacWeighting": {"cosines": "_phi_t"},
    "SDMGradWeighting": {"weights": "_w"},
    "PCDWeighting": {"squares": "_sq_norm_ema", "steps": "_n_steps"},
    "ExcessMTLWeighting": {
        "weights": "_weights",
        "squares": "_sq_grad_sum",
        "first": "_initial_w",
        "warmup": "_warmup_w_sum",
        "steps": "_n_steps",
    },
}
"""For each class of TorchJD, its private attributes by their names in a checkpoint."""


def aggregation(method: str, **options: Any) -> Any:
    """Return ``torchjd.aggregation.<method>(**options)``. TorchJD is imported here, because its
    import loads its solvers, which takes longer than all other imports."""
    from torchjd import aggregation

    return getattr(aggregation, method)(**options)


def scalarization(method: str, *arguments: Any, **options: Any) -> Any:
    """Return ``torchjd.scalarization.<method>(*arguments, **options)``."""
    from torchjd import scalarization

    return getattr(scalarization, method)(*arguments, **options)


def state_of(method: Any) -> dict[str, Any]:
    """Return copies of the state of a weighting listed in `STATE`; values are None before its first
    call."""
    found = {
        key: getattr(method, attribute) for key, attribute in STATE[type(method).__name__].items()
    }
    return {
        key: value.clone() if isinstance(value, Tensor) else value for key, value in found.items()
    }


def restore(method: Any, state: Mapping[str, Any], device: torch.device | None = None) -> None:
    """Load a state of `state_of` into a weighting listed in `STATE`, with its tensors on `device`
    (the CPU if None)."""
    method.reset()
    name = type(method).__name__
    values = {
        key: (
            state[key].to(device or "cpu", copy=True)
            if isinstance(state[key], Tensor)
            else state[key]
        )
        for key in STATE[name]
    }
    main = values[next(iter(STATE[name])) if name != "ExcessMTLWeighting" else "squares"]
    if main is None:
        return
    for key, attribute in STATE[name].items():
        setattr(method, attribute, values[key])
    method._state_key = {
        "GradVacWeighting": (len(main), main.dtype),
        "SDMGradWeighting": (len(main), main.dtype, main.device),
        "PCDWeighting": len(main),
        "ExcessMTLWeighting": (*main.shape, main.dtype, main.device),
    }[name]


def famo_state(method: Any) -> dict[str, Any]:
    """Return the logits (K,) of a FAMO scalarizer and the moments of its Adam optimiser, which are
    empty before its first update."""
    optimizer, logits = method._optimizer, method._w
    moments = {} if optimizer is None else optimizer.state[logits]
    return {
        "logits": logits.detach().clone(),
        "adam": {key: value.clone() for key, value in moments.items()},
    }


def restore_famo(method: Any, state: Mapping[str, Any]) -> None:
    """Load a state of `famo_state` into a FAMO scalarizer."""
    method.reset()
    with torch.no_grad():
        method._w.copy_(state["logits"])
    if state["adam"]:
        optimizer = Adam([method._w], lr=method.lr, weight_decay=method.weight_decay)
        optimizer.state[method._w] = {key: value.clone() for key, value in state["adam"].items()}
        method._optimizer = optimizer
