"""Whether it can be relied on, and what it says of that: a full disk, one that cannot be written, a database that is newer, a
loop that is held up, and systemd's watchdog."""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import pytest

from conftest import BUILD, TOKEN, Daemon, wait_for
from test_apps import send
from test_tls import ask, connect, make_authority, make_certificate, ports, read_until, settings, trusted
from test_tokens import TOKENS, Reader, mint

EVENTS = "/api/app-gateway/events/shop"
DOCKER = {"sources.docker.enabled": "true"}


class Away(Daemon):
    """In a mount namespace of its own, with a small file system where the state is."""

    def __init__(self, folder, settings, options, bus=None, device="-t tmpfs tmpfs"):
        (folder / "state").mkdir()
        self.before = ("unshare", "-m", "sh", "-c", f'mount -o {options} {device} "$0" && exec "$@"', folder / "state")
        self.inside = ("nsenter", "-m", "-t")
        super().__init__(folder, settings, bus)

    def run(self, *args):
        return subprocess.run(list(map(str, (*self.inside, self.process.pid, *args))), check=True, capture_output=True, text=True)

    @property
    def state(self):
        return pathlib.Path(f"/proc/{self.process.pid}/root{self.folder}/state")


@pytest.fixture
def away(tmp_path):
    started = []

    def start(settings, options, bus=None):
        started.append(Away(tmp_path, settings, options, bus))
        return started[0]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop()


def post(one, text, seconds=10):
    request = urllib.request.Request(f"http://127.0.0.1:{one.port()}{EVENTS}", method="POST",
                                     data=json.dumps({"kind": "noted", "message": text, "metadata": {"fill": "x" * 4000}}).encode(),
                                     headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except TimeoutError:
        return None, {}


def ready(one):
    status, text = one.get("/ready")
    return status, json.loads(text)


def store(one):
    return ready(one)[1]["store"]


def metric(one, name):
    return next(float(line.rsplit(" ", 1)[1]) for line in one.get("/metrics")[1].splitlines() if line.startswith(name + " "))


def said(one, text):
    return (one.folder / "virtwatchd.log").read_text(errors="replace").count(text)


def health_on(bus):
    return json.loads(subprocess.check_output(
        ["busctl", f"--address={bus}", "--json=short", "get-property", "org.virtwatch1", "/org/virtwatch1",
         "org.virtwatch1.Manager", "Health"], text=True))["data"]


def client_says(one):
    answer = subprocess.run([BUILD / "src/virtwatch", "status", "--host", f"unix:{one.folder}/http.sock"], capture_output=True,
                            text=True)
    return answer.returncode, next(line for line in answer.stdout.splitlines() if line.startswith("Store"))


def started_on(one, name):
    return [e for e in one.events(name=name) if e["action"] == "started"]


def fill(one):
    with open(one.state / "filler", "wb", buffering=0) as filler, pytest.raises(OSError):
        while True:
            filler.write(b"x" * 4096)


def test_a_full_disk_stops_nothing_but_the_storing(away, docker, stream, bus):
    one = away({**DOCKER, "sources.docker.socket": docker.socket}, "size=2m", bus)
    one.up("docker")
    reader = stream(one)
    acknowledged = [post(one, "before")[1]["seq"]]
    wait_for(lambda: ready(one)[0] == 200, 10, "ready")
    assert store(one)["state"] == "ok" and health_on(bus) == "ok" and client_says(one) == (0, "Store      ok")

    fill(one)
    number, unanswered = 0, 0
    while ready(one)[0] == 200:  # what the log has room for still
        status, row = post(one, f"filling {number}", 2)
        number += 1
        assert status in (201, 503, None) and number < 500
        unanswered += status is None
        if status == 201:
            acknowledged.append(row["seq"])
    assert unanswered <= 1  # it is stored when there is room again
    begin = time.monotonic()
    assert post(one, "refused")[0] == 503 and time.monotonic() - begin < 3
    docker.run("full1", "true")
    docker.run("full2", "true")
    state = wait_for(lambda: store(one) if store(one)["waiting"] > 3 else None, 20, "events wait")
    assert state["state"] == "failing" and state["error"] == "No space left on device" and state["since"] and state["lost"] == 0
    assert health_on(bus) == "store-failing"
    code, line = client_says(one)
    assert code == 1 and line.startswith("Store      failing: No space left on device, ") and line.endswith(" waiting in memory")
    assert one.get("/health")[0] == 200
    assert metric(one, 'virtwatch_store_writes{store="events"}') == 0 and metric(one, "virtwatch_ready") == 0
    wait_for(lambda: metric(one, "virtwatch_journal_queued") == store(one)["waiting"], 10, "the same number")
    assert not started_on(one, "full1")
    time.sleep(7)  # more tries, no more lines
    assert said(one, "cannot write, events wait") == 1

    (one.state / "filler").unlink()
    wait_for(lambda: ready(one)[0] == 200, 15, "ready again")
    wait_for(lambda: said(one, "The event store writes again") == 1, 5, "the line")
    wait_for(lambda: started_on(one, "full1") and started_on(one, "full2"), 10, "the events")
    acknowledged.append(post(one, "after")[1]["seq"])
    sequence = []
    while not sequence or sequence[-1] < acknowledged[-1]:
        sequence.append(reader.next()["seq"])
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))
    assert wait_for(lambda: health_on(bus) == "ok", 5, "health")
    assert set(acknowledged) <= set(durable(one))


