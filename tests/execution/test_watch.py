"""When a server of Ray counts as dead, with real sockets and without Ray."""

import errno
import socket
import threading

import pytest

from mtsearch.execution import watch


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def clock(monkeypatch):
    """The time, which a test sets."""
    now = [100.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    return now


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()


def test_server_is_dead_after_two_refusals_apart(clock):
    server = watch.Server("the head", closed_port())
    assert not server.is_dead() and server.suspect
    clock[0] += 0.1
    assert not server.is_dead(), "two refusals at nearly the same time are one"
    clock[0] += 0.2
    assert server.is_dead() and server.reason.startswith("the head at 127.0.0.1:")


def test_one_refusal_between_accepted_connections_is_ignored(clock, listener, monkeypatch):
    server = watch.Server("the head", listener.getsockname())
    connect = socket.create_connection
    for _ in range(3):
        monkeypatch.setattr(watch.socket, "create_connection", refuse)
        assert not server.is_dead() and server.suspect
        clock[0] += 1
        monkeypatch.setattr(watch.socket, "create_connection", connect)
        assert not server.is_dead() and not server.suspect
        clock[0] += 1


def test_lack_of_file_handles_is_no_death(clock, listener, monkeypatch):
    server = watch.Server("the head", listener.getsockname())
    monkeypatch.setattr(watch.socket, "create_connection", lack_handles)
    for _ in range(10):
        clock[0] += 1
        assert not server.is_dead() and not server.suspect


@pytest.mark.parametrize("report", [lambda reason: None, lambda reason: 1 / 0])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_dead_server_ends_the_process_whatever_the_report(monkeypatch, report):
    ended = threading.Event()
    monkeypatch.setattr(watch, "_servers", lambda: {"the head": closed_port()})
    monkeypatch.setattr(watch, "end_process", ended.set)
    with watch.ClusterWatch(report).watching():
        assert ended.wait(20)


def test_exception_of_a_dead_server_ends_the_process(monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(watch, "INTERVAL", 60.0)  # the thread does not check
    monkeypatch.setattr(watch, "_servers", lambda: {"the head": closed_port()})
    monkeypatch.setattr(watch, "end_process", ended.set)
    with (
        pytest.raises(RuntimeError, match="lost"),
        watch.ClusterWatch(lambda reason: None).watching(),
    ):
        raise RuntimeError("lost")
    assert ended.is_set()


def refuse(address, timeout):
    raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")


def lack_handles(address, timeout):
    raise OSError(errno.EMFILE, "too many open files")
