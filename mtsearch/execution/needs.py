"""Memory and time that a search needs, shown by a dry run and checked before a search starts."""

from __future__ import annotations

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import resolve
from mtsearch.data.holding import machine_memory
from mtsearch.data.store import DATA, read_manifest
from mtsearch.training.costs import StepCost

PROGRAM = 500 << 20  # bytes of Python and its libraries in each process


def check_fits(costs: list[StepCost], at_once: int) -> None:
    """Raise BadInput if the trials that run at the same time need more memory than there is.

    Args:
        costs: of some of the search's configurations.
        at_once: trials that run at the same time on this machine.
    """
    largest = max(costs, key=lambda cost: cost.memory)
    needed, available = at_once * (largest.memory + PROGRAM), machine_memory()
    if needed <= available:
        return
    parts = {
        "the dataset": (largest.data, "`data.load=stream`, a smaller `data.size`"),
        "the activations": (largest.activations, "a smaller `trial.batch_size` or `data.size`"),
        "the network": (largest.network, "a smaller `trial.backbone` or `trial.architecture`"),
    }
    what = max(parts, key=lambda name: parts[name][0])
    fewer = max(1, available // (largest.memory + PROGRAM))
    slots = f"`search.slots={fewer}`" if at_once > 1 else "a machine with more memory"
    raise BadInput(
        f"The search needs about {needed / 1e9:,.1f} GB of memory for {at_once} trial(s) at once,"
        f" mostly for {what}, but there are {available / 1e9:,.1f} GB; use {parts[what][1]} or"
        f" {slots}."
    )


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
    return [
        f"store    {(path / DATA).stat().st_size / 1e6:,.0f} MB of {form}",
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
