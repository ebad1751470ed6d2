"""The functions behind `mtsearch.search`, `train_one`, `prepare_data`, `load_run`, `load_space`."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtsearch.config import reading
from mtsearch.config.errors import BadInput
from mtsearch.config.plugins import absolute_plugins
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.config.validation import validate_tree
from mtsearch.jobs.run import Run
from mtsearch.runs.commands import text
from mtsearch.runs.directory import PLACES, RunDirectory, refuse_fixed
from mtsearch.runs.opening import open_run

if TYPE_CHECKING:
    from rich.console import Console

_log = logging.getLogger(__name__)


def load_space(
    space: str | Path, *, overrides: Mapping[str, Any] | None = None, profile: str | None = None
) -> Space:
    """A validated search space.

    Args:
        space: the name of a shipped space, such as ``pareto_cm``, or the path of a YAML file.
        overrides: values by key path, such as ``{"trial.optimizer.lr": 0.001, "data.root": DIR}``.
        profile: one of the space's short forms, such as ``quick``.

    Raises:
        BadInput: no such space, key or value.

    Example:
        >>> load_space("pareto_cm", profile="quick").config.search.trials
        6
    """
    return reading.load_space(str(space), _pairs(overrides), profile)


def search(
    space: str | Path | Mapping[str, Any] | None = None,
    *,
    model: Any = None,
    data: Any = None,
    tasks: Mapping[str, Any] | None = None,
    shared: Sequence[str] = (),
    sparse: Sequence[str] = (),
    trials: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    profile: str | None = None,
    progress: bool = True,
) -> Run:
    """Search a space: train its trials on Ray, test the front and write the run directory.

    With `model` and `data`, a network and data loaders of your own are searched (docs/library.md).
    Each loader is read once, in order, into a store; trials draw their batches from it.

    Starts Ray on this machine, or joins the cluster that ``RAY_ADDRESS`` names. SIGINT (the stop
    button of a notebook) ends the search; everything finished is kept, and `resume` continues.

    Args:
        space: as for `load_space`. With `model` also a mapping, whose keys may be key paths, or
            None: changes of a space that searches the learning rate and a balancing method.
        model: a function that returns a torch module whose `forward` returns a dict of outputs by
            task; or a module, which is a trained start; or the name of a function,
            ``package.module:FUNCTION`` or ``FILE.py:FUNCTION``.
        data: with `model`, a dict of the DataLoaders train, val and test, which yield
            ``(x, {task: labels})``; or a function that returns it, or its name; or the path of a
            data card. x is a float32 tensor (B, ...), or a tuple or dict of tensors.
        tasks: of the loaders: by name a kind, or a mapping with ``kind`` and settings of a task,
            such as ``loss``, ``class_weights``, or the ``metric`` that is its objective.
        shared: names of modules of the network whose outputs all tasks share, for balancing with
            ``level: feature``; by default what the module's attribute `shared` names.
        sparse: names of layers whose input rows may become zero; by default those of the shared
            modules without the first.
        trials: how many trials to propose; the space's number where None.
        overrides: as for `load_space`.
        profile: as for `load_space`.
        progress: whether progress is printed: a live table on a terminal, lines elsewhere.

    Returns:
        The run, also where trials failed or the search was interrupted.

    Raises:
        BadInput: before anything starts, where the space, its data or its resources are not usable.

    Example:
        >>> run = search("pareto_cm", trials=20, overrides={"data.root": "data"})  # doctest: +SKIP
        >>> run.front.to_pandas()  # doctest: +SKIP
    """
    from mtsearch.execution import engine

    pairs = _pairs({**(overrides or {}), **({} if trials is None else {"search.trials": trials})})
    made: list[RunDirectory] = []
    space = _space_file(space, model, data, tasks, shared, sparse)
    loaded = reading.load_space(str(space), pairs, profile)
    engine.run(
        loaded,
        name=str(space),
        profile=profile,
        overrides=tuple(pairs),
        console=_console(progress),
        created=made.append,
    )
    return Run(open_run(made[0].address, loaded.config.plugins or None))


def resume(
    run: Run | str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = True,
    model: Any = None,
    data: Any = None,
    tasks: Mapping[str, Any] | None = None,
) -> Run:
    """Continue a search, or extend it; or continue a single training.

    Args:
        run: a run, its folder or its URL.
        overrides: what a resume may change: ``search.trials``, ``search.budget``, ``search.slots``,
            ``search.confirm``, the rules of ``search.stop`` and further entries of
            ``search.start`` of a search, and ``data.root``, ``data.store``, ``plugins`` where they
            have moved.
        progress: as for `search`.
        model: the network again, if it was given to `search` as an object; a run does not keep it.
        data: the loaders again, if the store of their examples was deleted.
        tasks: of these loaders.

    Raises:
        BadInput: there is no such run, it cannot continue, or another driver has it.

    Example:
        >>> more = {"search.trials": 40}
        >>> run = resume("results/pareto_cm/first", overrides=more)  # doctest: +SKIP
    """
    address = run.address if isinstance(run, Run) else str(run)
    changes = dict(_checked(overrides))
    refuse_fixed(changes)
    if "plugins" in changes:
        changes["plugins"] = absolute_plugins(changes["plugins"])
    found = open_run(address, changes.get("plugins"))
    _give_again(found, model, data, tasks)
    if found.single:
        from mtsearch.jobs import single

        for key in changes:
            if key not in PLACES:
                raise BadInput(
                    f"`{key}` is a setting of searches, and {address} is a single training. Leave"
                    " it out."
                )
        single.resume(address, changes, _console(progress))
    else:
        from mtsearch.execution import engine

        engine.resume(address, changes, console=_console(progress))
    return Run(open_run(address, changes.get("plugins")))


def train_one(
    space: str | Path | Mapping[str, Any] | None = None,
    *,
    model: Any = None,
    data: Any = None,
    tasks: Mapping[str, Any] | None = None,
    shared: Sequence[str] = (),
    sparse: Sequence[str] = (),
    control: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    profile: str | None = None,
    test: bool = False,
    progress: bool = True,
) -> Run:
    """Train one configuration of a space in this process, without Ray.

    Args:
        space: as for `search`, and so are the next five.
        model: the network.
        data: its data loaders, or a data card.
        tasks: of the loaders.
        shared: modules of the network that all tasks share.
        sparse: layers that may become sparse.
        control: the name of one of the space's controls; None trains the space's defaults.
        overrides: as for `load_space`.
        profile: as for `load_space`.
        test: whether the test split is read once, at the end.
        progress: whether reports are printed.

    Returns:
        A run of one trial, which ``run.pick()`` picks.

    Raises:
        BadInput: before a run directory is made.

    Example:
        >>> run = train_one("pareto_cm", overrides={"trial.sparsity": "none"})  # doctest: +SKIP
    """
    from mtsearch.jobs import single

    pairs = _pairs(overrides)
    made: list[RunDirectory] = []
    space = _space_file(space, model, data, tasks, shared, sparse)
    loaded = reading.load_training(str(space), pairs, profile, control)
    single.train(
        loaded,
        name=str(space),
        profile=profile,
        overrides=pairs,
        test=test,
        console=_console(progress),
        created=made.append,
    )
    return Run(open_run(made[0].address, loaded.config.plugins or None))


@dataclass(frozen=True)
class PreparedData:
    """A dataset whose store is built.

    Attributes:
        label: the dataset that is really used, as tables print it.
        path: of the store.
        counts: images by split.
        checksum: SHA-256 of its content, which checkpoints and runs are bound to.
    """

    label: str
    path: Path
    counts: Mapping[str, int]
    checksum: str


def prepare_data(dataset: str | Path, **settings: Any) -> PreparedData:
    """Build a dataset's store, or verify the one that is there.

    Args:
        dataset: the name of a shipped data card, or the path of a card.
        settings: of the ``data`` block of a space: ``root`` (the folder of the downloaded files),
            ``store``, ``split_seed``, ``val_fraction``, ``size`` (pixels per side), ``fold``,
            ``undefined``.

    Raises:
        BadInput: the data are not found, or the card does not fit them.

    Example:
        >>> prepare_data("multidigits").counts["train"]
        3200
    """
    from mtsearch.data import check_sources, prepare, resolve
    from mtsearch.data.store import read_manifest, verify

    data = validate_tree(DataConfig, {"dataset": str(dataset), **settings}, "data")
    check_sources(resolve(data))
    path = prepare(data)
    manifest = read_manifest(path)
    verify(path, manifest)
    return PreparedData(resolve(data).label, path, manifest["counts"], manifest["checksum"])


def load_run(run: str | Path, *, plugins: Sequence[str] | None = None, model: Any = None) -> Run:
    """A run on disk or in an object store, finished or not.

    Args:
        run: its folder or URL, as its last printed line names it.
        plugins: where its plug-ins are now.
        model: the network again, as for `resume`, to load trained networks.

    Raises:
        BadInput: there is no run.

    Example:
        >>> load_run("results/pareto_cm/first").front.to_pandas()  # doctest: +SKIP
    """
    found = open_run(run, plugins)
    _give_again(found, model)
    return Run(found)


def _space_file(
    space: str | Path | Mapping[str, Any] | None,
    model: Any,
    data: Any,
    tasks: Mapping[str, Any] | None,
    shared: Sequence[str],
    sparse: Sequence[str],
) -> str | Path:
    """The file of a space, which is written where a network is given."""
    if model is not None:
        from mtsearch.jobs.own import OwnParts, own_space

        if data is None:
            raise BadInput(
                "`data` is missing beside `model`. Give a dict of the loaders train, val and test,"
                " or a data card."
            )
        return own_space(OwnParts(model, data, tasks, shared, sparse), space)
    for key, value in {"data": data, "tasks": tasks, "shared": shared, "sparse": sparse}.items():
        if value:
            raise BadInput(f"`{key}` goes with `model`. Give both, or leave `{key}` out.")
    if space is None or isinstance(space, Mapping):
        raise BadInput(
            "`space` should be the name of a space or the path of a YAML file; a mapping goes with"
            f" `model`. Found {type(space).__name__}."
        )
    return space


def _give_again(found: RunDirectory, model: Any, data: Any = None, tasks: Any = None) -> None:
    if model is None and data is None:
        return
    from mtsearch.jobs.own import give_again

    architecture = found.config.trial.get("architecture")
    architecture = architecture if isinstance(architecture, Mapping) else {}
    give_again(architecture, found.config.data.dataset, model, data, tasks)


def _pairs(overrides: Mapping[str, Any] | None) -> list[str]:
    """The words ``key=value`` of overrides."""
    found = []
    for key, value in _checked(overrides).items():
        if isinstance(value, str) and not value.strip():  # as a path it is the working folder
            raise BadInput(f"`{key}` has no value. Found {value!r}. Give it one, or leave it out.")
        found.append(f"{key}={text(value)}")
    return found


def _checked(overrides: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Raises BadInput for overrides that are no mapping."""
    if overrides is None or isinstance(overrides, Mapping):
        return overrides or {}
    raise BadInput(
        f"`overrides` should map key paths to values. Found {type(overrides).__name__}. Write, for"
        ' example, {"trial.optimizer.lr": 0.001}.'
    )


def _console(progress: bool) -> Console | None:
    """The console of a driver; None prints to standard output."""
    from rich.console import Console

    return None if progress else Console(file=_EarlyEnds())


class _EarlyEnds(io.StringIO):
    """Takes the output of a driver that prints nothing, and logs why it ended before the run was
    complete."""

    def write(self, text: str) -> int:
        from mtsearch.jobs.conclusion import EARLY_ENDS

        for line in text.splitlines():
            if line.startswith(EARLY_ENDS):
                _log.warning("%s", line)
        return len(text)
