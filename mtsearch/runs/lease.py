"""The lease of a run in an object store: only one driver at a time may write the run."""

from __future__ import annotations

import getpass
import json
import logging
import os
import socket
import time
import uuid
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.runs import object_store as storage
from mtsearch.runs.object_store import Store

HEARTBEAT = 10.0  # seconds between two heartbeats of an owner
TERM = 60.0  # seconds by the store's clock after which a lease without heartbeat is free
_FOLDER = "lease"
_log = logging.getLogger(__name__)


class LeaseLost(RuntimeError):
    """Another driver owns the run now. One sentence."""


class Lease:
    """The lease of a run, from `take` or `first` to `release`.

    Args:
        store: at the URL of the run.
        number: number of this driver among the drivers of the run, from 1; the fencing token.
    """

    def __init__(self, store: Store, number: int) -> None:
        self.store, self.number, self.token = store, number, uuid.uuid4().hex
        self._renewals = 0
        self.segments = 0  # number of the last segment of events that is in the store

    @classmethod
    def first(cls, store: Store) -> Lease | None:
        """The lease of a new run; None if the run exists already."""
        lease = cls(store, 1)
        return lease if lease._create() else None

    @classmethod
    def take(cls, store: Store) -> Lease:
        """The next lease of an existing run.

        If the owner has not released the lease and its term has not passed, this waits for the next
        heartbeat: the lease of a driver that died is free after at most its term.

        Raises:
            BadInput: the owner is alive; the message names it.
        """
        first: dict[str, Any] | None = None
        since = time.monotonic()
        while True:
            number, found = newest(store)
            if found is None or found["state"] != "held":
                break
            if first is not None and (found["token"], found["beat"]) != (
                first["token"],
                first["beat"],
            ):
                raise BadInput(_driven(store, found))
            age = store.age(_key(number))
            if (time.monotonic() - since if age is None else age) >= found["term"]:
                break
            if first is None:
                first = found
                _log.warning(
                    "%s was driving %s until recently; waiting for its next heartbeat.",
                    _owner(found),
                    store.url,
                )
            time.sleep(min(1.0, found["every"] / 2))
        lease = cls(store, number + 1)
        if not lease._create():
            raise BadInput(_driven(store, newest(store)[1] or {}))
        return lease

    def _create(self) -> bool:
        if not self.store.create(_key(self.number), self._text("held")):
            return False
        if not self.store.exclusive:
            time.sleep(storage.SETTLE)
            return bool(json.loads(self.store.read(_key(self.number)))["token"] == self.token)
        return True

    def renew(self) -> None:
        """Send a heartbeat. Raises LeaseLost if another driver owns the run now.

        If a store that replaces an object in two steps was interrupted between them, the object is
        missing. It is then created again like the first one, so that this driver or one that takes
        the run at the same moment withdraws.
        """
        number, found = newest(self.store)
        self._renewals += 1
        if number < self.number:
            if self._create():
                return
            number, found = newest(self.store)
        if number != self.number or found is None or found["token"] != self.token:
            raise LeaseLost(f"{_owner(found or {})} drives {self.store.url} now.")
        self.store.write(_key(self.number), self._text("held"))

    def release(self) -> None:
        """Free the lease for the next driver immediately."""
        if newest(self.store)[0] == self.number:
            self.store.write(_key(self.number), self._text("released"))

    def _text(self, state: str) -> bytes:
        owner = {"user": _user(), "host": socket.gethostname(), "process": os.getpid()}
        tree = {
            "state": state,
            "owner": owner,
            "token": self.token,
            "beat": self._renewals,
            "segments": self.segments,
        }
        return json.dumps({**tree, "every": HEARTBEAT, "term": TERM}).encode() + b"\n"


def newest(store: Store) -> tuple[int, dict[str, Any] | None]:
    """The number and content of a run's newest lease; 0 and None if there is none. Raises BadInput
    if it is damaged."""
    numbers = [
        int(name.partition(".")[0])
        for name in store.list(_FOLDER)
        if name.partition(".")[0].isdecimal()
    ]
    if not numbers:
        return 0, None
    key = _key(max(numbers))
    try:
        found = json.loads(store.read(key))
        (
            found["state"],
            found["token"],
            found["beat"],
            found["segments"],
            found["every"],
            found["term"],
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadInput(
            f"{store.url}/{key} is not a lease of a run. Delete it if no driver works on the run."
        ) from None
    return max(numbers), found


def _key(number: int) -> str:
    return f"{_FOLDER}/{number:06d}.json"


def _owner(found: dict[str, Any]) -> str:
    owner = found.get("owner", {})
    return (
        f"process {owner.get('process', '?')} of {owner.get('user', '?')} on"
        f" {owner.get('host', '?')}"
    )


def _driven(store: Store, found: dict[str, Any]) -> str:
    return (
        f"the run {store.url} is being driven by {_owner(found)}. Wait for its end or stop it, then"
        " resume again."
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
