"""The private files of a local cluster: Ray's session folder and its authentication token."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mtsearch.config.errors import BadInput
from mtsearch.config.temporary import remove_temporary, sweep_temporary, temporary_folder
from mtsearch.execution import compat

PREFIX = "mtsearch-ray-"
# bytes; Ray puts sockets some 66 bytes below its folder, and a socket's name has at most 107
LONGEST_FOLDER = 40


@contextmanager
def session_folder() -> Iterator[Path]:
    """A new folder for Ray's session that only this user can read; it is deleted at the end.

    It is made in `RAY_TMPDIR` or the system's temporary folder, or in ``/tmp`` where the latter's
    name is too long for a socket. Folders of this user whose driver was killed are deleted first.
    Raises BadInput where no folder can be made.
    """
    parent = _parent()
    sweep_temporary(parent)
    folder = temporary_folder("ray", parent)
    targets = prometheus_targets(parent)
    _link(targets, folder / "prom_metrics_service_discovery.json")
    try:
        yield folder
    finally:
        if targets.is_symlink() and Path(os.readlink(targets)).parent == folder:
            targets.unlink(missing_ok=True)
        remove_temporary(folder)


def prometheus_targets(parent: Path) -> Path:
    """The file of this user that lists the metrics servers of the newest local cluster, for
    `file_sd_configs` of a Prometheus server: a link into the session's folder."""
    return parent / f"mtsearch-prometheus-{os.getuid()}.json"


def _link(path: Path, target: Path) -> None:
    """Make `path` a link to `target`, in place of an older link of this user."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):  # metrics are scraped by whoever wants to; a search does not need them
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(path)


def _parent() -> Path:
    chosen = os.environ.get("RAY_TMPDIR")
    if chosen:
        if not _usable(chosen):
            raise BadInput(
                f"`RAY_TMPDIR` should be a folder that can be written to, with a name of at most"
                f" {LONGEST_FOLDER - len(PREFIX) - 9} bytes, as Ray makes sockets in it. Found"
                f" {chosen}. Name another folder, or unset it."
            )
        return Path(chosen)
    for folder in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"):
        if _usable(folder):
            return Path(folder)
    raise BadInput(
        f"Ray needs a temporary folder that can be written to, with a short name. Found"
        f" {tempfile.gettempdir()}. Set `RAY_TMPDIR` to one, such as /tmp."
    )


def _usable(folder: str) -> bool:
    length = len(os.fsencode(folder)) + len(PREFIX) + 9  # a separator and the random part
    return length <= LONGEST_FOLDER and os.access(folder, os.W_OK | os.X_OK)


def prepare_token() -> None:
    """Make sure that a cluster with token authentication has a token that only this user can read.

    A token file that others can read is set to mode 0600. Without a token, a new one is written to
    ``~/.ray/auth_token`` with that mode, or kept in `RAY_AUTH_TOKEN` where the home folder cannot
    be written to (as with ``docker --user``).
    """
    if not compat.enable_token_auth():
        return
    path = Path.home() / ".ray" / "auth_token"
    if compat.has_token():
        if "RAY_AUTH_TOKEN" not in os.environ:
            _restrict(Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or path))
        return
    token = secrets.token_hex(32)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(token)
    except OSError:
        os.environ["RAY_AUTH_TOKEN"] = token
    compat.has_token()  # updates Ray's cached result


def _restrict(path: Path) -> None:
    with suppress(OSError):
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
