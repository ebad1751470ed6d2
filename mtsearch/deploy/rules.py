"""How torch functions carry channel groups from their arguments to their result.

A rule gets the tracer, the arguments and the result, and returns the result's labels. None means
that the function needs all channels of its arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from mtsearch.deploy.channels import Labels

if TYPE_CHECKING:
    from mtsearch.deploy.tracing import Tracer

Rule = Callable[["Tracer", tuple[Any, ...], dict[str, Any], Tensor], Labels | None]

# fmt: off
VALUES_NOT_READ = frozenset({
    "size", "dim", "ndimension", "numel", "nelement", "stride", "storage_offset", "is_contiguous",
    "is_floating_point", "is_complex", "get_device", "element_size", "__len__", "is_tensor",
    "is_same_size", "_assert", "is_storage", "type",
})
_ELEMENTWISE = frozenset({
    "relu", "relu6", "gelu", "silu", "sigmoid", "tanh", "hardswish", "hardsigmoid", "hardtanh",
    "elu", "selu", "celu", "leaky_relu", "mish", "softplus", "softsign", "logsigmoid",
    "hardshrink", "softshrink", "tanhshrink", "threshold", "abs", "exp", "expm1", "log", "log1p",
    "sqrt", "rsqrt", "square", "neg", "__neg__", "positive", "__pos__", "clamp", "clip",
    "clamp_min", "clamp_max", "erf", "sin", "cos", "sign", "reciprocal", "floor", "ceil", "round",
    "nan_to_num", "add", "sub", "subtract", "mul", "multiply", "div", "divide", "true_divide",
    "rsub", "maximum", "minimum", "where", "addcmul", "lerp", "pow", "__add__", "__radd__",
    "__iadd__", "__sub__", "__rsub__", "__isub__", "__mul__", "__rmul__", "__imul__",
    "__truediv__", "__itruediv__", "__rtruediv__", "__div__", "__rdiv__", "__pow__", "__ipow__",
    "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "contiguous", "clone",
    "detach", "float", "double", "half", "bfloat16", "to", "cpu", "expand_as",
})
# fmt: on
_POOLS = ["max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "lp_pool"]
RESHAPES = frozenset({"reshape", "view", "flatten", "squeeze", "unsqueeze", "unflatten"})


def _elementwise(
    t: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
) -> Labels | None:
    """Each entry depends on the same entry of each argument, with broadcasting."""
    tensors = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]
    axes = {}
    for tensor in tensors:
        found = t.labels(tensor)
        if found is None:
            continue
        axis = found.axis + out.ndim - tensor.ndim
        if axis < 1 or tensor.shape[found.axis] != out.shape[axis]:
            t.pin(tensor)  # one channel that is broadcast
        else:
            axes[id(tensor)] = (axis, found.ids)
    if not axes:
        return None
    axis = next(iter(axes.values()))[0]
    if any(other != axis for other, _ in axes.values()):
        return None
    ids = next(iter(axes.values()))[1]
    fixed = False
    for tensor in tensors:
        if id(tensor) in axes:
            t.trace.groups.join(ids, axes[id(tensor)][1])
        else:
            own = axis - out.ndim + tensor.ndim
            fixed |= own >= 0 and tensor.shape[own] != 1
    if fixed:  # a tensor of fixed size on the channel axis
        t.trace.groups.pin(ids)
    return Labels(axis, ids)


def _spatial(dims: int) -> Rule:
    """Each channel depends on the same channel; `dims` axes follow it (0: any number)."""

    def rule(
        t: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
    ) -> Labels | None:
        x = _first(args, kwargs)
        found = t.labels(x)
        others = [v for v in (*args[1:], *kwargs.values()) if isinstance(v, Tensor) and v is not x]
        if found is None or found.axis != 1 or others or x.ndim != out.ndim:
            return None
        if x.shape[:2] != out.shape[:2] or x.ndim < 3 or (dims and x.ndim != dims + 2):
            return None
        return found

    return rule


def _pad(t: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> Labels | None:
    x = _first(args, kwargs)
    found, pad = t.labels(x), kwargs.get("pad", args[1] if len(args) > 1 else None)
    if found is None or not isinstance(pad, list | tuple) or x.ndim - len(pad) // 2 <= found.axis:
        return None
    return found


def _reduce(t: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> Labels | None:
    """A reduction over other axes than the channels'."""
    x = _first(args, kwargs)
    found, dims = t.labels(x), kwargs.get("dim", args[1] if len(args) > 1 else None)
    dims = [dims] if isinstance(dims, int) and not isinstance(dims, bool) else dims
    if found is None or not isinstance(dims, list | tuple) or not dims:
        return None
    gone = {d % x.ndim for d in dims}
    if found.axis in gone or 0 in gone:
        return None
    if out.ndim == x.ndim:
        return found
    return Labels(found.axis - sum(d < found.axis for d in gone), found.ids)


