"""The programs of an export: contents of the files and outputs."""

import importlib.util
import json
import zipfile

import onnxruntime
import pytest
import torch
from networks import DENSE, TASKS, serving
from test_export import dataset, sparse

from mtsearch.config.errors import BadInput
from mtsearch.deploy import export_model, programs
from mtsearch.deploy.programs import load_onnx, program_of, save_onnx


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model, shape = sparse("hps", "cm", DENSE)
    return (
        model,
        shape,
        export_model(
            model,
            dataset(shape, DENSE),
            DENSE,
            tmp_path_factory.mktemp("onnx") / "out",
            {},
            onnx=True,
        ),
    )


def test_onnx_runtime_serves_any_batch_size(exported):
    model, shape, out = exported
    images = torch.rand(7, *shape)
    with torch.no_grad():
        expected = serving(model, shape)(images)
    answers = load_onnx(out / "model.onnx")
    for size in (1, 2, 7):
        found = answers(images[:size])
        assert list(found) == [task.name for task in DENSE]
        for name, value in found.items():
            torch.testing.assert_close(value, expected[name][:size], rtol=1e-4, atol=1e-5)


def test_the_onnx_file_is_one_file_with_names(exported):
    _, shape, out = exported
    assert sorted(path.name for path in out.iterdir()) == [
        "card.json",
        "card.md",
        "model.onnx",
        "model.pt2",
        "model.safetensors",
    ]
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    (images,) = session.get_inputs()
    assert (images.name, images.type, images.shape) == (
        "images",
        "tensor(float)",
        ["batch", *shape],
    )
    assert [(o.name, o.shape[0]) for o in session.get_outputs()] == [
        (task.name, "batch") for task in DENSE
    ]
    assert {"model.safetensors", "model.pt2", "model.onnx"} == json.loads(
        (out / "card.json").read_text()
    )["files"].keys()


def test_the_card_says_how_to_use_it(exported):
    _, _, out = exported
    text = (out / "card.md").read_text()
    assert (
        "After reading the files again, `model.pt2` and `model.onnx` differ from the trained"
        " network by at most" in text
    )
    blocks = [part.split("```")[0] for part in text.split("```python\n")[1:]]
    (code,) = (block for block in blocks if '"model.onnx"' in block)
    code = code.replace('"model.onnx"', repr(str(out / "model.onnx")))
    scope = {}
    exec(code, scope)
    assert {name: value.shape[:2] for name, value in scope["outputs"].items()} == {
        t.name: (7, t.outputs) for t in DENSE
    }


def test_no_file_names_a_folder_of_this_machine(exported):
    """torch keeps with each operation the file and the line it came from, which a published model
    does not use."""
    _, _, out = exported
    with zipfile.ZipFile(out / "model.pt2") as archive:
        parts = [archive.read(name) for name in archive.namelist()]
    for content in (*parts, *(path.read_bytes() for path in out.iterdir())):
        assert b"mtsearch/deploy/" not in content and b"site-packages" not in content


def test_wrong_onnx_files_are_not_exported(tmp_path, monkeypatch):
    model, shape = sparse("hps", "mm")

    def wrong(program, path):
        other, _ = sparse("hps", "mm")
        with torch.no_grad():
            other.heads["digit"].bias[3] += 1
        save_onnx(program_of(serving(other, shape), torch.zeros(1, *shape)), path)

    monkeypatch.setattr(programs, "save_onnx", wrong)
    with pytest.raises(
        RuntimeError,
        match=r"model\.onnx should give the outputs of the trained network.*task `digit`",
    ):
        export_model(model, dataset(shape), TASKS, tmp_path / "out", {}, onnx=True)
    assert not list(tmp_path.iterdir())


def test_tasks_may_have_the_names_of_operations(tmp_path):
    tasks = [
        TASKS[0].model_copy(update={"name": name})
        for name in ("mean", "sub", "div", "relu", "view", "linear")
    ]
    model, shape = sparse("hps", "mm", tasks)
    out = export_model(model, dataset(shape, tasks), tasks, tmp_path / "out", {}, onnx=True)
    assert list(load_onnx(out / "model.onnx")(torch.rand(3, *shape))) == [
        task.name for task in tasks
    ]


def test_byte_images_are_refused(exported):
    _, shape, out = exported
    pixels = torch.randint(256, (3, *shape), dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="dtype"):
        torch.export.load(out / "model.pt2").module()(pixels)
    with pytest.raises(RuntimeError, match=r"run what was written.*INVALID_ARGUMENT"):
        load_onnx(out / "model.onnx")(pixels)


def test_task_with_the_input_name_is_refused(tmp_path):
    tasks = [TASKS[0].model_copy(update={"name": "images"}), TASKS[1]]
    model, shape = sparse("hps", "mm", tasks)
    with pytest.raises(RuntimeError, match="output with the name of its input"):
        export_model(model, dataset(shape, tasks), tasks, tmp_path / "out", {}, onnx=True)
    assert not list(tmp_path.iterdir())


def test_missing_onnx_packages_are_reported_first(tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "onnxruntime" else real(name, *rest),
    )
    model, shape = sparse("hps", "mm")
    with pytest.raises(
        BadInput, match=r"`onnx=true` needs onnxruntime\. Write `pip install 'mtsearch\[onnx\]'`"
    ):
        export_model(model, dataset(shape), TASKS, tmp_path / "out", {}, onnx=True)
    assert not list(tmp_path.iterdir())
