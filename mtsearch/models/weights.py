"""Weights of torchvision networks from local files. Reading them runs no code."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mtsearch.config.errors import BadInput

_OLD_DENSENET = re.compile(
    r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.(?:weight|bias|running_mean|running_var))$"
)


def load_weights(path: Path, key: str = "trial.backbone.weights") -> dict[str, Tensor]:
    """A state dict from a safetensors or a weights-only torch file, with the names that today's
    torchvision uses.

    `key` is the setting that named the file.

    The published DenseNet files have layer names with a dot too many (`norm.1`), which torchvision
    renames when it downloads them.

    Raises:
        BadInput: no file, not such a file, or something else in it.
    """
    if not path.is_file():
        raise BadInput(
            f"`{key}` names no file. Found `{path}`; give a local state dict (safetensors, or saved"
            " by torch)."
        )
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(
            f"`trial.backbone.weights` cannot be read as a state dict. Found {path}: {reason} Give"
            " one saved as safetensors or by `torch.save`."
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise BadInput(
            "`trial.backbone.weights` should be a state dict of tensors. Found a"
            f" {type(state).__name__} in {path}; save `model.state_dict()`."
        )
    return {_OLD_DENSENET.sub(r"\1\2", name): value for name, value in state.items()}
