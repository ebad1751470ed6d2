"""Data cards, found by name in the project's `datasets` folder or by path."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import ValidationError

from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.reading import package_folder
from mtsearch.config.validation import error_sentences
from mtsearch.config.yaml_text import load_yaml


def datasets_folder() -> Path:
    """The folder with the cards and the embedded sample: package data in an installed wheel,
    `datasets` beside the package in a source tree."""
    folder = package_folder("datasets").resolve()
    if not folder.is_dir():
        raise BadInput(
            f"The project's data cards are missing: there is no {folder}; install mtsearch again."
        )
    return folder


def list_cards() -> dict[str, DatasetCard]:
    """The project's own cards by name, in alphabetical order."""
    return {path.stem: _read(path) for path in sorted(datasets_folder().glob("*.yaml"))}


def load_card(name_or_path: str | Path) -> DatasetCard:
    """The project's card with that name, or the card in that YAML file.

    Raises:
        BadInput: there is no such card, or it does not describe a dataset.
    """
    text = str(name_or_path)
    if text.endswith((".yaml", ".yml")):
        path = Path(text)
        if not path.is_file():
            raise BadInput(
                f"There is no data card at {path}; give the path of a YAML file or one of the names"
                " that `python -m mtsearch.prepare --list` shows."
            )
        return _read(path)
    names = {path.stem: path for path in datasets_folder().glob("*.yaml")}
    if text not in names:
        raise BadInput(
            f"unknown dataset `{text}`. {nearest(text, names)} A dataset of your own is given as"
            " the path of its card, ending in .yaml."
        )
    return _read(names[text])


def _read(path: Path) -> DatasetCard:
    tree = load_yaml(path, f"The data card {path}")
    try:
        card = DatasetCard.model_validate(tree)
    except ValidationError as error:
        wrong = error_sentences(error, tree, model=DatasetCard)
        raise BadInput(f"The data card {path} is wrong: {' '.join(wrong)}") from error
    if not re.fullmatch(r"\w[\w.-]*", card.name):
        raise BadInput(
            f"The data card {path} should have a `name` of letters, digits, `_`, `-` and `.`, as it"
            f" names folders. Found {card.name!r}."
        )
    channels = card.shape[0]
    if (
        min(card.shape) < 1
        or len(card.mean) != len(card.std)
        or len(card.mean) not in (0, channels)
        or min(card.std, default=1) <= 0
    ):
        raise BadInput(
            f"The data card {path} should give one `mean` and one positive `std` per channel, or"
            f" neither. Found"
            f" shape {card.shape}, mean {card.mean}, std {card.std}."
        )
    if card.root is None:
        return card
    return card.model_copy(update={"root": (path.parent / card.root.expanduser()).resolve()})
