"""What no population would train, told before there is one."""

from __future__ import annotations

from mtsearch.config.cards import DatasetCard
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.config.space import target_of
from mtsearch.data import Dataset
from mtsearch.models import build_model
from mtsearch.population.formulations import build_formulation
from mtsearch.population.tasks import build_tasks
from mtsearch.population.transfer import check_layers
from mtsearch.tasks import loss_of
from mtsearch.training.checks import Build


def check_population(
    config: TrialConfig, data: DataConfig, card: DatasetCard, dataset: Dataset | None = None, build: Build = build_model
) -> None:
    """Raises BadInput for what no `Population` of this configuration would train.

    Args:
        config: the configuration.
        data: which dataset, and where it is.
        card: of the dataset.
        dataset: the dataset; None for what shows without it. Of its images only the number is looked at.
        build: makes the network, as `build_model`; of its parameters only names and shapes are looked at.
    """
    settings = config.population
    tasks = {task.name: task for task in card.tasks}
    target = tasks[target_of(settings.target, list(tasks), card.name)]
    if dataset is not None:
        heads = [task.card for task in build_tasks(config, data, dataset)]
    else:
        heads = [target]
        if settings.tasks > 1:
            build_formulation(config, data).check(target, card)
    for head in heads:
        loss_of(head)
        check_layers(settings, list(build(config.architecture, config.backbone, [head], card.shape).state_dict()))
