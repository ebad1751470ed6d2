"""What all commands have in common."""

import pytest

from mtsearch.commands.base import COMMON, run_command
from mtsearch.config.errors import BadInput, Halt


def answer(work, *arguments):
    return run_command(
        "export",
        "the help",
        work,
        list(arguments),
        {Halt: "{error} Fix this.", OSError: "not written: {error}"},
    )


@pytest.mark.parametrize(
    ("raised", "code", "sentence"),
    [
        (BadInput("`a` is not a key."), 2, "mtsearch.export: `a` is not a key.\n"),
        (Halt("the disk is full."), 1, "mtsearch.export: the disk is full. Fix this.\n"),
        (FileExistsError("{error} {0}"), 1, "mtsearch.export: not written: {error} {0}\n"),
        (KeyboardInterrupt(), 130, "mtsearch.export: interrupted; start it again.\n"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_a_code(raised, code, sentence, capsys):
    def work(words):
        raise raised

    assert answer(work, "a=1") == code
    assert capsys.readouterr() == ("", sentence)


def test_exit_codes_and_help(capsys):
    assert answer(lambda words: len(words), "a=1", "b=2", "c=3") == 3
    for words in ((), ("--help",), ("a=1", "-h")):
        assert answer(pytest.fail, *words) == (0 if words else 2)
        assert capsys.readouterr().out == f"the help\n{COMMON}\n"


def test_an_error_of_the_program_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        answer(lambda words: 1 // 0, "a=1")
