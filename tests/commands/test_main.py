"""The program `mtsearch`: commands, log levels, completion and the schema."""

import json
import logging
import subprocess
import sys

import jsonschema
import pytest

import mtsearch
from mtsearch.commands.base import printable, run_command
from mtsearch.commands.completion import complete
from mtsearch.commands.main import COMMANDS, main
from mtsearch.config.json_schema import space_schema
from mtsearch.config.reading import list_spaces, package_folder
from mtsearch.config.yaml_text import load_yaml, parse_yaml


def test_every_command_has_help(capsys):
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
        text = capsys.readouterr().out
        assert text.startswith(f"mtsearch {name}") and "--log-level" in text
        assert max(map(len, text.splitlines())) <= 100


def test_help_version_and_unknown_commands(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)
    assert main([]) == 2
    capsys.readouterr()
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mtsearch {mtsearch.__version__}\n"
    assert main(["rum"]) == 2
    assert capsys.readouterr().err == "mtsearch: `rum` is not a command. Did you mean `run`?\n"


def test_python_m_mtsearch_is_the_program():
    words = [sys.executable, "-m", "mtsearch", "run", "space=pareto_c"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2 and "Did you mean `pareto_cm`?" in done.stderr


def test_the_console_script_points_at_main():
    (point,) = [
        line.split("=", 1)[1].strip()
        for line in (package_folder("search_spaces").parent / "setup.cfg").read_text().splitlines()
        if line.strip().startswith("mtsearch = mtsearch.commands")
    ]
    assert point == f"{main.__module__}:{main.__name__}"


@pytest.mark.parametrize("words", [["--log-level", "debug"], ["--log-level=debug"]])
def test_the_log_level_is_set_and_removed(words):
    logger = logging.getLogger("mtsearch")
    assert run_command("x", "", lambda rest: len(rest), ["a=1", *words], {}) == 1
    assert logger.level == logging.DEBUG
    assert run_command("x", "", lambda rest: 0, ["a=1"], {}) == 0
    assert logger.level == logging.WARNING


@pytest.mark.parametrize("words", [["--log-level", "loud"], ["--log-level"], ["--log-level="]])
def test_unknown_log_levels_are_refused(words, capsys):
    assert main(["run", *words]) == 2
    assert "`--log-level` should be one of debug, info" in capsys.readouterr().err


def test_error_sentences_have_no_control_characters():
    assert printable("a\x1b[31m\nb\r\u202e\ud800é") == "a\\x1b[31m b \\u202e\\ud800é"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("mtsearch r", ["run", "report", "runs"]),
        ("mtsearch run space=par", ["space=pareto_cm", "space=pareto_mm"]),
        ("mtsearch run space=pareto_cm profile=", ["profile=quick"]),
        ("mtsearch train space=pareto_cm control=p", ["control=plain", "control=published"]),
        ("mtsearch run trial.optimizer.m", ["trial.optimizer.momentum="]),
        (
            "mtsearch run trial.augment.flip=",
            ["trial.augment.flip=true", "trial.augment.flip=false"],
        ),
        ("mtsearch run trial.sparsity=t", ["trial.sparsity=target"]),
        ("mtsearch run search.sampler.name=q", ["search.sampler.name=qmc"]),
        ("mtsearch run --d", ["--dry-run"]),
        ("mtsearch run --log-level d", ["debug"]),
        ("mtsearch prepare data.f", ["data.fold=", "data.format=", "data.features="]),
        ("mtsearch prepare dataset=multim", ["dataset=multimnist"]),
        ("mtsearch report run=x format=p", ["format=png", "format=parquet"]),
        ("mtsearch export onnx=t", ["onnx=true"]),
        ("mtsearch completion z", ["zsh"]),
        ("mtsearch run data.root=/d", []),
        ("mtsearch run space=no/such profile=", []),
        ("mtsearch nothing a", []),
    ],
)
def test_words_are_completed(line, words):
    assert complete(line) == words


def test_bash_completes_after_the_equals_sign(tmp_path):
    program = tmp_path / "mtsearch"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mtsearch "$@"\n')
    program.chmod(0o755)
    line = "mtsearch run space=par"
    script = f"""PATH="{tmp_path}:$PATH"; source <(mtsearch completion bash)
COMP_LINE="{line}" COMP_POINT={len(line)}; _mtsearch; echo "${{COMPREPLY[*]}}" """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pareto_cm", "pareto_mm"]


def test_completion_scripts_are_printed(capsys):
    assert main(["completion", "zsh"]) == 0 and "compdef _mtsearch" in capsys.readouterr().out
    assert main(["completion", "fish"]) == 2 and "is not a shell" in capsys.readouterr().err


@pytest.fixture(scope="module")
def validator():
    jsonschema.Draft202012Validator.check_schema(space_schema())
    return jsonschema.Draft202012Validator(space_schema())


@pytest.mark.parametrize("name", sorted(list_spaces()))
def test_shipped_spaces_fit_the_schema(name, validator):
    path = list_spaces()[name]
    assert not list(validator.iter_errors(load_yaml(path, name)))
    assert path.read_text().startswith("# yaml-language-server: $schema=space.schema.json\n")


@pytest.mark.parametrize(
    "line",
    [
        "trial: {lerning_rate: 1}",
        "trial: {seed: many}",
        "trial: {architecture: hpss}",
        "trial: {optimizer: {name: adam, lrr: 1}}",
        "trial: {optimizer: {name: adam, lr: -1}}",
        "trial: {optimizer: {name: adam, lr: {loguniform: [1], default: 1}}}",
        "controls: {a: {sed: 1}}",
        "profiles: {quick: {serch: {trials: 1}}}",
        "search: {sampler: tpee}",
        "objectives: 3",
    ],
)
def test_mistakes_do_not_fit_the_schema(line, validator):
    text = f"data: {{dataset: a}}\nobjectives: [b]\n{line}"
    tree = parse_yaml(text.replace("objectives: [b]\nobj", "obj"), "the space")
    assert list(validator.iter_errors(tree))


def test_the_shipped_schema_is_up_to_date(capsys):
    """Write it anew with `python -m mtsearch schema > search_spaces/space.schema.json`."""
    code = "from mtsearch.commands.main import main; main(['schema'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shipped = (package_folder("search_spaces") / "space.schema.json").read_text()
    assert json.loads(done.stdout) == json.loads(shipped)


def test_the_list_shows_profiles(capsys):
    assert main(["run", "--list"]) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("  pareto_cm "))
    assert line.endswith("[profile=quick]")


@pytest.mark.parametrize("command", ["run", "train", "prepare", "report", "export", "completion"])
def test_log_level_alone_shows_the_help(command, capsys):
    assert main([command, "--log-level", "info"]) == 2
    assert capsys.readouterr().out.startswith("mtsearch")
