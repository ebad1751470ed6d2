"""The predictions and the logs of single trials that a page contains, within limits of its size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mtsearch.config.text import printable
from mtsearch.pareto.columns import Row
from mtsearch.pareto.result import SearchResult

PREDICTION_CHARACTERS = 600_000
"""Of all predictions of a page: those of the knee, the front and the controls are taken first."""
LOG_CHARACTERS = 200_000
"""Of all logs of a page: those of the first failed trials are taken first."""


def predictions_data(
    result: SearchResult, predictions: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any] | None:
    """The predictions of the rows of a page; None where there are none.

    Returns:
        `images`, each once for all trials; `tasks` with kind and classes; `trials` with the tables
        and examples of each task; and `left`, the trials whose predictions have no room.
    """
    images: dict[str, int] = {}
    tasks: dict[str, Any] = {}
    trials: dict[str, Any] = {}
    left, used = [], 0
    for row in _in_order(result):
        name = str(row["trial"])
        if name not in predictions:
            continue
        given = predictions[name]
        new = [image for image in given["images"] if image not in images]
        shown = {task: _entry(entry) for task, entry in given["tasks"].items()}
        size = sum(map(len, new)) + len(json.dumps(shown))
        if used + size > PREDICTION_CHARACTERS:
            left.append(name)
            continue
        used += size
        for image in new:
            images[image] = len(images)
        places = [images[image] for image in given["images"]]
        for task, entry in given["tasks"].items():
            classes = [printable(str(c)) for c in entry.get("classes", [])]
            tasks[task] = {"kind": entry["kind"], "classes": classes}
            for example in shown[task].get("examples", []):
                dense = entry["kind"] in ("segmentation", "restoration")
                for key in ("image", "truth", "answer") if dense else ("image",):
                    example[key] = places[example[key]]
        trials[name] = shown
    if not trials:
        return None
    return {"images": list(images), "tasks": tasks, "trials": trials, "left": left}


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a task's entry that differ between trials."""
    kept = {key: entry[key] for key in ("confusion", "counts", "masks") if entry.get(key)}
    if entry.get("examples"):
        kept["examples"] = [dict(example) for example in entry["examples"]]
    return kept


def _in_order(result: SearchResult) -> list[Row]:
    """The rows, the knee first, then the front, the controls and the others."""
    knee = [row for row in result.front_rows if row["knee"]]
    rows = [*knee, *result.front_rows, *result.control_rows, *result.rows]
    return list({str(row["trial"]): row for row in rows}.values())


def logs_data(result: SearchResult, logs: Mapping[str, str]) -> dict[str, str]:
    """The logs of the failed rows of a page by trial, as many as have room."""
    found: dict[str, str] = {}
    for row in result.rows:
        log = printable(logs.get(str(row["trial"]), ""), lines=True)
        if row.get("state") == "failed" and log:
            if sum(map(len, found.values())) + len(log) > LOG_CHARACTERS:
                break
            found[str(row["trial"])] = log
    return found
