"""The export command on a real run of one trial."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from mtsearch.commands import export, predict, train
from mtsearch.deploy.programs import load_onnx
from mtsearch.models import MultiTaskModel
from mtsearch.runs.directory import RunDirectory
from mtsearch.training import Trial


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    words = [
        "space=pareto_cm",
        "data.dataset=patches10_digits",
        "data.limit=300",
        "trial.epochs={search: 1, retrain: 1}",
        "trial.sparsity={mode: target, target: 0.6}",
        "trial.preference={image: 0.7, digit: 0.3}",
        "trial.keep=tasks",
        f"results.root={root}",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MTSEARCH_DATA", raising=False)
        assert train.main([*words, "test=true"]) == 0
    (path,) = root.glob("*/*")
    return RunDirectory(path)


def test_a_trial_is_exported_with_its_card(run, capsys):
    assert export.main([f"run={run.path}", "pick=trial:0000"]) == 0
    out = run.path / "export" / "0000"
    assert capsys.readouterr().out.splitlines()[-1] == f"export: {out}"
    card = json.loads((out / "card.json").read_text())
    (row,) = run.rows()
    assert "embedded sample" in card["data"]["used"]
    assert card["preference"] == {"image": 0.7, "digit": 0.3}
    for metric in ("val/image/error", "test/digit/error"):
        assert card["metrics"][metric] == row[metric]
    assert card["origin"]["command"] == row["command"]
    assert (
        str(run.path.parent) not in (out / "card.json").read_text() + (out / "card.md").read_text()
    )
    trial = Trial.restore(run.checkpoint("0000"))
    split = trial.dataset.splits["test"]
    answers = torch.export.load(out / "model.pt2").module()(split.images.float() / 255)
    for name in ("image", "digit"):
        error = 100 * float((answers[name].argmax(1) != split.labels[name]).float().mean())
        assert error == pytest.approx(row[f"test/{name}/error"], abs=1e-3)
    assert card["size"]["after"]["parameters"] < 0.55 * card["size"]["before"]["parameters"]


def test_the_best_weights_of_a_task_are_exported(run, capsys):
    assert export.main([f"run={run.path}", "of=digit"]) == 0
    out = run.path / "export" / "0000-digit"
    assert capsys.readouterr().out.splitlines()[-1] == f"export: {out}"
    card = json.loads((out / "card.json").read_text())
    best = Trial.restore(run.checkpoint("0000")).best("digit")
    assert card["metrics"]["val/digit/error"] == best["val/digit/error"]
    assert not [metric for metric in card["metrics"] if metric.startswith("test/")], (
        "the test metrics are of other weights"
    )
    assert export.main([f"run={run.path}", "of=digits"]) == 2
    assert "Did you mean `digit`?" in capsys.readouterr().err


def test_onnx_is_written_where_it_is_asked_for(run, tmp_path, capsys):
    assert export.main([f"run={run.path}", f"out={tmp_path / 'out'}", "onnx=True"]) == 0
    assert "model.onnx, model.pt2, model.safetensors" in capsys.readouterr().out
    split = Trial.restore(run.checkpoint("0000")).dataset.splits["test"]
    (row,) = run.rows()
    answers = load_onnx(tmp_path / "out" / "model.onnx")(split.images.float() / 255)
    for name in ("image", "digit"):
        error = 100 * float((answers[name].argmax(1) != split.labels[name]).float().mean())
        assert error == pytest.approx(row[f"test/{name}/error"], abs=1e-3)


def test_who_may_read_one_file_may_read_all(run):
    assert export.main([f"run={run.path}"]) == 0
    files = [
        path
        for folder in (run.path / "export" / "0000", run.checkpoint("0000"))
        for path in folder.iterdir()
    ]
    assert len(files) == 6 and len({path.stat().st_mode for path in files}) == 1


def test_default_pick_is_the_only_trial(run, tmp_path, capsys):
    assert export.main([f"run={run.path}", f"out={tmp_path / 'here'}"]) == 0
    assert (tmp_path / "here" / "model.pt2").is_file()
    assert "0000 (trial:0000)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["pick=knee"], "`run` is missing"),
        (["run=RUN", "picks=knee"], "Did you mean `pick`?"),
        (["run=RUN", "pick=kneee"], "`pick` should be"),
        (["run=RUN", "pick=trial:0009"], "0009"),
        (["run=nowhere"], "is not a run directory"),
        (["run=RUN", "onnx=yes"], "`onnx` should be true or false. Found yes."),
        (["run=RUN", "knee"], "arguments are key=value"),
    ],
)
def test_mistakes_are_answered_with_one_sentence(run, words, part, capsys):
    assert export.main([word.replace("RUN", str(run.path)) for word in words]) == 2
    message = capsys.readouterr().err
    assert message.startswith("mtsearch.export: ")
    assert part in message
    assert len(message.splitlines()) == 1


def test_help_is_printed_without_arguments(capsys):
    assert export.main([]) == 2
    assert "mtsearch export run=RUN" in capsys.readouterr().out


def test_a_label_reading_baseline_is_not_exported(run, capsys, monkeypatch):
    monkeypatch.setattr(MultiTaskModel, "uses_labels", True)
    assert export.main([f"run={run.path}"]) == 2
    assert "is a baseline that reads ground-truth labels" in capsys.readouterr().err


def test_a_trial_without_checkpoint_is_refused(run, capsys):
    run.checkpoint("0000").rename(run.path / "aside")
    try:
        assert export.main([f"run={run.path}", "pick=trial:0000"]) == 2
        assert "python -m mtsearch.train" in capsys.readouterr().err
    finally:
        (run.path / "aside").rename(run.checkpoint("0000"))


def test_a_run_and_its_export_predict_the_same(run, tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    out, images = tmp_path / "out", f"images={tmp_path / 'a.png'}"
    assert export.main([f"run={run.path}", f"out={out}"]) == 0
    assert predict.main([f"run={run.path}", "pick=trial:0000", images, f"to={tmp_path}/r.csv"]) == 0
    assert "images  1 of 1 predicted" in capsys.readouterr().out
    assert predict.main([f"model={out}", images, f"to={tmp_path}/m.csv", "device=cpu"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"table: {tmp_path}/m.csv"
    rows = [next(csv.DictReader((tmp_path / f"{name}.csv").open())) for name in "rm"]
    assert rows[0]["image/label"] == rows[1]["image/label"] != ""
    assert float(rows[0]["digit/probability"]) == pytest.approx(
        float(rows[1]["digit/probability"]), abs=1e-5
    )
    (tmp_path / "a.png").write_bytes(b"")
    assert predict.main([f"model={out}", images, f"to={tmp_path}/n.csv"]) == 1
    assert "0 of 1 predicted; The image" in capsys.readouterr().out
    for words, sentence in [
        ([f"model={out}", f"run={run.path}", images], "one of them"),
        ([f"model={out}", "pick=knee", images], "`pick` goes with `run`"),
        ([f"model={out}"], "`images` or `table` should be given"),
        ([f"model={out}", images, "to=a.txt"], "`to` should end in"),
        ([f"model={out}", images, "batch=0"], "`batch` should be"),
        ([f"model={out}", images, "device=tpu"], "`device` should be"),
        ([f"model={out}", images, "devise=cpu"], "Did you mean `device`"),
    ]:
        assert predict.main(words) == 2
        assert sentence in capsys.readouterr().err
