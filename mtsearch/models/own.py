"""Networks of the user's own: a module whose `forward` returns a dict of outputs by task."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.objects import PREFIX, object_of
from mtsearch.config.plugins import plugin_object
from mtsearch.data.packing import unpack
from mtsearch.models.base import Backbone, MultiTaskModel
from mtsearch.models.own_checks import (
    check_inside,
    check_outputs,
    check_read,
    check_shared,
    gradients,
    layers_of,
    watched,
)

OWN = "module"  # the attribute of `OwnNetwork` that has the user's module


class _Captured(BaseException):
    """Ends a forward pass after the last shared module. No code of a user's network catches it."""


class OwnNetwork(MultiTaskModel):
    """A user's module as a multi-task network.

    Which parameters are shared is found by a backward pass of each task: those that more than one
    output depends on. Without declared shared modules `share` returns nothing, and the tasks'
    gradients can be balanced with respect to the parameters only. With declared ones, `share` runs
    the module up to them, and `decode` runs the rest with their given outputs.

    Args:
        settings: the module, its shared modules, its layers that may become sparse.
        backbone: gives the shape of an example.
        tasks: the task cards.

    Raises:
        BadInput: the module does not fit the tasks, or its shared modules cannot be separated.
    """

    def __init__(
        self, settings: schema.OwnConfig, backbone: Backbone, tasks: Sequence[TaskCard]
    ) -> None:
        super().__init__(tasks)
        self.inputs, self.module = settings.inputs, new_module(settings)
        self.shared = settings.shared or _declared(self.module)
        self.prunable = tuple(
            f"module.{name}" for name in layers_of(self.module, settings.sparse, self.shared)
        )
        check_shared(self.module, self.shared)
        self._find_users(backbone.shape)

    def _find_users(self, shape: tuple[int, ...]) -> None:
        """Run the module once and find the tasks that use each parameter."""
        named = {n: p for n, p in self.named_parameters() if p.requires_grad}
        parameters = list(named.values())
        device = next(self.parameters(), torch.zeros(0)).device
        x = torch.zeros(2, *shape, device=device)
        training = self.training
        self.eval()
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            with watched(self.module, self.shared):
                outputs = self.module(self._read(x))
            check_outputs(outputs, self.tasks, len(x))
            features = self.share(x)
            leaves = [feature.detach().requires_grad_() for feature in features]
            outputs = self.decode(x, leaves) if features else self(x)
            users: dict[str, set[str]] = {name: set() for name in named}
            read: list[set[str]] = [set() for _ in leaves]
            for task, output in outputs.items():
                found = gradients(output, [*leaves, *parameters])
                for names, gradient in zip([*read, *users.values()], found, strict=True):
                    if gradient is not None:
                        names.add(task)
            for feature, names in zip(features, read, strict=True):
                for user, gradient in zip(
                    users.values(), gradients(feature, parameters), strict=True
                ):
                    if gradient is not None:
                        user |= names
            check_inside(features, named, self.shared)
            check_read(self.shared, read)
        self.train(training)
        self.separate = not features or any(len(names) < len(self.tasks) for names in read)
        self._users = users

    def _read(self, x: Tensor) -> Any:
        """The input of the module for a batch, as a copy, because the module may change it."""
        if self.inputs:
            return unpack(x.clone(), self.inputs)
        if x.dim() == 4 and x.shape[2] == 1:  # columns (B, n, 1, 1), sequences (B, C, 1, length)
            x = x.flatten(1) if x.shape[3] == 1 else x.flatten(1, 2)
        return x.clone()

    def share(self, x: Tensor, tasks: Sequence[str] | None = None) -> list[Tensor]:
        if not self.shared:
            return []
        found: dict[str, Tensor] = {}

        def keep(name: str) -> Any:
            def hook(module: nn.Module, inputs: Any, output: Any) -> None:
                found[name] = output
                if len(found) == len(self.shared):
                    raise _Captured

            return hook

        handles = [
            self.module.get_submodule(name).register_forward_hook(keep(name))
            for name in self.shared
        ]
        try:
            self.module(self._read(x))
        except _Captured:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return [found[name] for name in self.shared]

    def decode(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        with ExitStack() as stack:
            for name, feature in zip(self.shared if shared else (), shared, strict=True):
                stack.enter_context(_returning(self.module.get_submodule(name), feature))
            return self.forward(x, tasks)

    def forward(self, x: Tensor, tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
        outputs = self.module(self._read(x))
        return {name: _columns(outputs[name]) for name in self.chosen(tasks)}

    def shared_parameters(self) -> list[nn.Parameter]:
        return [self.get_parameter(name) for name, users in self._users.items() if len(users) > 1]

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        return [self.get_parameter(key) for key, users in self._users.items() if users == {name}]


def no_backbone(settings: schema.BackboneNoneConfig, shape: tuple[int, ...]) -> Backbone:
    """A backbone that gives the shape of the examples alone."""

    def refuse(needs: Any) -> Any:
        raise BadInput(
            "`trial.backbone: none` has no trunk; it goes with `trial.architecture: own`. Choose"
            " another backbone."
        )

    # other backbones have images, of three axes
    return Backbone(refuse, refuse, 0, None, shape)  # type: ignore[arg-type]


def new_module(settings: schema.OwnConfig) -> nn.Module:
    """A new module: what the function returns, or a copy of the module that was given. It
    draws from torch's, NumPy's and Python's global generators, of which the last two are seeded
    from the first."""
    if settings.module.startswith(PREFIX):
        source = object_of(settings.module)
    else:
        source = plugin_object(settings.module, "trial.architecture.module")
    if isinstance(source, nn.Module):
        if settings.arguments:
            raise BadInput(
                "`trial.architecture.arguments` needs a function that builds the network. Found a"
                f" {type(source).__name__}, which is a trained start. Leave them out."
            )
        return copy.deepcopy(source)
    if not callable(source):
        raise BadInput(
            f"`trial.architecture.module` should name a function that returns a torch module. Found"
            f" {type(source).__name__}."
        )
    with _seeded(torch.initial_seed()):
        module = source(**settings.arguments)
    if not isinstance(module, nn.Module):
        raise BadInput(
            f"the function of `trial.architecture.module` should return a torch module. Found"
            f" {type(module).__name__}."
        )
    return module


def _declared(module: nn.Module) -> tuple[str, ...]:
    """The shared modules that a module declares itself, as names in its attribute `shared`."""
    found = getattr(module, "shared", ())
    if isinstance(found, list | tuple) and all(isinstance(name, str) for name in found):
        return tuple(found)
    return ()


def _columns(output: Tensor) -> Tensor:
    """Numbers (B,) as one column (B, 1)."""
    return output[:, None] if output.dim() == 1 else output


@contextmanager
def _returning(module: nn.Module, output: Tensor) -> Iterator[None]:
    """Let a module return `output` instead of what it computes."""
    before = vars(module).get("forward")
    module.forward = lambda *inputs, **settings: output
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed NumPy's and Python's global generators, and restore them."""
    state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % (1 << 32))
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)
