"""What a forward pass does with channels, recorded while the network runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mtsearch.deploy.channels import Groups, Ids, Labels
from mtsearch.deploy.modules import candidates, has_hooks, storage_of
from mtsearch.deploy.rules import RESHAPES, RULES, VALUES_NOT_READ

# What the search of a module tree and a test of the kind of a module read.
_HARMLESS = frozenset({"__class__", "training", "modules", "named_modules", "_modules"})
_SWAPPED: dict[type, type] = {}


@dataclass
class Trace:
    """What one forward pass did.

    Attributes:
        groups: the channel groups.
        inputs, outputs: by module name, the groups of a layer's or batch norm's channels.
        read: names of modules whose parameters or attributes other code reads.
        storages: the storage of each parameter and buffer by its name.
        used: the storages that took part.
        calls: the names of the functions that were called, in order.
        obstacle: why channels cannot be followed; None where they can.
        lowest: the floating-point type of the lowest precision among the results.
    """

    groups: Groups = field(default_factory=Groups)
    inputs: dict[str, Ids] = field(default_factory=dict)
    outputs: dict[str, Ids] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    used: set[int] = field(default_factory=set)
    storages: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    obstacle: str | None = None
    lowest: torch.dtype = torch.float64


class Tracer(TorchFunctionMode):
    """Follows channels through every torch function of a forward pass.

    A function without a rule needs all channels of its arguments, so that an unknown operation
    never leads to a cut. In-place operations need no rule of their own: tensors that share memory
    have the same groups, or are pinned.

    Args:
        network: the copy to run; its layers' classes are changed to record who reads them.
        fixed_reshapes: pin the channels of all reshaped tensors (for code with literal sizes).
    """

    def __init__(self, network: nn.Module, *, fixed_reshapes: bool = False) -> None:
        super().__init__()
        self.trace = Trace()
        self.network = network
        self.fixed_reshapes = fixed_reshapes
        self._running = False
        self._active: list[nn.Module] = []
        self._labels: dict[int, Labels] = {}
        self._known: dict[int, Tensor] = {}  # keeps the tensors alive: ids are not reused
        self._dependent: set[int] = set()
        self._owner: dict[int, tuple[str, nn.Module]] = {}
        self._names: dict[nn.Module, str] = {}
        self.trace.storages = {
            name: storage_of(value)
            for name, value in (*network.named_parameters(), *network.named_buffers())
        }
        for tensor in _constants(network):
            self._known[id(tensor)] = tensor
        for name, module in candidates(network).items():
            self._names[module] = name
            for value in (*module.parameters(), *module.buffers()):
                if value.numel():
                    self._owner[storage_of(value)] = (name, module)
            module.__class__ = _recording(type(module))
            module.__dict__["_tracer"] = self
        for module in network.modules():
            if has_hooks(module) and not isinstance(module, torch.jit.ScriptModule):
                self._pin_around(module)

    def run(self, example: Tensor) -> Trace:
        """Run the network on `example` (B, ...) and return what was recorded."""
        self._known[id(example)] = example
        self._dependent.add(id(example))
        self._running = True
        try:
            with torch.no_grad(), self:
                output = self.network(example)
        finally:
            self._running = False
        for tensor in _tensors(output):
            self.pin(tensor)
            if id(tensor) not in self._known:
                self._lose("a result comes from code that torch functions do not show")
        return self.trace

    def labels(self, tensor: Tensor) -> Labels | None:
        """The channel groups of a tensor; None where it has none."""
        return self._labels.get(id(tensor))

    def pin(self, tensor: Tensor) -> None:
        """Keep all channels of a tensor."""
        found = self._labels.get(id(tensor))
        if found is not None:
            self.trace.groups.pin(found.ids)

    def input_of(self, tensor: Tensor, axis: int) -> Ids:
        """The groups of a layer's input channels; pinned ones where the tensor has none there."""
        found = self.labels(tensor)
        if found is not None and found.axis == axis % tensor.ndim:
            return found.ids
        self.pin(tensor)
        return self.trace.groups.new(tensor.shape[axis], pinned=True)

    def layer(self, weight: Tensor) -> tuple[str, nn.Module] | None:
        """The layer that is running now with this weight."""
        owner = self._owner.get(storage_of(weight))
        if owner is None or not self._active or self._active[-1] is not owner[1]:
            return None
        return owner

    def register(self, name: str, inputs: Ids, outputs: Ids) -> Ids:
        """Record a call of a module; several calls of one share their groups. Returns outputs."""
        trace = self.trace
        if name in trace.inputs:
            trace.groups.join(trace.inputs[name], inputs)
            if len(outputs):
                trace.groups.join(trace.outputs[name], outputs)
        trace.inputs[name], trace.outputs[name] = inputs, outputs
        return outputs

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        given = list(_tensors((args, kwargs)))
        dependent = any(id(t) in self._dependent for t in given)
        result = func(*args, **kwargs)
        name = str(getattr(func, "__name__", func))
        if name == "__get__":
            name = f"get {getattr(func.__self__, '__name__', '')}"
        self.trace.calls.append(name)
        produced = list(_tensors(result))
        for tensor in given:
            self._note_parameter(tensor)
            if id(tensor) not in self._known:
                self._lose("a tensor comes from code that torch functions do not show")
                self._known[id(tensor)] = tensor
        self._follow(name, args, kwargs, given, result)
        for tensor in produced:
            self._known[id(tensor)] = tensor
            if dependent:
                self._dependent.add(id(tensor))
                if tensor.is_floating_point() and torch.finfo(tensor.dtype).eps > (
                    torch.finfo(self.trace.lowest).eps
                ):
                    self.trace.lowest = tensor.dtype
        if dependent:
            if name.endswith("_") or name == "__setitem__" or "out" in kwargs:
                self._dependent.update(id(t) for t in given)
            if (
                not produced
                and name not in (*VALUES_NOT_READ, "__setitem__")
                and not name.startswith("get ")
            ):
                self._lose(f"Python code reads values of tensors (`{name}`)")
        return result

    def _follow(self, name: str, args: Any, kwargs: Any, given: list[Tensor], result: Any) -> None:
        plain = name[:-1] if name.endswith("_") and not name.endswith("__") else name
        rule = RULES.get(plain)
        labels = None
        if not isinstance(result, Tensor) and (name in VALUES_NOT_READ or name.startswith("get ")):
            return
        if self.fixed_reshapes and plain in RESHAPES:
            rule = None
        if rule is not None and isinstance(result, Tensor) and "out" not in kwargs:
            labels = rule(self, args, kwargs, result)
            if labels is not None and (
                labels.axis < 1 or result.shape[labels.axis] != len(labels.ids)
            ):
                labels = None
        if labels is None:
            for tensor in given:
                self.pin(tensor)
        for tensor in _tensors(result):
            if labels is not None:
                self._labels[id(tensor)] = labels
            elif all(tensor is not other for other in given):
                self._labels.pop(id(tensor), None)

    def _note_parameter(self, tensor: Tensor) -> None:
        if not tensor.numel():
            return
        storage = storage_of(tensor)
        self.trace.used.add(storage)
        owner = self._owner.get(storage)
        if owner is not None and owner[1] not in self._active:
            self.trace.read.add(owner[0])

    def _lose(self, reason: str) -> None:
        self.trace.obstacle = self.trace.obstacle or reason

    def _pin_around(self, module: nn.Module) -> None:
        def pin(*values: Any) -> None:
            for tensor in _tensors(values[1:]):
                self.pin(tensor)

        module.register_forward_pre_hook(pin, prepend=True)
        module.register_forward_pre_hook(pin)
        module.register_forward_hook(pin, prepend=True)
        module.register_forward_hook(pin)