def _permute(
    t: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
) -> Labels | None:
    x = _first(args, kwargs)
    found, dims = t.labels(x), kwargs.get("dims", args[1:])
    if len(dims) == 1 and isinstance(dims[0], list | tuple):
        dims = dims[0]
    if found is None or len(dims) != x.ndim:
        return None
    axis = [d % x.ndim for d in dims].index(found.axis)
    return Labels(axis, found.ids) if axis else None


def _transpose(
    t: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
) -> Labels | None:
    x = _first(args, kwargs)
    found = t.labels(x)
    if found is None or len(args) != 3:
        return None
    a, b = args[1] % x.ndim, args[2] % x.ndim
    axis = {a: b, b: a}.get(found.axis, found.axis)
    return Labels(axis, found.ids) if axis else None


def _reshape(
    t: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
) -> Labels | None:
    """The channel axis stays one axis, alone or merged with neighbours other than the batch."""
    x = _first(args, kwargs)
    found = t.labels(x)
    if found is None or x.dtype != out.dtype or not x.ndim or not out.ndim or not x.numel():
        return None
    if out.shape[0] != x.shape[0]:
        return None
    before, count = math.prod(x.shape[: found.axis]), len(found.ids)
    after = math.prod(x.shape[found.axis + 1 :])
    for axis in range(1, out.ndim):
        left, right = math.prod(out.shape[:axis]), math.prod(out.shape[axis + 1 :])
        if before % left or after % right:
            continue
        if out.shape[axis] == (before // left) * count * (after // right):
            ids = np.tile(np.repeat(found.ids, after // right), before // left)
            return Labels(axis, ids)
    return None


def _cat(t: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> Labels | None:
    tensors = args[0] if args else kwargs["tensors"]
    axis = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0)) % out.ndim
    labels = [t.labels(x) for x in tensors]
    axes = {found.axis for found in labels if found is not None}
    if len(axes) != 1 or axis == 0 or any(x.ndim != out.ndim for x in tensors):
        return None
    (own,) = axes
    groups = t.trace.groups
    parts = [
        found.ids if found is not None else groups.new(x.shape[own], pinned=True)
        for found, x in zip(labels, tensors, strict=True)
    ]
    if axis == own:
        return Labels(axis, np.concatenate(parts))
    for part in parts[1:]:
        groups.join(parts[0], part)
    return Labels(own, parts[0])


def _getitem(
    t: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
) -> Labels | None:
    """Slices of other axes than the batch and the channels."""
    x, index = args
    found = t.labels(x)
    index = index if isinstance(index, tuple) else (index,)
    if found is None or out.ndim != x.ndim or not all(isinstance(i, slice) for i in index):
        return None
    whole = slice(None)
    if any(index[a] != whole for a in (0, found.axis) if a < len(index)):
        return None
    return found


def _layer(t: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> Labels | None:
    """A linear layer or a convolution that its own module calls."""
    x, weight = _first(args, kwargs), args[1] if len(args) > 1 else kwargs["weight"]
    owner = t.layer(weight)
    if owner is None or isinstance(owner[1], nn.modules.batchnorm._BatchNorm):
        return None
    name, module = owner
    linear = isinstance(module, nn.Linear)
    axis = -1 if linear else 1
    if x.ndim < 2 or (not linear and x.ndim != weight.ndim):
        return None
    if not linear and module.groups != 1:
        found = t.labels(x)  # depthwise
        if found is None or found.axis != 1:
            return None
        t.register(name, found.ids, found.ids[:0])
        return found
    known = t.trace.outputs.get(name)
    outputs = t.trace.groups.new(out.shape[axis]) if known is None else known
    t.register(name, t.input_of(x, axis), outputs)
    return Labels(axis % out.ndim, outputs)


def _batch_norm(
    t: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
) -> Labels | None:
    x = _first(args, kwargs)
    found = t.labels(x)
    state = [v for v in (*args[1:], *kwargs.values()) if isinstance(v, Tensor)]
    if found is None or found.axis != 1:
        return None
    if state:
        owner = t.layer(state[0])
        if owner is None or not all(t.layer(v) == owner for v in state):
            return None
        t.register(owner[0], found.ids, found.ids[:0])
    return found


def _first(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    return args[0] if args else kwargs.get("input", next(iter(kwargs.values())))  # type: ignore[no-any-return]


RULES: dict[str, Rule] = {
    **dict.fromkeys([*_ELEMENTWISE, "get data"], _elementwise),
    **{f"{pool}{d}d": _spatial(d) for pool in _POOLS for d in (1, 2, 3)},
    **dict.fromkeys(["interpolate", "upsample"], _spatial(0)),
    **dict.fromkeys(["pad", "_pad", "constant_pad_nd"], _pad),
    **dict.fromkeys(["mean", "sum", "amax", "amin", "std", "var"], _reduce),
    **dict.fromkeys(RESHAPES, _reshape),
    **dict.fromkeys(["cat", "concat", "concatenate"], _cat),
    **dict.fromkeys(["linear", "conv1d", "conv2d", "conv3d"], _layer),
    "permute": _permute,
    "transpose": _transpose,
    "swapaxes": _transpose,
    "__getitem__": _getitem,
    "batch_norm": _batch_norm,
}
