"""The adapters of `benchmarks/replay` for other libraries: what a search is charged."""

import sys
import venv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

REPLAY = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def peer(monkeypatch, tmp_path):
    """`replay.peer` with an adapter of the test, in an environment without packages."""
    monkeypatch.syspath_prepend(str(REPLAY))
    import replay.peer as module

    yield module
    for name in [name for name in sys.modules if name.partition(".")[0] == "replay"]:
        del sys.modules[name]


def adapter(peer, monkeypatch, tmp_path, lines):
    folder = tmp_path / "peers"
    folder.mkdir()
    (folder / "table.py").write_text((REPLAY / "replay/peers/table.py").read_text())
    (folder / "fake.py").write_text("from table import Table\ntable = Table()\n" + lines)
    monkeypatch.setattr(peer, "__file__", str(tmp_path / "peer.py"))
    monkeypatch.setitem(peer.PEERS, "fake", "fake")
    venv.create(tmp_path / "fake", symlinks=True)
    dimension = SimpleNamespace(path="x", kind="uniform", spec=[0.0, 1.0])
    table = SimpleNamespace(
        epochs=4,
        objectives=("loss",),
        dimensions=(dimension,),
        whole=(),
        curve=lambda values: values["x"] + np.arange(4, 0, -1.0)[:, None],
    )
    return peer.replay_peer(table, "fake", 3, tmp_path, full=3)


def test_peer_pays_each_epoch_once(peer, monkeypatch, tmp_path):
    """Trials that continue, as after a promotion, pay only for their new epochs: three trials of 2
    epochs, of which the first two continue to 4, and an endless fourth."""
    lines = (
        "for trial in range(3): print(table.train(str(trial), {'x': trial / 10}, 2))\n"
        "for trial in range(2): assert len(table.train(str(trial), {}, 4)) == 4\n"
        "while True: table.train('last', {'x': 1.0}, 4)\n"
    )
    finished, begun, ask_ms = adapter(peer, monkeypatch, tmp_path, lines)
    # 6 + 2 + 2 epochs; the last trial would need 14 of 12
    assert [(end, value.tolist()) for end, value in finished] == [(8, [1.0]), (10, [1.1])]
    assert begun == 4
    assert ask_ms > 0


def test_peer_names_the_failure(peer, monkeypatch, tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)fake\.py ended.*ZeroDivisionError"):
        adapter(peer, monkeypatch, tmp_path, "table.seed / 0\n")