def _recording(kind: type) -> type:
    """A subclass that records which of its attributes are read while it is not running."""
    if kind in _SWAPPED:
        return _SWAPPED[kind]

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        tracer = object.__getattribute__(self, "__dict__")["_tracer"]
        tracer._active.append(self)
        try:
            return kind.__call__(self, *args, **kwargs)
        finally:
            tracer._active.pop()

    def getattribute(self: Any, name: str) -> Any:
        tracer = object.__getattribute__(self, "__dict__").get("_tracer")
        watching = tracer is not None and tracer._running and self not in tracer._active
        if watching and name not in _HARMLESS:
            tracer.trace.read.add(tracer._names[self])
        return kind.__getattribute__(self, name)  # type: ignore[call-arg]

    made = type(kind.__name__, (kind,), {"__call__": call, "__getattribute__": getattribute})
    _SWAPPED[kind] = made
    return made


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _tensors(item)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from _tensors(getattr(value, name))


def _constants(network: nn.Module) -> Iterator[Tensor]:
    """Parameters, buffers, and tensors that modules have as attributes."""
    for module in network.modules():
        yield from module.parameters(recurse=False)
        yield from module.buffers(recurse=False)
        for name, value in vars(module).items():
            if name not in ("_parameters", "_buffers", "_modules"):
                yield from _tensors(value)