def durable(one, question="SELECT seq FROM events ORDER BY seq"):
    """What is on the disk, as it would be found after a kill now: the events' numbers."""
    with tempfile.TemporaryDirectory(dir=one.folder) as copy:
        os.kill(one.process.pid, signal.SIGSTOP)
        wait_for(lambda: all(pathlib.Path(task, "stat").read_text().rsplit(") ", 1)[1][0] == "T"
                             for task in pathlib.Path(f"/proc/{one.process.pid}/task").iterdir()), 10, "all of it stands still")
        for suffix in ("", "-wal"):
            shutil.copy(one.state / f"events.db{suffix}", f"{copy}/events.db{suffix}")
        os.kill(one.process.pid, signal.SIGCONT)
        database = sqlite3.connect(f"{copy}/events.db")
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        numbers = [row[0] for row in database.execute(question)]
        database.close()
        return numbers


def test_a_token_is_revoked_on_a_full_disk_too(away):
    one = away({}, "size=2m")
    leaked, other = mint(one, "leaked"), mint(one, "other")
    fill(one)
    number = 0
    while ready(one)[0] == 200:
        post(one, f"filling {number}", 2)
        number += 1
    reader, begin = Reader(one, leaked), time.monotonic()
    code, answer = send(one, "DELETE", f"{TOKENS}/leaked")
    assert code == 202 and "in force no more" in answer["message"] and time.monotonic() - begin < 3, answer
    assert reader.ended(5) < 3
    assert one.get("/api/v1/workloads", token=leaked)[0] == 401 and one.get("/api/v1/workloads", token=other)[0] == 200
    assert [row["name"] for row in send(one, "GET", TOKENS)[1]] == ["other"]
    assert send(one, "POST", TOKENS, {"name": "more", "scopes": ["read"]})[0] == 503
    client = [BUILD / "src/virtwatch", "--host", f"unix:{one.folder}/http.sock", "token", "revoke", "other"]
    said_so = subprocess.run(client, capture_output=True, text=True, timeout=20)
    assert said_so.returncode == 0 and "in force no more" in said_so.stderr, said_so

    (one.state / "filler").unlink()
    wait_for(lambda: ready(one)[0] == 200, 15, "ready again")
    wait_for(lambda: durable(one, "SELECT id FROM documents WHERE kind = 'token'") == [], 10, "an end on the disk")
    assert [event["token_name"] for event in one.events(name="api", action="token_revoked")] == ["leaked", "other"]
    mint(one, "leaked")


