"""Checks before Ray starts or a trial trains."""

import pytest
import torch

from mtsearch.commands.run import main
from mtsearch.config.errors import BadInput
from mtsearch.config.reading import list_spaces, load_space
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.data import open_dataset, open_labels
from mtsearch.execution.checks import check_space
from mtsearch.jobs.checks import check_trials
from mtsearch.jobs.environment import environment_of
from tests.helpers.spaces import space


@pytest.fixture
def card():
    from mtsearch.data.cards import load_card

    return load_card("patches10_digits")


def changed(root, **trial):
    raw = space(root).raw
    return Space({**raw, "trial": {**raw["trial"], **trial}})


def check(space, card):
    check_trials(space, space.config.data, card)


def network(**settings):
    return {"name": "torchvision", "model": "resnet18", **settings}


def test_models_that_can_be_built_draw_no_numbers(tmp_path, card):
    before = torch.random.get_rng_state()
    check(changed(tmp_path, backbone={"choice": ["cm", "mm"], "default": "cm"}), card)
    check(changed(tmp_path, backbone=network()), card)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    "backbone,found",
    [
        (
            network(model="resnet19"),
            (
                r"^`trial\.backbone\.model` should be a classification network of torchvision\."
                r" Found `resnet19`\. Did"
            ),
        ),
        (network(weights="no/such.pt"), r"should be an existing file\. Found `no/such.pt`"),
        (network(model="alexnet"), r"does not support images"),
        (
            {"choice": ["cm", network(model="resnet19")], "default": "cm"},
            r"`resnet19`.* \(as drawn from `trial\.backbone`: torchvision\)\.",
        ),
        (
            {
                "choice": [
                    "cm",
                    network(model={"choice": ["resnet18", "resnet19"], "default": "resnet18"}),
                ],
                "default": "cm",
            },
            r"drawn from `trial.backbone@torchvision\.model`: resnet19",
        ),
    ],
)
def test_unbuildable_models_are_refused_before_the_start(tmp_path, card, backbone, found):
    with pytest.raises(BadInput, match=found) as refusal:
        check(changed(tmp_path, backbone=backbone), card)
    assert "\n" not in str(refusal.value)


def test_controls_with_unbuildable_models_are_named(tmp_path):
    raw = space(tmp_path).raw | {
        "delta_m": None,
        "controls": {"odd": {"backbone": network(model="resnet19")}},
    }
    with pytest.raises(
        BadInput,
        match=(
            r"^`controls\.odd\.backbone\.model` should be .* leave it out with `controls\.odd=null`"
        ),
    ):
        environment_of(Space(raw))


def test_missing_or_unfitting_weights_are_refused(tmp_path, card):
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    for name, found in (
        ("other.pt", "does not fit"),
        ("text.pt", "should be a readable state dict"),
        ("text.safetensors", "should be a readable state dict"),
    ):
        with pytest.raises(BadInput, match=found):
            check(changed(tmp_path, backbone=network(weights=str(tmp_path / name))), card)


def test_weights_that_fit_are_taken(tmp_path, card):
    import torchvision

    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "resnet18.pt")
    check(changed(tmp_path, backbone=network(weights=str(tmp_path / "resnet18.pt"))), card)


@pytest.mark.parametrize("device", ["cuda", {"choice": ["cpu", "cuda"], "default": "cpu"}])
def test_cuda_without_a_gpu_share_is_refused(tmp_path, device):
    with pytest.raises(BadInput, match=r"`resources.gpu` is 0"):
        check_space(changed(tmp_path, device=device))


