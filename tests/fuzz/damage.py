"""Damaged texts and bytes, and the rule that every one ends in one sentence or works."""

import time
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from mtsearch.config.errors import BadInput

SECONDS = 10
"""No input may take longer."""

NASTY = [
    "\0", "\x1b[31m", "\ud800", "\u202e", "\x85", "\ufeff", "\t", "\n", "'", '"', "#", " #", ": ",
    "- ", "? ", "[", "]", "{", "}", "*a", "&a ", "!!python/object:os.system ", "<<: ", "${", "}",
    "${name}", "${trial}", "${preferences:0.01,a,b}", "${oc.env:HOME}", "%TAG", "---", "...", "|",
    ">", "null", "~", "true", "no", "yes", "nan", ".nan", ".inf", "-.inf", "1e999", "1e-999", "-1",
    "0", "-0.0", "008", "0x1F", "1_000", "1:30", "9" * 400, "9" * 30, "x" * 300, "[" * 60,
    "{a: " * 60, "\\", "/", "../..", "~root/x", "://", "s3://a:b@c", "=", "==", "choice", "default",
    "uniform", "int", "simplex", "name", "mode",
]  # fmt: skip
"""Pieces that parsers of YAML, paths, numbers and references have failed on."""


@st.composite
def damaged(draw: st.DrawFn, texts: Sequence[str]) -> str:
    """One of the texts with up to six edits: pieces are inserted, cut, repeated or replaced, lines
    are swapped, the end is lost."""
    text = draw(st.sampled_from(list(texts)))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 40)))
        piece = draw(st.sampled_from(NASTY) | st.text(max_size=5))
        edit = draw(st.sampled_from(["insert", "cut", "replace", "repeat", "truncate", "swap"]))
        if edit == "insert":
            text = text[:start] + piece + text[start:]
        elif edit == "cut":
            text = text[:start] + text[stop:]
        elif edit == "replace":
            text = text[:start] + piece + text[stop:]
        elif edit == "repeat":
            text = text[:stop] + text[start:stop] * draw(st.integers(1, 3)) + text[stop:]
        elif edit == "truncate":
            text = text[:start]
        else:
            lines = text.split("\n")
            i, j = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
            lines[i], lines[j] = lines[j], lines[i]
            text = "\n".join(lines)
    return text


Steps = list[tuple[str, int, int, bytes]]
WORDS = ["trial", "0000", "..", "../x", "report", "NaN", "1e999", "null", "[", "{", '"', "\\u0000"]
_PUT = st.one_of(st.binary(max_size=8), st.sampled_from([word.encode() for word in WORDS]))


@st.composite
def damages(draw: st.DrawFn, size: int) -> Steps:
    """Steps for `damaged_bytes`, which cuts, copies, moves and replaces parts of bytes of about
    this size."""
    steps = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["cut", "copy", "put", "flip", "lines", "word"]))
        steps.append((kind, draw(st.integers(0, size)), draw(st.integers(0, 80)), draw(_PUT)))
    return steps


def damaged_bytes(data: bytes, steps: Steps) -> bytes:
    """The bytes after these steps."""
    for kind, start, length, put in steps:
        start = start % (len(data) + 1)
        if kind == "cut":
            data = data[:start] + data[start + length :]
        elif kind == "copy":
            data = data[:start] + data[start : start + length] + data[start:]
        elif kind == "put":
            data = data[:start] + put + data[start:]
        elif kind == "flip" and start < len(data):
            data = data[:start] + bytes([data[start] ^ (1 << length % 8)]) + data[start + 1 :]
        elif kind == "word":
            data = data[:start] + put + data[start + len(put) :]
        elif kind == "lines":
            lines = data.splitlines(keepends=True)
            if lines:
                first, second = start % len(lines), length % len(lines)
                lines[first], lines[second] = lines[second], lines[first]
            data = b"".join(lines)
    return data


def ends_in_a_sentence(work: Callable[[], object]) -> str | None:
    """Run `work`, which may raise only BadInput, with a text on one line, in `SECONDS`. Returns the
    text; None where the work succeeds."""
    start = time.monotonic()
    try:
        work()
        sentence = None
    except BadInput as error:
        sentence = str(error)
        assert sentence.strip() and len(sentence) < 5000
        assert "Traceback" not in sentence
    assert time.monotonic() - start < SECONDS
    return sentence
