"""Damaged texts, and the rule that every one ends in one sentence or works."""

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
