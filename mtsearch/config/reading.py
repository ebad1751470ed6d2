"""Reading a space: a YAML file, a profile and ``key=value`` overrides become one tree."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mtsearch
from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput, format_value, nearest
from mtsearch.config.interpolation import interpolate
from mtsearch.config.overrides import parse_override
from mtsearch.config.plugins import absolute_path, absolute_plugins
from mtsearch.config.space import Space, merge
from mtsearch.config.starting import is_card, starting_space
from mtsearch.config.validation import quote_hint, validate_tree
from mtsearch.config.yaml_text import load_yaml


def package_folder(name: str) -> Path:
    """The folder `search_spaces` or `datasets`, inside the installed package or beside it in a
    clone."""
    inside = Path(mtsearch.__file__).parent / name
    return inside if inside.is_dir() else Path(mtsearch.__file__).parent.parent / name


def list_spaces() -> dict[str, Path]:
    """The shipped spaces by name."""
    return {path.stem: path for path in sorted(package_folder("search_spaces").glob("*.yaml"))}


def space_path(name: str) -> Path:
    """The file of a space given by name or path. Raises BadInput with the nearest name where there
    is none."""
    shipped = list_spaces()
    if name in shipped:
        return shipped[name]
    is_path = name.endswith((".yaml", ".yml")) or os.sep in name
    expanded = os.path.expanduser(name)
    if (is_path and os.path.lexists(expanded)) or os.path.isfile(expanded):
        return Path(expanded)
    if is_path:
        raise BadInput(
            f"`space` names a file that does not exist: {name}. Give a path to a YAML file or a"
            f" shipped space: {', '.join(shipped)}."
        )
    raise BadInput(f"unknown space `{name}`. {nearest(name, shipped)} `--list` shows all.")


def load_space(name: str, overrides: Sequence[str] = (), profile: str | None = None) -> Space:
    """Read and validate a space.

    Args:
        name: of a shipped space, or the path of a YAML file. The file of a data card stands for
            the space to begin with on its data (`mtsearch.config.starting`).
        overrides: words ``key.path=value``, which are merged after the profile.
        profile: a key of the file's `profiles`, whose changes are merged into the space.

    Raises:
        BadInput: the space cannot be read or is not valid.
    """
    return Space(read_space(name, overrides, profile))


def load_training(
    name: str, overrides: Sequence[str] = (), profile: str | None = None, control: str | None = None
) -> Space:
    """The space of a single training: its defaults, or its control of that name, and nothing else.

    Sets ``OMP_NUM_THREADS`` to the trial's threads before a plug-in imports torch, whose OpenMP
    reads it once. Raises BadInput as `load_space`, and for an unknown control.
    """
    raw = read_space(name, overrides, profile)
    threads = raw["trial"].get("threads") if isinstance(raw.get("trial"), dict) else None
    if isinstance(threads, int):
        os.environ["OMP_NUM_THREADS"] = str(threads)
    if control is not None and control not in raw["controls"]:
        raise BadInput(
            f"`control` names no control of {raw['name']}: `{control}`."
            f" {nearest(control, raw['controls'])}"
        )
    # The other controls are not trained, so that overrides need not fit them.
    controls = {control: raw["controls"][control]} if control else {}
    return Space({**raw, "controls": controls, "delta_m": None})


def read_space(
    name: str, overrides: Sequence[str] = (), profile: str | None = None
) -> dict[str, Any]:
    """The merged tree of a space, before its plug-ins are loaded and it is validated.

    Paths of plug-ins and data cards become absolute: those of the file are looked for beside it
    first. Arguments are those of `load_space`. Raises BadInput.
    """
    path = space_path(name)
    space, profiles = _read_file(path, name)
    if profile is not None:
        if profile not in profiles:
            raise BadInput(
                f"`profile` is unknown to {space['name']}: `{profile}`."
                f" {nearest(profile, profiles)}"
            )
        space = merge(space, profiles[profile])
    for pair in overrides:
        space = merge(space, parse_override(pair))
    tree = interpolate(space, str(space["name"]))
    controls = tree.get("controls") or {}
    if not isinstance(controls, dict):
        raise BadInput(
            f"`controls` should map names to changes of the trial. Found {format_value(controls)}."
        )
    tree["controls"] = {key: value for key, value in controls.items() if value is not None}
    return _absolute(tree, None)


def read_profiles(name: str) -> list[str]:
    """The names of a space's profiles. Raises BadInput."""
    return list(_read_file(space_path(name), name)[1])


def _read_file(path: Path, name: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The tree of a space's file without its profiles, and the profiles."""
    what = f"the space {name}"
    space = load_yaml(path, what)
    if not isinstance(space, dict) or not all(isinstance(key, str) for key in space):
        raise BadInput(f"{what} should be a mapping of named keys. Found {type(space).__name__}.")
    if is_card(space):
        space = starting_space(validate_tree(DatasetCard, space, "", f" in {name}"), str(path))
    profiles = space.pop("profiles", None)
    profiles = {} if profiles is None else profiles
    space.setdefault("name", path.stem)
    _check_profiles(str(space["name"]), profiles)
    profiles = {key: changes or {} for key, changes in profiles.items()}
    for part in (space, *profiles.values()):
        _absolute(part, path.parent)
    return space, profiles


def _check_profiles(name: str, profiles: Any) -> None:
    nested = profiles.items() if isinstance(profiles, dict) else ()
    for key, _ in nested:
        if not isinstance(key, str):
            raise BadInput(
                f"`profiles` of {name} should have text as its keys. Found"
                f" {format_value(key)}{quote_hint(key)}."
            )
    named = [("profiles", profiles), *((f"profiles.{key}", part) for key, part in nested)]
    for where, part in named:
        if not isinstance(part, dict) and (part is not None or where == "profiles"):
            raise BadInput(
                f"`{where}` of {name} should map keys to values. Found {format_value(part)}."
            )
        for key in part or {}:
            if not isinstance(key, str):
                raise BadInput(
                    f"`{where}` of {name} should have text as its keys. Found"
                    f" {format_value(key)}{quote_hint(key)}."
                )


def _absolute(tree: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """Make the paths of plug-ins and of a data card in a tree absolute, in place."""
    if "plugins" in tree:
        tree["plugins"] = absolute_plugins(tree["plugins"], folder)
    data = tree.get("data")
    if isinstance(data, dict):
        card = data.get("dataset")
        if isinstance(card, str) and card.endswith((".yaml", ".yml")):
            data["dataset"] = absolute_path(card, folder)
    return tree
