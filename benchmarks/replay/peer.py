"""A replayed search by another library, which runs in an environment of its own."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

PEERS = {
    "syne-moasha": "syne_moasha",
    "smac-parego": "smac_parego",
    "neps-primo": "neps_primo",
}
"""By method: the adapter in `peers/`, and the name of the environment."""


def replay_peer(
    table: Any, method: str, seed: int, environments: Path, full: int
) -> tuple[list[tuple[int, np.ndarray]], int, float]:
    """Search a table with one slot until the epochs of `full` full trainings are used.

    A trial that the library trains further continues: its earlier epochs are paid for once. The
    values that a table takes as whole numbers are rounded.

    Args:
        environments: the folder with a virtual environment for each adapter.

    Returns:
        The epochs spent and the objectives of each finished trial, the number of trials begun, and
        the mean CPU time of the last 20 proposals in milliseconds.

    Raises:
        RuntimeError: The adapter ended before the budget was spent.
    """
    adapter = Path(__file__).parent / "peers" / f"{PEERS[method]}.py"
    python = environments / PEERS[method] / "bin" / "python"
    start = {
        "seed": seed,
        "epochs": table.epochs,
        "objectives": table.objectives,
        "dimensions": [[d.path, d.kind, *d.spec] for d in table.dimensions],
    }
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            [python, adapter],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            return _serve(process, table, start, full * table.epochs)
        except (EOFError, BrokenPipeError):
            process.wait()
            log.seek(0)
            raise RuntimeError(f"{adapter.name} ended: {log.read()[-2000:]}") from None
        finally:
            process.kill()


def _serve(
    process: subprocess.Popen[str], table: Any, start: dict[str, Any], budget: int
) -> tuple[list[tuple[int, np.ndarray]], int, float]:
    assert process.stdin and process.stdout
    curves: dict[str, np.ndarray] = {}
    trained: dict[str, int] = {}
    asks: list[float] = []
    finished: list[tuple[int, np.ndarray]] = []
    spent, answer = 0, json.dumps(start)
    while True:
        process.stdin.write(answer + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise EOFError
        request = json.loads(line)
        trial = request["trial"]
        if trial not in curves:
            values = request["values"]
            curves[trial] = table.curve(
                {k: round(v) if k in table.whole else v for k, v in values.items()}
            )
            trained[trial] = 0
            asks.append(request["ask"])
        more = max(int(request["epochs"]) - trained[trial], 0)
        if spent + more > budget:
            return finished, len(curves), 1e3 * statistics.mean(asks[-20:])
        spent += more
        trained[trial] += more
        if more and trained[trial] == table.epochs:
            finished.append((spent, curves[trial][-1]))
        answer = json.dumps(curves[trial][: trained[trial]].tolist())
