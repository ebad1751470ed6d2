"""Export of a network that mtsearch did not train."""

from __future__ import annotations

import copy
import datetime
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mtsearch import __version__
from mtsearch.config.errors import BadInput
from mtsearch.deploy.card import SCHEMA, as_json, table
from mtsearch.deploy.compact import compact
from mtsearch.deploy.files import CARD, fingerprint, whole_folder
from mtsearch.deploy.modules import copy_of
from mtsearch.deploy.outputs import named_outputs
from mtsearch.deploy.parity import Predict, check_parity
from mtsearch.deploy.programs import need_onnx, write_programs
from mtsearch.deploy.size import size_of

PARITY = 1e-5  # of the exported program, relative to the largest output, or
NOISE = 4  # times what the network itself loses in its own precision, where that is more


@dataclass(frozen=True)
class ExportedModule:
    """An export of `export_module`.

    Attributes:
        path: the folder.
        parameters: (before, after) compaction.
        macs: multiply-accumulates of one sample, (before, after) compaction.
        notes: what compaction did, or why it did nothing.
    """

    path: Path
    parameters: tuple[int, int]
    macs: tuple[int, int]
    notes: tuple[str, ...]


def export_module(
    network: nn.Module, example: Tensor, to: str | os.PathLike[str], *, onnx: bool = False
) -> ExportedModule:
    """Compact a network and write `model.safetensors`, `model.pt2`, `card.json` and `card.md`.

    The folder appears whole or not at all. Before it does, the programs are read back and compared
    with `network` on `example` and on random inputs.

    Args:
        network: any module that is called with one tensor and returns a tensor, or a tuple, list or
            dict of tensors. It is left as it is and exported in evaluation mode.
        example: an input (B, ...) with the type and the sample shape that the program shall take;
            the program takes any B >= 1.
        to: the folder to make; an earlier export there is replaced.
        onnx: whether to write `model.onnx` too, which needs the packages of the extra `onnx`.

    Returns:
        The folder, the sizes before and after, and notes.

    Raises:
        BadInput: `to` is something else than an export, `example` is not a batch, or the packages
            for `onnx` are not installed.
        RuntimeError: torch cannot export the network, or an exported program differs from it.

    Example::

        done = mtsearch.export_module(network, torch.rand(1, 3, 32, 32), to="export")
        model = torch.export.load(done.path / "model.pt2").module()
    """
    if not isinstance(example, Tensor) or example.ndim < 2 or len(example) == 0:
        found = tuple(example.shape) if isinstance(example, Tensor) else type(example).__name__
        raise BadInput(f"`example` should be a tensor (B, ...) with B >= 1. Found {found}.")
    if onnx:
        need_onnx()
    example = example.detach().cpu()
    compacted = compact(network, example)
    try:
        reference = copy_of(network).cpu().eval().requires_grad_(False)
    except Exception:  # `compact` says so in its notes
        reference = network.cpu().eval()
    inputs = _inputs(example)
    expected = _named(reference)
    bound = max(PARITY, NOISE * _noise(reference, inputs))
    with torch.no_grad(), whole_folder(Path(to)) as folder:
        check_parity(expected, _named(compacted.model), inputs, bound, "The compacted network")
        programs = write_programs(compacted.model, example[:1], folder, onnx)
        parities = [
            check_parity(expected, read(folder / name), inputs, bound, f"The exported {name}")
            for name, read in programs.items()
        ]
        before, after = size_of(reference, example[:1]), size_of(compacted.model, example[:1])
        card = {
            "schema": SCHEMA,
            "network": type(network).__name__,
            "input": {
                "shape": ["batch", *example.shape[1:]],
                "dtype": str(example.dtype).removeprefix("torch."),
            },
            "outputs": {
                name: ["batch", *value.shape[1:]] for name, value in expected(example[:1]).items()
            },
            "size": {"before": before, "after": after},
            "compaction": list(compacted.notes),
            "parity": {
                "max_absolute": max(p.absolute for p in parities),
                "max_relative": max(p.relative for p in parities),
                "inputs": len(inputs),
            },
            "files": {
                name: fingerprint(folder / name) for name in ("model.safetensors", *programs)
            },
            "versions": {
                "mtsearch": __version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
            },
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        (folder / CARD).write_text(as_json(card), encoding="utf-8")
        (folder / "card.md").write_text(_markdown(card), encoding="utf-8")
    return ExportedModule(
        Path(to),
        (before["parameters"], after["parameters"]),
        (before["macs"], after["macs"]),
        compacted.notes,
    )


def _named(network: nn.Module) -> Predict:
    return lambda inputs: named_outputs(network(inputs.clone()))


def _inputs(example: Tensor) -> Tensor:
    """The example, and random inputs of its type: (B + 8, ...)."""
    generator = torch.Generator().manual_seed(0)
    size = (8, *example.shape[1:])
    if example.is_floating_point():
        random = torch.randn(size, generator=generator).to(example.dtype)
    else:
        values = example.flatten()
        random = values[torch.randint(len(values), size, generator=generator)]
    return torch.cat([example[:8], random])


def _noise(reference: nn.Module, inputs: Tensor) -> float:
    """What the network loses in its own precision, relative to its largest output."""
    try:
        precise = copy.deepcopy(reference).double()
        wide = inputs.double() if inputs.is_floating_point() else inputs
        found = check_parity(
            lambda _: named_outputs(precise(wide.clone())),
            _named(reference),
            inputs,
            math.inf,
            "The network",
        )
    except Exception:  # it does not run in float64
        return 0.0
    return found.relative


def _markdown(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    before, after = card["size"]["before"], card["size"]["after"]
    shape = ", ".join(str(n) for n in card["input"]["shape"][1:])
    kind = card["input"]["dtype"]
    sample = f"torch.zeros(7, {shape}, dtype=torch.{kind})"
    sections = [
        f"# {card['network']}",
        "## Use it with torch alone",
        "\n".join(
            [
                "```python",
                "import torch",
                "",
                'model = torch.export.load("model.pt2").module()  # in evaluation mode',
                f"outputs = model({sample})  # any batch size",
                "```",
            ]
        ),
        "## Outputs",
        table(
            ["name", "shape"], [[n, " x ".join(map(str, s))] for n, s in card["outputs"].items()]
        ),
        "## Size",
        table(
            ["", "given", "exported"],
            [
                ["parameters", f"{before['parameters']:,}", f"{after['parameters']:,}"],
                ["of them not zero", f"{before['nonzero']:,}", f"{after['nonzero']:,}"],
                ["multiply-accumulates a sample", f"{before['macs']:,}", f"{after['macs']:,}"],
                *([f"`{n}`", "", f"{f['bytes']:,} bytes"] for n, f in card["files"].items()),
            ],
        ),
        "\n".join(f"- {note}" for note in card["compaction"]),
        (
            f"The exported files differ from the given network by at most"
            f" {card['parity']['max_absolute']:.2g} ({card['parity']['max_relative']:.2g} of the"
            f" largest output) on {card['parity']['inputs']} inputs."
        ),
        "Versions: "
        + ", ".join(f"{name} {version}" for name, version in card["versions"].items())
        + f". Written {card['created']}.",
    ]
    return "\n\n".join(sections) + "\n"
