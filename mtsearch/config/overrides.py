"""The words ``key=value`` of a command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from mtsearch.config.base import Named
from mtsearch.config.errors import BadInput, format_value
from mtsearch.config.registry import methods
from mtsearch.config.schema import SpaceConfig, TrialConfig
from mtsearch.config.secrets import refuse_secrets
from mtsearch.config.yaml_text import parse_inline


def split_pairs(pairs: Sequence[str], known: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Separate a command's own keys from the overrides of a space.

    Args:
        pairs: the words ``key=value``.
        known: the command's own keys, such as `space` and `resume`.

    Returns:
        The values of the own keys, and the other words in their order.

    Raises:
        BadInput: a word has no ``=``, a value is empty (as ``data.root=$DATA`` is where the
            variable is not set) or contains a secret, or an own key is given twice. Of an override
            that is given twice the last value counts.
    """
    own: dict[str, str] = {}
    rest: list[str] = []
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign and pair.startswith("-"):
            raise BadInput(
                f"`{pair}` is not an option that goes with key=value. Leave it out; `--help`"
                " lists the options."
            )
        if not sign or not key:
            refuse_secrets(pair, "arguments")
            raise BadInput(
                f"arguments are key=value. Found `{pair}`. Write, for example, `{known[0]}=VALUE`;"
                " `--help` lists the keys."
            )
        _refuse_bytes(pair)
        refuse_secrets(value, key)
        if not value.strip():
            raise BadInput(f"`{key}` has no value. Found `{pair}`. Give it one, or leave it out.")
        if key in own:
            raise BadInput(f"`{key}` is given twice: `{own[key]}` and `{value}`. Give it once.")
        if key in known:
            own[key] = value
        else:
            rest.append(pair)
    return own, rest


def parse_override(pair: str) -> dict[str, Any]:
    """The tree that a word ``key.path=value`` stands for. Raises BadInput."""
    _refuse_bytes(pair)
    key, _, value = pair.partition("=")
    path = key.split(".")
    if not all(path):
        raise BadInput(
            f"`{key}` is not a key path. Write, for example, `trial.optimizer.lr=0.001`."
        )
    tree: Any = parse_value(key, value, text_kind(path))
    for part in reversed(path):
        tree = {part: tree}
    assert isinstance(tree, dict)
    return tree


def _refuse_bytes(pair: str) -> None:
    """Refuse a word with bytes that are not UTF-8, which Python keeps as half surrogates."""
    if not pair.isascii():
        try:
            pair.encode()
        except UnicodeEncodeError:
            raise BadInput(
                f"arguments should be UTF-8 text. Found {format_value(pair)}. Rename the file or"
                " write the value in UTF-8."
            ) from None


def parse_value(key: str, value: str, kind: str | None = None) -> Any:
    """The value of a word ``key=value``.

    Args:
        key: for error sentences.
        value: the text behind the first ``=``.
        kind: ``text`` for a key that takes text or a path: a value without quotes around it is
            taken as it stands. ``optional`` is the same, but ``null`` is None. None: the value is
            YAML.

    Raises:
        BadInput: the value is not valid YAML, or has a comment.
    """
    what = f"the value of `{key}`"
    if kind is not None:
        if kind == "optional" and value.strip() in ("null", "~"):
            return None
        if value[:1] in "'\"" and value[-1:] == value[:1] and len(value) > 1:
            try:
                quoted = parse_inline(value, what)
            except BadInput:
                return value
            return quoted if isinstance(quoted, str) else value
        return value
    try:
        parsed = parse_inline(value, what)
    except BadInput as error:
        if "is not valid YAML" not in str(error):
            raise
        raise BadInput(
            f"{what} is not valid YAML: {value!r}. Quote it: '{key}=\"text\"'."
        ) from None
    if isinstance(parsed, dict):
        for name, part in parsed.items():
            if part is None and ":" in str(name):
                raise BadInput(
                    f"{what} lacks a space after a colon: {value!r}. Write"
                    f" `{str(name).replace(':', ': ', 1)}`."
                )
    return parsed


def text_kind(path: Sequence[str], model: type[BaseModel] = SpaceConfig) -> str | None:
    """``text`` where the key at this path of a space takes a text or a path, ``optional`` where it
    also takes null, None where it takes anything else or is not known. The keys of a named method
    are known once that is registered."""
    key, *rest = path
    field = model.model_fields.get(key)
    if field is None or (rest and key == "controls" and len(rest) < 2):
        return None
    if rest and model is SpaceConfig and key in ("trial", "controls"):
        return text_kind(rest if key == "trial" else rest[1:], TrialConfig)
    kinds = set(_types(field.annotation))
    if not rest:
        if not kinds & {str, Path} or kinds & {int, float, bool, dict, tuple}:
            return None
        return "optional" if type(None) in kinds else "text"
    inner: list[type[BaseModel]] = [
        cls
        for named in field.metadata
        if isinstance(named, Named)
        for cls in methods(named.kind).values()
    ] or [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return next((found for cls in inner if (found := text_kind(rest, cls))), None)


def _types(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of."""
    yield get_origin(annotation) or annotation
    for part in get_args(annotation):
        yield from _types(part)
