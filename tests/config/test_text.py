"""Text from outside without control characters."""

from hypothesis import given
from hypothesis import strategies as st

from mtsearch.config.text import printable


@given(st.text())
def test_no_control_character_is_left(text):
    for lines in (False, True):
        found = printable(text, lines=lines)
        controls = [c for c in found if ord(c) < 32 or 127 <= ord(c) < 160]
        assert set(controls) <= (set("\t\n") if lines else set())
        assert printable(found, lines=lines) == found


def test_terminal_sequences_and_reversed_text_are_removed():
    assert printable("\x1b]0;title\x07\x1b[31mred\x9b") == "]0;title[31mred"
    assert printable("gnp.\u202eexe") == "gnp.exe"
    assert printable("a\tb\r\nc") == "a b c" and printable("a\tb\r\nc", lines=True) == "a\tb\nc"
    assert printable("Übung 数据 👩‍🔬") == "Übung 数据 👩‍🔬"
