"""Training steps through torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from mtsearch.config.errors import BadInput
from mtsearch.training.sync_norm import is_synchronised

F = TypeVar("F", bound=Callable[..., object])
VARIANTS = 256  # of one function: groups of tasks times sizes of batches


def compiled(function: F) -> F:
    """The function as one graph that is compiled when it is first called, and again for every group
    of tasks and every size of a batch.

    Sizes are constants: which kernel runs depends on the batch alone and not on the batches before,
    so that a trial that was stopped continues with the same bits. Random numbers are those of the
    plain function. The network itself is left as it is: its state, its export and its evaluation
    know nothing of this.
    """
    import torch._functorch.config  # loads most of the compiler

    torch._functorch.config.donated_buffer = (
        False  # gradient methods go backward through one graph several times
    )
    return torch.compile(  # type: ignore[no-any-return, call-overload]
        function,
        fullgraph=True,
        dynamic=False,
        recompile_limit=VARIANTS,
        options={"fallback_random": True},
    )


def forget() -> None:
    """Let go of all compiled code of this process: what is still needed is compiled again."""
    import torch._dynamo

    torch._dynamo.reset()


def check_compile(model: nn.Module, device: torch.device) -> None:
    """Refuse what cannot be compiled before the first step.

    Raises:
        BadInput: no C++ compiler for a CPU; layers that talk to other ranks.
    """
    if any(is_synchronised(module) for module in model.modules()):
        raise BadInput(
            "`trial.compile` takes networks whose layers do not talk to other workers, and"
            " `trial.bn: sync` with several workers makes batch norms do so. Use `bn: local`, or"
            " leave `compile` out."
        )
    if device.type == "cpu":
        from torch._inductor import exc
        from torch._inductor.cpp_builder import get_cpp_compiler

        try:
            get_cpp_compiler()
        except exc.InvalidCxxCompiler:
            raise BadInput(
                "`trial.compile` needs a C++ compiler on a CPU, and none is found here. Install"
                " g++, or leave it out."
            ) from None
