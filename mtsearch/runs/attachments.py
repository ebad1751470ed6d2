"""Files of single trials beside the events: predictions of the test and logs of failures. They are
derived or informative; a run is complete without them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from mtsearch.runs.names import is_trial_name

PREDICTIONS, LOGS = "predictions", "logs"
ATTACHMENTS = (PREDICTIONS, LOGS)
"""The folders of a run that contain them."""
MAX_BYTES = 1 << 20
"""Larger files are neither written nor read."""

_IMAGE = re.compile(r"data:image/(png|webp);base64,[A-Za-z0-9+/]*={0,2}")
_KINDS = ("classification", "ordinal", "multilabel", "regression", "segmentation", "restoration")
"""Kinds whose examples have a known form; those of others are numbers or lists of values."""
_KEPT = ("confusion", "counts", "classes", "examples", "masks")
T = TypeVar("T")


def predictions_file(trial: str) -> str:
    """Where a run keeps the predictions of a trial, relative to its folder."""
    return f"{PREDICTIONS}/{trial}.json"


def log_file(trial: str) -> str:
    """Where a run keeps the log of a failed trial, relative to its folder."""
    return f"{LOGS}/{trial}.txt"


def read_predictions(folder: Path) -> dict[str, dict[str, Any]]:
    """The predictions in a run's folder by trial. Files that are damaged are left out."""
    return _read(folder / PREDICTIONS, ".json", _predictions)


def read_logs(folder: Path) -> dict[str, str]:
    """The logs of failed trials in a run's folder by trial."""
    return _read(folder / LOGS, ".txt", lambda data: data.decode("utf-8", "replace"))


def _read(folder: Path, ending: str, parse: Callable[[bytes], T]) -> dict[str, T]:
    found = {}
    for path in sorted(folder.glob(f"*{ending}")) if folder.is_dir() else ():
        name = path.name.removesuffix(ending)
        try:
            if is_trial_name(name) and path.stat().st_size <= MAX_BYTES:
                found[name] = parse(path.read_bytes())
        except (OSError, ValueError, TypeError, LookupError, RecursionError):
            continue
    return found


def _predictions(data: bytes) -> dict[str, Any]:
    """Raises ValueError where the text is not what a test writes."""
    found = json.loads(data)
    if not isinstance(found, dict) or found.get("schema") != 1:
        raise ValueError("another schema")
    images, tasks = found["images"], found["tasks"]
    if not isinstance(images, list) or not isinstance(tasks, dict):
        raise ValueError("`images` or `tasks` is missing")
    if not all(isinstance(image, str) and _IMAGE.fullmatch(image) for image in images):
        raise ValueError("an image is no PNG or WebP")
    for task in tasks.values():
        _check_task(task, len(images))
    return {"images": images, "tasks": tasks}


def _check_task(task: Any, images: int) -> None:
    """Raises ValueError where the entry of a task has another form."""
    lists = isinstance(task, dict) and all(isinstance(task.get(k, []), list) for k in _KEPT)
    if not lists or not isinstance(task.get("kind"), str):
        raise ValueError("a task has another form")
    if not all(isinstance(c, int) and isinstance(t, str) for c, t in task.get("masks", [])):
        raise ValueError("a mask has another form")
    listed = task["kind"] in ("multilabel", "regression")
    dense = task["kind"] in ("segmentation", "restoration")
    for example in task.get("examples", []):
        shown = [example["image"], *([example["truth"], example["answer"]] if dense else [])]
        if not all(isinstance(i, int) and 0 <= i < images for i in shown):
            raise ValueError("an example names no image")
        forms = {isinstance(example[key], list) for key in ("truth", "answer")}
        if len(forms) > 1 or (forms != {listed} and task["kind"] in _KINDS):
            raise ValueError("an example has another form")
    for key in ("confusion", "counts"):
        rows = task.get(key, [])
        sizes = {len(row) if isinstance(row, list) else -1 for row in rows}
        if rows and sizes != {len(rows) if key == "confusion" else 4}:
            raise ValueError("a table of counts has another form")
        if not all(isinstance(n, int) and n >= 0 for row in rows for n in row):
            raise ValueError("a count is no whole number")
