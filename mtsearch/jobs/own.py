"""The space of a search whose network or data loaders are the user's own."""

from __future__ import annotations

import copy
import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.dimensions import default_of, resolve
from mtsearch.config.errors import BadInput
from mtsearch.config.files import write_atomic
from mtsearch.config.objects import PREFIX, add_object, add_objects, remove_object
from mtsearch.config.plugins import absolute_path, is_file, load_plugins, plugin_object
from mtsearch.config.reading import space_path
from mtsearch.config.schema import DataConfig, OwnConfig
from mtsearch.config.space import merge
from mtsearch.config.validation import validate_tree
from mtsearch.config.yaml_text import dump_yaml, load_yaml
from mtsearch.data import load_card, prepare
from mtsearch.data.builders.loaders import arrays_key
from mtsearch.data.locations import cache_folder
from mtsearch.data.own_loaders import OwnLoaders, checksum_of, open_loaders, read_loaders
from mtsearch.data.packing import row_shape
from mtsearch.models.own import new_module
from mtsearch.models.own_checks import check_names, check_outputs, width_of

NAME = "loaders"  # of the dataset of loaders
_LOGGER = logging.getLogger(__name__)
_LARGE = 100  # times the size of outputs, and a size, above which labels should be scaled
_FEW = 3  # tasks, up to which each has an objective of its own
Loaders = Mapping[str, Any] | Sequence[Any] | Callable[[], Any] | str


@dataclass(frozen=True)
class OwnParts:
    """What a user gives for a search from Python; see `mtsearch.search`.

    Attributes:
        model: a function that returns a module, a module, or `module:FUNCTION`.
        data: the loaders, a function that returns them, `module:FUNCTION`, or a data card.
        tasks: by name a kind, or a mapping of the settings of a task.
        shared: modules of the network whose outputs all tasks share.
        sparse: layers that may become sparse.
    """

    model: Any
    data: Any
    tasks: Mapping[str, Any] | None = None
    shared: Sequence[str] = ()
    sparse: Sequence[str] = ()


def own_space(parts: OwnParts, space: str | Path | Mapping[str, Any] | None) -> Path:
    """Read the loaders, check the network on their first batch, and write the space as a file.

    Args:
        parts: the network and the data.
        space: changes of the space to begin with: a mapping, whose keys may be paths such as
            ``trial.optimizer.lr``, or a YAML file.

    Raises:
        BadInput: the parts do not fit each other.
    """
    plugins: list[str] = []
    module = _named(parts.model, plugins, "model")
    given = _tree(space)
    arguments = ((given.get("trial") or {}).get("architecture") or {}).get("arguments") or {}
    architecture: dict[str, Any] = {
        "name": "own",
        "module": module,
        **({"shared": list(parts.shared)} if parts.shared else {}),
        **({"sparse": list(parts.sparse)} if parts.sparse else {}),
    }
    given_data = parts.data
    if isinstance(given_data, str | Path) and ":" not in str(given_data):
        if parts.tasks is not None:
            raise BadInput(
                f"`tasks` are those of the data card {given_data}. Leave `tasks` out, or give data"
                " loaders as `data`."
            )
        card, dataset, size = load_card(given_data), str(given_data), 64
        if dataset.endswith((".yaml", ".yml")):
            dataset = os.path.abspath(dataset)
    else:
        loaders = open_loaders(_loaders(given_data, plugins))
        network = _network(architecture, arguments)
        tasks = task_cards(parts.tasks, network, loaders)
        card_file = write_card(loaders, tasks)
        card, dataset, size = load_card(card_file), str(card_file), loaders.batch_size
        architecture["inputs"] = [part.model_dump(mode="json") for part in loaders.parts]
    tree = merge(_starting(card, dataset, architecture, size, parts.tasks), given)
    tree.setdefault("name", module.removeprefix(PREFIX).rpartition(":")[2].strip("<>"))
    if plugins:
        tree["plugins"] = list(dict.fromkeys([*plugins, *(tree.get("plugins") or [])]))
    text = dump_yaml(tree)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    path = cache_folder() / "spaces" / f"{tree['name']}-{digest}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text)
    return path


