"""Backbones from the networks of the package timm, without their classifier."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.errors import BadInput, nearest
from mtsearch.models.base import Backbone, Branch, Need
from mtsearch.models.monitor import small_monitor
from mtsearch.models.weights import load_weights


class TimmBranch(Branch):
    """A network of timm without its classifier. The feature vector is the input of the classifier;
    the feature map is the output of the last stage.

    Args:
        network: with `forward_features` and `forward_head`.
        needs: the outputs of `forward`, in this order.
        shape: (channels, height, width) of the images.
    """

    def __init__(self, network: nn.Module, needs: Sequence[Need], shape: tuple[int, ...]) -> None:
        nn.Module.__init__(self)
        self.network = network
        self.needs = tuple(needs)
        if "vector" not in needs:
            _drop_unused_(self, shape)

    def forward(self, images: Tensor) -> list[Tensor]:
        net: Any = self.network
        features = net.forward_features(images)
        vector = net.forward_head(features, pre_logits=True) if "vector" in self.needs else None
        return [features if need == "map" or vector is None else vector for need in self.needs]


def network(settings: schema.BackboneTimmConfig, shape: tuple[int, int, int]) -> Backbone:
    """Build a backbone whose trunk is `settings.model` without its classifier.

    The weights are loaded from `settings.weights`, a local state dict, or are random. Nothing is
    downloaded. A network whose last features are no maps (B, C, h, w), such as a vision
    transformer, has a feature vector only. The backbone has no stages. A monitor is two small
    convolutions and a linear layer to the width of the trunk.

    Raises:
        BadInput: timm is not installed, or the model is unknown, does not support the images, or
            does not fit the weights.
    """
    state = load_weights(settings.weights) if settings.weights is not None else None
    width, map_shape = _probe(settings.model, shape)

    def trunk(needs: Sequence[Need]) -> Branch:
        net = _created(settings.model, shape)
        if state is not None:
            classifier = getattr(net, "pretrained_cfg", {}).get("classifier") or ()
            names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
            ignored = tuple(f"{name}." for name in names)
            try:
                net.load_state_dict({k: v for k, v in state.items() if not k.startswith(ignored)})
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:300]
                raise BadInput(
                    f"`trial.backbone.weights` does not fit the timm network `{settings.model}`."
                    f" Found {settings.weights}: {reason}"
                ) from error
        return TimmBranch(net, needs, shape)

    def monitor(needs: Sequence[Need]) -> Branch:
        return small_monitor(shape, width, map_shape, needs)

    return Backbone(trunk, monitor, width, map_shape, shape)


def _created(name: str, shape: tuple[int, int, int]) -> nn.Module:
    """Return the network without its classifier and with random weights."""
    try:
        with warnings.catch_warnings(action="ignore"):
            import timm
    except ImportError:
        raise BadInput(
            "`trial.backbone: timm` needs the package timm, which is not installed. Write `pip"
            " install 'mtsearch[timm]'`."
        ) from None
    if not timm.is_model(name):
        raise BadInput(
            f"`trial.backbone.model` should be a network of timm. Found `{name}`."
            f" {nearest(name, timm.list_models())}"
        )
    options: dict[str, Any] = {"pretrained": False, "num_classes": 0, "in_chans": shape[0]}
    try:
        return timm.create_model(name, **options, img_size=shape[1:])  # type: ignore[no-any-return]
    except TypeError:  # convolutional networks take images of any size
        return timm.create_model(name, **options)  # type: ignore[no-any-return]


def _probe(name: str, shape: tuple[int, int, int]) -> tuple[int, tuple[int, int, int] | None]:
    """Return the width of the feature vector and the shape of the feature map, without drawing
    random numbers."""
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            net: Any = _created(name, shape).eval()
            features = net.forward_features(torch.zeros(1, *shape))
            vector = net.forward_head(features, pre_logits=True)
    except BadInput:
        raise
    except (AttributeError, RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(
            f"`trial.backbone.model: {name}` does not support images of {shape[1]} x {shape[2]}"
            f" pixels: {reason}"
        ) from error
    # some transformers have the channels on the last axis
    channels = net.num_features
    is_map = features.ndim == 4 and (
        features.shape[1] == channels or features.shape[-1] != channels
    )
    return vector.shape[1], tuple(features.shape[1:]) if is_map else None


def _drop_unused_(branch: TimmBranch, shape: tuple[int, ...]) -> None:
    """Replace the children of the network that the feature map does not need by identities, so that
    all parameters are used."""
    called: set[nn.Module] = set()
    hooks = [
        module.register_forward_pre_hook(lambda module, _: called.add(module))
        for module in branch.network.modules()
    ]
    try:
        like = next(branch.network.parameters())
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            branch.eval()(like.new_zeros(1, *shape))
    finally:
        for hook in hooks:
            hook.remove()
        branch.train()
    for name, child in branch.network.named_children():
        if not called & set(child.modules()):
            setattr(branch.network, name, nn.Identity())
