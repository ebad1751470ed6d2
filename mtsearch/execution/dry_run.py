"""The dry run of a search: slots, first configurations and cost, without training."""

from __future__ import annotations

import tempfile

from mtsearch.config.schema import TrialConfig
from mtsearch.config.space import Space, leaves
from mtsearch.data import open_dataset
from mtsearch.execution.checks import check_space
from mtsearch.execution.cluster import cluster
from mtsearch.execution.engine import exhausted, seeds
from mtsearch.execution.gpu_share import with_gpu_share
from mtsearch.execution.needs import check_fits
from mtsearch.execution.needs import lines as needs_lines
from mtsearch.execution.remarks import remarks
from mtsearch.execution.slots import bundle, local_nodes, slots
from mtsearch.jobs.environment import environment_of
from mtsearch.models import build_grouped, model_macs
from mtsearch.population import total_epochs_of
from mtsearch.runs.commands import text
from mtsearch.runs.opening import check_results, create_run
from mtsearch.strategy.controls import control_trials
from mtsearch.strategy.stop_rules import described
from mtsearch.strategy.study import Study
from mtsearch.training.costs import measure_step

SHOWN = 3  # configurations


def dry_run(space: Space) -> str:
    """The page of a dry run. It joins a cluster only where `RAY_ADDRESS` names one. Raises BadInput
    where the search would."""
    check_space(space)
    check_results(space)
    nodes = local_nodes()
    if nodes is None:
        with cluster() as connection:
            nodes = connection.nodes
    data, environment = environment_of(space)
    recorded, space = space, with_gpu_share(space, data, nodes)
    at_once = slots(space.config, nodes)
    resources = {name: sum(node.get(name, 0) for node in nodes) for name in bundle(space.config)}
    dataset = open_dataset(data)
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(recorded, environment, name="dry-run", root=folder)
        study = Study(run, space, run.read_state())
        count = study.size
        first = [study.ask() for _ in range(min(SHOWN, count))]
    images = len(dataset.splits["train"].images)
    epochs = count * total_epochs_of(space.trial(), images)
    controls = control_trials(space).values()
    epochs += sum(total_epochs_of(space.trial(trial.config), images) for trial in controls)
    epochs *= space.config.search.repeats
    if (most := space.config.search.stop.epochs) is not None:
        epochs = min(epochs, most)
    macs = [_macs(space.trial(trial.config), dataset) for trial in first]
    costs = [measure_step(space.trial(trial.config), dataset, data) for trial in first]
    if len(nodes) == 1:
        check_fits(costs, at_once, space.config.workers)
    lines = [
        f"data     {environment['dataset']}",
        f"slots    {at_once} at once: {text(bundle(space.config))} of {text(resources)}",
        (
            f"trials   {count} by {space.config.search.sampler.name}, and the controls"
            f" {', '.join(space.controls) or '(none)'}; {seeds(space.config.search)}"
        ),
        *([f"stops    {rules}"] if (rules := described(space.config)) else []),
        *([exhausted(space, count)] if count < space.config.search.trials else []),
        *remarks(space, at_once, nodes),
        (
            f"cost     about {epochs:.0f} epochs of {images:,} training images,"
            f" {epochs * images:,.0f} images in all; forward {min(macs):,} to {max(macs):,}"
            f" multiply-adds per image, so about {3 * epochs * images * sum(macs) / len(macs):.2e}"
            " in total with backward"
        ),
        *needs_lines(costs, data, images, total_epochs_of(space.trial(), images)),
    ]
    for trial in first:
        lines.append(f"\n{trial.trial}")
        lines += [f"  {path}={text(value)}" for path, value in leaves(trial.config, "trial")]
    return "\n".join(lines)


def _macs(config: TrialConfig, dataset: object) -> int:
    card = dataset.card  # type: ignore[attr-defined]
    return model_macs(
        build_grouped(config.architecture, config.backbone, card.tasks, card.shape, config.groups),
        card.shape,
    )
