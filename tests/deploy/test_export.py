"""Exports: files that run without mtsearch, and their card."""

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from networks import DENSE, TASKS, rows_of, serving, trained
from safetensors.torch import load_file

from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput
from mtsearch.data import Dataset, Split
from mtsearch.deploy import export, export_model
from mtsearch.deploy.parity import check_parity

FACTS = {
    "trial": "0003",
    "pick": "knee",
    "command": "python -m mtsearch.train space=pareto_cm trial.seed=3",
    "preference": {"image": 0.7, "digit": 0.3},
    "metrics": {
        "val/image/error": 41.25,
        "val/digit/error": 4.5,
        "test/image/error": 42.0,
        "test/digit/error": float("nan"),
    },
}


def dataset(shape, tasks=TASKS, embedded=False):
    images = torch.randint(
        0, 256, (40, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    card = DatasetCard(
        name="tiny",
        title="Tiny",
        source={"kind": "none"},
        tasks=tuple(tasks),
        shape=shape,
        mean=(0.5,) * shape[0],
        std=(0.2,) * shape[0],
        val_fraction=0.2,
        licence="CC0-1.0",
        how_to_get="make it",
        embedded=embedded,
    )
    split = Split(images, {task.name: torch.zeros(40, dtype=torch.int64) for task in tasks})
    label = "tiny (embedded sample; used in place of huge)" if embedded else "tiny"
    return Dataset(
        card,
        label,
        {"train": split, "val": split, "test": split},
        (0.4,) * shape[0],
        (0.25,) * shape[0],
        "abc123",
    )


def sparse(architecture, backbone, tasks=TASKS):
    model, shape = trained(architecture, backbone, tasks)
    generator = torch.Generator().manual_seed(2)
    for name in model.prunable:
        rows = rows_of(model, name)
        rows[torch.rand(len(rows), generator=generator) < 0.5] = 0
        rows[::4] = rows[0].clone()
    return model, shape


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model, shape = sparse("mdmtn", "cm")
    out = export_model(
        model,
        dataset(shape, embedded=True),
        TASKS,
        tmp_path_factory.mktemp("runs") / "export" / "0003",
        FACTS,
    )
    return model, shape, out


def test_export_writes_exactly_four_files(exported):
    _, _, out = exported
    assert sorted(path.name for path in out.iterdir()) == [
        "card.json",
        "card.md",
        "model.pt2",
        "model.safetensors",
    ]
    assert [path.name for path in out.parent.iterdir()] == ["0003"]


def test_program_loads_without_mtsearch_for_any_batch(exported, tmp_path):
    model, shape, out = exported
    images = torch.rand(7, *shape)
    torch.save(images, tmp_path / "images.pt")
    script = """
        import sys
        sys.modules["mtsearch"] = None  # it may be installed beside torch
        import torch
        model = torch.export.load(sys.argv[1]).module()
        images = torch.load("images.pt", weights_only=True)
        answers = {}
        for size in (1, 2, 7):
            for name, value in model(images[:size]).items():
                answers[f"{size}/{name}"] = value
        torch.save(answers, "answers.pt")
        assert not [name for name in sys.modules if name.startswith("mtsearch.")]
    """
    (tmp_path / "serve.py").write_text(textwrap.dedent(script))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-P", "serve.py", str(out / "model.pt2")]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = torch.load(tmp_path / "answers.pt", weights_only=True)
    with torch.no_grad():
        expected = serving(model, shape)(images)
    for size in (1, 2, 7):
        for task in TASKS:
            found = answers[f"{size}/{task.name}"]
            assert found.shape == (size, 10)
            torch.testing.assert_close(found, expected[task.name][:size], rtol=1e-4, atol=1e-5)


def test_the_safetensors_hold_the_weights_of_the_program(exported):
    _, _, out = exported
    weights = load_file(out / "model.safetensors")
    program = torch.export.load(out / "model.pt2")
    assert weights.keys() == program.state_dict.keys()
    assert all(torch.equal(weights[name], program.state_dict[name]) for name in weights)
    card = json.loads((out / "card.json").read_text())
    floating = sum(
        w.numel()
        for name, w in weights.items()
        if w.is_floating_point() and "running_" not in name and name not in ("mean", "std")
    )
    assert floating == card["size"]["after"]["parameters"]
    assert (
        sum(w.numel() for name, w in weights.items() if name.endswith((".select", ".group")))
        == card["size"]["after"]["index_entries"]
    )


def test_card_has_data_sizes_metrics_and_checksums(exported):
    model, _, out = exported
    card = json.loads((out / "card.json").read_text())
    assert card["data"]["used"] == "tiny (embedded sample; used in place of huge)"
    assert card["data"]["licence"] == "CC0-1.0"
    assert card["preference"] == FACTS["preference"]
    assert card["metrics"]["val/image/error"] == 41.25
    assert card["metrics"]["test/digit/error"] is None
    size = card["size"]
    assert size["before"]["parameters"] == sum(p.numel() for p in model.parameters()) == 505_528
    assert size["after"]["parameters"] < 0.6 * size["before"]["parameters"]
    assert size["after"]["macs"] < size["before"]["macs"]
    assert card["parity"]["validation_images"] == 40
    assert card["parity"]["max_relative"] <= 1e-5
    assert card["origin"]["trial"] == "0003"
    assert {"mtsearch", "torch", "python", "torchvision"} == card["versions"].keys()
    for name, file in card["files"].items():
        content = (out / name).read_bytes()
        assert file == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_the_card_for_people_says_the_same(exported):
    text = (exported[2] / "card.md").read_text()
    for part in (
        "tiny (embedded sample; used in place of huge)",
        "figures say nothing about the full dataset",
        "image 0.7, digit 0.3",
        "| image/error | 41.25 | 42 |",
        "| digit/error | 4.5 | not finite |",
        "505,528",
        "torch.export.load",
        "CC0-1.0",
        "python -m mtsearch.train space=pareto_cm trial.seed=3",
    ):
        assert part in text, part


def test_the_code_in_the_card_runs(exported):
    out = exported[2]
    text = (out / "card.md").read_text()
    code = (
        text.split("```python\n")[1]
        .split("```")[0]
        .replace('"model.pt2"', repr(str(out / "model.pt2")))
    )
    scope = {}
    exec(code, scope)
    assert scope["outputs"]["image"].shape == (7, 10)


@pytest.mark.parametrize(
    ("architecture", "backbone", "tasks"),
    [("stl", "mm", TASKS), ("hps", "mm", TASKS[:1]), ("mdmtn", "cm", DENSE)],
)
def test_every_architecture_and_kind_of_task_is_exported(tmp_path, architecture, backbone, tasks):
    model, shape = sparse(architecture, backbone, tasks)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    out = export_model(model, dataset(shape, tasks), tasks, tmp_path / "out", {})
    answers = torch.export.load(out / "model.pt2").module()(torch.rand(3, *shape))
    assert {name: tuple(value.shape) for name, value in answers.items()} == {
        t.name: (3, 3, *shape[1:]) if t.kind == "segmentation" else (3, 10) for t in tasks
    }
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    text = (out / "card.md").read_text()
    assert ("all tasks have equal weight" in text) == (
        len(tasks) > 1
    )  # there is nothing to prefer in one task
    assert f"images of {shape[1]} x {shape[2]} pixels" in text
    assert ("`error` of `pixels`: 100 minus the mean IoU over the classes that" in text) == (
        tasks is DENSE
    )


def test_only_earlier_exports_are_replaced(tmp_path):
    model, shape = sparse("hps", "mm")
    out = tmp_path / "out"
    export_model(model, dataset(shape), TASKS, out, {"trial": "0001"})
    export_model(model, dataset(shape), TASKS, out, {"trial": "0002"})
    assert json.loads((out / "card.json").read_text())["origin"] == {"trial": "0002"}
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("x")
    with pytest.raises(BadInput, match="is not an earlier export"):
        export_model(model, dataset(shape), TASKS, precious, {})
    with pytest.raises(
        BadInput, match=r"is not a folder that can be made \(File exists\); choose another"
    ):
        export_model(model, dataset(shape), TASKS, precious / "thesis.tex" / "out", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "precious"]
    assert [path.name for path in precious.iterdir()] == ["thesis.tex"]


def test_export_folder_may_be_current_or_link(tmp_path, monkeypatch):
    model, shape = sparse("hps", "mm")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    export_model(model, dataset(shape), TASKS, Path("."), {"trial": "0001"})
    assert json.loads((tmp_path / "here" / "card.json").read_text())["origin"] == {"trial": "0001"}
    (tmp_path / "link").symlink_to(tmp_path / "here")
    export_model(model, dataset(shape), TASKS, tmp_path / "link", {"trial": "0002"})
    assert json.loads((tmp_path / "here" / "card.json").read_text())["origin"] == {"trial": "0002"}
    assert {path.name: path.is_symlink() for path in tmp_path.iterdir()} == {
        "here": False,
        "link": True,
    }


def test_wrong_models_are_not_exported(tmp_path, monkeypatch):
    model, shape = sparse("hps", "mm")
    real = export.compact

    def wrong(network, shape):
        compacted = real(network, shape)
        with torch.no_grad():
            compacted.model.model.heads.digit.bias[3] += 0.01
        return compacted

    monkeypatch.setattr(export, "compact", wrong)
    with pytest.raises(RuntimeError, match="task `digit`"):
        export_model(model, dataset(shape), TASKS, tmp_path / "out", {})
    assert not list(tmp_path.iterdir())


def test_parity_refuses_other_tasks_and_nan():
    images = torch.ones(3, 1, 2, 2)
    with pytest.raises(RuntimeError, match="outputs"):
        check_parity(lambda x: {"a": x}, lambda x: {"b": x}, images, 1.0, "It")
    with pytest.raises(RuntimeError, match="task `a`"):
        check_parity(lambda x: {"a": x}, lambda x: {"a": x * float("nan")}, images, 1.0, "It")
    assert (
        check_parity(
            lambda x: {"a": 2 * x}, lambda x: {"a": x}, images, 0.5, "It", batch=2
        ).absolute
        == 1.0
    )
