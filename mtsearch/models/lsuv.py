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
    standard deviation 1.

    Weights are drawn orthonormal (in rows or in columns, over out x rest), biases are 0; then each
    layer is divided by its output's deviation. With zero biases the output is linear in the weight,
    so a single pass that corrects each layer as it is executed does what repeated passes would
    (Mishkin & Matas 2016). The pass runs in eval mode, where fresh batch norms are the identity.

    An output channel of the trunk that is nowhere positive has its row multiplied by -1 first; the
    rows stay orthonormal. Behind a ReLU it would be dead, and a layer that reads only this
    channel (a squeeze to one unit) could not be scaled. Rows of heads keep their direction: an
    output may be negative everywhere. Layers that are frozen keep their weights.

    Args:
        model: any network of one image argument.
        images: (B, C, H, W) normalised images; several hundred are enough.
        generator: a CPU generator; the same seed gives the same weights.

    Raises:
        BadInput: a layer's output does not vary on these images.
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
                f"LSUV cannot scale layer `{layers[layer]}`: its output has standard deviation"
                f" {float(deviation):g} on the given images; give images that differ, or `init:"
                " default`."
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
