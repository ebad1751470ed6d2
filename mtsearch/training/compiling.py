"""Compilation of training steps with torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from mtsearch.config.errors import BadInput
from mtsearch.training.sync_norm import is_synchronised

F = TypeVar("F", bound=Callable[..., object])
VARIANTS = 256  # compiled versions per function: groups of tasks times batch sizes


def compiled(function: F) -> F:
    """Compile a function as one graph, at its first call and again for every group of tasks and
    every batch size.

    Sizes are compile-time constants, so that the kernels depend only on the current batch and not
    on earlier ones, and a restored trial continues bit-identically. Random numbers are those of the
    eager function. The network is not modified: its state, export and evaluation do not depend on
    compilation.
    """
    import torch._functorch.config  # here, because it loads most of the compiler

    # gradient methods run several backward passes through one graph
    torch._functorch.config.donated_buffer = False
    return torch.compile(  # type: ignore[no-any-return, call-overload]
        function,
        fullgraph=True,
        dynamic=False,
        recompile_limit=VARIANTS,
        options={"fallback_random": True},
    )


def clear_compiled() -> None:
    """Discard all compiled code of this process. Functions that are called again are recompiled."""
    import torch._dynamo

    torch._dynamo.reset()


def check_compile(model: nn.Module, device: torch.device) -> None:
    """Check before the first step that the network can be compiled.

    Raises:
        BadInput: the device is a CPU and there is no C++ compiler, layers communicate with other
            ranks, or a network of the user's own has shared modules.
    """
    if any(is_synchronised(module) for module in model.modules()):
        raise BadInput(
            "`trial.compile` does not support layers that communicate with other workers, such as"
            " batch norms with `trial.bn: sync`. Use `bn: local`, or leave `compile` out."
        )
    if getattr(model, "shared", ()):
        raise BadInput(
            "`trial.compile` does not support the shared modules of `trial.architecture: own`."
            " Leave `shared` or `compile` out."
        )
    if device.type == "cpu":
        from torch._inductor import exc
        from torch._inductor.cpp_builder import get_cpp_compiler

        try:
            get_cpp_compiler()
        except exc.InvalidCxxCompiler:
            raise BadInput(
                "`trial.compile` needs a C++ compiler on a CPU. Found none. Install g++, or leave"
                " `compile` out."
            ) from None
