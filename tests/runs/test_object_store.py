"""Objects, leases and segments on a real S3-compatible server, without Ray."""

import contextlib
import itertools
import json
import threading
import time

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.config.space import Space
from mtsearch.jobs.run import Run
from mtsearch.runs import lease as leases
from mtsearch.runs import object_store as storage
from mtsearch.runs import uploader as uploaders
from mtsearch.runs.events import EventLog
from mtsearch.runs.lease import Lease, LeaseLost
from mtsearch.runs.object_store import Missing, Store, StoreError
from mtsearch.runs.opening import check_results, create_run, named_run, open_run
from mtsearch.runs.pending import pending_folder, upload_pending
from mtsearch.runs.uploader import EventUploader, fence, read_segments, write_segment
from tests.helpers.spaces import space


@pytest.fixture
def store(url):
    found = Store(url)
    found.check()
    return found


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(leases, "HEARTBEAT", 0.3)
    monkeypatch.setattr(leases, "TERM", 2.0)
    monkeypatch.setattr(uploaders, "LONGEST_WAIT", 20.0)


# ---------------------------------------------------------------- objects


def test_objects_are_written_listed_read_and_deleted(store, tmp_path):
    store.write("a/1", b"one")
    (tmp_path / "two").write_bytes(b"two!")
    store.upload(tmp_path / "two", "a/deep/2")
    assert store.list("a") == {"1": 3, "deep/2": 4} and store.list("none") == {}
    assert store.read_all(["a/1", "a/deep/2"]) == {"a/1": b"one", "a/deep/2": b"two!"}
    store.remove(["a/1", "a/none"])
    assert store.list("a") == {"deep/2": 4}
    with pytest.raises(Missing, match="a/1 does not exist"):
        store.read("a/1")
    assert 0 <= store.age("a/deep/2") < 60


def test_only_one_of_many_creates_an_object(store):
    assert store.exclusive
    won = []
    threads = [
        threading.Thread(
            target=lambda n=n: won.append(n) if store.create("one", b"%d" % n) else None
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and store.read("one") == b"%d" % won[0]
    assert store.create("one", b"%d" % won[0]), "the answer to an earlier attempt was lost"


def test_servers_without_exclusive_creates_are_detected(store, monkeypatch):
    other = Store(store.url)
    pipe = other._files.pipe_file
    monkeypatch.setattr(other._files, "pipe_file", lambda path, data, mode=None: pipe(path, data))
    other.check()
    assert not other.exclusive
    assert other.create("x", b"1") and not other.create("x", b"2") and other.read("x") == b"1"


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("s3://nobucket/x", "names a bucket or folder that does not exist"),
        ("memory://x", "would be lost when its process ends"),
        ("file:///tmp/x", "Write the path without `file://`"),
        ("sftp://me:secret@host/x", "contains a URL with a password"),
        ("gss://bucket", "Did you mean `gs`"),
        ("simplecache::s3://bucket", "no protocol that fsspec knows"),
    ],
)
def test_invalid_urls_are_refused(server, root, words):
    with pytest.raises(BadInput, match=words):
        check_results(space(root))


def test_a_reader_is_refused(url, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "readsecret")
    storage.fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(BadInput, match=r"may not be written to \(Access Denied"):
        check_results(space(url))
    storage.fsspec.filesystem("s3").clear_instance_cache()


