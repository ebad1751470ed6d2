"""The error of the constant predictor."""

import math

import pytest
import torch

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.tasks import constant_error, unit_of_error


def card(kind="classification", outputs=3, **changes):
    return TaskCard(name="t", kind=kind, outputs=outputs, **changes)


def test_majority_class_of_labelled_samples():
    labels = torch.tensor([1, 1, 0, 2, -1, -1, -1])
    assert constant_error(card(), labels) == pytest.approx(50.0)


def test_mean_value_gives_the_standard_deviation():
    labels = torch.tensor([[1.0], [5.0], [math.nan]])
    assert constant_error(card("regression", 1), labels) == pytest.approx(2.0)


def test_each_output_has_its_own_mean():
    labels = torch.tensor([[1.0, 100.0], [3.0, 300.0]])
    expected = math.sqrt((1 + 1 + 100**2 + 100**2) / 4)
    assert constant_error(card("regression", 2), labels) == pytest.approx(expected)


def test_segmentation_predicts_one_class_everywhere():
    labels = torch.zeros((300, 4, 4), dtype=torch.long)
    labels[:, 0] = 1  # a quarter of the pixels
    # class 0 has an IoU of 3/4, class 1 of 0
    assert constant_error(card("segmentation", 2), labels) == pytest.approx(100 * (1 - 0.375))


def test_images_as_labels_are_compared_in_unit_range():
    labels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 12, 12)
    assert constant_error(card("restoration", 1), labels) == pytest.approx(0.5)


def test_perfect_constants_divide_by_a_fixed_unit():
    assert unit_of_error(card(), torch.tensor([2, 2])) == 100.0
    assert unit_of_error(card("regression", 1), torch.tensor([[7.0], [7.0]])) == 1.0
    assert unit_of_error(card(), torch.tensor([-1, -1])) == 100.0


def test_tasks_cannot_have_names_of_aggregates():
    with pytest.raises((BadInput, ValueError), match="aggregates of all tasks"):
        TaskCard(name="mean", outputs=2)
