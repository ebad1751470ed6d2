import io

import pytest
from rich.console import Console
from rich.text import Text

from mtsearch.config.schema import DataConfig
from mtsearch.reporting.console import INDENT, print_line
from mtsearch.reporting.live import Display
from mtsearch.runs.opening import create_run
from mtsearch.strategy.manager import TrialManager
from tests.helpers.spaces import space


@pytest.fixture
def manager(tmp_path):
    made = space(tmp_path, trials=3)
    manager = TrialManager(
        create_run(made, {}, name="toy"), made, DataConfig(dataset="cifar10_mnist")
    )
    yield manager
    manager.run.log.close()


def finish(manager, display, trial, image, digit):
    display.trial(trial)
    for number in (1, 2, 3):
        report = {
            "report": number,
            "epoch": number,
            "phase": "train",
            "val/image/error": image,
            "val/digit/error": digit,
        }
        manager.reports(trial.trial, [report])
        display.trial(trial)
    manager.done(trial.trial, 3)
    display.trial(trial)


def test_without_a_terminal_each_end_is_a_line(manager):
    console = Console(file=io.StringIO(), width=300)
    with Display(manager, 1, console) as display:
        finish(manager, display, manager.next_trial(), 50.0, 10.0)
        finish(manager, display, manager.next_trial(), 40.0, 20.0)
        trial = manager.next_trial()
        display.trial(trial)
        manager.failed(trial.trial, "out of memory")
        display.trial(trial)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("[1/4] stl done") and "front 0, hypervolume –" in lines[0]
    assert (
        lines[1].startswith("[2/4] 0000 done  image error (%) 40.00  digit error (%) 20.00")
        and "front 1, hypervolume 48.00 % of the box, " in lines[1]
    )
    assert lines[2].startswith("[3/4] 0001 failed  out of memory")
    assert "s a trial, about" in lines[2] and "left" in lines[2]


def test_a_notebook_gets_lines(manager, monkeypatch):
    shown = []
    monkeypatch.setattr("rich.jupyter.display", lambda segments, text: shown.append(text))
    console = Console(force_jupyter=True, width=120)
    with Display(manager, 1, console) as display:
        finish(manager, display, manager.next_trial(), 50.0, 10.0)
    assert len(shown) == 1 and shown[0].startswith("[1/4] stl done  image error (%) 50.00")


def test_table_has_front_and_best_so_far(manager):
    console = Console(file=io.StringIO(), width=100, height=40, force_terminal=True)
    with Display(manager, 1, console) as display:
        for image, digit in ((61.0, 9.0), (50.0, 10.0), (40.0, 20.0)):
            finish(manager, display, manager.next_trial(), image, digit)
        console.file.truncate(console.file.seek(0))
        display.refresh(force=True)
    lines = [Text.from_ansi(line).plain for line in console.file.getvalue().splitlines()]
    rows = [line.replace("│", " ").split() for line in lines if "│" in line]
    assert ["0001", "front", "40.00", "20.00"] in rows and rows[-1][-2:] == ["40.00", "10.00"]
    assert "best so far" in "".join(lines) and "53.00 % of the box" in "".join(lines)


def test_narrow_terminal_breaks_between_words():
    console = Console(file=io.StringIO(), width=40, force_terminal=True)
    line = "dashboard  http://127.0.0.1:8265 (from elsewhere: ssh MACHINE; `ray token` prints it)"
    print_line(console, line, INDENT)
    shown = console.file.getvalue().splitlines()
    assert [part.strip() for part in shown] == [
        "dashboard  http://127.0.0.1:8265 (from",
        "elsewhere: ssh MACHINE; `ray",
        "token` prints it)",
    ]
    assert all(part.startswith(" " * INDENT) for part in shown[1:])
    plain = Console(file=io.StringIO(), width=40)
    print_line(plain, line, INDENT)
    assert plain.file.getvalue() == f"{line}\n"


def test_on_a_terminal_running_trials_are_a_table(manager):
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with Display(manager, 2, console) as display:
        finish(manager, display, manager.next_trial(), 50.0, 10.0)
        trial = manager.next_trial()
        display.trial(trial)
        manager.reports(
            trial.trial,
            [
                {
                    "report": 1,
                    "epoch": 1,
                    "phase": "train",
                    "val/image/error": 33.25,
                    "val/digit/error": 12.5,
                }
            ],
        )
        display.refresh(force=True)
    shown = console.file.getvalue()
    assert (
        "0000" in shown
        and "1/3 train" in shown
        and "33.25" in shown
        and "1 running" in shown
        and "2 waiting" in shown
    )


def test_checkpoint_of_dominated_trial_is_deleted(manager):
    console = Console(file=io.StringIO())
    with Display(manager, 1, console) as display:
        for image, digit in ((50.0, 10.0), (40.0, 20.0), (30.0, 15.0)):
            trial = manager.next_trial()
            manager.run.checkpoint(trial.trial).mkdir(parents=True)
            finish(manager, display, trial, image, digit)
    assert sorted(p.name for p in (manager.run.path / "checkpoints").iterdir()) == ["0001", "stl"]
    assert [trial.trial for trial in manager.front()] == ["0001"]
    assert [trial.trial for trial in manager.to_test()] == ["0001", "stl"]


def test_reports_known_already_are_dropped(manager):
    trial = manager.next_trial()
    for _ in range(2):
        manager.reports(trial.trial, [{"report": 1, "epoch": 1}, {"report": 2, "epoch": 2}])
    assert [e["report"] for e in manager.run.events() if e["event"] == "report"] == [1, 2]


def test_last_ended_trials_stay_in_the_table(manager):
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    with Display(manager, 2, console) as display:
        finish(manager, display, manager.next_trial(), 51.5, 10.0)
        display.trial(manager.next_trial())
        console.file.truncate(console.file.seek(0))
        display.refresh(force=True)
        shown = console.file.getvalue()
    assert "stl" in shown and "51.5" in shown and "0000" in shown
    lines = [Text.from_ansi(line).plain for line in shown.splitlines()]
    assert max(map(len, lines)) <= 80 and len(lines) <= 24
