"""Backbones from the vision networks of the package transformers, without their heads."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.errors import BadInput
from mtsearch.models.base import Backbone, Branch, Need
from mtsearch.models.monitor import small_monitor


class HFBranch(Branch):
    """A network of transformers. The feature vector is the mean of its last hidden states over
    their tokens or pixels; the feature map is the last hidden states, if they are maps.

    Args:
        network: returns `last_hidden_state` for `pixel_values`.
        needs: the outputs of `forward`, in this order.
    """

    def __init__(self, network: nn.Module, needs: Sequence[Need]) -> None:
        nn.Module.__init__(self)
        self.network = network
        self.needs = tuple(needs)

    def forward(self, images: Tensor) -> list[Tensor]:
        features = self.network(pixel_values=images).last_hidden_state
        axes = (2, 3) if features.dim() == 4 else 1
        return [features if need == "map" else features.mean(axes) for need in self.needs]


def network(settings: schema.BackboneHFConfig, shape: tuple[int, int, int]) -> Backbone:
    """Build a backbone whose trunk is the network in a local folder or in the local cache of
    transformers, with its weights or with random ones. Nothing is downloaded, and no code of a
    folder is run. The backbone has no stages. A monitor is two small convolutions and a linear
    layer to the width of the trunk.

    Raises:
        BadInput: transformers is not installed, there is no such network, or it does not support
            the images.
    """
    width, map_shape = _probe(settings, shape)

    def trunk(needs: Sequence[Need]) -> Branch:
        return HFBranch(_created(settings), needs)

    def monitor(needs: Sequence[Need]) -> Branch:
        return small_monitor(shape, width, map_shape, needs)

    return Backbone(trunk, monitor, width, map_shape, shape)


def _created(settings: schema.BackboneHFConfig) -> nn.Module:
    """Return the network without a pooler that has parameters, as the mean replaces it."""
    try:
        with warnings.catch_warnings(action="ignore"):
            from transformers import AutoConfig, AutoModel
    except ImportError:
        raise BadInput(
            "`trial.backbone: hf` needs the package transformers, which is not installed. Write"
            " `pip install 'mtsearch[hf]'`."
        ) from None
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        if settings.pretrained:
            found = AutoModel.from_pretrained(settings.model, use_safetensors=True, **local)
        else:
            found = AutoModel.from_config(AutoConfig.from_pretrained(settings.model, **local))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(
            "`trial.backbone.model` should be a folder with `config.json` and, if `pretrained`,"
            " `model.safetensors`, or a network in the local cache of transformers. Found"
            f" {settings.model}: {reason}"
        ) from error
    network: nn.Module = found.float().train()
    pooler = getattr(network, "pooler", None)
    if isinstance(pooler, nn.Module) and next(pooler.parameters(), None) is not None:
        network.register_module("pooler", None)
    return network


def _probe(
    settings: schema.BackboneHFConfig, shape: tuple[int, int, int]
) -> tuple[int, tuple[int, int, int] | None]:
    """Return the width of the feature vector and the shape of the feature map, without drawing
    random numbers."""
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            branch = HFBranch(_created(settings), ["map", "vector"]).eval()
            features, vector = branch(torch.zeros(1, *shape))
    except BadInput:
        raise
    except (AttributeError, TypeError, RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(
            f"`trial.backbone.model: {settings.model}` does not support images of shape {shape}:"
            f" {reason}"
        ) from error
    is_map = features.dim() == 4
    return vector.shape[1], (tuple(features.shape[1:]) if is_map else None)
