"""Progress lines of commands."""

import io

from rich.console import Console

from mtsearch.commands.progress import showing


def test_a_log_gets_lines_with_the_remaining_time():
    times = iter([0.0, 1.0, 10.0, 11.0, 16.0])
    file = io.StringIO()
    with showing(Console(file=file), "prepared", lambda: next(times)) as progress:
        for done in (100, 1100, 1200, 1700):
            progress(done, 2000)
    assert file.getvalue().splitlines() == [
        "prepared  1,100 of 2,000 images, about 9 s left",
        "prepared  1,700 of 2,000 images, about 3 s left",
    ]


def test_a_terminal_gets_a_bar():
    file = io.StringIO()
    with showing(Console(file=file, force_terminal=True, width=100), "prepared") as progress:
        progress(500, 2000)
    assert "500/2000" in file.getvalue()
