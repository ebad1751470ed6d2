"""The thread of a driver that keeps the copy of a run in its object store current: segments of
events, deletions, heartbeats. See `mtsearch.runs.object_store`."""

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
from mtsearch.runs.checkpoints import is_checkpoint
from mtsearch.runs.lease import Lease, LeaseLost
from mtsearch.runs.object_store import Store, StoreError

_FOLDER = "events"
LONGEST_WAIT = 60.0  # seconds between two attempts at most, and of attempts at the last upload


class EventUploader:
    """Uploads what is appended to an event log as numbered segments, in a thread of its own.

    Args:
        lease: held by this driver; its heartbeats are sent here.
        path: of the log.
        segment: number of the last segment in the store.
        offset: bytes of the log that are in the store.
        every: seconds between two uploads of events that are not urgent; 0 for none.
        after: called in the thread whenever the store works again after it had failed, with a
            function that it should call between its requests.
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
        self.path = path
        self._lease, self._store = lease, lease.store
        self._segment, self._offset, self._every, self._after = segment, offset, every, after
        # folders of checkpoints to delete, once the events so far are in the store
        self._deletions: deque[str] = deque()
        self._files: deque[str] = deque()  # to upload before the events that follow them
        self._lock = threading.Lock()  # held during one exchange with the store
        self._wake, self._closed = threading.Event(), threading.Event()
        self._sent = self._last_heartbeat = time.monotonic()
        self.failing: str | None = None
        self.lost: str | None = None
        self.messages: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Upload what there is, now and in the background."""
        self._wake.set()

    def delete_later(self, folder: str) -> None:
        """Delete a folder of checkpoints, after the events so far are in the store."""
        self._deletions.append(folder)
        self.wake()

    def upload_later(self, name: str) -> None:
        """Upload a file of the log's folder, before the next events."""
        self._files.append(name)

    def send(self, seconds: float = 0.0) -> None:
        """Upload everything now, with attempts for so many seconds. Raises StoreError; LeaseLost
        where another driver has the run."""
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

    def heartbeat(self, at_once: bool = False) -> None:
        """Renew the lease if that is due. Raises StoreError, LeaseLost."""
        if at_once or time.monotonic() - self._last_heartbeat >= leases.HEARTBEAT:
            self._lease.renew()
            self._last_heartbeat = time.monotonic()

    def stop(self) -> None:
        """End the thread, after the exchange that it is in."""
        self._closed.set()
        self._wake.set()
        self._thread.join()

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        wait = 0.5
        while not self._closed.is_set() and self.lost is None:
            now = time.monotonic()
            due = self._last_heartbeat + leases.HEARTBEAT - now
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
            except Exception as error:  # StoreError; the thread must not end on anything else
                self._fails(error)
                self._closed.wait(wait)
                wait = min(2 * wait, LONGEST_WAIT)

    def _fails(self, error: Exception) -> None:
        if self.failing is None:
            self.messages.put(f"{error} The run continues in {self.path.parent} and tries again.")
        self.failing = str(error)

    def _exchange(self) -> None:
        with self._lock:
            if self.lost is not None:
                raise LeaseLost(self.lost)
            try:
                self.heartbeat(at_once=self.failing is not None)
                # deletions that are added meanwhile may depend on events that are not sent yet
                ready = len(self._deletions)
                while self._files:
                    self.heartbeat()
                    self._store.upload(self.path.parent / self._files[0], self._files[0])
                    self._files.popleft()
                self._segments()
                for _ in range(ready):
                    self.heartbeat()
                    folder = self._deletions[0]
                    names = [name for name in self._store.list(folder) if is_checkpoint(name)]
                    self._store.remove([f"{folder}/{name}" for name in names])
                    self._deletions.popleft()
                if self.failing:
                    self.failing = None
                    self.messages.put(f"{self._store.url} works again; everything is in it.")
                    self._after(self.heartbeat)
            except LeaseLost as error:
                self.lost = str(error)
                raise

    def _segments(self) -> None:
        with self.path.open("rb") as file:
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
    """Create a segment of whole lines. Returns how many bytes of them it holds: fewer where an
    earlier attempt made it whose answer was lost; None where another driver made it."""
    head = {"segment": number, "lease": lease.number, "token": lease.token, "bytes": len(body)}
    key = _key(number)
    if lease.store.create(key, json.dumps(head).encode() + b"\n" + body):
        return len(body)
    found = _head(lease.store.read(key))
    return int(found["bytes"]) if found is not None and found["token"] == lease.token else None


def fence(lease: Lease) -> int:
    """Create an empty segment after all others, so that no earlier driver can add one. Returns its
    number."""
    while True:
        number = max(_numbers(lease.store), default=0) + 1
        if write_segment(lease, number, b"") is not None:
            lease.segments = number
            return number


def read_segments(store: Store) -> bytes:
    """The events of a run, one a line. Raises BadInput where a segment is damaged or missing."""
    # read before the list, which may be longer
    known = (leases.newest(store)[1] or {"segments": 0})["segments"]
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
                f"{store.url}/{key} is damaged: it contains {len(body)} bytes, not what was"
                " written."
                " Restore it from a copy."
            )
        bodies.append(body)
    return b"".join(bodies)


def _head(text: bytes) -> dict[str, Any] | None:
    """The first line of a segment, which describes it; None where it is damaged."""
    try:
        found = json.loads(text.partition(b"\n")[0])
        found["segment"] + found["bytes"], found["token"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return dict(found)


def _numbers(store: Store) -> list[int]:
    return sorted(
        int(name.partition(".")[0])
        for name in store.list(_FOLDER)
        if name.partition(".")[0].isdecimal()
    )


def _key(number: int) -> str:
    return f"{_FOLDER}/{number:08d}.jsonl"