def test_a_server_that_is_not_there_is_refused(store_ports, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    storage.fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(BadInput, match=r"`results.root` cannot be reached: .*Could not connect"):
        check_results(space("s3://bucket/x"))
    storage.fsspec.filesystem("s3").clear_instance_cache()


def test_missing_clients_are_named_with_their_extra(monkeypatch):
    def missing(*arguments, **settings):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(storage.fsspec.core, "url_to_fs", missing)
    with pytest.raises(BadInput, match=r"not installed. Install it: pip install 'mtsearch\[s3\]'"):
        Store("s3://bucket/x")


# ---------------------------------------------------------------- the lease


def test_second_drivers_are_refused_with_the_owner(store, quick, caplog):
    first = Lease.first(store)
    assert Lease.first(store) is None
    stop = threading.Event()
    thread = threading.Thread(
        target=lambda: [first.renew() for _ in iter(lambda: stop.wait(0.2), True)]
    )
    thread.start()
    with pytest.raises(
        BadInput,
        match=r"is being driven by process \d+ of \S+ on \S+\. Wait for its end or stop it",
    ):
        Lease.take(store)
    stop.set()
    thread.join()
    assert "waiting for its next heartbeat" in caplog.text
    first.release()
    assert Lease.take(store).number == 2


def test_silent_owners_lose_the_lease(store, quick):
    first = Lease.first(store)
    began = time.monotonic()
    second = Lease.take(store)
    assert second.number == 2 and time.monotonic() - began < 20
    with pytest.raises(LeaseLost, match="drives"):
        first.renew()
    first.release()
    second.renew()


def test_clocks_of_machines_play_no_part(store, quick, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    first = Lease.first(store)
    first.renew()
    assert Lease.take(store).number == 2


def test_only_one_concurrent_driver_gets_the_lease(store, quick):
    Lease.first(store).release()
    got = []

    def take():
        try:
            got.append(Lease.take(store).number)
        except BadInput:
            got.append(None)

    threads = [threading.Thread(target=take) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got, key=str) == [2, None, None, None, None]


# ---------------------------------------------------------------- segments


def test_whoever_lost_the_run_can_add_no_segment(store):
    first = Lease.first(store)
    assert write_segment(first, 1, b'{"event":"a","time":1}\n') == 23
    assert write_segment(first, 1, b'{"event":"a","time":1}\n{"event":"b","time":1}\n') == 23, (
        "the answer to an attempt was lost"
    )
    second = Lease(store, 2)
    assert fence(second) == 2
    assert write_segment(first, 2, b'{"event":"late","time":1}\n') is None
    assert write_segment(second, 3, b'{"event":"b","time":1}\n') == 23
    assert read_segments(store) == b'{"event":"a","time":1}\n{"event":"b","time":1}\n'


def test_missing_and_damaged_segments_are_named(store):
    one = Lease.first(store)
    for number in (1, 2, 3):
        write_segment(one, number, b'{"event":"a","time":1}\n')
        one.segments = number
    one.renew()
    whole = store.read("events/00000002.jsonl")
    store.write("events/00000002.jsonl", whole[:-5])
    with pytest.raises(BadInput, match=r"events/00000002.jsonl is damaged: it contains 18 bytes"):
        read_segments(store)
    store.remove(["events/00000002.jsonl"])
    with pytest.raises(BadInput, match="lacks segment 00000002"):
        read_segments(store)
    store.write("events/00000002.jsonl", whole)
    store.remove(["events/00000003.jsonl"])
    with pytest.raises(BadInput, match="lacks segment 00000003"):
        read_segments(store)


@pytest.fixture
def mirrored(store, quick, tmp_path):
    """An event log that is uploaded: (log, mirror)."""
    log = EventLog(tmp_path / "events.jsonl")
    log.append("run")
    found = EventUploader(
        Lease.first(store), log.path, segment=0, offset=0, every=0, after=lambda sign: None
    )
    found.start()
    yield log, found
    found.stop()
    log.close()


def test_urgent_events_precede_deletions(store, mirrored):
    log, mirror = mirrored
    store.write("checkpoints/0000/0123abcd-00000001.zip", b"1")
    log.append("end", trial="0000")
    mirror.delete_later("checkpoints/0000")
    until = time.monotonic() + 20
    while store.list("checkpoints") and time.monotonic() < until:
        time.sleep(0.05)
    assert store.list("checkpoints") == {} and read_segments(store) == log.path.read_bytes()


def test_a_torn_last_line_is_not_sent(store, mirrored):
    log, mirror = mirrored
    with log.path.open("ab") as file:
        file.write(b'{"event": "tor')
    mirror.send()
    assert b"tor" not in read_segments(store)


@pytest.mark.parametrize("how", ["gone", "mute"])
def test_everything_is_uploaded_after_a_store_failure(server, store, mirrored, how, monkeypatch):
    log, mirror = mirrored
    mirror.send()
    monkeypatch.setitem(store._files.config_kwargs, "read_timeout", 2)
    server.kill_gateway() if how == "gone" else server.pause()
    try:
        log.append("end", trial="0000")
        mirror.wake()
        if how == "gone":
            line = mirror.messages.get(timeout=60)
            assert "The run continues in" in line and str(log.path.parent) in line
            with pytest.raises(StoreError):
                mirror.send()
    finally:
        server.start() if how == "gone" else server.go_on()
        server.wait()
    mirror.send(60)
    assert read_segments(store) == log.path.read_bytes() and mirror.failing is None
    assert how == "mute" or "works again" in mirror.messages.get(timeout=1)


def test_drivers_without_lease_stop_uploading(store, mirrored):
    log, mirror = mirrored
    mirror.send()
    fence(Lease(store, 2))
    log.append("end", trial="0000")
    with pytest.raises(LeaseLost):
        mirror.send()
    assert mirror.lost and b"0000" not in read_segments(store)


# ---------------------------------------------------------------- runs


def made(url):
    return create_run(space(url), {"checksum": "abc", "dataset": "none"}, name="toy")


def test_runs_are_created_and_read_at_urls(url, quick):
    run = made(url)
    assert run.address.startswith(f"{url}/toy/2") and run.name == run.address.rpartition("/")[2]
    with run:
        run.log.append("start", trial="0000", kind="search", config={}, params={}, attempt=1)
        (run.path / "front.csv").write_text("a,b\n")
        (run.path / "pictures").mkdir()
        (run.path / "pictures" / "front.png").write_bytes(b"png")
        assert run.flush() is None
    found = open_run(run.address)
    assert [event["event"] for event in found.events()] == ["run", "start"]
    assert found.space.raw == run.space.raw and found.environment == {
        "checksum": "abc",
        "dataset": "none",
    }
    names = set(Store(run.address).list(""))
    assert {
        "config.yaml",
        "environment.json",
        "front.csv",
        "pictures/front.png",
        "lease/000001.json",
    } <= names
    assert not {
        name for name in names if "journal" in name or name.startswith(("events.jsonl", "."))
    }
    assert json.loads(Store(run.address).read("lease/000001.json"))["state"] == "released"


def test_reloaded_run_has_later_events(url, quick):
    with create_run(space(url), {"dataset": "sample"}, name="toy") as run:
        first = Run(open_run(run.address))
        fields = {"kind": "search", "control": None, "params": {}, "study": {}, "attempt": 1}
        run.log.append("start", trial="0000", config={"seed": 0}, **fields)
        run.flush()
        assert not first.directory.state().trials
        assert list(first.reload().directory.state().trials) == ["0000"]


def test_runs_of_one_second_get_separate_urls(url):
    addresses = [made(url).address for _ in range(3)]
    assert len(set(addresses)) == 3


def test_unsent_events_are_found_on_the_same_machine(url, quick, server, monkeypatch, tmp_path):
    run = made(url)
    with run:
        run.flush()
    run = open_run(run.address).drive()
    run.__enter__()
    run.storage._uploader.stop()
    run.log.append("resume", changes={"search.trials": 9})
    copy = run.path
    with (
        monkeypatch.context() as patched
    ):  # another machine does not have the data and changes nothing
        patched.setenv("MTSEARCH_SCRATCH", str(tmp_path))
        with open_run(run.address).drive() as other:
            assert [event["event"] for event in other.events()] == ["run"]
    with open_run(run.address).drive() as found:
        assert [event["event"] for event in found.events()] == ["run", "resume"]
        assert found.flush() is None
    assert open_run(run.address).config.search.trials == 9
    assert not copy.exists()


def test_what_is_no_run_is_refused(url):
    with pytest.raises(BadInput, match=r"is not a run directory: .*config.yaml does not exist"):
        open_run(f"{url}/toy/none")


def test_named_runs_are_created_once(url, quick):
    named = Space({**space(url).raw, "results": {"root": url, "run": "first"}})
    assert named_run(named) is None
    Lease.first(Store(f"{url}/toy/first"))  # its driver died before its first event
    assert named_run(named) is None
    run = create_run(named, {"checksum": "abc", "dataset": "none"}, name="toy")
    with run:
        assert run.flush() is None
    assert named_run(named).address == run.address == f"{url}/toy/first"
    with pytest.raises(BadInput, match=r"`results.run` names a run that exists: s3://bucket/"):
        check_results(named)
    with pytest.raises(BadInput, match="begun with other settings"):
        named_run(Space({**named.raw, "search": {**named.raw["search"], "seed": 7}}))


# ------------------------------------------------------ file systems that do not create exclusively


def test_non_exclusive_stores_write_atomically(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "SETTLE", 0.2)
    store = Store(f"file://{tmp_path}/prefix")
    store.check()
    assert not store.exclusive
    store.write("a/1", b"one")
    store.write("a/1", b"two")
    assert store.list("a") == {"1": 3} and [
        p.name for p in (tmp_path / "prefix" / "a").iterdir()
    ] == ["1"]
    assert store.create("b", b"1") and not store.create("b", b"2")
    first = Lease.first(store)
    assert first is not None and Lease.first(store) is None
    made = []
    # All read before one of them writes.
    monkeypatch.setattr(Store, "_read_or_none", lambda self, key: None)
    threads = [
        threading.Thread(target=lambda: made.append(Lease(store, 2)._create())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made.count(True) == 1


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A store without exclusive creates, which writes objects under another name and renames
    them."""
    monkeypatch.setattr(storage, "SETTLE", 0.0)
    return Store(f"file://{tmp_path}/prefix")


def answers_lost(store, monkeypatch, method):
    """Make the calls of a client's method succeed and then raise."""
    call = getattr(store._files, method)

    def lose(*arguments, **settings):
        with contextlib.suppress(FileNotFoundError):
            call(*arguments, **settings)
        raise ConnectionResetError("the answer was lost")

    monkeypatch.setattr(store._files, method, lose)


def test_a_move_whose_answer_was_lost_has_happened(elsewhere, monkeypatch):
    elsewhere.write("a", b"one")
    answers_lost(elsewhere, monkeypatch, "mv")
    elsewhere.write("a", b"two")
    assert elsewhere.create("b", b"new")
    assert elsewhere.read("a") == b"two" and elsewhere.list("") == {"a": 3, "b": 3}


def test_objects_survive_unconfirmed_moves(elsewhere, monkeypatch):
    elsewhere.write("a", b"one")
    with monkeypatch.context() as patched:
        answers_lost(elsewhere, patched, "mv")
        answers_lost(elsewhere, patched, "info")
        with pytest.raises(StoreError, match="a cannot be written: the answer was lost"):
            elsewhere.write("a", b"two")
    assert elsewhere.read("a") == b"two"


def test_objects_are_replaced_without_overwriting_moves(elsewhere, monkeypatch):
    move = elsewhere._files.mv

    def onto_nothing(old, new):
        if elsewhere._files.exists(new):
            raise FileExistsError(new)
        move(old, new)

    monkeypatch.setattr(elsewhere._files, "mv", onto_nothing)
    elsewhere.write("a", b"one")
    elsewhere.write("a", b"two")
    assert elsewhere.read("a") == b"two" and elsewhere.list("") == {"a": 3}


def test_owners_restore_leases_lost_in_replacement(elsewhere):
    Lease.first(elsewhere).release()
    owner = Lease.take(elsewhere)
    for lost in ("lease/000002.json", "lease/000001.json"):
        elsewhere.remove(["lease/000002.json", lost])
        owner.renew()
        owner.renew()
        assert json.loads(elsewhere.read("lease/000002.json"))["token"] == owner.token


def test_owners_with_lost_leases_withdraw(elsewhere, monkeypatch):
    owner = Lease.first(elsewhere)
    elsewhere.remove(["lease/000001.json"])
    other = Lease.first(elsewhere)
    with pytest.raises(LeaseLost, match="drives"):
        owner.renew()
    elsewhere.remove(["lease/000001.json"])
    write = elsewhere.write  # both read before either writes, and the other one writes last
    monkeypatch.setattr(
        leases.time, "sleep", lambda seconds: write("lease/000001.json", other._text("held"))
    )
    with pytest.raises(LeaseLost, match="drives"):
        owner.renew()


@pytest.fixture
def slow(elsewhere, monkeypatch, tmp_path):
    """A mirror of that store, and the times of its heartbeats; each deletion and upload takes seven
    seconds of a simulated clock."""
    clock, signs = [0.0], [0.0]

    def take(*arguments):
        clock[0] += 7.0

    class Signed(Lease):
        def renew(self):
            super().renew()
            signs.append(clock[0])

    monkeypatch.setenv("MTSEARCH_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(uploaders.time, "monotonic", lambda: clock[0])
    keys = {f"{number:04d}": "key" for number in range(30)}
    found = EventUploader(
        Signed.first(elsewhere),
        tmp_path / "events.jsonl",
        segment=0,
        offset=0,
        every=0,
        after=lambda sign: upload_pending(elsewhere, keys, sign),
    )
    found.path.write_text("")
    monkeypatch.setattr(Store, "remove", take)
    monkeypatch.setattr(Store, "upload", take)
    yield found, signs, clock


def test_owners_send_heartbeats_while_deleting(slow):
    mirror, signs, clock = slow
    for trial in range(30):
        mirror.delete_later(f"checkpoints/{trial:04d}")
    mirror.send()
    assert clock[0] == 210 and not mirror._deletions
    assert max(b - a for a, b in itertools.pairwise([*signs, clock[0]])) < leases.HEARTBEAT + 10


def test_owners_send_heartbeats_during_delayed_uploads(slow):
    mirror, signs, clock = slow
    for trial in range(30):
        waiting = pending_folder(mirror._store.url) / f"{trial:04d}" / "key-00000001.zip"
        waiting.parent.mkdir(parents=True)
        waiting.write_bytes(b"state")
    mirror.failing = "it was away"
    mirror.send()
    assert clock[0] == 210 and not list(pending_folder(mirror._store.url).glob("*/*.zip"))
    assert max(b - a for a, b in itertools.pairwise([*signs, clock[0]])) < leases.HEARTBEAT + 10


def test_owners_without_lease_delete_nothing(slow):
    mirror, _, clock = slow
    for trial in range(30):
        mirror.delete_later(f"checkpoints/{trial:04d}")
    assert Lease(mirror._store, 2)._create()
    with pytest.raises(LeaseLost):
        mirror.send()
    assert clock[0] == 14 and len(mirror._deletions) == 28 and mirror.lost
