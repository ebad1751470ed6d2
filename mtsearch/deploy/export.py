"""From a trained network to files that torch alone can run."""

from __future__ import annotations

import copy
import math
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mtsearch import __version__
from mtsearch.config.cards import TaskCard
from mtsearch.data import Dataset
from mtsearch.deploy.card import as_json, as_markdown, card_of, size_of
from mtsearch.deploy.compact import compact
from mtsearch.deploy.files import CARD, fingerprint, whole_folder
from mtsearch.deploy.parity import check_parity
from mtsearch.deploy.serving import Serving

EXACT = 1e-9  # of the compacted network, both in float64
PARITY = 1e-5  # of the exported program, both in float32, or
NOISE = 4  # times what the trained network itself loses in float32, where that is more
IMAGES = 512  # validation images that both are checked on


def export_model(model: nn.Module, dataset: Dataset, tasks: Sequence[TaskCard], out: Path, facts: Mapping[str, Any]) -> Path:
    """Compact a trained network and write `model.safetensors`, `model.pt2`, `card.json` and `card.md` into `out`, all or nothing.

    The exported program takes float32 images (B, C, H, W) in [0, 1] for any B >= 1, normalises them itself and returns raw outputs by
    task. Before anything appears it is read back and compared with `model` on real validation images.

    Args:
        model: a trained network on normalised images; left as it is.
        dataset: the data it was trained on.
        tasks: the tasks it answers.
        out: the folder to make; an earlier export there is replaced.
        facts: what the card tells besides: any of `trial`, `pick`, `run`, `command`, `preference` (by task), `metrics` (`val/...`,
            `test/...`), `config`, `environment`.

    Returns:
        `out`.

    Raises:
        BadInput: `out` holds something else.
        RuntimeError: torch cannot export the network, or the compacted or exported network does not answer as the trained one.
    """
    shape = dataset.card.shape
    reference = Serving(copy.deepcopy(model).cpu().float(), dataset.mean, dataset.std).eval()
    pixels = dataset.splits["val"].images[:IMAGES].float() / 255
    with whole_folder(out) as folder:
        compacted = compact(reference, shape)
        precise = copy.deepcopy(reference).double()
        check_parity(precise, copy.deepcopy(compacted.model).double(), pixels[:64].double(), EXACT, "The compacted network")
        noise = check_parity(lambda images: precise(images.double()), reference, pixels[:64], math.inf, "The trained network in float32")
        tensors = {name: value.contiguous() for name, value in compacted.model.state_dict().items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt", "mtsearch": __version__})
        _save_program(compacted.model, pixels[:1].expand(2, -1, -1, -1).clone(), folder / "model.pt2")
        shutil.copymode(folder / "model.pt2", folder / "model.safetensors")  # which is its owner's alone before
        program = torch.export.load(folder / "model.pt2").module()
        parity = check_parity(reference, program, pixels, max(PARITY, NOISE * noise.relative), "The exported program")
        card = card_of(
            dataset=dataset,
            tasks=tasks,
            facts=facts,
            before=size_of(reference, shape),
            after=size_of(compacted.model, shape),
            notes=compacted.notes,
            parity=parity,
            files={name: fingerprint(folder / name) for name in ("model.safetensors", "model.pt2")},
        )
        (folder / CARD).write_text(as_json(card), encoding="utf-8")
        (folder / "card.md").write_text(as_markdown(card), encoding="utf-8")
    return out


def _save_program(network: nn.Module, example: Tensor, path: Path) -> None:
    """Export for any batch size from an example of two images (one would be taken as the only size)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
            torch.export.save(program, path)
    except Exception as error:  # torch.export raises many kinds of its own
        reason = " ".join(str(error).split())[:300]
        raise RuntimeError(f"torch.export should take this network with any batch size. Found {type(error).__name__}: {reason}") from error