def give_again(
    architecture: Mapping[str, Any], dataset: str, model: Any, data: Any, tasks: Any
) -> None:
    """Take the parts of a run that it does not keep.

    Args:
        architecture: the tree of the run's architecture.
        dataset: the card of the run's data.
        model: the network, as for `mtsearch.search`; None where it is not given.
        data: the loaders; None where they are not given.
        tasks: of the loaders.

    Raises:
        BadInput: the run has no such part, or its data were others.
    """
    module = str(architecture.get("module", ""))
    if model is not None:
        if not module.startswith(PREFIX) or isinstance(model, str):
            raise BadInput(
                "`model` goes with a run whose network was given from Python as an object. Give"
                " the files of plug-ins as `plugins`."
            )
        add_objects({module: model})
    if data is not None:
        loaders = open_loaders(_loaders(data, []))
        network = _network({**architecture}, architecture.get("arguments") or {})
        found = write_card(loaders, task_cards(tasks, network, loaders))
        if str(found) != dataset:
            raise BadInput(
                f"the examples of `data` are not those that the run was made on: they belong to"
                f" {found.parent.name}, those of the run to {Path(dataset).parent.name}. Give the"
                " same data and tasks."
            )


def task_cards(
    tasks: Mapping[str, Any] | None, network: nn.Module, data: OwnLoaders
) -> tuple[TaskCard, ...]:
    """The task cards, with the numbers of outputs that the network has for the first batch.

    Raises:
        BadInput: the tasks do not fit the network or the labels.
    """
    if not isinstance(tasks, Mapping) or not tasks:
        raise BadInput(
            "`tasks` should map each task to its kind, or to a mapping of its settings. Found"
            f" {tasks!r}. Write, for example, {{'price': 'regression'}}."
        )
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            outputs = network.eval()(_copied(data.first[0]))
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise BadInput(
                "the network cannot read x of the first batch of `data['train']`:"
                f" {type(error).__name__}: {reason}."
            ) from error
    check_names(outputs, list(tasks))
    cards = []
    for name, settings in tasks.items():
        tree = {"kind": settings} if isinstance(settings, str) else dict(settings)
        tree.pop("metric", None)
        output = outputs[name]
        if "outputs" not in tree and "classes" not in tree and isinstance(output, Tensor):
            width = int(output.shape[1]) if output.dim() > 1 else 1
            tree["outputs"] = width + (tree.get("kind") == "ordinal")
        card: TaskCard = validate_tree(TaskCard, {"name": name, **tree}, f"tasks.{name}")
        if card.kind == "classification" and width_of(card) < 2:
            raise BadInput(
                f"output `{name}` of the network should have a logit per class, at least 2, for a"
                f" classification. Found {tuple(output.shape)}. Use two, or `multilabel` for one."
            )
        cards.append(card)
    check_outputs(outputs, cards, len(next(iter(outputs.values()))))
    for card in cards:
        if card.kind == "regression":
            _remark_on_scale(card, outputs[card.name], data.first[1].get(card.name))
    return tuple(cards)


def _remark_on_scale(card: TaskCard, output: Tensor, labels: Any) -> None:
    """Warn if the outputs of a new network are far smaller than the labels of the first batch."""
    if not isinstance(labels, Tensor):
        return
    values = labels.double()
    known = values[values.isfinite()]
    if not len(known):
        return
    size = known.square().mean().sqrt().item()
    if size > _LARGE and output.double().square().mean().sqrt().item() < size / _LARGE:
        _LOGGER.warning(
            "The labels of `%s` have a mean of %.4g and a standard deviation of %.4g, and the"
            " outputs of the new network are below 1 %% of this. Outputs have the unit of the"
            " labels, so a network learns this slowly. Divide the labels, or multiply the output"
            " in `forward` and give the task `target_mean` and `target_std`.",
            card.name,
            known.mean().item(),
            known.std(correction=0).item(),
        )