def test_what_cannot_be_written_at_start_is_watched_and_stored_later(away, docker, stream):
    one = away({**DOCKER, "sources.docker.socket": docker.socket}, "size=8m,ro")
    one.up("docker")
    state = store(one)
    assert ready(one)[0] == 503 and state["state"] == "memory" and state["error"] == "Read-only file system"
    assert client_says(one)[1].startswith("Store      memory: Read-only file system, ")
    assert post(one, "refused")[0] == 503
    reader = stream(one)
    docker.run("readonly1", "false")
    seen = []
    while not seen or seen[-1]["action"] != "died":
        seen.append(reader.next())
        if seen[-1]["name"] != "readonly1":
            seen.pop()
    assert [event["action"] for event in seen][-2:] == ["started", "died"]
    assert one.get("/api/v1/events?limit=1")[0] == 503 and one.get("/health")[0] == 200

    one.run("mount", "-o", "remount,rw", one.folder / "state")
    wait_for(lambda: ready(one)[0] == 200, 15, "ready")
    assert {event["seq"] for event in seen} <= set(durable(one))
    assert [e["seq"] for e in one.events(name="readonly1")] == [e["seq"] for e in seen]
    status, row = post(one, "after")
    assert status == 201 and row["seq"] > seen[-1]["seq"] and row["seq"] in durable(one)
    wait_for(lambda: said(one, "The event store writes again") == 1, 5, "the line")
    assert said(one, "events are in memory only") == 1


@pytest.mark.parametrize("analytics", [False, True])
def test_a_newer_database_is_left_alone(daemon, docker, stream, analytics, tmp_path):
    log = tmp_path / "access.log"
    log.write_text("")
    settings = {**DOCKER, "sources.docker.socket": docker.socket}
    if analytics:
        settings.update({"analytics.enabled": "true", "analytics.files": log})
    one = daemon(settings)
    one.up("docker")
    assert ready(one)[0] == 200
    one.stop()
    path = one.folder / "state" / ("analytics.db" if analytics else "events.db")
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    before = path.read_bytes()
    (one.folder / "http.sock").unlink(missing_ok=True)
    one.start()
    one.up("docker")
    status, answer = ready(one)
    assert status == 503
    reader = stream(one)
    name = f"newer{int(analytics)}"
    docker.run(name, "false")
    while (event := reader.next())["name"] != name or event["action"] != "died":
        pass
    if analytics:
        assert answer["analytics"] and answer["store"]["state"] == "ok" and post(one, "taken")[0] == 201
        assert metric(one, 'virtwatch_store_writes{store="analytics"}') == 0
    else:
        assert answer["store"]["state"] == "memory" and "newer version" in answer["store"]["error"]
        assert post(one, "refused")[0] == 503
    assert path.read_bytes() == before
    if analytics:
        path.unlink()
        wait_for(lambda: ready(one)[0] == 200, 25, "a new one")


def test_nobody_is_told_that_a_token_is_none_while_tokens_cannot_be_read(daemon):
    one = daemon()
    token = mint(one, "ci")
    one.stop()

    def write_version(number):
        with contextlib.closing(sqlite3.connect(one.folder / "state/events.db")) as database:
            before = database.execute("PRAGMA user_version").fetchone()[0]
            database.execute(f"PRAGMA user_version = {number}")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return before

    version = write_version(99)
    one.start()
    assert store(one)["state"] == "memory"
    for _ in range(30):
        status, text = one.get("/api/v1/workloads", token=token)
        assert status == 503 and "tokens cannot be looked up" in text
    assert one.get("/api/v1/workloads", token="vw_nonsense")[0] == 401 and one.get("/api/v1/workloads")[0] == 200
    assert metric(one, 'virtwatch_auth_failures_total{reason="malformed"}') == 1 and 'reason="unknown"' not in one.get("/metrics")[1]
    write_version(version)
    wait_for(lambda: one.get("/api/v1/workloads", token=token)[0] == 200, 15, "the token")


