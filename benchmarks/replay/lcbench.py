"""LCBench learning curves from the surrogate of YAHPO-MO (Pfisterer et al. 2022), and their search
space."""

from __future__ import annotations

import json
from pathlib import Path

import moocore
import numpy as np

from mtsearch.config.dimensions import Dimension

EPOCHS = 52
OBJECTIVES = ("error", "cross_entropy", "log_seconds")
RANDOM = 3000  # random configurations that scale a set's hypervolume
BENCHMARK = [
    "126029",
    "146212",
    "167104",
    "167149",
    "167152",
    "167161",
    "167168",
    "167181",
    "167184",
    "167190",
    "167200",
    "167201",
]
"""The sets of the table: never used for tuning."""
CONFIRM = [
    "7593",
    "126026",
    "168330",
    "168908",
    "189862",
    "189906",
]
"""Chosen before tuning and evaluated once at its end."""
TUNE = [
    "3945",
    "34539",
    "126025",
    "167185",
    "168329",
    "168331",
    "168335",
    "168868",
    "168910",
    "189354",
    "189865",
    "189866",
    "189873",
    "189905",
    "189908",
    "189909",
]
"""The only sets that settings were chosen on."""

DIMENSIONS = (
    Dimension("batch_size", "loguniform", [16, 512], 91),
    Dimension("learning_rate", "loguniform", [1e-4, 0.1], 0.003),
    Dimension("momentum", "uniform", [0.1, 0.99], 0.545),
    Dimension("weight_decay", "uniform", [1e-5, 0.1], 0.05),
    Dimension("num_layers", "int", [1, 5], 3),
    Dimension("max_units", "loguniform", [64, 1024], 256),
    Dimension("max_dropout", "uniform", [0.0, 1.0], 0.5),
)
WHOLE = ("batch_size", "max_units")  # drawn on a logarithmic scale, then rounded


class LCBench:
    """One data set's learning curves.

    Args:
        root: the folder with `model.onnx` and `encoding.json`.
        task: the set's number on OpenML.
        cache: a folder for the random curves, which take 3 s a set.
    """

    dimensions = DIMENSIONS
    objectives = OBJECTIVES
    epochs = EPOCHS
    whole = WHOLE

    def __init__(self, root: Path, task: str, cache: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._model = onnxruntime.InferenceSession(
            str(root / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._code = json.loads((root / "encoding.json").read_text())["OpenML_task_id"][task]
        finals = self._finals(cache / f"lcbench_{task}_{RANDOM}.npy")
        self._low = finals.min(axis=0)
        self._span = np.quantile(finals, 0.9, axis=0) - self._low
        self._whole = {bounded: self._volume(finals, bounded) for bounded in (False, True)}

    def curve(self, values: dict[str, float]) -> np.ndarray:
        """The objectives (EPOCHS, 3) after each epoch, all minimised, the best so far."""
        return self._curves([values])[0]

    def hypervolume(self, finals: np.ndarray, bounded: bool = False) -> float:
        """The hypervolume of finished trials (n, 3), as a share of that of the random ones.

        Args:
            finals: the last objectives.
            bounded: values below the best of the random ones count as that one.
        """
        return self._volume(finals, bounded) / self._whole[bounded] if len(finals) else 0.0

    def _volume(self, finals: np.ndarray, bounded: bool) -> float:
        scaled = (finals - self._low) / self._span
        if bounded:
            scaled = np.maximum(scaled, 0.0)
        scaled = scaled[(scaled < 1).all(axis=1)]
        return float(moocore.hypervolume(scaled, ref=np.ones(3))) if len(scaled) else 0.0

    def _curves(self, points: list[dict[str, float]]) -> np.ndarray:
        rows = np.array([[p[d.path] for d in self.dimensions] for p in points])
        epochs = np.tile(np.arange(1, EPOCHS + 1), len(rows))
        inputs = np.column_stack([epochs, np.repeat(rows, EPOCHS, axis=0)]).astype(np.float32)
        code = np.full((len(inputs), 1), self._code, dtype=np.int32)
        out = self._model.run(None, {"x_cat": code, "x_cont": inputs})[0].astype(np.float64)
        time, accuracy, entropy = out.reshape(len(rows), EPOCHS, -1).transpose(2, 0, 1)[:3]
        seconds = np.median(np.diff(time, axis=1, prepend=0.0), axis=1)
        return np.stack(
            [
                np.minimum.accumulate(100 - accuracy, axis=1),
                np.minimum.accumulate(entropy, axis=1),
                np.repeat(np.log10(np.maximum(seconds, 1e-3))[:, None], EPOCHS, axis=1),
            ],
            axis=2,
        )

    def _finals(self, path: Path) -> np.ndarray:
        """The last objectives (RANDOM, 3) of the random configurations."""
        if not path.exists():
            draw = np.random.default_rng(12345)
            points = [random_point(self.dimensions, draw) for _ in range(RANDOM)]
            parts = [self._curves(points[i : i + 100])[:, -1] for i in range(0, RANDOM, 100)]
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.concatenate(parts))
        return np.load(path)


def random_point(dimensions: tuple[Dimension, ...], draw: np.random.Generator) -> dict[str, float]:
    """A uniform draw of every dimension."""
    point: dict[str, float] = {}
    for one in dimensions:
        low, high = one.spec
        u = draw.random()
        if one.kind == "int":
            point[one.path] = low + int(u * (high - low + 1))
        else:
            log = one.kind == "loguniform"
            value = low * (high / low) ** u if log else low + (high - low) * u
            point[one.path] = round(value) if one.path in WHOLE else value
    return point