def write_card(loaders: OwnLoaders, tasks: Sequence[TaskCard]) -> Path:
    """Read the loaders, and write the card and the store of their examples; returns the card."""
    arrays = read_loaders(loaders, tasks)
    checksum = checksum_of(arrays, tasks, loaders.parts)
    shape = row_shape(loaders.first[0], loaders.parts)
    folder = cache_folder() / "loaders" / checksum[:16]
    folder.mkdir(parents=True, exist_ok=True)
    card = DatasetCard(
        name=NAME,
        title="data loaders given from Python",
        source={"kind": "loaders", "checksum": checksum},
        tasks=tuple(tasks),
        shape=shape,
        root=folder,
        how_to_get="give the loaders again, as `data=` of `mtsearch.resume`",
    )
    path = folder / "card.yaml"
    write_atomic(path, dump_yaml(card.model_dump(mode="json", exclude_defaults=True)))
    key = arrays_key(checksum)
    add_objects({key: arrays})
    try:
        prepare(DataConfig(dataset=str(path)))
    finally:
        remove_object(key)
    return path


def _named(model: Any, plugins: list[str], what: str) -> str:
    """The name of a function for the configuration; its plug-in is added to `plugins`."""
    if isinstance(model, str):
        entry, _, name = model.rpartition(":")
        if not entry or not name.isidentifier():
            raise BadInput(
                f"`{what}` should be FILE.py:FUNCTION or package.module:FUNCTION. Found {model!r}."
            )
        plugin = absolute_path(entry) if is_file(entry) else entry
        load_plugins([plugin])
        plugins.append(plugin)
        text = f"{Path(entry).name if is_file(entry) else entry}:{name}"
        plugin_object(text, what)
        return text
    if not callable(model):
        raise BadInput(
            f"`{what}` should be a function that returns a torch module, a module, or the name of a"
            f" function. Found {type(model).__name__}."
        )
    default = type(model).__name__
    return add_object(model, str(getattr(model, "__qualname__", default)).rpartition(".")[2])


def _loaders(data: Any, plugins: list[str]) -> Any:
    if isinstance(data, str):
        data = plugin_object(_named(data, plugins, "data"), "data")
    return data() if callable(data) else data


def _network(architecture: Mapping[str, Any], arguments: Any) -> nn.Module:
    found = resolve(copy.deepcopy(arguments), "trial.architecture.arguments", default_of)
    settings = validate_tree(OwnConfig, {**architecture, "arguments": found}, "trial.architecture")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return new_module(settings)


def _copied(x: Any) -> Any:
    """A copy of an input, which the network may change."""
    if isinstance(x, Mapping):
        return {key: value.clone() for key, value in x.items()}
    return tuple(value.clone() for value in x) if isinstance(x, list | tuple) else x.clone()


def _tree(space: str | Path | Mapping[str, Any] | None) -> dict[str, Any]:
    """The tree of a space given as a mapping or a file."""
    if space is None:
        return {}
    if not isinstance(space, Mapping):
        return dict(load_yaml(space_path(str(space)), f"the space {space}"))
    tree: dict[str, Any] = {}
    for path, value in space.items():
        *parents, leaf = str(path).split(".")
        node: Any = {leaf: value}
        for key in reversed(parents):
            node = {key: node}
        tree = merge(tree, node)
    return tree


def _starting(
    card: DatasetCard,
    dataset: str,
    architecture: dict[str, Any],
    batch_size: int,
    tasks: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The space to begin with: learning rate, and loss weightings for several tasks."""
    metrics = {
        name: settings.get("metric", "error")
        for name, settings in (tasks or {}).items()
        if isinstance(settings, Mapping)
    }
    names = [task.name for task in card.tasks]
    objectives = [f"val/{name}/{metrics.get(name, 'error')}" for name in names]
    several = {"balancing": {"choice": ["linear", "dwa", "uncertainty"], "default": "linear"}}
    return {
        "description": f"A network for {', '.join(names)[:200]}.",
        "data": {"dataset": dataset},
        "objectives": objectives if len(names) <= _FEW else ["val/mean/error"],
        "search": {"trials": 20},
        "trial": {
            "architecture": architecture,
            "backbone": "none",
            **(several if len(names) > 1 else {}),
            "optimizer": {
                "name": "adamw",
                "lr": {"loguniform": [0.0001, 0.01], "default": 0.001},
                "weight_decay": 0.01,
            },
            "epochs": {"search": 5, "retrain": 5},
            "batch_size": batch_size,
        },
    }
