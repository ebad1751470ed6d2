import os
import subprocess
import sys

import pytest

from mtsearch.commands.run import main
from mtsearch.config.reading import list_spaces, load_space
from mtsearch.runs.opening import create_run
from tests.helpers.spaces import space


def run_main(capsys, *words):
    code = main(words)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def refused(capsys, *words):
    """The one sentence on stderr of a call that is refused."""
    code, out, err = run_main(capsys, *words)
    assert code == 2 and out == "" and err.count("\n") == 1, (code, out, err)
    return err


def test_help_imports_neither_ray_nor_torch():
    code = """
import sys
from mtsearch.commands.run import main
calls = (["--help"], ["--list"], ["space=pareto_c"])
calls += (["space=pareto_cm", "--cfg"], ["space=pareto_cm", "trial.sed=1"])
codes = [main(call) for call in calls]
print(codes, [m for m in ("ray", "torch", "optuna") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[0, 0, 2, 0, 2] []"
    assert (
        "Did you mean `pareto_cm`?" in done.stderr and "Did you mean `trial.seed`?" in done.stderr
    )


def test_one_kind_is_listed(capsys):
    code, out, _ = run_main(capsys, "--list", "backbones")
    assert code == 0 and out.startswith("trial.backbone\n") and "torchvision" in out
    assert "Spaces" not in out and run_main(capsys, "--list", "sampler")[0] == 0
    assert "Did you mean `backbone`?" in refused(capsys, "--list", "bakbone")


def test_the_list_names_spaces_datasets_and_methods(capsys):
    code, out, _ = run_main(capsys, "--list")
    assert code == 0
    assert all(
        name in out for name in [*list_spaces(), "cifar10_mnist", "mdmtn", "chebyshev_al", "adamw"]
    )


@pytest.mark.parametrize("name", list(list_spaces()))
def test_the_resolved_configuration_is_a_space_again(capsys, tmp_path, name):
    code, out, _ = run_main(capsys, f"space={name}", "--cfg", "trial.clip=2.5")
    assert code == 0
    (tmp_path / "again.yaml").write_text(out)
    again, given = load_space(str(tmp_path / "again.yaml")), load_space(name, ["trial.clip=2.5"])
    assert (
        again.config.search == given.config.search
        and again.config.objectives == given.config.objectives
    )
    assert again.trial() == given.trial() and again.trial().clip == 2.5
    assert again.dimensions == given.dimensions
    assert {k: again.trial(v) for k, v in again.controls.items()} == {
        k: given.trial(v) for k, v in given.controls.items()
    }


def test_bad_input_gets_one_sentence(capsys, tmp_path):
    assert "`space` is missing" in refused(capsys, "search.trials=3")
    assert "arguments are key=value" in refused(capsys, "pareto_cm")
    assert "`space` is given twice: `pareto_cm` and `pareto_mm`" in refused(
        capsys, "space=pareto_cm", "space=pareto_mm"
    )
    assert "`data.root` has no value. Found `data.root=`" in refused(
        capsys, "space=pareto_cm", "data.root="
    )
    assert "`--cfg` and `--dry-run` do not go together" in refused(
        capsys, "space=pareto_cm", "--dry-run", "--cfg"
    )
    assert "unknown option `--lst`" in refused(capsys, "--lst")
    assert "is not a run directory" in refused(capsys, f"resume={tmp_path}")
    assert "900 CPU" in refused(capsys, "space=pareto_cm", "resources.cpu=900")
    assert "900 workers" in refused(capsys, "space=pareto_cm", "workers=900")
    assert "is continuous" in refused(capsys, "space=pareto_cm", "search.sampler=grid")
    assert "`objectives[0]` names a metric" in refused(
        capsys, "space=pareto_cm", "objectives=[val/imag/error]"
    )


def test_a_resume_changes_only_what_may_change(capsys, tmp_path):
    run = create_run(space(tmp_path), {"dataset": "sample", "checksum": "abc"}, name="toy")
    where = f"resume={run.path}"
    assert "`trial.seed` cannot change on resume" in refused(capsys, where, "trial.seed=2")
    assert "`profile` does not go with `resume`" in refused(capsys, where, "profile=quick")
    assert "`search.trials`" in refused(capsys, where, "search.trials=many")
    with run:
        assert f"driven by process {os.getpid()} on " in refused(capsys, where)


def test_or_resume_continues_the_named_run(capsys, tmp_path, monkeypatch):
    from mtsearch.execution import engine

    words = [
        "space=pareto_cm",
        f"results.root={tmp_path}",
        "results.run=job-1",
        "search.trials=9",
        "--or-resume",
    ]
    done = []
    monkeypatch.setattr(
        engine, "run", lambda space, **given: done.append(space.config.results.run) or 0
    )
    monkeypatch.setattr(engine, "resume", lambda path, changes: done.append((path, changes)) or 0)
    assert run_main(capsys, *words)[0] == 0
    made = create_run(
        load_space(words[0][6:], words[1:4]), {}, name="pareto_cm", overrides=words[1:4]
    )
    assert run_main(capsys, *words)[0] == 0
    assert done == ["job-1", (str(made.path), {"search.trials": 9})]
    assert "other settings" in refused(capsys, *words, "data.limit=9")
    assert "of a given name" in refused(capsys, words[0], "--or-resume")


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "''", "a b", "[a]", "x" * 101])
def test_run_names_are_folder_names(capsys, name):
    assert "`results.run`" in refused(capsys, "space=pareto_cm", f"results.run={name}")


def test_a_resume_cannot_remove_trials(capsys, tmp_path):
    run = create_run(space(tmp_path), {"dataset": "sample", "checksum": "abc"}, name="toy")
    for name in ("0000", "0001"):
        run.log.append(
            "start",
            trial=name,
            kind="search",
            control=None,
            config={},
            params={},
            study={},
            attempt=1,
        )
    run.log.close()
    assert (
        "`search.trials` should be at least 2, the trials that the run has begun. Found 1."
        in refused(capsys, f"resume={run.path}", "search.trials=1")
    )
    assert not run.state().changes


@pytest.mark.parametrize(
    "words",
    [["--list"], ["--help"], ["space=pareto_cm", "--cfg"], ["space=pareto_cm", "--dry-run"]],
)
def test_a_page_whose_reader_goes_away_ends_quietly(words):
    code = (
        "import sys; from mtsearch.commands.run import main; sys.stdin.read();"
        " sys.exit(main(sys.argv[1:]))"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, *words], **pipes) as process:
        process.stdout.close()
        process.stdin.close()  # only now it prints
        assert (process.stderr.read(), process.wait()) == (b"", 0)


def test_a_dry_run_shows_slots_configurations_and_cost(capsys):
    code, out, _ = run_main(
        capsys, "space=pareto_cm", "profile=quick", "search.trials=9", "--dry-run"
    )
    assert code == 0
    assert (
        "used in place of cifar10_mnist" in out
        and "trials   9 by curves, and the controls stl, plain; one seed each" in out
    )
    assert "about 44 epochs" in out  # 9 trials and 2 controls of 2 + 2
    assert out.count("trial.optimizer.lr=") == 3
