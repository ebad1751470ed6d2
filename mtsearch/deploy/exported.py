"""Reading an export folder back: the network, its tasks and its preprocessing."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
import torch
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.data.array_inputs import ArrayInputs
from mtsearch.deploy.files import CARD, fingerprint
from mtsearch.deploy.outputs import named_outputs
from mtsearch.deploy.preprocessing import Preprocessing

PROGRAM = "model.pt2"


@dataclass(frozen=True)
class Deployed:
    """A network that is ready to predict.

    Attributes:
        forward: maps float images (B, C, H, W) in [0, 1], or arrays (B, ...), on `device` to raw
            outputs by task.
        tasks: the tasks of its outputs.
        preprocessing: from image files or columns to its input.
        device: where it computes.
    """

    forward: Callable[[Tensor], dict[str, Tensor]]
    tasks: tuple[TaskCard, ...]
    preprocessing: Preprocessing | ArrayInputs
    device: torch.device


def open_export(folder: Path, device: torch.device) -> Deployed:
    """Read the export in a folder.

    Args:
        folder: what `mtsearch export` wrote.
        device: where the network shall compute.

    Raises:
        BadInput: the folder is not an export of a trial, is damaged, was written by a version that
            did not store the preprocessing, or its network does not read images.
    """
    card = _read_card(folder)
    if not isinstance(card.get("tasks"), dict) or not card["tasks"]:
        raise BadInput(
            f"{folder / CARD} names no tasks: it is not the export of a trial. Give the folder that"
            " `mtsearch export` wrote."
        )
    if "preprocess" not in card:
        raise BadInput(
            f"{folder / CARD} has no `preprocess`: an older version wrote it, and how its training"
            " images were scaled is unknown. Export the trial again with `mtsearch export`."
        )
    if card["preprocess"] is None:
        shape = card.get("input", {}).get("shape")
        raise BadInput(
            f"the network in {folder} reads numbers of shape {shape}, not image files. Load"
            f" {PROGRAM} with `torch.export.load`, as its card shows."
        )
    tasks = tuple(_task(name, entry, folder) for name, entry in card["tasks"].items())
    preprocessing = _preprocessing(card["preprocess"], str(folder / CARD))
    _check_file(card, folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(folder / PROGRAM)
            if device.type != "cpu":
                from torch.export.passes import move_to_device_pass

                program = move_to_device_pass(program, device)
            model = program.module()
    except Exception as error:  # torch raises almost any exception for damaged files
        reason = " ".join(str(error).split())[:200]
        raise BadInput(
            f"{folder / PROGRAM} cannot be loaded ({type(error).__name__}: {reason}). Export the"
            " trial again."
        ) from None
    return Deployed(lambda images: named_outputs(model(images)), tasks, preprocessing, device)


def _preprocessing(entry: Any, where: str) -> Preprocessing | ArrayInputs:
    if not isinstance(entry, dict) or "arrays" not in entry:
        return Preprocessing.from_dict(entry, where)
    try:
        return ArrayInputs.from_dict(entry["arrays"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"`preprocess` of {where} cannot be read ({type(error).__name__}: {error}). Export the"
            " trial again."
        ) from None


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    if not path.is_file():
        raise BadInput(
            f"{folder} is not an export: it contains no {CARD}. `mtsearch export` prints the folder"
            " of an export as its last line."
        )
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(
            f"{path} cannot be read ({type(error).__name__}: {error}). Export the trial again."
        ) from None
    if not isinstance(card, dict):
        raise BadInput(f"{path} contains no card of an export. Export the trial again.")
    return card


def _task(name: str, entry: Any, folder: Path) -> TaskCard:
    try:
        return TaskCard(
            name=name,
            kind=entry["kind"],
            outputs=entry["outputs"],
            classes=tuple(entry.get("classes") or ()),
        )
    except (pydantic.ValidationError, KeyError, TypeError, AttributeError) as error:
        reason = (
            error.errors()[0]["msg"] if isinstance(error, pydantic.ValidationError) else str(error)
        )
        raise BadInput(
            f"the task `{name}` of {folder / CARD} cannot be read ({reason}). Export the trial"
            " again, or name its plug-in with `plugins=`."
        ) from None


def _check_file(card: dict[str, Any], folder: Path) -> None:
    """Raises BadInput where the program is missing or is not the one that the card describes."""
    try:
        written = card["files"][PROGRAM]["sha256"]
        found = fingerprint(folder / PROGRAM)["sha256"]
    except OSError as error:
        raise BadInput(
            f"{folder / PROGRAM} cannot be read ({error.strerror}). Export the trial again."
        ) from None
    except (KeyError, TypeError):
        raise BadInput(
            f"{folder / CARD} has no checksum of {PROGRAM}. Export the trial again."
        ) from None
    if written != found:
        raise BadInput(
            f"{folder / PROGRAM} is damaged: its checksum is not the one in {CARD}. Export the"
            " trial again."
        )
