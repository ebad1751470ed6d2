"""Layer-sequential unit-variance initialisation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mtsearch.config.errors import BadInput
from mtsearch.models.heads import head_layers


@torch.no_grad()
def lsuv_(model: nn.Module, images: Tensor, generator: torch.Generator) -> None:
    """Initialise every convolution and linear layer in place so that its output on `images` has
    standard deviation 1 (Mishkin & Matas 2016).

    Weights are initialised with orthonormal rows or columns (as out x rest matrices) and biases
    with 0. Then the weight of each layer is divided by the standard deviation of its output. With
    zero biases the output is linear in the weight, so that a single pass, which rescales each
    layer when it is executed, replaces repeated passes. The pass runs in eval mode, in which new
    batch norms are the identity.

    If an output channel of the trunk is not positive on any image, its row is multiplied by -1
    first; the rows stay orthonormal. Otherwise the channel would be zero after a ReLU, and a layer
    that reads only this channel (such as a squeeze to one unit) could not be scaled. The rows of
    heads are not changed, because an output may be negative everywhere. Frozen layers keep their
    weights.

    Args:
        model: any network that takes images as its only argument.
        images: (B, C, H, W) normalised images; several hundred are sufficient.
        generator: a CPU generator; equal seeds give equal weights.

    Raises:
        BadInput: the output of a layer is constant on these images.
    """
    layers = {
        m: name
        for name, m in model.named_modules()
        if isinstance(m, nn.Conv2d | nn.Linear) and m.weight.requires_grad
    }
    for layer in layers:
        fresh = torch.empty(layer.weight.shape, dtype=torch.float32)
        nn.init.orthogonal_(fresh, generator=generator)
        layer.weight.copy_(fresh)
        if layer.bias is not None:
            layer.bias.zero_()

    done: set[nn.Module] = set()
    heads = head_layers(model)

    def rescale(layer: Any, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if layer in done:
            return output
        done.add(layer)
        if layer not in heads:
            channels = 1 if isinstance(layer, nn.Conv2d) else -1
            sign = 1 - 2 * (output.movedim(channels, 0).flatten(1).amax(1) <= 0).to(output.dtype)
            layer.weight.mul_(sign.view(-1, *[1] * (layer.weight.dim() - 1)))
            output = output.movedim(channels, -1).mul(sign).movedim(-1, channels)
        deviation = output.float().std()
        if not bool(torch.isfinite(deviation)) or float(deviation) < 1e-12:
            raise BadInput(
                f"`trial.init: lsuv` cannot scale layer `{layers[layer]}`, because the standard"
                f" deviation of its output is {float(deviation):g} on the given images. Use images"
                " that differ, or `init: default`."
            )
        layer.weight.div_(deviation)
        return output / deviation

    training = model.training
    handles = [layer.register_forward_hook(rescale) for layer in layers]
    try:
        model.eval()(images)
    finally:
        for handle in handles:
            handle.remove()
        model.train(training)
