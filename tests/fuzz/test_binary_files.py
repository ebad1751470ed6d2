"""Damaged stores, checkpoints, packed checkpoints, weights and records of trusted plug-ins: each
ends in one sentence, or gives the undamaged content or that of an independent plain reader."""

import hashlib
import json
import struct
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from mtsearch.config import trust
from mtsearch.config.checkpoint_owner import CheckpointOwner
from mtsearch.config.errors import BadInput
from mtsearch.data import store
from mtsearch.models.weights import load_weights
from mtsearch.runs.archives import pack, unpack
from mtsearch.training.state import load_state, save_state
from tests.fuzz.damage import damaged_bytes, damages, ends_in_a_sentence

pytestmark = pytest.mark.slow


def many(count):
    return settings(
        max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- stores

ARRAYS = {
    "train/images": np.arange(240, dtype=np.uint8).reshape(5, 3, 4, 4),
    "train/labels/kind": np.arange(5, dtype=np.int64),
    "val/labels/size": np.linspace(0, 1, 6, dtype=np.float32).reshape(3, 2),
}
ABOUT = {
    "label": "things",
    "licence": "none",
    "counts": {"train": 5, "val": 3, "test": 0},
    "statistics": {"mean": [0.25], "std": [0.5]},
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "things"
    store.build(path, ARRAYS, ABOUT)
    for name in (store.MANIFEST, store.DATA):
        (path / name).chmod(0o644)
    return path


@many(800)
@given(name=st.sampled_from([*[store.MANIFEST] * 3, store.DATA]), data=st.data())
def test_damaged_stores(prepared, name, data):
    path = prepared / name
    whole = path.read_bytes()
    manifest = json.loads((prepared / store.MANIFEST).read_text())
    before = files(prepared.parent)
    found = []

    def work():
        read = store.read_manifest(prepared)
        found.extend((read, store.read(prepared, read)))

    path.write_bytes(damaged_bytes(whole, data.draw(damages(len(whole)))))
    try:
        if ends_in_a_sentence(work) is None:
            assert found[0] == manifest
            assert found[1].keys() == ARRAYS.keys()
            for key, array in found[1].items():
                assert array.dtype == ARRAYS[key].dtype and np.array_equal(array, ARRAYS[key])
    finally:
        path.write_bytes(whole)
    assert files(prepared.parent) == before


# ---------------------------------------------------------------- checkpoints

STATE = {
    "network": {"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)},
    "epoch": 4,
    "metrics": [{"val/error": 0.5, "time": float("nan")}],
    "numbers": (1, "two", None, True),
}
OWNER = CheckpointOwner(run="ab" * 16, trial="0003", config="cd" * 8, required=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("states") / "0003"
    save_state(folder, STATE, OWNER)
    return folder


def same_state(found):
    network = found["network"]
    assert torch.equal(network["w"], STATE["network"]["w"]) and network["n"].item() == 3
    assert network["w"].dtype == torch.float32 and network["n"].dtype == torch.int64
    rest = {key: value for key, value in found.items() if key != "network"}
    assert repr(rest) == repr({key: value for key, value in STATE.items() if key != "network"})


@many(1000)
@given(name=st.sampled_from(["state.json", "state.safetensors"]), data=st.data())
def test_damaged_checkpoints(checkpoint, name, data):
    path = checkpoint / name
    whole = path.read_bytes()
    found = []
    path.write_bytes(damaged_bytes(whole, data.draw(damages(len(whole)))))
    try:
        if ends_in_a_sentence(lambda: found.append(load_state(checkpoint, OWNER))) is None:
            same_state(found[0])
    finally:
        path.write_bytes(whole)
    assert [path.name for path in checkpoint.parent.iterdir()] == ["0003"]


@many(800)
@given(data=st.data())
def test_damaged_packed_checkpoints(checkpoint, tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "packed"
    folder.mkdir(exist_ok=True)
    path, target = folder / "key-2.zip", folder / "0003"
    pack(checkpoint, path)
    whole = path.read_bytes()
    path.write_bytes(damaged_bytes(whole, data.draw(damages(len(whole)))))
    if ends_in_a_sentence(lambda: unpack(path, target, "0003")) is None:
        found = {path.name: path.read_bytes() for path in target.iterdir()}
        with zipfile.ZipFile(path) as archive:
            assert found == {name: archive.read(name) for name in archive.namelist()}
    assert {path.name for path in folder.iterdir()} <= {"key-2.zip", "0003"}


# ---------------------------------------------------------------- weights

WEIGHTS = {"layer.weight": torch.arange(12.0).reshape(3, 4), "layer.bias": torch.arange(3).half()}
DTYPES = {"F32": np.float32, "F16": np.float16, "I32": np.int32, "F64": np.float64}


def plain_tensors(data):
    """Arrays of a safetensors file by its published layout."""
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    header.pop("__metadata__", None)
    return {
        name: np.frombuffer(body[slice(*about["data_offsets"])], DTYPES[about["dtype"]]).reshape(
            about["shape"]
        )
        for name, about in header.items()
    }


@many(1000)
@given(ending=st.sampled_from(["safetensors", "pt"]), data=st.data())
def test_damaged_weights(tmp_path_factory, ending, data):
    path = tmp_path_factory.getbasetemp() / f"weights.{ending}"
    if ending == "pt":
        torch.save(WEIGHTS, path)
    else:
        save_file(WEIGHTS, path)
    whole = path.read_bytes()
    content = damaged_bytes(whole, data.draw(damages(min(len(whole), 600))))
    path.write_bytes(content)
    found = {}
    if ends_in_a_sentence(lambda: found.update(load_weights(path))) is None:
        if ending == "safetensors":
            expected = plain_tensors(content)
            assert found.keys() == expected.keys()
            for name, tensor in found.items():
                assert tensor.numpy().tobytes() == expected[name].tobytes()
        else:
            assert {name: (t.shape, t.dtype) for name, t in found.items()} == {
                name: (t.shape, t.dtype) for name, t in WEIGHTS.items()
            }


# ---------------------------------------------------------------- records of trusted plug-ins


@many(800)
@given(data=st.data())
def test_damaged_trust_records(tmp_path_factory, data):
    """A plug-in is trusted only where the record still names this run, this file and its sum."""
    base = tmp_path_factory.getbasetemp() / "trust"
    base.mkdir(exist_ok=True)
    plugin, run_id = base / "plugin.py", "12" * 16
    plugin.write_text("raise SystemExit('it ran')\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(base / "state"))
        record = base / "state" / "mtsearch" / "trusted" / f"{run_id}.json"
        record.unlink(missing_ok=True)
        trust.trust_plugins(run_id, [str(plugin)])
        whole = record.read_bytes()
        content = damaged_bytes(whole, data.draw(damages(len(whole))))
        record.write_bytes(content)
        folder = base / "run"
        folder.mkdir(exist_ok=True)

        def work():
            trust.refuse_untrusted(folder, run_id, [str(plugin)])

        if ends_in_a_sentence(work) is None:
            tree = json.loads(content)
            digest = hashlib.sha256(plugin.read_bytes()).hexdigest()
            assert tree["run"] == run_id
            assert dict(tree["plugins"][str(plugin)]) == {str(plugin): digest}


# ---------------------------------------------------------------- found before


def nested(depth):
    return "[" * depth + "]" * depth


def test_deeply_nested_files_are_refused(prepared, checkpoint):
    for path, read in (
        (prepared / store.MANIFEST, lambda: store.read_manifest(prepared)),
        (checkpoint / "state.json", lambda: load_state(checkpoint)),
    ):
        whole = path.read_bytes()
        path.write_text('{"version": 6, "schema": 1, "state": ' + nested(100_000) + "}")
        try:
            with pytest.raises(BadInput):
                read()
        finally:
            path.write_bytes(whole)
