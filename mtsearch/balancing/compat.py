"""TorchJD: how its classes are made, and their private state.

TorchJD's methods keep their state in private attributes without a public way to save it. They are
read and written here only; a test compares this module with the installed TorchJD.
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
"""By class of TorchJD, the names in a checkpoint and the attributes that they stand for."""


def aggregation(method: str, **options: Any) -> Any:
    """``torchjd.aggregation.<method>(**options)``; imported here, because TorchJD loads its solvers
    at once, which takes longer than all the rest."""
    from torchjd import aggregation

    return getattr(aggregation, method)(**options)


def scalarization(method: str, *arguments: Any, **options: Any) -> Any:
    """``torchjd.scalarization.<method>(*arguments, **options)``."""
    from torchjd import scalarization

    return getattr(scalarization, method)(*arguments, **options)


def state_of(method: Any) -> dict[str, Any]:
    """Copies of the state of a weighting listed in `STATE`; None where it has not been called."""
    found = {
        key: getattr(method, attribute) for key, attribute in STATE[type(method).__name__].items()
    }
    return {
        key: value.clone() if isinstance(value, Tensor) else value for key, value in found.items()
    }


def restore(method: Any, state: Mapping[str, Any], device: torch.device | None = None) -> None:
    """Bring a weighting listed in `STATE` into a state of `state_of`, with its tensors on `device`
    (the CPU where None)."""
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
    """The logits (K,) of a FAMO scalarizer and the moments of its Adam, empty before its first
    update."""
    optimizer, logits = method._optimizer, method._w
    moments = {} if optimizer is None else optimizer.state[logits]
    return {
        "logits": logits.detach().clone(),
        "adam": {key: value.clone() for key, value in moments.items()},
    }


def restore_famo(method: Any, state: Mapping[str, Any]) -> None:
    """Bring a FAMO scalarizer into a state of `famo_state`."""
    method.reset()
    with torch.no_grad():
        method._w.copy_(state["logits"])
    if state["adam"]:
        optimizer = Adam([method._w], lr=method.lr, weight_decay=method.weight_decay)
        optimizer.state[method._w] = {key: value.clone() for key, value in state["adam"].items()}
        method._optimizer = optimizer
