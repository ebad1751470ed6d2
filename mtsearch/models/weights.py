"""Loading of state dicts from local files. Reading them executes no code from the file."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from mtsearch.config.errors import BadInput

_OLD_DENSENET = re.compile(
    r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.(?:weight|bias|running_mean|running_var))$"
)


def load_weights(path: Path, key: str = "trial.backbone.weights") -> dict[str, Tensor]:
    """Load a state dict from a safetensors file or a weights-only torch file.

    The published DenseNet files have layer names with an extra dot (`norm.1`); they are renamed as
    torchvision renames them after a download.

    Args:
        path: the file.
        key: the setting that names the file, for messages.

    Returns:
        The tensors by name.

    Raises:
        BadInput: the file does not exist, cannot be read, or does not contain a state dict.
    """
    if not path.is_file():
        raise BadInput(
            f"`{key}` should be an existing file. Found `{path}`. Give a local state dict, saved as"
            " safetensors or by `torch.save`."
        )
    try:
        state = load_file(path) if path.suffix == ".safetensors" else _load_pickled(path)
    except Exception as error:  # damaged pickles raise almost any exception
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BadInput(
            f"`{key}` should be a readable state dict. Found {path}: {reason} Give one saved as"
            " safetensors or by `torch.save`."
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise BadInput(
            f"`{key}` should be a state dict of tensors. Found a"
            f" {type(state).__name__} in {path}. Save `model.state_dict()`."
        )
    return {_OLD_DENSENET.sub(r"\1\2", name): value for name, value in state.items()}


def _load_pickled(path: Path) -> object:
    """Load a file of `torch.save`, after comparing the checksums of its records, which torch does
    not compare for the names of tensors."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"its record {damaged} is damaged.")
    return torch.load(path, map_location="cpu", weights_only=True)  # type: ignore[no-any-return]
