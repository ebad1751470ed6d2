"""`python -m mtsearch.prepare`."""

import os
import subprocess
import sys

import pytest

from mtsearch.commands import prepare
from tests.data.fake import write_root


def test_it_builds_and_says_what(tmp_path, capsys):
    root = write_root(tmp_path)
    assert prepare.main(["dataset=cifar10_mnist", f"data.root={root}", "data.split_seed=7"]) == 0
    out = capsys.readouterr().out
    assert (
        "cifar10_mnist from CIFAR-10 and MNIST" in out
        and "40 train, 10 val, 20 test" in out
        and "checksum" in out
    )
    folder = out.splitlines()[-1].removeprefix("store: ")
    assert os.path.isdir(folder) and "seed7-" in folder
    assert prepare.main(["dataset=cifar10_mnist", f"data.root={root}", "data.split_seed=7"]) == 0
    assert "building" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dataset=multimnits"], "Did you mean `multimnist`"),
        (["data.root=."], "`dataset` is missing"),
        (["dataset=multimnist", "data.limit=5"], "unknown key `data.limit`"),
        (["dataset=multimnist", "rot=x"], "unknown key `rot`"),
        (["multimnist"], "key=value"),
        (["dataset=multimnist", "data.split_seed=x"], "data.split_seed"),
        (["dataset=multimnist", "data.val_fraction=2"], "data.val_fraction"),
        (["dataset=multimnist", "data.root=/does/not/exist"], "Found nothing there"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_code_2(words, message, capsys):
    assert prepare.main(words) == 2
    captured = capsys.readouterr()
    assert (
        message in captured.err
        and captured.err.startswith("mtsearch.prepare: ")
        and captured.err.count("\n") == 1
        and not captured.out
    )


def test_list_and_help(capsys):
    assert prepare.main(["--list"]) == 0
    assert "cifar10_mnist" in capsys.readouterr().out
    assert (prepare.main(["--help"]), prepare.main([])) == (0, 2)
    assert "data.root" in capsys.readouterr().out


def test_a_damaged_store_is_noticed(tmp_path, capsys):
    root = write_root(tmp_path)
    assert prepare.main(["dataset=multimnist", f"data.root={root}"]) == 0
    folder = capsys.readouterr().out.splitlines()[-1].removeprefix("store: ")
    os.chmod(f"{folder}/data.mdb", 0o644)
    with open(f"{folder}/data.mdb", "r+b") as file:
        file.truncate(5000)
    assert prepare.main(["dataset=multimnist", f"data.root={root}"]) == 2
    assert "prepare the dataset again" in capsys.readouterr().err


def test_it_runs_as_a_module():
    out = subprocess.run(
        [sys.executable, "-m", "mtsearch.prepare", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "data.root" in out.stdout
