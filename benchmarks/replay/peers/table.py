"""The side of an adapter: trials of the replayed table, over standard input and output.

An adapter runs in the environment of its library, where mtsearch is not installed. It reads one
JSON object with the seed and the dimensions, then asks for epochs of trials. The other side
(`replay/peer.py`) counts the epochs and ends the process when the budget is spent.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


class Table:
    """The table of a replay.

    Attributes:
        seed: of the search.
        epochs: of a full training.
        objectives: their names; all are minimised.
        dimensions: name, kind (`int`, `uniform`, `loguniform`), lower and upper bound of each.
    """

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what libraries print does not mix with the requests
        start = json.loads(sys.stdin.readline())
        self.seed: int = start["seed"]
        self.epochs: int = start["epochs"]
        self.objectives: list[str] = start["objectives"]
        self.dimensions: list[tuple[str, str, float, float]] = start["dimensions"]
        self._began = time.process_time()

    def train(self, trial: str, values: dict[str, Any], epochs: int) -> list[list[float]]:
        """Train a trial until it has `epochs` epochs; a known trial continues.

        Returns:
            The objectives after each epoch from the first.
        """
        spent = time.process_time() - self._began
        request = {"trial": trial, "values": values, "epochs": epochs, "ask": spent}
        self._answers.write(json.dumps(request) + "\n")
        self._answers.flush()
        answer = sys.stdin.readline()
        if not answer:  # the budget is spent
            os._exit(0)
        self._began = time.process_time()
        found: list[list[float]] = json.loads(answer)
        return found
