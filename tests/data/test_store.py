"""Stores: built once by concurrent processes, complete or absent, and never read when damaged."""

import json
import multiprocessing
import signal

import numpy as np
import pytest
from fake import write_mnist
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mtsearch.config.errors import BadInput, Halt
from mtsearch.config.schema import DataConfig
from mtsearch.data import open_dataset, opening, prepare, resolve, store

FORK = multiprocessing.get_context("fork")  # children inherit what is imported and patched here


@pytest.fixture
def data(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw")
    return DataConfig(dataset="multimnist", root=tmp_path)


def test_only_one_of_concurrent_processes_builds(data, monkeypatch):
    build, built, paths, together = (
        store.build,
        FORK.SimpleQueue(),
        FORK.SimpleQueue(),
        FORK.Barrier(6),
    )
    found = resolve(data)
    with monkeypatch.context() as patch:
        patch.setattr(store, "build", lambda *given: (built.put("built"), build(*given)))
        # All processes look for the store before one of them builds it.
        patch.setattr(opening, "resolve", lambda given: (together.wait(60), found)[1])
        processes = [FORK.Process(target=lambda: paths.put(str(prepare(data)))) for _ in range(6)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
    assert [process.exitcode for process in processes] == [0] * 6
    assert {paths.get() for _ in processes} == {str(found.store)}
    assert built.get() == "built" and built.empty()
    assert len(open_dataset(data).splits["train"]) == 50


def test_killed_builders_leave_no_store(data, monkeypatch):
    half = FORK.Event()
    with monkeypatch.context() as patch:
        # Called when the data are written and the manifest is not.
        patch.setattr(store, "_file_hash", lambda path: (half.set(), signal.pause()))
        process = FORK.Process(target=lambda: prepare(data))
        process.start()
        assert half.wait(60)
    place = resolve(data).store
    assert resolve(data).checksum is None and not place.exists()
    assert list(place.parent.glob(".*.building-*"))
    process.kill()
    process.join(60)
    assert resolve(data).checksum is None
    assert prepare(data) == place and resolve(data).checksum is not None
    assert not list(place.parent.glob(".*.building-*"))


def test_a_build_that_fails_leaves_nothing_behind(data, monkeypatch):
    monkeypatch.setattr(
        store, "_file_hash", lambda path: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(Halt, match=r"cannot be written to .*disk full.*`data.store=DIR`"):
        prepare(data)
    place = resolve(data).store
    assert [path.name for path in place.parent.iterdir()] == [f".{place.name}.lock"]


def test_stores_are_read_only_and_self_describing(data):
    path = prepare(data)
    assert all(not (path / name).stat().st_mode & 0o222 for name in (store.DATA, store.MANIFEST))
    manifest = json.loads((path / store.MANIFEST).read_text())
    assert manifest["schema"] == store.SCHEMA and manifest["licence"] == "MNIST: CC BY-SA 3.0."
    assert manifest["counts"] == {"train": 50, "val": 10, "test": 20}
    assert [
        (part["count"], len(part["sha256"]))
        for part in manifest["sources"]["digits"].pop("made_of")
    ] == [(4, 64)]
    assert manifest["sources"] == {
        "digits": {
            "title": "MNIST",
            "place": "MNIST",
            "format": "idx",
            "official_order": True,
            "left_out": [],
        }
    }
    assert manifest["recipe"]["split_seed"] == 42
    train = open_dataset(data).splits["train"].images.numpy() / 255
    assert manifest["statistics"]["mean"][0] == pytest.approx(train.mean(), abs=1e-4)
    assert manifest["statistics"]["std"][0] == pytest.approx(train.std(), abs=1e-4)


def damage_truncate(path):
    content = (path / store.DATA).read_bytes()
    (path / store.DATA).write_bytes(content[: len(content) // 2])


def damage_flip(path):
    content = bytearray((path / store.DATA).read_bytes())
    content[len(content) // 2] ^= 1
    (path / store.DATA).write_bytes(bytes(content))


def damage_empty(path):
    (path / store.DATA).write_bytes(b"")


def damage_missing(path):
    (path / store.DATA).unlink()


def damage_no_manifest(path):
    (path / store.MANIFEST).unlink()


def damage_half_manifest(path):
    (path / store.MANIFEST).write_text((path / store.MANIFEST).read_text()[:200])


def damage_other_manifest(path):
    (path / store.MANIFEST).write_text("[]")


def damage_shape(path):
    manifest = json.loads((path / store.MANIFEST).read_text())
    manifest["arrays"]["train/images"]["shape"][0] *= 100
    (path / store.MANIFEST).write_text(json.dumps(store.with_checksum(manifest)))


def damage_type(path):
    manifest = json.loads((path / store.MANIFEST).read_text())
    manifest["arrays"]["train/images"]["dtype"] = "|O"
    (path / store.MANIFEST).write_text(json.dumps(store.with_checksum(manifest)))


@pytest.mark.parametrize(
    "damage",
    [value for name, value in sorted(globals().items()) if name.startswith("damage_")],
    ids=lambda f: f.__name__,
)
def test_damaged_stores_are_refused_with_a_remedy(data, damage):
    path = prepare(data)
    for file in path.iterdir():
        file.chmod(0o644)
    damage(path)
    with pytest.raises(BadInput) as caught:
        open_dataset(data)
    assert str(path) in str(caught.value)
    assert f"delete the folder {path} and prepare the dataset again" in str(caught.value)


def test_a_store_of_a_newer_schema_is_refused(data):
    path = prepare(data)
    manifest = json.loads((path / store.MANIFEST).read_text())
    (path / store.MANIFEST).chmod(0o644)
    (path / store.MANIFEST).write_text(json.dumps(manifest | {"schema": store.SCHEMA + 1}))
    with pytest.raises(BadInput, match="newer"):
        resolve(data)


@given(
    st.dictionaries(
        st.sampled_from(["a/images", "a/labels/x", "b/labels/y"]),
        arrays(st.sampled_from([np.uint8, np.int64, np.float32]), array_shapes(max_dims=4)),
        min_size=1,
    )
)
@settings(max_examples=10, deadline=None)
def test_arrays_come_back_as_they_went_in(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("stores") / "x"
    store.build(path, content, {"label": "x"})
    manifest = store.read_manifest(path)
    back = store.read(path, manifest)
    assert store.checksum(back) == store.checksum(content) == manifest["checksum"]
    assert all(
        (back[name] == array).all() or np.isnan(array).any() for name, array in content.items()
    )


def test_an_array_of_several_records_comes_back(tmp_path):
    content = {"x": np.random.RandomState(0).randint(0, 256, (3, 1024, 1001)).astype(np.uint8)}
    store.build(tmp_path / "x", content, {"label": "x"})
    assert (
        store.read(tmp_path / "x", store.read_manifest(tmp_path / "x"))["x"] == content["x"]
    ).all()


def test_the_checksum_sees_values_shapes_types_and_names():
    base = np.arange(6, dtype=np.uint8)
    variants = [
        {"a": base},
        {"b": base},
        {"a": base.reshape(2, 3)},
        {"a": base.view(np.int8)},
        {"a": base[::-1]},
    ]
    assert len({store.checksum(v) for v in variants}) == len(variants)


def test_a_dataset_is_read_once_per_process(data, monkeypatch):
    first = open_dataset(data)
    monkeypatch.setattr(store, "read", lambda *a: pytest.fail("read twice"))
    again = open_dataset(data.model_copy(update={"limit": 10}))
    assert again.splits["train"].images.data_ptr() == first.splits["train"].images.data_ptr()
    assert opening._opened
