"""Every registered task kind passes the public suite."""

import pytest

from mtsearch.config.cards import TaskCard
from mtsearch.config.metrics import TASK_METRICS
from mtsearch.testing import TaskKindConformance

SPECIAL: dict[str, list[dict]] = {  # more cards of a kind
    "classification": [{}, {"task": TaskCard(name="t", outputs=2, ignore=255)}],
    "restoration": [{}, *({"task": TaskCard(name="t", kind="restoration", outputs=2, loss=loss)} for loss in ("l1", "ssim"))],
}

for _kind in TASK_METRICS:
    for _number, _entry in enumerate(SPECIAL.get(_kind, [{}])):
        _attributes = {"task": TaskCard(name="t", kind=_kind, outputs=3), **_entry}
        globals()[f"Test_{_kind}_{_number}"] = type("TaskKindConformance", (TaskKindConformance,), _attributes)


class _OutOfRange(TaskKindConformance):
    task = TaskCard(name="t", outputs=3)

    def labels(self, output):
        return super().labels(output) % 2 + 2  # class 3 is out of range


def test_labels_out_of_range_are_found():
    with pytest.raises(IndexError):
        _OutOfRange().test_the_loss_is_a_sum_and_a_count_that_batches_add_up_to()