def test_a_corrupt_database_is_set_aside_and_all_but_its_events_is_kept(daemon):
    one = daemon()
    request = urllib.request.Request(f"http://127.0.0.1:{one.port()}/api/app-gateway/apps/shop", method="PUT",
                                     data=b'{"hosts": ["shop.example"]}',
                                     headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
    assert urllib.request.urlopen(request, timeout=10).status == 201
    numbers = [post(one, f"one {i}")[1]["seq"] for i in range(60)]
    one.stop()
    path = one.folder / "state/events.db"
    data = bytearray(path.read_bytes())
    half = len(data) // 2 // 4096 * 4096
    data[half:half + 65536] = os.urandom(65536)
    path.write_bytes(data)
    (one.folder / "http.sock").unlink(missing_ok=True)
    one.start()
    assert ready(one)[0] == 200 and said(one, "was corrupt") == 1
    assert json.loads(one.get("/api/app-gateway/apps/shop")[1])["hosts"] == ["shop.example"]
    assert post(one, "after")[1]["seq"] > numbers[-1]
    assert [p for p in (one.folder / "state").iterdir() if ".corrupt-" in p.name]


# ---- the loop ----

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, PTRACE_DETACH, WALL = 16, 17, 0x40000000


class Held:
    """Threads of a process, stopped by ptrace: the others go on. ptrace belongs to one thread, so all of it is done on this."""

    def __init__(self, threads):
        self.threads = threads

    def __enter__(self):
        for thread in self.threads:
            assert libc.ptrace(PTRACE_ATTACH, thread, None, None) == 0, os.strerror(ctypes.get_errno())
            os.waitpid(thread, WALL)

    def __exit__(self, *_):
        for thread in self.threads:
            assert libc.ptrace(PTRACE_DETACH, thread, None, None) == 0


class Systemd:
    """The socket that NOTIFY_SOCKET names."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.told = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            text = self.socket.recv(4096).decode()
            self.told += [(time.monotonic(), line) for line in text.splitlines()]

    def pings(self, since=0.0):
        return [at for at, line in self.told if line == "WATCHDOG=1" and at > since]

    def status(self):
        return next((line[7:] for _, line in reversed(self.told) if line.startswith("STATUS=")), None)


@pytest.fixture
def watched(tmp_path):
    started = []

    def start(settings):
        systemd = Systemd(tmp_path / "notify")
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
        started.append(Daemon(tmp_path, settings, environment=environment))
        return started[0], systemd

    yield start
    for one in started:
        one.stop()


def test_a_loop_that_is_held_up_says_so_and_is_not_vouched_for(watched):
    one, systemd = watched({})
    wait_for(lambda: len(systemd.pings()) >= 3, 10, "pings")
    assert [line for _, line in systemd.told].count("READY=1") == 1
    assert one.get("/health")[0] == 200
    begin = time.monotonic()
    with Held([one.process.pid]):
        begin = time.monotonic() + 0.1
        time.sleep(6)
        status, text = one.get("/health")  # by somebody else
        answer = json.loads(text)
        assert status == 503 and answer["status"] == "late" and answer["held_up_secs"] in (6, 7), answer
        assert set(answer) == {"status", "uptime_secs", "version", "held_up_secs"}
        assert one.get("/healthz")[0] == one.get("/ready")[0] == one.get("/api/v1/events")[0] == 503
        assert not systemd.pings(begin)
    status, text = one.get("/health")
    answer = json.loads(text)
    assert status == 503 and answer["status"] == "late" and answer["held_up_secs"] in (6, 7)
    wait_for(lambda: one.get("/metrics")[0] == 200, 5, "the loop")
    assert metric(one, "virtwatch_loop_stalls_total") == 1 and said(one, "The loop was held up for") == 1
    wait_for(lambda: one.get("/health")[0] == 200, 8, "health")
    wait_for(lambda: systemd.pings(begin), 5, "pings again")


def test_a_loop_that_is_held_up_says_so_over_tls_too(daemon, tmp_path):
    """By the listener's own certificate and to its own clients; one that says nothing holds up the others for a second."""
    authority = make_authority(tmp_path, "clients")
    good = make_certificate(tmp_path, authority, "good", "clientAuth")
    one = daemon(settings(tmp_path, "127.0.0.1:0 tls=on", http__tls__client_ca=authority[1]))
    port, stranger, context = ports(one)[1], trusted(one), trusted(one)
    context.load_cert_chain(good[1], good[0])
    old = trusted(one)
    old.load_cert_chain(good[1], good[0])
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert ask(port, "/health", context)[0] == 200
    with Held([one.process.pid]):
        time.sleep(6)
        for each in (context, old):
            status, text = ask(port, "/health", each)
            answer = json.loads(text)
            assert status == 503 and answer["status"] == "late" and answer["held_up_secs"] >= 5, answer
            assert ask(port, "/metrics", each)[0] == 503
        with pytest.raises(OSError):
            ask(port, "/health", stranger)
        with connect(port, context) as client:  # in two pieces, to the end of it
            client.sendall(b"GET /healthz HTTP/1.1\r\n")
            client.sendall(b"Host: x\r\n\r\n")
            assert read_until(client, b"held_up_secs").startswith(b"HTTP/1.1 503 ")
            assert client.recv(1000) == b""
        begin = time.monotonic()
        silent = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(2)]
        silent[1].sendall(b"\x16\x03\x01\x02\x00\x01")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            plain.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert ask(port, "/health", context)[0] == 503
            assert 1.5 < time.monotonic() - begin < 9
            try:
                assert b"held_up_secs" not in plain.recv(1000)  # not in clear
            except ConnectionResetError:
                pass
        for client in silent:
            client.close()
    wait_for(lambda: ask(port, "/health", context)[0] == 200, 10, "health")
    assert one.get("/health")[0] == 200


