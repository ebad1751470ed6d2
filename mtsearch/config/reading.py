"""Reading a space: YAML, a profile and key=value overrides become one tree."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

import mtsearch
from mtsearch.config.errors import BadInput, format_value, nearest
from mtsearch.config.plugins import absolute_path, absolute_plugins
from mtsearch.config.schema import takes_text
from mtsearch.config.space import Space, merge
from mtsearch.config.validation import quote_hint


def package_folder(name: str) -> Path:
    """`search_spaces` or `datasets`, inside the installed package or beside it in a clone."""
    inside = Path(mtsearch.__file__).parent / name
    return inside if inside.is_dir() else Path(mtsearch.__file__).parent.parent / name


def list_spaces() -> dict[str, Path]:
    """The shipped spaces by name."""
    return {path.stem: path for path in sorted(package_folder("search_spaces").glob("*.yaml"))}


def space_path(name: str) -> Path:
    """The file of a space given by name or path. Raises BadInput with the nearest name."""
    shipped = list_spaces()
    if name in shipped:
        return shipped[name]
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml") or os.sep in name:
        raise BadInput(
            f"`space` names a file that does not exist: {name}. Give a path to a YAML file or a"
            f" shipped space: {', '.join(shipped)}."
        )
    raise BadInput(f"unknown space `{name}`. {nearest(name, shipped)} `--list` shows all.")


def split_pairs(pairs: Sequence[str], known: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Separate a door's own keys (such as `space`, `resume`) from configuration overrides. Raises
    BadInput on a word without `=` and on a value that is empty, as ``data.root=$DATA`` is where the
    variable is not set."""
    own: dict[str, str] = {}
    rest: list[str] = []
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign and pair.startswith("-"):
            raise BadInput(
                f"`{pair}` is no option that goes with key=value. Leave it out; `--help` shows what"
                " there is."
            )
        if not sign or not key:
            raise BadInput(
                f"arguments are key=value. Found `{pair}`. Write, for example, `{known[0]}=VALUE`;"
                " `--help` shows the keys."
            )
        if not value.strip():
            raise BadInput(f"`{key}` has no value. Found `{pair}`. Give it one, or leave it out.")
        if key in own:
            raise BadInput(f"`{key}` is given twice: `{own[key]}` and `{value}`. Give it once.")
        if key in known:
            own[key] = value
        else:
            rest.append(pair)
    return own, rest


def load_space(name: str, overrides: Sequence[str] = (), profile: str | None = None) -> Space:
    """Read a space by name or path, lay its profile and then `key=value` overrides on it. Raises
    BadInput before anything starts."""
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
    """The merged tree that `load_space` makes a space of, before any plug-in is loaded. Paths of
    plug-ins and data cards become absolute: those that the space's file gives are looked for beside
    it first. Raises BadInput.
    """
    path = space_path(name)
    try:
        tree = OmegaConf.to_container(
            OmegaConf.create(path.read_text(encoding="utf-8")), resolve=False
        )
    except (yaml.YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise BadInput(
            f"the space {name} is no valid YAML: {' '.join(str(error).split())}."
        ) from None
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise BadInput(
            f"the space {name} should be a mapping of named keys. Found {type(tree).__name__}."
        )
    space: dict[str, Any] = {str(key): value for key, value in tree.items()}
    profiles = space.pop("profiles", None) or {}
    space.setdefault("name", path.stem)
    for key in profiles if isinstance(profiles, dict) else ():
        if not isinstance(key, str):
            raise BadInput(
                f"`profiles` of {space['name']} should have text as its keys. Found"
                f" {format_value(key)}{quote_hint(key)}."
            )
    for where, part in (
        ("profiles", profiles),
        *(
            (f"profiles.{n}", c or {})
            for n, c in (profiles.items() if isinstance(profiles, dict) else ())
        ),
    ):
        if not isinstance(part, dict):
            raise BadInput(
                f"`{where}` of {space['name']} should map keys to values. Found"
                f" {format_value(part)}."
            )
    for part in (space, *(changes for changes in profiles.values() if changes)):
        _place(part, path.parent)
    if profile is not None:
        if profile not in profiles:
            raise BadInput(
                f"`profile` is unknown to {space['name']}: `{profile}`."
                f" {nearest(profile, profiles)}"
            )
        space = merge(space, profiles[profile] or {})
    for pair in overrides:
        space = merge(space, _override(pair))
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(space), resolve=True)
    except OmegaConfBaseException as error:
        raise BadInput(_interpolation(str(space["name"]), error)) from None
    assert isinstance(resolved, dict)
    if not isinstance(resolved.get("controls") or {}, dict):
        raise BadInput(
            f"`controls` should map names to changes of the trial. Found {resolved['controls']!r}."
        )
    resolved["controls"] = {
        k: v for k, v in (resolved.get("controls") or {}).items() if v is not None
    }
    return _place({str(k): v for k, v in resolved.items()}, None)


def _interpolation(name: str, error: OmegaConfBaseException) -> str:
    """What is wrong with a ``${...}``, without OmegaConf's own words around it."""
    reason = error.msg.splitlines()[0] if isinstance(error.msg, str) else str(error)
    reason = reason.rpartition("raised while resolving interpolation: ")[2].rstrip(".")
    return (
        f"`{error.full_key}` cannot be resolved in {name}: {reason}. Write, for example,"
        " `${trial.batch_size}`."
    )


def _place(tree: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """Make the paths of plug-ins and of a data card in a tree absolute, in place."""
    if "plugins" in tree:
        tree["plugins"] = absolute_plugins(tree["plugins"], folder)
    data = tree.get("data")
    if (
        isinstance(data, dict)
        and isinstance(card := data.get("dataset"), str)
        and card.endswith((".yaml", ".yml"))
    ):
        data["dataset"] = absolute_path(card, folder)
    return tree


def _override(pair: str) -> dict[str, Any]:
    key, _, value = pair.partition("=")
    if not all(key.split(".")):
        raise BadInput(f"`{key}` is no key path. Write, for example, `trial.optimizer.lr=0.001`.")
    try:
        parsed = OmegaConf.to_container(OmegaConf.create(f"value: {value}"), resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException):
        raise BadInput(
            f"the value of `{key}` is no valid YAML: {value!r}. Quote it, for example"
            f" '{key}=\"text\"'."
        ) from None
    assert isinstance(parsed, dict)
    tree: Any = parsed["value"]
    if isinstance(tree, int | float) and takes_text(key.split(".")):
        tree = (
            value.strip()
        )  # a name: YAML reads 0012 as 10, 2026_01_01 as 20260101 and 12:30 as 750
    glued = (
        next((k for k, v in tree.items() if v is None and ":" in str(k)), None)
        if isinstance(tree, dict)
        else None
    )
    if glued is not None:
        raise BadInput(
            f"the value of `{key}` lacks a space behind a colon: {value!r}. Write"
            f" `{glued.replace(':', ': ', 1)}`."
        )
    for part in reversed(key.split(".")):
        tree = {part: tree}
    return tree
