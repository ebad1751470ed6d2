"""The screen of a running search in tmux at two sizes, and a command's first output."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NOTE = "dashboard  http://127.0.0.1:8265 (from elsewhere: ssh -L 8265 MACHINE)"
SCREEN = """\
5 done  1 failed  2 running  1 waiting  TIME so far
front 3, hypervolume 53.35 % of the box, SECONDS s a trial, about TIME left
┏━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━┓
┃       ┃                     ┃   image ┃   digit ┃
┃ trial ┃ progress            ┃ error % ┃ error % ┃
┡━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━┩
│ 0005  │ ███░░░░░ 1/3 search │   90.00 │   80.00 │
│ 0006  │ █████░░░ 2/3 search │   90.00 │   80.00 │
├───────┼─────────────────────┼─────────┼─────────┤
│ 0004  │ failed              │       – │       – │
│ 0003  │ done                │   70.00 │   30.00 │
│ 0002  │ done                │   45.50 │   12.25 │
├───────┼─────────────────────┼─────────┼─────────┤
│ 0001  │ front               │   40.00 │   20.00 │
│ 0002  │ front               │   45.50 │   12.25 │
│ 0000  │ front               │   50.00 │   10.00 │
│       │ best so far         │   40.00 │   10.00 │
└───────┴─────────────────────┴─────────┴─────────┘"""


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50)])
def test_screen_of_a_running_search(width, height, tmp_path):
    server = ["tmux", "-S", str(tmp_path / "socket"), "-f", os.devnull]
    command = f"'{sys.executable}' -m tests.helpers.terminal_search"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
    size = ["-x", str(width), "-y", str(height)]
    start = [*server, "-u", "new-session", "-d", *size, command]
    subprocess.run(start, check=True, env=environment, cwd=ROOT)
    try:
        end, screen = time.monotonic() + 60, ""
        while "2 running" not in screen and time.monotonic() < end:
            time.sleep(0.1)  # tmux reports no change of its screen
            capture = subprocess.run(
                [*server, "capture-pane", "-p"], capture_output=True, text=True, check=True
            )
            screen = capture.stdout
    finally:
        subprocess.run([*server, "kill-server"], check=False)
    lines = [line.rstrip() for line in screen.rstrip().splitlines()]
    shown = re.sub(r"\d:\d\d:\d\d", "TIME", "\n".join(lines))
    shown = re.sub(r"[\d.]+ s a trial", "SECONDS s a trial", shown)
    note, _, table = shown.partition("\n")
    assert note == NOTE and table == SCREEN
    assert len(lines) <= height


def test_first_output_comes_at_once(tmp_path):
    command = [sys.executable, "-u", "-m", "mtsearch.run", "space=pareto_cm", "data.root=none"]
    screen, terminal = os.openpty()
    start = time.monotonic()
    with subprocess.Popen(
        command, stdout=terminal, stderr=subprocess.PIPE, cwd=tmp_path
    ) as process:
        first = os.read(screen, 100).decode()
        seconds = time.monotonic() - start
        process.communicate()
    os.close(terminal)
    os.close(screen)
    assert first.startswith("loading the data and Ray")
    assert seconds < 2 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
