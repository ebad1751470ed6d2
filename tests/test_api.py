"""The public Python API: what `import mtsearch` offers, what it loads, and what a notebook does."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import mtsearch
from mtsearch.config.errors import BadInput

SMALL = {
    "data.limit": 200,
    "trial.epochs": {"search": 1, "retrain": 1},
    "trial.architecture": "hps",
    "trial.sparsity": "none",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("results"))
    return mtsearch.train_one(
        "pareto_cm", profile="quick", overrides={**SMALL, "results.root": root}, progress=False
    )


def test_import_loads_neither_torch_nor_ray():
    code = (
        "import sys, mtsearch; dir(mtsearch)\n"
        "print([m for m in ('torch', 'ray', 'optuna', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_public_name_is_a_submodule():
    """A submodule that is imported replaces an attribute of its package: each public name must
    still be callable once everything is imported."""
    for module in pkgutil.walk_packages(mtsearch.__path__, "mtsearch."):
        if module.name.rpartition(".")[2] != "__main__":
            importlib.import_module(module.name)
    for name in mtsearch.__all__:
        assert callable(getattr(mtsearch, name)) or name == "__version__", name


def test_public_names_have_complete_docstrings():
    for name in mtsearch.__all__:
        value = getattr(mtsearch, name)
        if inspect.isfunction(value):
            text = inspect.getdoc(value)
            assert "Raises:" in text, name
            for parameter in inspect.signature(value).parameters.values():
                assert f"{parameter.name}:" in text, (name, parameter.name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute `serach`"):
        mtsearch.serach  # noqa: B018


def test_one_training_has_tables(trained):
    (row,) = trained.trials
    assert row["state"] == "done" and row["trial"] == "0000"
    frame = trained.history.to_pandas()
    assert list(frame["epoch"]) == [1, 2] and frame["val/image/error"].notna().all()
    assert "0000" in trained.trials._repr_html_()


def test_a_model_predicts_files_arrays_and_tensors(trained, tmp_path):
    import numpy as np
    import torch
    from PIL import Image

    model = trained.pick().load()
    pixels = model_pixels = trained.pick().trial().dataset.splits["val"].images[:3]
    arrays = [image.permute(1, 2, 0).numpy() for image in pixels]
    Image.fromarray(arrays[0]).save(tmp_path / "a.png")
    from_file = model.predict(tmp_path / "a.png")[0]
    from_arrays = model.predict(arrays, batch_size=2)
    from_tensor = model.predict(model_pixels[0])[0]
    assert from_file["image"].label == from_arrays[0]["image"].label == from_tensor["image"].label
    assert from_file["digit"].probabilities == pytest.approx(from_arrays[0]["digit"].probabilities)
    assert sum(from_file["digit"].probabilities.values()) == pytest.approx(1)
    with torch.no_grad():
        raw = model(pixels.float() / 255)
    assert raw["digit"].shape == (3, 10)
    assert np.isclose(
        from_file["digit"].probability, float(torch.softmax(raw["digit"][0], 0).max()), atol=1e-5
    )


def test_predict_refuses_other_sizes_and_missing_files(trained):
    import numpy as np

    model = trained.pick().load()
    with pytest.raises(BadInput, match=r"should have the shape \(3, 32, 32\)"):
        model.predict(np.zeros((5, 5, 3), np.uint8))
    with pytest.raises(BadInput, match=r"none\.png cannot be read"):
        model.predict(["none.png"])


def test_a_picked_trial_is_exported(trained, tmp_path):
    out = trained.pick("trial:0000").export(tmp_path / "out")
    assert {path.name for path in out.iterdir()} >= {"model.safetensors", "model.pt2", "card.md"}


def test_weights_go_with_preference_only(trained):
    with pytest.raises(BadInput, match="`image` goes with `preference` only"):
        trained.pick("knee", image=0.7)


def test_prepared_data_say_what_they_are():
    prepared = mtsearch.prepare_data("multidigits")
    assert "sample" in prepared.label and prepared.path.is_dir() and len(prepared.checksum) > 8


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: mtsearch.load_space("pareto_c"), "Did you mean `pareto_cm`"),
        (lambda: mtsearch.load_run("nowhere"), "is not a run directory"),
        (lambda: mtsearch.search("pareto_cm", overrides={"trial.lr": 1}), "unknown key"),
        (lambda: mtsearch.prepare_data("multidigit"), "multidigits"),
        (lambda: mtsearch.load_space("pareto_cm", overrides=["trial.seed=3"]), "Found list"),
        (lambda: mtsearch.load_space("pareto_cm", overrides={"data.root": ""}), "has no value"),
        (lambda: mtsearch.resume("x", overrides={"trial.seed": 3}), "cannot change on resume"),
        (lambda: mtsearch.resume("x", overrides={"plugins": "no.py"}), "is not a run directory"),
    ],
)
def test_bad_input_is_one_sentence(call, sentence):
    with pytest.raises(BadInput, match=sentence):
        call()


def test_scalars_of_numpy_are_numbers():
    import numpy as np

    given = {"trial.optimizer.lr": np.float64(1e-5), "trial.seed": np.int64(3)}
    trial = mtsearch.load_space("pareto_cm", overrides=given).trial()
    assert trial.optimizer.lr == 1e-5 and trial.seed == 3
    shares = {"image": np.float64(0.25), "digit": np.float64(0.75)}
    space = mtsearch.load_space("pareto_cm", overrides={"trial.preference": shares})
    assert space.trial().preference == {"image": 0.25, "digit": 0.75}


def test_single_training_is_resumed(trained):
    again = mtsearch.resume(trained, progress=False)
    assert list(again.trials) == list(trained.trials)
    with pytest.raises(BadInput, match=r"`search\.trials` is a setting of searches"):
        mtsearch.resume(trained, overrides={"search.trials": 3}, progress=False)


def test_single_training_is_no_search_to_the_engine(trained):
    from mtsearch.execution import engine

    with pytest.raises(BadInput, match="contains a single training"):
        engine.resume(trained.address, {})


def test_silent_driver_logs_why_it_stopped(monkeypatch, tmp_path, caplog):
    from mtsearch.config.errors import Halt
    from mtsearch.jobs import single

    def fail(*given):
        raise Halt("the disk is full.")

    monkeypatch.setattr(single, "_work", fail)
    overrides = {**SMALL, "results.root": str(tmp_path)}
    run = mtsearch.train_one("pareto_cm", overrides=overrides, progress=False)
    assert "stopped: the disk is full." in caplog.text
    with pytest.raises(BadInput):
        run.pick()


def test_plugins_may_be_one_text(trained):
    with pytest.raises(BadInput, match=r"does not exist: .*/no\.py"):
        _ = mtsearch.load_run(trained.address, plugins="no.py").config


def test_predict_refuses_numbers_of_another_range(trained):
    import numpy as np
    import torch

    model = trained.pick().load()
    pixels = np.full((32, 32, 3), 200.0)
    for images in (pixels, pixels.astype(np.int64), torch.full((3, 32, 32), torch.nan)):
        with pytest.raises(BadInput, match=r"should be of type uint8, or of floating-point"):
            model.predict(images)
    with pytest.raises(BadInput, match="should contain paths, arrays or tensors"):
        model.predict([object()])
    scaled = model.predict(pixels / 255)[0]["digit"].probabilities
    assert scaled == pytest.approx(model.predict(pixels.astype(np.uint8))[0]["digit"].probabilities)


def test_pick_is_a_text(trained):
    with pytest.raises(BadInput, match="`pick` should be a text"):
        trained.pick(0)


def test_a_search_returns_its_run(search, tmp_path, monkeypatch):
    """With trials that compute nothing, on a real cluster."""
    from mtsearch.execution import engine
    from tests.helpers.spaces import space

    monkeypatch.setattr(
        engine.run, "__kwdefaults__", {**engine.run.__kwdefaults__, "trial_class": FAKE}
    )
    path = tmp_path / "toy.yaml"
    path.write_text(space(tmp_path).to_yaml())
    run = mtsearch.search(path, trials=3, progress=False)
    assert len(run.front) >= 1 and len(run.trials.to_pandas()) == 3 + len(run.space.controls)
    assert run.hypervolume > 0
    assert run.plot_front(tmp_path / "front.png").axes
    again = mtsearch.resume(run, overrides={"search.trials": 4}, progress=False)
    assert len(again.trials) == len(run.trials) + 1


FAKE = "tests.helpers.fake:FakeTrial"
