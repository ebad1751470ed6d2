"""Damaged spaces, data cards and command lines end in one sentence or work."""

import io
from contextlib import redirect_stderr, redirect_stdout

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtsearch.commands.main import main
from mtsearch.config.json_schema import space_schema
from mtsearch.config.keys import known_keys
from mtsearch.config.reading import list_spaces, load_space, package_folder
from mtsearch.config.space import Space
from mtsearch.data.cards import load_card
from tests.fuzz.damage import NASTY, damaged, ends_in_a_sentence

pytestmark = pytest.mark.slow
many = settings(
    max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck), database=None
)

SPACES = [path.read_text() for path in list_spaces().values()]
CARDS = [path.read_text() for path in sorted(package_folder("datasets").glob("*.yaml"))]
KEYS = sorted(known_keys())
VALUES = [
    "1",
    "0.5",
    "hps",
    "tpe",
    "none",
    "[a, b]",
    "{name: adam, lr: 0.1}",
    "{choice: [1, 2], default: 1}",
    "{uniform: [0, 1], default: 0.5}",
    "{loguniform: [0.1, 1], default: 1}",
    "{simplex: [image, digit], default: equal}",
    "{int: [1, 5], default: 2}",
    "mto",
    "mgda",
    "stl",
]


def write(folder, name, text):
    path = folder / name
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return str(path)


@many
@given(text=damaged(SPACES), profile=st.sampled_from([None, "quick"]))
def test_damaged_spaces(tmp_path_factory, text, profile):
    path = write(tmp_path_factory.getbasetemp(), "damaged.yaml", text)

    def work():
        space = load_space(path, profile=profile)
        assert Space.from_yaml(space.to_yaml()).raw == space.raw

    ends_in_a_sentence(work)


@many
@given(data=st.binary(max_size=300))
def test_bytes_as_a_space(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(data)
    ends_in_a_sentence(lambda: load_space(str(path)))


@many
@given(text=damaged(CARDS))
def test_damaged_cards(tmp_path_factory, text):
    path = write(tmp_path_factory.getbasetemp(), "card.yaml", text)
    ends_in_a_sentence(lambda: load_card(path))


words = st.builds(
    "{}={}".format,
    st.sampled_from(KEYS) | damaged(KEYS),
    st.sampled_from([*VALUES, *NASTY]) | damaged(VALUES),
)


@many
@given(pairs=st.lists(words, max_size=3), name=st.sampled_from(sorted(list_spaces())))
def test_damaged_overrides(pairs, name):
    def work():
        space = load_space(name, pairs)
        assert Space.from_yaml(space.to_yaml()).raw == space.raw

    ends_in_a_sentence(work)


lines = st.lists(
    words
    | st.sampled_from(["--cfg", "--list", "--log-level", "info", "space=pareto_cm", "resume=x"])
    | st.sampled_from(["--help", "plugins=[no.py]", "profile=quick", "control=stl", *NASTY]),
    max_size=5,
)


@many
@given(command=st.sampled_from(["run", "report", "export", "schema", "completion"]), words=lines)
def test_damaged_command_lines(command, words):
    """Nothing is trained: `--cfg` ends a command line of `run` before that."""
    words = [word.replace("\0", "") for word in words]  # no shell passes it
    if command == "run" and "--list" not in words:
        words.append("--cfg")
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([command, *words])
    assert code in (0, 2)
    text = err.getvalue()
    assert "Traceback" not in text
    assert code == 0 or text.count("\n") == 1 or out.getvalue().startswith("mtsearch")


def test_the_schema_has_the_keys_that_are_damaged():
    assert {key.split(".")[0] for key in KEYS} <= set(
        space_schema()["$defs"]["SpaceConfig"]["properties"]
    )
