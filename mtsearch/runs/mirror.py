"""What a driver does beside its work to keep a run in a store: segments of events, deletions, signs
of life. See `storage`."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.runs import lease as leases
from mtsearch.runs.lease import Lease, LeaseLost
from mtsearch.runs.object_store import Store, StoreError

_FOLDER = "events"
PATIENCE = (
    60.0  # seconds between two attempts at most, and in which the last upload of a run is tried
)


class Mirror:
    """Sends what is appended to `path`, from byte `offset` on, as segments from number `segment +
    1` on, in a thread of its own.

    Args:
        lease: held; its signs of life are given here.
        every: seconds in which events that are not urgent are sent.
        after: called in the thread whenever the store answers again after it had failed, with what
            it should call between its exchanges.
    """

    def __init__(
        self,
        lease: Lease,
        path: Path,
        *,
        segment: int,
        offset: int,
        every: float,
        after: Callable[[Callable[[], None]], None],
    ) -> None:
        self._lease, self._store, self._path = lease, lease.store, path
        self._segment, self._offset, self._every, self._after = segment, offset, every, after
        self._drops: deque[str] = (
            deque()
        )  # folders of the store to be deleted, once the events so far are in it
        self._lock = threading.Lock()  # over one exchange with the store
        self._wake, self._closed = threading.Event(), threading.Event()
        self._sent = self._beaten = time.monotonic()
        self.failing: str | None = None
        self.lost: str | None = None
        self.news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def wake(self) -> None:
        """Send what there is, at once and in the background."""
        self._wake.set()

    def drop(self, folder: str) -> None:
        """Delete a folder of the store, after the events so far are in it."""
        self._drops.append(folder)
        self.wake()

    def send(self, seconds: float = 0.0) -> None:
        """Send everything now, trying again for so many seconds. Raises StoreError; LeaseLost where
        another driver has the run."""
        until, wait = time.monotonic() + seconds, 0.5
        while True:
            try:
                return self._exchange()
            except StoreError as error:
                self._fails(error)
                if time.monotonic() + wait > until:
                    raise
            time.sleep(wait)
            wait = min(2 * wait, 10.0)

    def sign(self, at_once: bool = False) -> None:
        """Give the lease's sign of life if one is due, between exchanges that keep the thread from
        it. Raises StoreError, LeaseLost."""
        if at_once or time.monotonic() - self._beaten >= leases.BEAT:
            self._lease.beat()
            self._beaten = time.monotonic()

    def stop(self) -> None:
        """End the thread; what it is at is waited for."""
        self._closed.set()
        self._wake.set()
        self._thread.join()

    # ------------------------------------------------------------ the thread

    def _live(self) -> None:
        wait = 0.5
        while not self._closed.is_set() and self.lost is None:
            now = time.monotonic()
            due = self._beaten + leases.BEAT - now
            if self._every > 0:
                due = min(due, self._sent + self._every - now)
            if self.failing is None:
                self._wake.wait(max(due, 0.0))
            self._wake.clear()
            if self._closed.is_set():
                return
            try:
                self._exchange()
                wait = 0.5
            except LeaseLost:
                return
            except (
                Exception
            ) as error:  # StoreError; and whatever else happens must not end in silence
                self._fails(error)
                self._closed.wait(wait)
                wait = min(2 * wait, PATIENCE)

    def _fails(self, error: Exception) -> None:
        if self.failing is None:
            self.news.put(f"{error} The run goes on in {self._path.parent} and tries again.")
        self.failing = str(error)

    def _exchange(self) -> None:
        with self._lock:
            if self.lost is not None:
                raise LeaseLost(self.lost)
            try:
                self.sign(at_once=self.failing is not None)
                ready = len(
                    self._drops
                )  # what comes meanwhile may depend on events that are not sent yet
                self._segments()
                for _ in range(ready):
                    self.sign()
                    folder = self._drops[0]
                    self._store.remove([f"{folder}/{name}" for name in self._store.list(folder)])
                    self._drops.popleft()
                if self.failing:
                    self.failing = None
                    self.news.put(f"{self._store.url} answers again; everything is in it.")
                    self._after(self.sign)
            except LeaseLost as error:
                self.lost = str(error)
                raise

    def _segments(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            body = file.read()
        body = body[: body.rfind(b"\n") + 1]
        while body:
            taken = write_segment(self._lease, self._segment + 1, body)
            if taken is None:
                raise LeaseLost(f"another driver has written to {self._store.url}.")
            self._segment += 1
            self._offset += taken
            self._lease.segments = self._segment
            body = body[taken:]
        self._sent = time.monotonic()


def write_segment(lease: Lease, number: int, body: bytes) -> int | None:
    """Make a segment of whole lines. Returns how many bytes of them it holds: fewer where an
    earlier attempt, whose answer was lost, made it; None where another driver did."""
    head = {"segment": number, "lease": lease.number, "token": lease.token, "bytes": len(body)}
    key = _key(number)
    if lease.store.create(key, json.dumps(head).encode() + b"\n" + body):
        return len(body)
    found = _head(lease.store.read(key))
    return int(found["bytes"]) if found is not None and found["token"] == lease.token else None


def fence(lease: Lease) -> int:
    """Make an empty segment behind all others, so that no earlier driver can add one. Returns its
    number."""
    while True:
        number = max(_numbers(lease.store), default=0) + 1
        if write_segment(lease, number, b"") is not None:
            lease.segments = number
            return number


def read_segments(store: Store) -> bytes:
    """The events of a run, one a line. Raises BadInput where a segment is damaged or missing."""
    known = (leases.newest(store)[1] or {"segments": 0})[
        "segments"
    ]  # before the list, which may be longer
    numbers = _numbers(store)
    absent = sorted(set(range(1, max([known, *numbers], default=0) + 1)) - set(numbers))
    if absent:
        raise BadInput(
            f"{store.url}/{_FOLDER} lacks segment {absent[0]:08d}. Restore it from a copy of the"
            " run."
        )
    found = store.read_all(_key(number) for number in numbers)
    bodies = []
    for key, text in found.items():
        head, body = _head(text), text.partition(b"\n")[2]
        if head is None or head["bytes"] != len(body) or key != _key(head["segment"]):
            raise BadInput(
                f"{store.url}/{key} is damaged: it holds {len(body)} bytes, not what was written."
                " Restore it from a copy."
            )
        bodies.append(body)
    return b"".join(bodies)


def _head(text: bytes) -> dict[str, Any] | None:
    """The first line of a segment, which describes it; None where it is none."""
    try:
        found = json.loads(text.partition(b"\n")[0])
        found["segment"] + found["bytes"], found["token"]
    except (ValueError, KeyError, TypeError):
        return None
    return dict(found)


def _numbers(store: Store) -> list[int]:
    return sorted(
        int(name.partition(".")[0])
        for name in store.list(_FOLDER)
        if name.partition(".")[0].isdigit()
    )


def _key(number: int) -> str:
    return f"{_FOLDER}/{number:08d}.jsonl"
