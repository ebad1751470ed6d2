"""Checks before a search starts that need no data: sampler, names of controls, devices, slots."""

from __future__ import annotations

from mtsearch.config.errors import BadInput
from mtsearch.config.space import Space
from mtsearch.execution.slots import bundle, local_nodes, slots
from mtsearch.jobs.checks import locate_error, variants
from mtsearch.observers import check_observers
from mtsearch.runs.names import check_control_names
from mtsearch.strategy.study import check_search


def check_space(space: Space) -> None:
    """Check what needs no data: the sampler, the names of controls, the devices, the slots of a
    local cluster. Raises BadInput."""
    check_search(space)
    check_observers(space)
    bundle(space.config)
    check_control_names(space.controls)
    here = local_nodes()
    if text := _no_gpu(space, here):
        for variant in variants(space, pairs=False):
            if variant.config.device == "cuda":
                raise BadInput(
                    locate_error(
                        space, variant, f"`trial.device` is cuda, but `resources.gpu` {text}"
                    )
                )
    if space.config.workers > 1:
        for variant in variants(space, pairs=False):
            if variant.config.compile and variant.config.bn == "sync":
                text = (
                    "`trial.compile` with several workers needs `trial.bn: local`, as with `sync`"
                    " layers exchange statistics between workers. Found sync."
                )
                raise BadInput(locate_error(space, variant, text))
    if here is not None:
        slots(space.config, here)


def _no_gpu(space: Space, nodes: list[dict[str, float]] | None) -> str:
    """Why no trial can use a GPU, as the end of a sentence; empty where trials may use one."""
    gpu = space.config.resources.gpu
    if gpu == 0:
        return "is 0, so no slot has a GPU. Set resources.gpu=1 or a share."
    if gpu == "auto" and nodes is not None and not any(node.get("GPU", 0) for node in nodes):
        return "is auto and this machine has no GPU. Set trial.device=auto or cpu."
    return ""
