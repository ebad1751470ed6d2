"""Inputs of the branches of a mixing network: the image or a function of it. Different inputs make
the branches differ from the first step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.base import Model
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import implementation_of
from mtsearch.models.registry import build_model
from mtsearch.models.weights import load_weights


class Resampled(nn.Module):
    """The image, downsampled by average pooling over `factor` x `factor` pixels and upsampled to
    its size by `filter`."""

    def __init__(self, factor: int, filter: str) -> None:
        super().__init__()
        self.factor, self.filter = factor, filter

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        smooth: dict[str, Any] = {} if self.filter == "nearest" else {"align_corners": False}
        return F.interpolate(
            F.avg_pool2d(images, self.factor), size=images.shape[2:], mode=self.filter, **smooth
        )


class Frozen(nn.Module):
    """A restoration network that is not trained. It stays in eval mode, has no gradients, and is
    part of the state dict."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.name = name

    def train(self, mode: bool = True) -> Frozen:
        """Stay in eval mode."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.network(images)[self.name]  # type: ignore[no-any-return]


def build_input(settings: Model, shape: tuple[int, int, int]) -> nn.Module:
    """Build the input of a branch for images of `shape` (C, H, W): a module (B, C, H, W) ->
    (B, C, H, W).

    Raises:
        BadInput: the sides of the images are not multiples of a factor, or weights do not fit.
    """
    build: Callable[[Model, tuple[int, int, int]], nn.Module] = implementation_of(settings)
    return build(settings, shape)


def image(settings: schema.ImageInputConfig, shape: tuple[int, int, int]) -> nn.Module:
    """The image itself."""
    return nn.Identity()


def resampled(settings: schema.ResampledInputConfig, shape: tuple[int, int, int]) -> Resampled:
    """The image at a lower resolution. Raises BadInput as `build_input` does."""
    if shape[1] % settings.factor or shape[2] % settings.factor:
        raise BadInput(
            f"`trial.architecture.inputs` with `factor: {settings.factor}` needs images whose"
            f" sides are multiples of it. Found {shape[1]} x {shape[2]}. Choose another `factor`."
        )
    return Resampled(settings.factor, settings.filter)


def frozen(settings: schema.NetworkInputConfig, shape: tuple[int, int, int]) -> Frozen:
    """The network of one restoration task from an export (`model.safetensors`) of a trial with the
    architecture `hps` or `stl`."""
    state = load_weights(settings.weights, "trial.architecture.inputs")
    head = next((key for key in state if "heads." in key), "")
    # An export wraps the network in a module that normalises; these images are normalised already.
    prefix = head[: head.find("heads.")] if head else ""
    state = {
        key.removeprefix(prefix): value
        for key, value in state.items()
        if key.startswith(prefix) and key not in ("mean", "std")
    }
    names = sorted({key.split(".")[1] for key in state if key.startswith("heads.")})
    if len(names) != 1:
        raise BadInput(
            f"`{settings.weights}` should contain a network of one task, with tensors `trunk...`"
            " and"
            f" `heads.<task>...`. Found the heads {', '.join(names) or 'none'}; export one that was"
            " trained with `architecture: hps` on one restoration."
        )
    card = TaskCard(name=names[0], kind="restoration", outputs=shape[0])
    network = build_model(schema.HPSConfig(), settings.backbone, [card], shape)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(
            f"`{settings.weights}` does not fit the backbone `{settings.backbone.name}` on images"
            f" of {shape}: {reason}"
        ) from error
    return Frozen(network, names[0])
