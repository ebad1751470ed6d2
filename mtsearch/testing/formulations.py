"""Conformance suite for formulations of auxiliary tasks."""

from __future__ import annotations

from typing import Any

import torch

from mtsearch.config.base import Model
from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import Dataset, Split
from mtsearch.data.stored import in_memory
from mtsearch.population.task import Task
from mtsearch.population.tasks import build_tasks
from mtsearch.tasks import task_loss
from mtsearch.testing.samples import same

COUNT = 60


def target(task: TaskCard, seed: int = 3) -> Dataset:
    """Return a dataset of noise images with one classification task. All images differ, and the
    last one has no label."""
    noise = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (COUNT, 1, 8, 8), generator=noise, dtype=torch.uint8)
    labels = torch.arange(COUNT) % task.outputs
    labels[-1] = task.ignore
    card = DatasetCard(
        name="noise",
        title="Noise",
        source={},
        tasks=(task,),
        shape=(1, 8, 8),
        mean=(0.5,),
        std=(0.3,),
        val_fraction=0.2,
        licence="none",
        how_to_get="it is made",
    )
    split = Split(images, {task.name: labels})
    return Dataset(
        card,
        card.name,
        {"train": split, "val": split.head(12), "test": split.head(12)},
        card.mean,
        card.std,
        "noise",
    )


class FormulationConformance:
    """Tests of a formulation. Set `settings`.

    Attributes:
        settings: the settings model of the formulation.
        population: further settings of the population that it needs.
        task: the card of the target, a task with classes.
        tasks: the number of tasks of the population, including the target.
    """

    settings: Model
    population: dict[str, Any] = {}  # noqa: RUF012 (replaced, never changed)
    task: TaskCard = TaskCard(name="scene", outputs=3, classes=("a", "b", "c"))
    tasks: int = 4

    def built(
        self, tasks: int | None = None, seed: int = 0, policy: str = "shared_select"
    ) -> list[Task]:
        """Return the tasks of the population."""
        settings = {
            "name": "mto",
            "validation_policy": policy,
            **self.population,
            "tasks": tasks or self.tasks,
        }
        config = TrialConfig.model_validate(
            {"seed": seed, "population": {**settings, "formulation": self.settings}}
        )
        return build_tasks(config, DataConfig(dataset="noise"), target(self.task))

    def test_target_task_is_unchanged(self) -> None:
        first, *_ = self.built()
        plain = target(self.task).splits["train"]
        assert first.key == 0 and first.card == self.task and first.remap is None
        assert same(first.split.images, plain.images) and same(
            first.split.labels[first.label], plain.labels[first.label]
        )

    def test_tasks_are_independent_of_their_number(self) -> None:
        whole, fewer = self.built(), self.built(self.tasks - 1)
        for one, two in zip(whole, fewer, strict=False):
            assert one.card == two.card and one.optimizer == two.optimizer, (
                f"task {one.key} depends on the number of tasks"
            )
            for name in ("train", "hold_out", "select"):
                assert same(getattr(one, name), getattr(two, name)), (
                    f"`{name}` of task {one.key} depends on the number of tasks"
                )
            assert same(one.split.images, two.split.images), (
                f"the images of task {one.key} depend on the number of tasks"
            )
            assert same(one.split.labels[one.label], two.split.labels[two.label]), (
                f"the labels of task {one.key} depend on the number of tasks"
            )

    def test_hold_out_images_are_not_trained_on(self) -> None:
        for policy in ("shared", "shared_select", "independent"):
            tasks = self.built(policy=policy)
            reserved = {i for index in (tasks[0].hold_out, tasks[0].select) for i in index.tolist()}
            for task in tasks:
                if task.dataset.label != "noise":
                    continue  # images of another dataset
                own = {i for index in (task.hold_out, task.select) for i in index.tolist()}
                assert not task.seen & own, (
                    f"task {task.key} trains on its own hold-out, with `{policy}`"
                )
                if policy != "independent":
                    assert not task.seen & reserved, (
                        f"task {task.key} trains on the target's hold-out, with `{policy}`"
                    )

    def test_images_and_labels_fit_the_head(self) -> None:
        for task in self.built():
            assert len(task.train) and len(task.hold_out), (
                f"task {task.key} has no training or hold-out images"
            )
            index = torch.cat([task.train, task.hold_out, task.select])
            assert int(index.min()) >= 0 and int(index.max()) < len(task.split), (
                f"task {task.key} has indices outside its split"
            )
            assert task.split.images.dtype == torch.uint8 and len(
                task.split.labels[task.label]
            ) == len(task.split)
            assert task.card.name == self.task.name, (
                "tasks should have the name of the target, so that all networks have equal parts"
            )
            labels = in_memory(task.split.labels[task.label])[index]
            if task.remap is not None:
                labels = task.remap[
                    torch.where(labels == task.card.ignore, len(task.remap) - 1, labels)
                ]
            total, count = task_loss(task.card, torch.zeros(len(index), task.card.outputs), labels)
            assert int(count) > 0 and bool(torch.isfinite(total)), (
                f"task {task.key} has labels outside the {task.card.outputs} outputs of its head"
            )

    def test_tasks_are_seeded(self) -> None:
        for one, two in zip(self.built(seed=5), self.built(seed=5), strict=True):
            assert (
                one.card == two.card
                and one.optimizer == two.optimizer
                and same(one.train, two.train)
            )
            assert same(one.split.images, two.split.images) and same(
                one.split.labels[one.label], two.split.labels[two.label]
            )
