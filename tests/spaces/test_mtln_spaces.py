"""MTLN's spaces fit the data that they name and the drawn scenes that replace it, in all their
profiles."""

import pytest

from mtsearch.config.reading import load_space
from mtsearch.data.configured import configured_card
from mtsearch.jobs.checks import check_trials


@pytest.mark.parametrize("profile", [None, "quick", "medium", "published"])
def test_scenes(profile):
    space = load_space("mtln_scenes", profile=profile)
    for name in ("rsscn7_gid_scenes", "drawn_scenes_two"):
        card = configured_card(name, space.config.data)
        space.check(card)
        check_trials(space, space.config.data, card)


def test_every_task_schedule_is_searched():
    (schedules,) = (
        d.spec for d in load_space("mtln_scenes").dimensions if d.path == "trial.task_schedule"
    )
    names = {option if isinstance(option, str) else option["name"] for option in schedules}
    assert names == {"joint", "sequential", "round_robin", "proportional", "categorical", "coin"}


@pytest.mark.parametrize(
    ("profile", "undefined"),
    [
        (None, "ignore"),
        (None, "class"),
        ("quick", "ignore"),
        ("published", "ignore"),
        ("segnet", "class"),
    ],
)
def test_scenes_with_pixels(profile, undefined):
    space = load_space("mtln_gid", [f"data.undefined={undefined}"], profile)
    for name in ("gid_mtl5", "drawn_scenes_masks"):
        card = configured_card(name, space.config.data)
        space.check(card)
        check_trials(space, space.config.data, card)


def test_published_settings_match_summed_loss():
    for trial in (
        load_space("mtln_scenes").controls["reference"],
        load_space("mtln_scenes", profile="published").defaults,
    ):
        assert trial["init"] == "normal"
        assert trial["batch_size"] == 128
        assert trial["task_schedule"] == {"name": "sequential", "drop_last": True}
        assert trial["optimizer"] == {
            "name": "sgd",
            "lr": 0.128,
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 5e-5 / 128,
        }
        assert trial["lr_schedule"] in ("constant", {"name": "constant"})
