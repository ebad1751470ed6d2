"""Memory and time that a search needs, shown by a dry run and checked before a search starts."""

from __future__ import annotations

from dataclasses import replace

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.data import open_labels, resolve
from mtsearch.data.holding import machine_memory
from mtsearch.data.store import DATA, read_manifest
from mtsearch.jobs.checks import variants
from mtsearch.training.costs import StepCost, measure_step

PROGRAM = 500 << 20  # bytes of Python and its libraries in each process
MEASURED = 4  # images of a step that is measured before a search
_STREAMED = 100 << 20  # bytes of batches that are read ahead
_SIZED = {"architecture", "backbone", "groups", "batch_size", "lr_multipliers", "augment"}
"""The settings of a trial on which its memory depends."""


def check_memory(space: Space, data: DataConfig, at_once: int) -> None:
    """Raise BadInput if a configuration that the space names needs more memory than there is on
    this machine. It is measured on a few black images, before anything is trained.

    Args:
        space: the search space.
        data: the data settings, of a prepared dataset.
        at_once: trials that run at the same time.
    """
    dataset, costs = open_labels(data), {}
    for variant in variants(space, pairs=False):
        config = variant.config
        key = config.model_dump_json(include=_SIZED)
        if key not in costs:
            costs[key] = measure_step(config, dataset, data, images=MEASURED)
    check_fits(list(costs.values()), at_once, space.config.workers)


def check_fits(costs: list[StepCost], at_once: int, workers: int = 1) -> None:
    """Raise BadInput if the trials that run at the same time need more memory than there is.

    Args:
        costs: of some of the search's configurations.
        at_once: trials that run at the same time on this machine.
        workers: processes of a trial, each with the data and a share of the batch.
    """
    largest = max(costs, key=lambda cost: _needed(cost, workers))
    each, available = _needed(largest, workers), machine_memory()
    if at_once * each <= available:
        return
    parts = {
        "the dataset": largest.data * workers,
        "the activations": largest.activations,
        "the network": largest.network * workers,
    }
    what = max(parts, key=lambda name: parts[name])
    raise BadInput(
        f"The search needs about {at_once * each / 1e9:,.1f} GB of memory for {at_once} trial(s) at"
        f" once, mostly for {what}, but there are {available / 1e9:,.1f} GB; use"
        f" {_advice(largest, what, at_once, workers, available)}."
    )


def _needed(cost: StepCost, workers: int) -> int:
    return workers * (cost.data + cost.network + PROGRAM) + cost.activations


def _advice(cost: StepCost, what: str, at_once: int, workers: int, available: int) -> str:
    """The settings that make a search fit, each alone; at least three, the others together."""
    share = available // at_once
    streamed = replace(cost, data=min(cost.data, _STREAMED))
    rest = share - _needed(replace(cost, activations=0), workers)
    batch = int(cost.batch * rest / cost.activations) if cost.activations else 0
    batch = 1 << (batch.bit_length() - 1) if batch > 1 else 0
    slots = available // _needed(cost, workers)
    alone = {
        "`data.load=stream`": _needed(streamed, workers) <= share,
        f"`search.slots={slots}`": 0 < slots < at_once,
        f"`trial.batch_size={batch}`": 0 < batch < cost.batch,
    }
    found = [text for text, fits in alone.items() if fits]
    others = {
        "the dataset": ["a smaller `data.size`", "a smaller `data.limit`"],
        "the activations": ["a smaller `data.size`", "a smaller `trial.backbone`"],
        "the network": ["a smaller `trial.backbone`", "a smaller `trial.architecture`"],
    }[what]
    others += ["a machine with more memory"]
    found += others[: max(0, 3 - len(found))]
    return f"{', '.join(found[:-1])} or {found[-1]}"


def lines(costs: list[StepCost], data: DataConfig, images: int, epochs: float) -> list[str]:
    """The lines of a dry run.

    Args:
        costs: of the first configurations.
        data: the data settings.
        images: training images.
        epochs: of one trial.
    """
    path = resolve(data).store
    manifest = read_manifest(path)
    largest = max(costs, key=lambda cost: cost.memory)
    form = "image files" if manifest.get("encoded") else "decoded images"
    seconds = [cost.seconds * images / cost.batch * epochs for cost in costs]
    parts = ((largest.data, "data"), (largest.network, "network"))
    sizes = [f"{size / 1e6:,.0f} MB {what}" for size, what in parts]
    features = max(cost.features for cost in costs)
    kept = f", and {features / 1e6:,.0f} MB of features of frozen trunks" if features else ""
    return [
        f"store    {(path / DATA).stat().st_size / 1e6:,.0f} MB of {form}{kept}",
        (
            f"memory   {largest.memory / 1e6:,.0f} MB a slot ({', '.join(sizes)},"
            f" {largest.activations / 1e6:,.0f} MB activations, by one step), beside about"
            f" {PROGRAM / 1e6:,.0f} MB of the program"
        ),
        (
            f"time     about {min(seconds):,.0f} to {max(seconds):,.0f} s a trial on this CPU,"
            " by one step without the balancing method"
        ),
    ]
