"""The list of spaces, datasets and methods, and the resolved configuration, as text."""

from __future__ import annotations

import re
from typing import Any

from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.metrics import TASK_METRICS
from mtsearch.config.reading import list_spaces, package_folder
from mtsearch.config.registry import methods
from mtsearch.config.schema import TrialConfig
from mtsearch.config.space import Space, merge
from mtsearch.config.yaml_text import dump_yaml, load_yaml

_WHERE = {
    "formulation": "trial.population.formulation",
    "branch_input": "trial.architecture.inputs",
    "observer": "monitor",
}  # the kinds that are not named right below `trial`

SEARCH = {
    "search.sampler": {
        "tpe": ("Where good trials are dense, over all objectives; up to about a thousand trials."),
        "nsga2": "By crossing good trials; `startup` is the population.",
        "nsga3": (
            "By crossing good trials, for three objectives or more; `startup` is the population."
        ),
        "gp": "By Gaussian processes; up to about a hundred long trials over few numbers.",
        "curves": (
            "By Gaussian processes over the reports of all trials, stopped ones too (default); best"
            " with `search.scheduler=moasha`."
        ),
        "qmc": "Points that fill the space evenly.",
        "random": "Each by itself.",
        "grid": "All combinations.",
    },
    "search.scheduler": {
        "none": "Every trial trains to its end (default).",
        "moasha": (
            "Multi-objective successive halving stops what too many others beat (Schmucker et al."
            " 2021)."
        ),
        "pareto_asha": (
            "The same with rungs from the length of a training, none beyond half; differences below"
            " noise stop no trial."
        ),
    },
}


def listing(topic: str | None = None) -> str:
    """Spaces with their profiles, datasets, methods and task kinds, with a line on each; those of
    plug-ins once these are loaded.

    Args:
        topic: lists one block alone: ``spaces``, ``datasets``, ``kinds``, or the last word of a
            key, as ``backbone`` or ``backbones``.

    Raises:
        BadInput: no block has that name.
    """
    blocks = _blocks()
    if topic is None:
        return "\n\n".join(blocks.values())
    found = [name for name in blocks if topic in (name, f"{name}s")]
    if not found:
        raise BadInput(f"`--list {topic}` lists nothing. {nearest(topic, blocks)}")
    return blocks[found[0]]


def _blocks() -> dict[str, str]:
    spaces = {name: _space_line(load_yaml(path, name)) for name, path in list_spaces().items()}
    cards = {
        path.stem: str(load_yaml(path, path.stem).get("title", ""))
        for path in sorted(package_folder("datasets").glob("*.yaml"))
    }
    blocks = {
        "spaces": _block("Spaces (space=NAME)", spaces),
        "datasets": _block("Datasets (data.dataset=NAME)", cards),
    }
    for kind, named in methods().items():
        lines = {name: _first_sentence(cls.__doc__ or "") for name, cls in named.items()}
        blocks[kind] = _block(_WHERE.get(kind, f"trial.{kind}"), lines)
    for where, entries in SEARCH.items():
        blocks[where.rpartition(".")[2]] = _block(where, entries)
    kinds = {kind: f"metrics {', '.join(metrics)}" for kind, metrics in TASK_METRICS.items()}
    blocks["kinds"] = _block("Task kinds (the `kind` of a data card's task)", kinds)
    return blocks


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.strip().partition("\n\n")[0].split())
    # a full stop before a capital ends a sentence, but not that of `et al. 2019`
    return re.split(r"(?<=\.) (?=[A-Z`])", paragraph)[0]


def resolved(space: Space) -> str:
    """Every key of a space with its value, defaults included, as YAML that `space=FILE` takes."""
    config: dict[str, Any] = space.config.model_dump(mode="json")
    config["trial"] = merge(TrialConfig().model_dump(mode="json"), _without_empty(space.tree))
    return dump_yaml(config)


def _without_empty(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree without its empty mappings: they mean defaults, but replace these in `merge`."""
    return {key: value for key, value in tree.items() if value != {}}


def _space_line(tree: dict[str, Any]) -> str:
    profiles = ", ".join(f"profile={name}" for name in tree.get("profiles") or {})
    description = str(tree.get("description", ""))
    return f"{description} [{profiles}]" if profiles else description


def _block(title: str, entries: dict[str, str]) -> str:
    width = max(map(len, entries), default=0)
    return "\n".join(
        [title, *(f"  {name:<{width}}  {' '.join(text.split())}" for name, text in entries.items())]
    )