def test_the_writer_is_vouched_for_too(watched):
    one, systemd = watched({})
    wait_for(lambda: systemd.pings(), 10, "pings")
    others = [int(t) for t in os.listdir(f"/proc/{one.process.pid}/task") if int(t) != one.process.pid]
    assert others
    with Held(others):
        wait_for(lambda: not systemd.pings(time.monotonic() - 3), 40, "no pings")
        assert one.get("/health")[0] == 200  # the loop itself turns
        assert said(one, "The thread that writes events is gone or stuck") == 1
    begin = time.monotonic()
    wait_for(lambda: systemd.pings(begin), 15, "pings again")


def test_a_libvirtd_that_hangs_stops_no_ping_and_is_not_ready(watched, tmp_path):
    hung = socket.socket(socket.AF_UNIX)
    hung.bind(str(tmp_path / "libvirt-sock"))
    hung.listen()
    one, systemd = watched({"sources.libvirt.enabled": "true", "sources.libvirt.required": "true",
                            "sources.libvirt.uris": f"qemu+unix:///system?socket={tmp_path}/libvirt-sock"})
    begin = time.monotonic()
    assert ready(one)[0] == 503
    time.sleep(12)
    pings = systemd.pings(begin)
    assert len(pings) >= 12 and max(b - a for a, b in zip(pings, pings[1:])) < 1.5
    assert one.get("/health")[0] == 200 and ready(one)[0] == 503
    up, of = map(int, systemd.status().split(";")[0].split(" ")[1:4:2])
    assert up < of and systemd.status().endswith(" sources; store ok; not ready")
    hung.close()
