"""YAML 1.2 with bounds."""

import os

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mtsearch.config.errors import BadInput
from mtsearch.config.yaml_text import MAX_BYTES, dump_yaml, load_yaml, parse_inline, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("008", 8),
        ("010", 10),
        ("-3", -3),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("1.", 1.0),
        (".inf", float("inf")),
        ("0o17", "0o17"),
        ("0x1F", "0x1F"),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'008'", "008"),
        ('"no"', "no"),
        ("!!str 8", "8"),
        ("[1, a, {b: 2}]", [1, "a", {"b": 2}]),
        ("[&x {a: 1}, *x]", [{"a": 1}, {"a": 1}]),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    found = parse_yaml(text, "the text")
    assert found == value and type(found) is type(value)


def _bomb(width=10, depth=9):
    lines = ["a0: &a0 [" + ", ".join(["x"] * width) + "]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, depth)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\na: 2", "has the key `a` twice in one mapping. Remove one (line 2)."),
        ("{a: {b: 1, b: 1}}", "has the key `b` twice"),
        (_bomb(), "has more than 100,000 values, aliases expanded"),
        ("s: &s " + "x" * 9000 + "\nl: [" + "*s, " * 20_000 + "]", "has more than 100,000 values"),
        ("a: &a [*a]", "has an alias `*a` before its anchor"),
        ("[" * 900 + "]" * 900, "is nested more than 40 levels deep"),
        ("- " * 900 + "a", "is nested more than 40 levels deep"),
        ("[" * 20_000, "is n"),  # libyaml stops first
        ("<<: {a: 1}", "has a merge key `<<`"),
        ("!!python/object/apply:os.system [ls]", "has a tag"),
        ("!!int 8", "has a tag"),
        ("? [a]\n: 1", "has a list or mapping as a key"),
        ("a: 1\n---\nb: 2", "contains several documents"),
        ("[1", "is not valid YAML"),
        ("a: \x01", "is not valid YAML"),
        ("a: \ud800", "is not valid YAML"),
        ("9" * 401, "has a number of more than 400 characters"),
    ],
)
def test_what_is_refused(text, sentence):
    with pytest.raises(BadInput) as caught:
        parse_yaml(text, "the text")
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_aliases_are_copies():
    tree = parse_yaml("a: &x {b: [1]}\nc: *x", "the text")
    tree["a"]["b"].append(2)
    assert tree["c"] == {"b": [1]}


_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"))
    | st.sampled_from(["1e3", "08", "no", "0x1", "1_0", "12:30", "null", "<<", "=", "a #b", "\x85"])
)


@given(st.dictionaries(st.text("ab1-_.", min_size=1), _LEAVES | st.lists(_LEAVES), max_size=5))
def test_what_is_dumped_is_read_back(tree):
    text = dump_yaml(tree)
    assert parse_yaml(text, "the text") == tree
    assert repr(parse_yaml(text, "the text")) == repr(tree)
    assert yaml.safe_load(text) == tree  # by YAML 1.1, too


def test_a_comment_in_a_shell_word_is_refused():
    assert parse_inline("'a #b'", "the value") == "a #b"
    assert parse_inline("a#b", "the value") == "a#b"
    for text in ("a #b", "{a: 1} # b", "3 #", "# b"):
        with pytest.raises(BadInput, match="the value contains a comment"):
            parse_inline(text, "the value")


def test_unreadable_files_get_one_sentence(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    (tmp_path / "nul").write_bytes(b"a: \0")
    (tmp_path / "large").write_bytes(b"#" * (MAX_BYTES + 1))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    cases = {
        "": "should be a file. Found a folder",
        "pipe": "should be a file. Found a pipe or device",
        "latin": "should be UTF-8 text. Found the byte 0xe9 at offset 0",
        "nul": "Found a NUL byte at offset 3",
        "large": "should be a file of at most 1 MiB",
        "loop": "cannot be read: Too many levels of symbolic links",
        "missing": "cannot be read: No such file or directory",
        "a\0b": "its name is not a valid path",
    }
    for name, sentence in cases.items():
        with pytest.raises(BadInput) as caught:
            load_yaml(f"{tmp_path}/{name}", "the space own")
        assert sentence in str(caught.value), name


def test_a_byte_order_mark_is_skipped(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert load_yaml(tmp_path / "a.yaml", "the space") == {"a": 1}
