"""The card of an export: what the model is, where it comes from, and how to use it."""

from __future__ import annotations

import datetime
import json
import math
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torchvision

from mtsearch import __version__
from mtsearch.config.cards import TaskCard
from mtsearch.config.metrics import MEAN_IOU, has_values
from mtsearch.data import Dataset
from mtsearch.data.array_inputs import ArrayInputs
from mtsearch.deploy.parity import Parity
from mtsearch.deploy.preprocessing import MODES, Preprocessing
from mtsearch.deploy.serving import given_shape
from mtsearch.deploy.snippet import preprocess_code

SCHEMA = 1


def card_of(
    *,
    dataset: Dataset,
    tasks: Sequence[TaskCard],
    facts: Mapping[str, Any],
    before: Mapping[str, int],
    after: Mapping[str, int],
    notes: Sequence[str],
    parity: Parity,
    files: Mapping[str, Any],
) -> dict[str, Any]:
    """The card as a tree of plain values; `facts` are those of `export_model`."""
    shape, arrays, pictures = given_shape(dataset), dataset.inputs, dataset.pictures
    return {
        "schema": SCHEMA,
        "tasks": {
            t.name: {"kind": t.kind, "outputs": t.outputs, "classes": list(t.classes)}
            for t in tasks
        },
        "input": {
            "shape": ["batch", *shape],
            "dtype": "float32",
            **({"range": [0, 1]} if pictures else {}),
            **({"normalisation": "inside the model"} if pictures or arrays else {}),
        },
        "preprocess": (
            Preprocessing.of(dataset).as_dict()
            if pictures
            else {"arrays": arrays.as_dict()}
            if arrays
            else None
        ),
        "data": {
            "used": dataset.label,
            "name": dataset.card.name,
            "title": dataset.card.title,
            "embedded_sample": dataset.card.embedded,
            "checksum": dataset.checksum,
            "licence": dataset.card.licence,
            "homepage": dataset.card.homepage,
            "mean": list(dataset.mean),
            "std": list(dataset.std),
        },
        "preference": facts.get("preference"),
        "metrics": dict(facts.get("metrics", {})),
        "size": {"before": dict(before), "after": dict(after)},
        "compaction": list(notes),
        "parity": {
            "max_absolute": parity.absolute,
            "max_relative": parity.relative,
            "validation_images": parity.images,
        },
        "origin": {
            key: value for key, value in facts.items() if key not in ("preference", "metrics")
        },
        "files": dict(files),
        "versions": {
            "mtsearch": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
        },
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def as_json(card: Mapping[str, Any]) -> str:
    """The card as JSON; numbers that are not finite become null."""
    return json.dumps(_finite(card), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def as_markdown(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    data, origin, before, after = (
        card["data"],
        card["origin"],
        card["size"]["before"],
        card["size"]["after"],
    )
    names = list(card["tasks"])
    sections = [
        f"# {', '.join(names)} on {data['title']}",
        f"Trained on **{data['used']}** (checksum `{data['checksum']}`)."
        + (
            " This is the small embedded sample: its figures say nothing about the full dataset."
            if data["embedded_sample"]
            else ""
        ),
        "## Outputs",
        table(
            ["task", "kind", "outputs", "classes"],
            [
                [n, t["kind"], t["outputs"], ", ".join(t["classes"])]
                for n, t in card["tasks"].items()
            ],
        ),
        f"Raw values: logits for classes, in the order of the classes. {_taken(card)}",
        "## Use it with torch alone",
        _usage(card),
        "## Preference and metrics",
        _preference(card["preference"]) if len(names) > 1 else "",
        _metrics(card["metrics"]),
        _mean_iou(card["tasks"]),
        "## Size",
        table(
            ["", "trained", "exported"],
            [
                ["parameters", f"{before['parameters']:,}", f"{after['parameters']:,}"],
                ["non-zero parameters", f"{before['nonzero']:,}", f"{after['nonzero']:,}"],
                ["multiply-accumulates per image", f"{before['macs']:,}", f"{after['macs']:,}"],
                ["index entries", f"{before['index_entries']:,}", f"{after['index_entries']:,}"],
                *(
                    [
                        [f"`{name}`", "", f"{file['bytes']:,} bytes"]
                        for name, file in card["files"].items()
                    ]
                ),
            ],
        ),
        "\n".join(f"- {note}" for note in card["compaction"]),
        (
            f"After reading the files again, {_programs(card)} from the trained network by at most"
            f" {card['parity']['max_absolute']:.2g} ({card['parity']['max_relative']:.2g} of the"
            f" largest output) on {card['parity']['validation_images']} validation images."
        ),
        "## Origin",
        _origin(origin),
        "Versions: "
        + ", ".join(f"{name} {version}" for name, version in card["versions"].items())
        + f". Written {card['created']}.",
        "## Licence of the data",
        data["licence"] + (f" <{data['homepage']}>" if data["homepage"] else ""),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _programs(card: Mapping[str, Any]) -> str:
    names = [f"`{name}`" for name in card["files"] if name != "model.safetensors"]
    return f"{' and '.join(names)} {'differs' if len(names) == 1 else 'differ'}"


def _taken(card: Mapping[str, Any]) -> str:
    """A sentence about the inputs."""
    _, *shape = card["input"]["shape"]
    if card["preprocess"] is None:
        return f"Any number of inputs of {' x '.join(map(str, shape))} numbers."
    if "arrays" in card["preprocess"]:
        return f"Any number of arrays of the shape {shape}, of raw numbers."
    _, height, width = shape
    return f"Any number of images of {height} x {width} pixels; scale images of other sizes first."


def _array_usage(card: Mapping[str, Any]) -> str:
    """How a network on arrays is used."""
    inputs = ArrayInputs.from_dict(card["preprocess"]["arrays"])
    sides = ", ".join(map(str, inputs.shape))
    lines = [
        "```python",
        "import torch",
        "",
        'model = torch.export.load("model.pt2").module()  # in evaluation mode',
        f"arrays = torch.rand(7, {sides})  # float32, raw numbers; the model standardises them",
        "outputs = model(arrays)",
        *_choices(card),
        "```",
        "",
    ]
    if inputs.features:
        lines += [
            "The columns are, in this order: "
            + ", ".join(f"`{name}`" for name in inputs.features)
            + ". `COLUMN=VALUE` is 1 where a cell has this value, else 0.",
            "",
        ]
    if inputs.fill:
        lines += ["`preprocess.arrays.fill` in `card.json` takes the place of missing cells.", ""]
    return "\n".join([*lines, "`model.safetensors` contains the same weights by layer name."])


def _choices(card: Mapping[str, Any]) -> list[str]:
    """Code that turns outputs into classes, a line per task."""
    known = {"multilabel": ".sigmoid()", "ordinal": ".gt(0).sum(1)"}
    return [
        f'outputs["{name}"]'
        + known.get(task["kind"], "" if has_values(task["kind"]) else ".argmax(1)")
        for name, task in card["tasks"].items()
    ]


def _usage(card: Mapping[str, Any]) -> str:
    if "arrays" in (card["preprocess"] or ()):
        return _array_usage(card)
    shape = ", ".join(map(str, card["input"]["shape"][1:]))
    pictures = card["preprocess"] is not None
    about = "float32 in [0, 1]; uint8 images: images.float() / 255" if pictures else "float32"
    lines = [
        "```python",
        "import torch",
        "",
        'model = torch.export.load("model.pt2").module()  # in evaluation mode',
        f"images = torch.rand(7, {shape})  # {about}",
        "outputs = model(images)",
    ]
    lines += [*_choices(card), "```", ""]
    entry = card["preprocess"]
    if entry is not None and entry["channels"] in MODES.values():
        steps = Preprocessing.from_dict(entry, "the card")
        lines += ["From an image file, read as in the validation:", ""]
        if not steps.exact:
            lines += ["(The sets of this dataset were scaled in different ways.)", ""]
        lines += ["```python", preprocess_code(steps).rstrip(), "```", ""]
    if "model.onnx" in card["files"]:
        lines += [
            "With ONNX Runtime, or any other runtime for ONNX:",
            "",
            "```python",
            "import numpy, onnxruntime",
            "",
            'session = onnxruntime.InferenceSession("model.onnx")',
            (
                f"images = numpy.random.rand(7, {shape}).astype(numpy.float32)"
                f"{'  # in [0, 1]' if pictures else ''}"
            ),
            f"names = {json.dumps(list(card['tasks']))}",
            'outputs = dict(zip(names, session.run(names, {"images": images})))',
            "```",
            "",
        ]
    return "\n".join(
        [*lines, "`model.safetensors` contains the same weights by layer name, for other runtimes."]
    )


def _preference(preference: Mapping[str, float] | None) -> str:
    if not preference:
        return "Trained without a preference: all tasks have equal weight."
    return (
        "Preference: "
        + ", ".join(f"{name} {value:.3g}" for name, value in preference.items())
        + "."
    )


def _metrics(metrics: Mapping[str, Any]) -> str:
    rows: dict[str, list[Any]] = {}
    for key, value in metrics.items():
        split, _, name = key.partition("/")
        row = rows.setdefault(name if split in ("val", "test") else key, ["", ""])
        row[split == "test"] = _number(value)
    if not rows:
        return "No metrics were given."
    untested = all(not test for _, test in rows.values())
    found = table(
        ["metric", "validation", "test"], [[name, *values] for name, values in rows.items()]
    )
    return found + ("\n\nThese weights were not tested." if untested else "")


def _mean_iou(tasks: Mapping[str, Any]) -> str:
    names = [f"`{name}`" for name, task in tasks.items() if task["kind"] == "segmentation"]
    return f"`error` of {' and '.join(names)}: {MEAN_IOU}" if names else ""


def _number(value: Any) -> str:
    if isinstance(value, float) and not isinstance(value, bool):
        return f"{value:.4g}" if math.isfinite(value) else "not finite"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _origin(origin: Mapping[str, Any]) -> str:
    plain = [
        f"- {key}: `{value}`"
        for key, value in origin.items()
        if not isinstance(value, Mapping) and value is not None
    ]
    trees = [
        f"{key}:\n\n```json\n{json.dumps(_finite(value), indent=2)}\n```"
        for key, value in origin.items()
        if isinstance(value, Mapping)
    ]
    return "\n\n".join([*(["\n".join(plain)] if plain else []), *trees])


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
