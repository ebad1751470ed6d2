"""Every registered task kind passes the public suite, with each of its losses."""

import pytest

from mtsearch.config.cards import TaskCard
from mtsearch.config.metrics import CHANNELS, TASK_METRICS
from mtsearch.tasks.registry import _LOSSES as LOSSES
from mtsearch.testing import TaskKindConformance

MORE = [
    TaskCard(name="t", outputs=2, ignore=255),
    TaskCard(name="t", kind="segmentation", outputs=3, ignore=255, undefined=1),
]
CARDS = [
    TaskCard(name="t", kind=kind, outputs=3, loss=loss)
    for kind, losses in LOSSES.items()
    for loss in losses
    if kind not in CHANNELS  # tests/tasks/test_dense_kinds.py
]

for _number, _card in enumerate([*CARDS, *MORE]):
    _attributes = {
        "task": _card,
        "per_entry": _card.loss != "ssim",
    }  # SSIM is a loss of whole images
    globals()[f"Test_{_card.kind}_{_card.loss}_{_number}"] = type(
        "TaskKindConformance", (TaskKindConformance,), _attributes
    )


def test_every_kind_is_there():
    assert {card.kind for card in CARDS} | set(CHANNELS) == set(TASK_METRICS)


class _OutOfRange(TaskKindConformance):
    task = TaskCard(name="t", outputs=3)

    def labels(self, output):
        return super().labels(output) % 2 + 2  # class 3 is out of range


def test_labels_out_of_range_are_found():
    with pytest.raises(IndexError):
        _OutOfRange().test_loss_sums_and_counts_add_over_batches()
