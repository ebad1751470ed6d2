"""SIGINT and SIGTERM during a search or a training. Only the main thread can handle signals; in
other threads nothing changes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interrupt_event() -> Iterator[threading.Event]:
    """An event that is set by the first SIGINT or SIGTERM. The second signal raises
    KeyboardInterrupt; later ones are ignored, so that the end of a run is always printed."""
    event = threading.Event()
    count = 0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        event.set()
        if count == 2:
            raise KeyboardInterrupt

    with _handled_by(stop):
        yield event


@contextmanager
def raise_on_interrupt() -> Iterator[None]:
    """Make SIGINT and SIGTERM raise KeyboardInterrupt, independent of the handlers that an earlier
    search in this process has installed."""
    with _handled_by(signal.default_int_handler):
        yield


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Restore the handlers of SIGINT and SIGTERM at the end of the block: `ray.init` replaces that
    of SIGTERM, at which a search would end without its tables and last lines."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
