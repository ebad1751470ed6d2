"""Temporary folders of processes that were killed."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mtsearch.config.temporary import remove_temporary, sweep_temporary, temporary_folder

HOLD = """
import sys
from mtsearch.config.temporary import temporary_folder
print(temporary_folder("run"), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield
    tempfile.tempdir = None


def test_only_folders_of_dead_processes_are_swept(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    theirs = Path(other.stdout.readline().strip())
    mine = temporary_folder("state")
    unlocked = tmp_path / "mtsearch-notes"
    unlocked.mkdir()
    (tmp_path / "victim").mkdir()
    (tmp_path / "mtsearch-link").symlink_to(tmp_path / "victim")
    assert theirs.parent == tmp_path and sweep_temporary() == []
    other.kill()
    other.wait()
    assert sweep_temporary() == [theirs] and not theirs.exists()
    assert mine.is_dir() and unlocked.is_dir() and (tmp_path / "victim").is_dir()
    remove_temporary(mine)
    assert not mine.exists()
    other.stdin.close()
    other.stdout.close()


def test_unlocked_folder_is_no_abandoned_one(tmp_path, monkeypatch):
    """Between the creation of a folder and of its lock, another process may sweep."""
    from mtsearch.config import temporary

    swept = []
    lock = temporary.fcntl.flock

    def sweep_first(handle, how):
        if how == temporary.fcntl.LOCK_EX:
            swept.extend(sweep_temporary())
        lock(handle, how)

    monkeypatch.setattr(temporary.fcntl, "flock", sweep_first)
    mine = temporary_folder("state")
    assert swept == [] and mine.is_dir()
    remove_temporary(mine)
