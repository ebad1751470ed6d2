"""Export of a trained network to files that need torch only."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from mtsearch.config.cards import TaskCard
from mtsearch.data import Dataset
from mtsearch.deploy.card import as_json, as_markdown, card_of
from mtsearch.deploy.compact import compact
from mtsearch.deploy.files import CARD, fingerprint, whole_folder
from mtsearch.deploy.parity import Parity, check_parity
from mtsearch.deploy.programs import need_onnx, write_programs
from mtsearch.deploy.serving import given_inputs, given_shape, serving_of
from mtsearch.deploy.size import size_of

EXACT = 1e-9  # allowed relative difference of the compacted network, both in float64
PARITY = 1e-5  # allowed difference of the exported program, both in float32, or
NOISE = 4  # times the float32 rounding error of the trained network, whichever is larger
IMAGES = 512  # validation images for both comparisons


def export_model(
    model: nn.Module,
    dataset: Dataset,
    tasks: Sequence[TaskCard],
    out: Path,
    facts: Mapping[str, Any],
    *,
    onnx: bool = False,
) -> Path:
    """Compact a trained network and write `model.safetensors`, `model.pt2`, `card.json` and
    `card.md` into `out`, all of them or none.

    The exported programs take float32 images (B, C, H, W) in [0, 1], or arrays (B, ...) such as
    vectors (B, features), for any B >= 1, normalise them and return raw outputs by task; those of a
    dataset of inputs without statistics take these as they are. Before `out` is created, they are
    read from disk and compared with `model` on validation data.

    Args:
        model: a trained network that takes normalised images; not modified.
        dataset: the data it was trained on.
        tasks: the tasks of its outputs.
        out: the folder to create; an earlier export there is replaced.
        facts: further entries of the card: any of `trial`, `pick`, `run`, `command`, `preference`
            (by task), `metrics` (`val/...`, `test/...`), `config`, `environment`.
        onnx: whether to write `model.onnx` too, which needs the packages of the extra `onnx`.

    Returns:
        `out`.

    Raises:
        BadInput: `out` has other content, or the packages for `onnx` are not installed.
        RuntimeError: torch cannot export the network, or the outputs of the compacted or exported
            network differ from those of the trained one.
    """
    if onnx:
        need_onnx()
    shape = given_shape(dataset)
    reference = serving_of(copy.deepcopy(model).cpu().float(), dataset).eval()
    pixels = given_inputs(dataset, "val", IMAGES)
    with whole_folder(out) as folder:
        compacted = compact(reference, shape)
        precise = copy.deepcopy(reference).double()
        check_parity(
            precise,
            copy.deepcopy(compacted.model).double(),
            pixels[:64].double(),
            EXACT,
            "The compacted network",
        )
        noise = check_parity(
            lambda images: precise(images.double()),
            reference,
            pixels[:64],
            math.inf,
            "The trained network in float32",
        )
        programs = write_programs(compacted.model, pixels[:1], folder, onnx)
        bound = max(PARITY, NOISE * noise.relative)
        parities = [
            check_parity(reference, read(folder / name), pixels, bound, f"The exported {name}")
            for name, read in programs.items()
        ]
        card = card_of(
            dataset=dataset,
            tasks=tasks,
            facts=facts,
            before=size_of(reference, shape),
            after=size_of(compacted.model, shape),
            notes=compacted.notes,
            parity=Parity(
                max(p.absolute for p in parities), max(p.relative for p in parities), len(pixels)
            ),
            files={name: fingerprint(folder / name) for name in ("model.safetensors", *programs)},
        )
        (folder / CARD).write_text(as_json(card), encoding="utf-8")
        (folder / "card.md").write_text(as_markdown(card), encoding="utf-8")
    return out
