"""Task branches with attention over an encoder-decoder. Image-level tasks use the maps of the
encoder, pixel-level tasks those of the encoder and the decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models.base import Backbone, MultiTaskModel
from mtsearch.models.heads import build_head, need_of
from mtsearch.models.mtln import attention, extractor
from mtsearch.models.trunk_model import needs_of
from mtsearch.models.trunk_segnet import SegNetBranch


class MTLNSegNet(MultiTaskModel):
    """SegNet with one attention module per task and level of the encoder and, for pixel-level
    tasks, of the decoder.

    At encoder level i, the mask of the level's second map is computed from its first map
    concatenated with Q_(i-1); Q_i is the masked map after a shared extractor and a 2x2 max-pool.
    The decoder runs from the last level to level 0. The mask of the level's last map is computed
    from the unpooled map concatenated with the previous result (Q of the last encoder level, then
    the masked map of the previous decoder level), which is upsampled and passed through a shared
    extractor. Heads read the last Q, averaged over pixels, or the masked map of decoder level 0.
    (The dense variant of MTAN: Liu, Johns & Davison 2019, CVPR, with the scene task of MTLN on the
    encoder only.)

    Raises:
        BadInput: the backbone is not `segnet`.
    """

    def __init__(
        self, settings: schema.MTLNSegNetConfig, backbone: Backbone, tasks: Sequence[TaskCard]
    ) -> None:
        super().__init__(tasks)
        needs = needs_of(tasks)
        trunk = backbone.trunk(needs)
        if not isinstance(trunk, SegNetBranch):
            raise BadInput(
                "`trial.architecture: mtln_segnet` needs the encoder and decoder of the backbone"
                " `segnet`. Found another backbone. Set `trial.backbone: segnet`."
            )
        body = trunk.body
        widths = [level[0].out_channels for level in body.encoder_first]  # type: ignore[index, union-attr]
        ends = [level[0].out_channels for level in body.decoder_first]  # type: ignore[index, union-attr]
        after = [*widths[1:], widths[-1]]  # channels of Q
        self.form, self.sizes = settings.form, body.sizes

        def mask(inputs: int, outputs: int) -> nn.Module:
            return attention(inputs, max(1, round(settings.ratio * outputs)), outputs, bias=True)

        def encoder_masks() -> nn.ModuleList:
            return nn.ModuleList(
                mask(w + (after[i - 1] if i else 0), w) for i, w in enumerate(widths)
            )

        def decoder_masks() -> nn.ModuleList:
            return nn.ModuleList(mask(widths[i] + end, end) for i, end in enumerate(ends))

        self.trunk = trunk
        self.on_pixels = {task.name for task in tasks if need_of(task) == "map"}
        self.encoder_attention = nn.ModuleDict({task.name: encoder_masks() for task in tasks})
        self.decoder_attention = nn.ModuleDict(
            {name: decoder_masks() for name in sorted(self.on_pixels)}
        )
        self.encoder_extractors = nn.ModuleList(
            extractor(i, o, 1, True, 2) for i, o in zip(widths, after, strict=True)
        )
        self.decoder_extractors = nn.ModuleList(
            extractor(widths[i], end, 1, True, 1) for i, end in enumerate(ends)
        )
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.heads = nn.ModuleDict({task.name: build_head(task, backbone) for task in tasks})
        parts = (
            "encoder_attention.",
            "decoder_attention.",
            "encoder_extractors.",
            "decoder_extractors.",
        )
        self.prunable = trunk.rows("trunk") + tuple(
            n for n, m in self.named_modules() if type(m) is nn.Conv2d and n.startswith(parts)
        )

    def share(self, x: Tensor, tasks: Sequence[str] | None = None) -> list[Tensor]:
        maps = self.trunk.body.maps(x, any(name in self.on_pixels for name in self.chosen(tasks)))
        return [*maps.first, *maps.second, *maps.up, *maps.down]

    def decode(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        levels = len(self.sizes)
        first, second, up, down = (shared[i * levels : (i + 1) * levels] for i in range(4))
        out = {}
        for name in self.chosen(tasks):
            q = self._encoded(name, first, second)
            out[name] = self.heads[name](
                self._decoded(name, q, up, down) if name in self.on_pixels else self.pool(q)
            )
        return out

    def _encoded(self, name: str, first: list[Tensor], second: list[Tensor]) -> Tensor:
        q: Tensor | None = None
        masks = self.encoder_attention[name]
        for i in range(len(self.sizes)):
            mask = masks[i](first[i] if q is None else torch.cat([first[i], q], 1))  # type: ignore[index]
            q = self.encoder_extractors[i](self._masked(second[i], mask))
        assert q is not None
        return q

    def _decoded(self, name: str, q: Tensor, up: list[Tensor], down: list[Tensor]) -> Tensor:
        masks = self.decoder_attention[name]
        for i in reversed(range(len(self.sizes))):
            larger = F.interpolate(q, size=self.sizes[i], mode="bilinear", align_corners=False)
            mask = masks[i](torch.cat([up[i], self.decoder_extractors[i](larger)], 1))  # type: ignore[index]
            q = self._masked(down[i], mask)
        return q

    def _masked(self, feature_map: Tensor, mask: Tensor) -> Tensor:
        return feature_map * mask if self.form == "gate" else feature_map + feature_map * mask

    def shared_parameters(self) -> list[nn.Parameter]:
        return [
            p
            for part in (self.trunk, self.encoder_extractors, self.decoder_extractors)
            for p in part.parameters()
        ]

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        own = (self.encoder_attention, self.decoder_attention, self.heads)
        return [p for part in own if name in part for p in part[name].parameters()]