REFUSED = [
    (
        "pareto_cm",
        ["trial.task_schedule={name: coin, probabilities: {picture: 0.5, digit: 0.5}}"],
        "`trial.task_schedule.probabilities` should name tasks of the dataset. Found `picture`.",
    ),
    (
        "pareto_cm",
        [
            "trial.task_schedule={choice: [joint, {name: coin, probabilities: {digit: 0.5}}],"
            " default: joint}"
        ],
        (
            "should have a value for every task. Found none for `image` (as drawn from"
            " `trial.task_schedule`: coin)."
        ),
    ),
    (
        "pareto_cm",
        ["trial.select=picture"],
        "`trial.select` should be best, last or a task. Found `picture`.",
    ),
    ("pareto_cm", ["trial.idle=drift"], "`trial.idle: drift` has no effect"),
    (
        "pareto_cm",
        ["trial.lr_multipliers={attention: 2}"],
        "the architecture `mdmtn` has no part `attention`",
    ),
    (
        "sparsity_cm",
        [
            "trial.balancing={choice: [linear, upgrad], default: linear}",
            "trial.task_schedule={choice: [joint, coin], default: joint}",
        ],
        "(as drawn from `trial.balancing`: upgrad and `trial.task_schedule`: coin).",
    ),
    (
        "sparsity_cm",
        [
            "trial.balancing={choice: [linear, upgrad], default: linear}",
            "trial.architecture={choice: [hps, stl], default: hps}",
        ],
        (
            "`trial.balancing` should be a loss method, such as linear, with `architecture: stl`,"
            " which shares nothing. Found upgrad (as drawn from `trial.architecture`: stl and"
            " `trial.balancing`: upgrad)."
        ),
    ),
    (
        "mgda_cm",
        ["trial.preference={image: 0.5, digits: 0.5}"],
        "`trial.preference` should give a weight to each task of",
    ),
    (
        "mgda_cm",
        ["trial.balancing={name: pcd, primary: 2}", "controls.stl=null"],
        "`trial.balancing.primary` should be the index of a task",
    ),
    (
        "weightings_cm",
        ["controls.stl.select=picture"],
        "`controls.stl.select` should be best, last or a task.",
    ),
    (
        "alternating_cifar_fashion",
        [
            "trial.balancing=mgda",
            "trial.task_schedule=joint",
            "trial.architecture.norm=shared",
            "controls=null",
        ],
        (
            "`trial.balancing: mgda` with `level: feature` needs images that are labelled for all"
            " tasks. This dataset has none."
        ),
    ),
    (
        "mtln_scenes",
        ["trial.balancing={name: mgda, level: parameter}", "controls.stl=null", "delta_m=null"],
        (
            "`trial.balancing: mgda` needs steps that train all tasks, but each step of"
            " `trial.task_schedule: proportional`"
        ),
    ),
    (
        "mtln_scenes",
        ["data.limit=10", "controls.reference.batch_size=16"],
        "`controls.reference.task_schedule.drop_last` needs at least",
    ),
    (
        "mtln_gid",
        ["trial.architecture={name: kdmtl, weight: {scenes: 1}}", "controls.no_attention=null"],
        "should name tasks of the dataset. Found `scenes`",
    ),
    (
        "mto_losses",
        ["trial.population.formulation={name: loss, losses: [l1, huber]}"],
        (
            "`trial.population.formulation.losses[1]` cannot be used: task `restored` has an"
            " unknown loss of restoration: `huber`."
        ),
    ),
    (
        "mto_losses",
        [
            "trial.population.formulation={choice: [seed, {name: class_subset, classes: 2}],"
            " default: seed}"
        ],
        "`trial.population.formulation: class_subset` needs a target with classes.",
    ),
    (
        "mto_losses",
        ["trial.population.target=restoredd"],
        "`trial.population.target` should be a task of",
    ),
    (
        "mto_losses",
        ["trial.population.layers=trunkk"],
        "`trial.population.layers` should match the name of some tensor",
    ),
    (
        "mto_rsscn7",
        ["trial.population.formulation={name: class_subset, classes: 9}", "controls.average=null"],
        "`trial.population.formulation.classes` should be below the target's 7 classes. Found 9.",
    ),
    (
        "mto_rsscn7",
        [
            "trial.population.formulation={name: dataset, datasets: [rsscn8]}",
            "controls.average=null",
        ],
        "`trial.population.formulation.datasets[0]` cannot be used: unknown dataset `rsscn8`.",
    ),
    (
        "mto_rsscn7",
        ["trial.population.formulation={name: kfold, folds: 1000}"],
        "`trial.population.formulation.folds` should be at most",
    ),
    (
        "mto_rsscn7",
        ["data.limit=8"],
        "`trial.population.holdout_fraction` should leave images on both sides.",
    ),
]


@pytest.mark.parametrize(("name", "words", "found"), REFUSED)
def test_trial_errors_are_raised_before_the_start(tmp_path, name, words, found):
    given = load_space(name, words, "quick")
    with pytest.raises(BadInput) as refusal:
        environment_of(given)
    assert found in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", list(list_spaces()))
def test_every_shipped_space_passes(name):
    given = load_space(name, profile="quick")
    before = torch.random.get_rng_state()
    environment_of(given)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_labels_alone_tell_what_the_whole_dataset_tells():
    data = DataConfig(dataset="drawn_scenes_masks", size=32, limit=50)
    alone = open_labels(data)
    whole = open_dataset(data)
    assert alone.checksum == whole.checksum and alone.card == whole.card
    for name, split in whole.splits.items():
        assert (
            len(alone.splits[name]) == len(split)
            and alone.splits[name].images.shape == split.images.shape
        )
        assert all(
            torch.equal(alone.splits[name].labels[task], values)
            for task, values in split.labels.items()
        )


def test_compiled_trials_of_several_workers_need_local_statistics(tmp_path, monkeypatch):
    wanted = changed(tmp_path, compile={"choice": [False, True], "default": False})
    monkeypatch.setattr(wanted, "config", wanted.config.model_copy(update={"workers": 2}))
    with pytest.raises(
        BadInput,
        match=(
            r"`trial.compile` with several workers needs `trial.bn: local`.*as drawn from"
            r" `trial.compile`: True"
        ),
    ):
        check_space(wanted)


@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_the_command_refuses_an_unbuildable_model(capsys, tmp_path, flags):
    words = [
        "space=pareto_cm",
        "trial.backbone={name: torchvision, model: resnet19}",
        f"results.root={tmp_path / 'results'}",
    ]
    assert main([*words, *flags]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and "`resnet19`" in shown.err
    assert not (tmp_path / "results").exists()
