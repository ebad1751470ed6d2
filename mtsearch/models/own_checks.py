"""Checks of a user's network: its outputs, its shared modules and its sparse layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput, nearest

_AXES = {
    "classification": "(B, {n})",
    "ordinal": "(B, {n})",
    "multilabel": "(B, {n})",
    "regression": "(B, {n})",
    "segmentation": "(B, {n}, H, W)",
    "restoration": "(B, {n}, H, W)",
    "depth": "(B, {n}, H, W)",
    "normals": "(B, {n}, H, W)",
}
"""The shape of the outputs of each kind, where n is their number."""
_STATEFUL = (nn.modules.batchnorm._NormBase, nn.modules.dropout._DropoutNd)


def width_of(task: TaskCard) -> int:
    """The columns of the output of a task."""
    return task.outputs - 1 if task.kind == "ordinal" else task.outputs


def check_outputs(outputs: Any, tasks: Sequence[TaskCard], count: int) -> None:
    """Raise BadInput if the outputs of a network for `count` examples do not fit the tasks."""
    check_names(outputs, [task.name for task in tasks])
    for task in tasks:
        output = outputs[task.name]
        if not isinstance(output, Tensor) or not output.is_floating_point():
            found = output.dtype if isinstance(output, Tensor) else type(output).__name__
            raise BadInput(
                f"output `{task.name}` of the network should be a tensor of floating-point numbers."
                f" Found {found}."
            )
        form = _AXES.get(task.kind)
        shape = tuple(output.shape)
        if form is None:
            fits = shape[:1] == (count,)
        elif len(shape) == 1 and task.kind == "regression":
            fits = shape == (count,) and task.outputs == 1
        else:
            fits = len(shape) == form.count(",") + 1 and shape[:2] == (count, width_of(task))
        if not fits:
            wanted = (form or "(B, ...)").format(n=width_of(task))
            raise BadInput(
                f"output `{task.name}` of the network should have the shape {wanted} of a"
                f" {task.kind} with `outputs: {task.outputs}`. Found {shape} for B = {count}."
            )


def check_names(outputs: Any, tasks: Sequence[str]) -> None:
    """Raise BadInput if the outputs of a network are no dict, or lack a task."""
    if not isinstance(outputs, Mapping):
        raise BadInput(
            "`forward` of the network should return a dict of outputs by task. Found"
            f" {type(outputs).__name__}. Return, for example, {{{tasks[0]!r}: ...}}."
        )
    for name in tasks:
        if name not in outputs:
            raise BadInput(
                f"the network has no output for task `{name}`. {nearest(name, map(str, outputs))}"
                " Rename the output or the task."
            )


def check_shared(module: nn.Module, shared: Sequence[str]) -> None:
    """Raise BadInput if the names of shared modules are unknown, equal, or inside each other."""
    known = {name for name, _ in module.named_modules() if name}
    for number, name in enumerate(shared):
        if name not in known:
            raise BadInput(
                f"`shared` names no module of the network: `{name}`. {nearest(name, known)}"
            )
        for other in shared[:number]:
            if f"{name}.".startswith(f"{other}.") or f"{other}.".startswith(f"{name}."):
                raise BadInput(
                    f"`shared` should name modules beside each other. Found `{other}` and"
                    f" `{name}`. Leave one out."
                )


@contextmanager
def watched(module: nn.Module, shared: Sequence[str]) -> Iterator[None]:
    """Watch a forward pass of a network.

    Raises:
        BadInput: at the end of the pass, if a shared module was not called exactly once or returned
            no tensor, or a layer with running statistics or dropout was called before it, which
            would be called twice in a step.
    """
    calls: dict[str, list[Any]] = {name: [] for name in shared}
    early: list[str] = []
    handles = []
    for name, part in module.named_modules():
        if name in calls:
            found = calls[name]
            handles.append(part.register_forward_hook(lambda *call, to=found: to.append(call[-1])))
        elif isinstance(part, _STATEFUL) and not _inside(name, shared):

            def note(*call: Any, name: str = name) -> None:
                if not all(calls.values()):
                    early.append(name)

            handles.append(part.register_forward_pre_hook(note))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    for name, outputs in calls.items():
        if len(outputs) != 1 or not isinstance(outputs[0], Tensor):
            found_text = f"{len(outputs)} calls" if len(outputs) != 1 else type(outputs[0]).__name__
            raise BadInput(
                f"the shared module `{name}` should be called once in `forward` and return one"
                f" tensor. Found {found_text}. Name another module in `shared`."
            )
    if early:
        raise _before(early[0])


def check_inside(
    features: Sequence[Tensor], parameters: Mapping[str, nn.Parameter], shared: Sequence[str]
) -> None:
    """Raise BadInput if the features depend on parameters outside the shared modules."""
    for feature in features:
        found = gradients(feature, list(parameters.values()))
        for name, gradient in zip(parameters, found, strict=True):
            own = name.removeprefix("module.")
            if gradient is not None and not _inside(own, shared):
                raise _before(own)


def check_read(shared: Sequence[str], read: Sequence[set[str]]) -> None:
    """Raise BadInput if a shared module has an output that no task reads but through others."""
    for name, tasks in zip(shared, read, strict=False):
        if not tasks:
            raise BadInput(
                f"the output of the shared module `{name}` reaches no task, or only through other"
                " shared modules. Put it and what reads it into one module, and name that in"
                " `shared`."
            )


def gradients(output: Tensor, wanted: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """The gradients of the sum of an output; None for what it does not depend on."""
    if not output.requires_grad or not wanted:
        return [None] * len(wanted)
    return torch.autograd.grad(
        output, wanted, torch.ones_like(output), retain_graph=True, allow_unused=True
    )


def _inside(name: str, shared: Sequence[str]) -> bool:
    return any(f"{name}.".startswith(f"{part}.") for part in shared)


def _before(name: str) -> BadInput:
    return BadInput(
        f"`{name}` comes before the shared modules in `forward`, so it is shared, too. Put both"
        " into one module, and name that in `shared`."
    )


def layers_of(module: nn.Module, sparse: Sequence[str], shared: Sequence[str]) -> list[str]:
    """The names of the layers whose input rows may become zero.

    Args:
        module: the network.
        sparse: the layers, or modules that contain them; empty for those of the shared modules
            without the first one, which reads the input.
        shared: the shared modules.

    Raises:
        BadInput: a name is unknown, or names no linear layer and no ungrouped convolution.
    """
    layers = [
        name
        for name, layer in module.named_modules()
        if type(layer) in (nn.Conv2d, nn.Linear) and getattr(layer, "groups", 1) == 1
    ]
    inside = {
        part: [name for name in layers if f"{name}.".startswith(f"{part}.")]
        for part in (*sparse, *shared)
    }
    for part in sparse:
        if not inside[part]:
            raise BadInput(
                "`sparse` should name linear layers or ungrouped 2-D convolutions of the network,"
                f" or modules that contain them. Found `{part}`. {nearest(part, layers)}"
            )
    if sparse:
        return list(dict.fromkeys(name for part in sparse for name in inside[part]))
    return [name for part in shared for name in inside[part]][1:]
