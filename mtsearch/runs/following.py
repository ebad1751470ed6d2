"""The events of a run as they are written, for people to read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.runs.events import EventReader
from mtsearch.runs.lease import newest
from mtsearch.runs.managing import is_driven
from mtsearch.runs.object_store import Store, StoreError, is_url
from mtsearch.runs.opening import open_run
from mtsearch.runs.state import RunState

POLL, POLL_URL = 1.0, 10.0  # seconds between two looks at a folder, and at an object store


def follow(address: str, sleep: Callable[[float], None] = time.sleep) -> Iterator[str]:
    """A line about the run so far, then one for each event that is written, until nothing drives
    the run.

    Args:
        address: folder or URL of the run.
        sleep: waits this number of seconds.

    Raises:
        BadInput: there is no run, or it cannot be read.
    """
    run = open_run(address)
    url = is_url(address)
    alive: Callable[[], bool] = _Owned(address) if url else lambda: is_driven(Path(address))
    reader = EventReader(run.events_path)
    state = RunState()
    for event in reader.read_new():
        state.fold(event, reader.line)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(state.states.items()) if count)
    seen = reader.line
    yield f"so far: {counts or 'no trial'}"
    while True:
        driven = alive()  # before the events are read, so that the last ones are not missed
        if url:  # the copy is made again
            run = open_run(address)
            reader = EventReader(run.events_path)
        for event in reader.read_new():
            if reader.line > seen:
                seen = reader.line
                yield describe(event)
        if not driven:
            yield "nothing drives the run"
            return
        sleep(POLL_URL if url else POLL)


class _Owned:
    """Whether a driver owns the lease of a run in an object store and renews it."""

    def __init__(self, address: str) -> None:
        self._store = Store(address)
        self._last: tuple[Any, Any] | None = None
        self._since = 0.0

    def __call__(self) -> bool:
        try:
            _, found = newest(self._store)
        except StoreError as error:
            raise BadInput(f"the run cannot be read: {error}") from None
        if found is None or found["state"] != "held":
            return False
        beat, now = (found["token"], found["beat"]), time.monotonic()
        if beat != self._last:
            self._last, self._since = beat, now
        return bool(now - self._since < float(found["term"]))


def describe(event: Mapping[str, Any]) -> str:
    """One line about an event."""
    kind, trial = event["event"], event.get("trial", "")
    metrics = event.get("metrics") or {}
    shown = "  ".join(
        f"{name} {value:.4g}"
        for name, value in metrics.items()
        if name.startswith(("val/", "test/"))
        and name.endswith("/error")
        and isinstance(value, int | float)
    )
    more = {
        "report": f"{event.get('report', '')}  {shown}",
        "test": shown,
        "end": " ".join(str(event.get(key) or "") for key in ("state", "reason")),
        "note": str(event.get("note", "")),
        "stop": str(event.get("reason", "")),
    }.get(kind, "")
    return f"{kind:<7} {trial} {more}".rstrip()
