"""Disks that break under a daemon that has its files open, for real: an ext4 that went read-only for an error, one that is gone as
after a power cut, a full one, and files that are removed or replaced."""

import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
import urllib.request

import pytest

from conftest import TOKEN, wait_for
from test_analytics import line
from test_health import DOCKER, Away, durable, health_on, metric, post, ready, said, started_on, store

FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, b"\2\0\0\0"


class OnExt4(Away):
    """In a mount namespace of its own, with an ext4 where the state is."""

    def __init__(self, folder, settings, bus=None):
        image = folder / "disk"
        with open(image, "wb") as file:
            file.truncate(32 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        self.device = subprocess.check_output(["losetup", "-f", "--show", image], text=True).strip()
        super().__init__(folder, settings, "errors=remount-ro", bus, self.device)

    def error(self):
        """What the kernel does when it finds something wrong."""
        with open(f"/sys/fs/ext4/{os.path.basename(self.device)}/trigger_fs_error", "w") as file:
            file.write("as when a block is bad")

    def cut(self):
        """Nothing reaches the device any more, not even what the file system has taken."""
        state = os.open(self.state, os.O_RDONLY)
        fcntl.ioctl(state, EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH)
        os.close(state)

    def freeze(self, frozen=True):
        """Whoever writes there waits."""
        state = os.open(self.state, os.O_RDONLY)
        fcntl.ioctl(state, FIFREEZE if frozen else FITHAW, 0)
        os.close(state)

    def repair(self):
        self.run("umount", self.folder / "state")  # which does not go with a file open on it
        assert subprocess.run(["e2fsck", "-fp", self.device], capture_output=True).returncode in (0, 1)
        self.run("mount", "-o", "errors=remount-ro", self.device, self.folder / "state")

    def open_files(self):
        found = []
        for name in os.listdir(f"/proc/{self.process.pid}/fd"):
            try:
                found.append(os.readlink(f"/proc/{self.process.pid}/fd/{name}"))
            except FileNotFoundError:
                pass
        return [path for path in found if f"{self.folder}/state" in path]


@pytest.fixture
def on_ext4(tmp_path):
    started = []

    def start(settings, bus=None):
        started.append(OnExt4(tmp_path, settings, bus))
        return started[0]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop()
        subprocess.run(["losetup", "-d", one.device], check=True)


def put_app(one, slug):
    request = urllib.request.Request(f"http://127.0.0.1:{one.port()}/api/app-gateway/apps/{slug}", method="PUT",
                                     data=json.dumps({"hosts": [f"{slug}.example"]}).encode(),
                                     headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
    assert urllib.request.urlopen(request, timeout=10).status == 201


def write_lines(log, n, number=0):
    with open(log, "a") as file:
        for i in range(n):
            file.write(line(number + i))


COUNT = """
import sqlite3, sys
print(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute("SELECT ifnull(sum(requests), 0) FROM rollups").fetchone()[0])
"""


def counted(one):
    """As the disk has it; None: there is none yet."""
    inside = (*one.inside, one.process.pid) if hasattr(one, "inside") else ()
    answer = subprocess.run(list(map(str, (*inside, "/usr/bin/python3", "-c", COUNT, one.folder / "state/analytics.db"))),
                            capture_output=True, text=True)
    return int(answer.stdout) if answer.returncode == 0 else None


def analytics_error(one):
    return ready(one)[1].get("analytics")


@pytest.mark.parametrize("how", ["error", "cut"])
def test_a_broken_file_system_is_let_go_of_and_gone_on_with(on_ext4, docker, stream, bus, tmp_path, how):
    log = tmp_path / "access.log"
    log.write_text("")
    one = on_ext4({**DOCKER, "sources.docker.socket": docker.socket, "analytics.enabled": "true", "analytics.files": log}, bus)
    one.up("docker")
    reader = stream(one)
    put_app(one, "shop")
    acknowledged = [post(one, f"before {i}")[1]["seq"] for i in range(20)]
    write_lines(log, 50)
    wait_for(lambda: counted(one) == 50, 10, "the lines")
    wait_for(lambda: ready(one)[0] == 200, 10, "ready")
    assert one.open_files()

    getattr(one, how)()
    said_so = "Read-only file system" if how == "error" else "Input/output error"
    docker.run(f"{how}1", "true")
    write_lines(log, 30, 50)
    state = wait_for(lambda: store(one) if store(one)["state"] == "failing" and store(one)["waiting"] > 1 else None, 20, "failing")
    wait_for(lambda: store(one)["error"] == said_so, 10, "its word")  # what is under way may end in another one
    assert state["lost"] == 0 and state["since"]
    begin = time.monotonic()
    assert post(one, "refused")[0] == 503 and time.monotonic() - begin < 3
    wait_for(lambda: analytics_error(one), 10, "analytics, too")
    assert ready(one)[0] == 503 and one.get("/health")[0] == 200
    assert metric(one, 'virtwatch_store_writes{store="events"}') == metric(one, 'virtwatch_store_writes{store="analytics"}') == 0
    assert metric(one, "virtwatch_ready") == 0 and metric(one, "virtwatch_journal_queued") >= 2
    assert health_on(bus) == "store-failing"
    assert said(one, "The event store cannot write, events wait in memory: ") == 1
    wait_for(lambda: said(one, f"The request analytics cannot be stored: {said_so}") == 1, 5, "that line")
    wait_for(lambda: not one.open_files(), 30, "nothing open there")
    docker.run(f"{how}2", "true")
    if how == "error":  # what can be read is
        assert {event["seq"] for event in one.events(action="noted")} == set(acknowledged)
        assert not one.open_files()
    assert not started_on(one, f"{how}1") if how == "error" else True

    one.repair()
    wait_for(lambda: ready(one)[0] == 200, 30, "ready again")
    wait_for(lambda: said(one, "The event store writes again; 0 events were lost") == 1, 5, "the line")
    wait_for(lambda: started_on(one, f"{how}1") and started_on(one, f"{how}2"), 10, "the events")
    acknowledged.append(post(one, "after")[1]["seq"])
    sequence = []
    while not sequence or sequence[-1] < acknowledged[-1]:
        sequence.append(reader.next()["seq"])
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))
    kept = durable(one)
    assert set(acknowledged) <= set(kept), kept
    wait_for(lambda: health_on(bus) == "ok", 10, "health")
    wait_for(lambda: (counted(one) or 0) >= 80, 20, "all lines")
    time.sleep(1.5)
    assert counted(one) == 80
    assert json.loads(one.get("/api/app-gateway/apps/shop")[1])["hosts"] == ["shop.example"]


def test_a_disk_that_hangs_holds_nobody_up_for_long(on_ext4):
    one = on_ext4({})
    assert post(one, "before")[0] == 201
    one.freeze()
    try:
        assert post(one, "waits", 2)[0] is None  # it is not known yet that it hangs
        state = wait_for(lambda: store(one) if store(one)["state"] == "slow" else None, 20, "slow")
        assert ready(one)[0] == 503 and one.get("/health")[0] == 200 and state["waiting"] >= 1 and state["lost"] == 0
        for i in range(20):
            begin = time.monotonic()
            status, _ = post(one, f"refused {i}", 2)
            assert status == 503 and time.monotonic() - begin < 3
        wait_for(lambda: said(one, "The disk of the event store has not answered for 5 s") == 1, 5, "that line")
    finally:
        one.freeze(False)
    wait_for(lambda: ready(one)[0] == 200, 15, "ready again")
    status, row = post(one, "after")
    assert status == 201 and durable(one) == list(range(1, row["seq"] + 1))
    assert [event["message"] for event in one.events(action="noted")] == ["before", "waits", "after"]


def test_a_disk_that_hangs_under_analytics_is_told_and_holds_no_reload_up(on_ext4, tmp_path):
    def configure(days):
        # other names, too, for which a certificate would be made
        config.write_text(json.dumps({"analytics": {"files": [str(log)], "retention_days": days}, "http": {"tls": {"names": [f"n{days}.example"]}}}))
        one.process.send_signal(signal.SIGHUP)

    log, config = tmp_path / "access.log", tmp_path / "virtwatch.yaml"
    write_lines(log, 10)
    config.write_text(json.dumps({"analytics": {"files": [str(log)]}}))
    one = on_ext4({"--config": config})
    put_app(one, "shop")
    wait_for(lambda: counted(one) == 10, 10, "the lines")
    one.freeze()
    try:
        write_lines(log, 10, 10)
        wait_for(lambda: analytics_error(one), 20, "its word")
        assert ready(one)[0] == 503 and metric(one, 'virtwatch_store_writes{store="analytics"}') == 0
        configure(300)
        wait_for(lambda: said(one, "Configuration not reloaded") == 1, 5, "a refusal")
        begin = time.monotonic()
        assert one.get("/health")[0] == 200 and time.monotonic() - begin < 3
    finally:
        one.freeze(False)
    wait_for(lambda: ready(one)[0] == 200, 15, "ready again")
    configure(301)
    wait_for(lambda: said(one, "Configuration reloaded") == 1, 10, "a reload")
    wait_for(lambda: counted(one) == 20, 10, "all lines")
    names = subprocess.run(["openssl", "x509", "-noout", "-text", "-in", one.state / "tls/server.pem"], check=True, capture_output=True, text=True)
    assert "n301.example" in names.stdout


def test_full_disks_keep_analytics_waiting_and_whole(tmp_path, docker):
    log = tmp_path / "access.log"
    log.write_text("")
    one = Away(tmp_path, {**DOCKER, "sources.docker.socket": docker.socket, "analytics.enabled": "true", "analytics.files": log}, "size=2m")
    try:
        one.up("docker")
        write_lines(log, 100)
        wait_for(lambda: counted(one) == 100, 10, "the lines")
        with open(one.state / "filler", "wb", buffering=0) as filler, pytest.raises(OSError):
            while True:
                filler.write(b"x" * 4096)
        written = 100
        while not analytics_error(one):  # what the log has room for still
            write_lines(log, 20, written)
            written += 20
            time.sleep(0.3)
            assert written < 10000
        assert ready(one)[0] == 503 and one.get("/health")[0] == 200
        assert "No space left" in (one.folder / "virtwatchd.log").read_text()
        write_lines(log, 40, written)
        time.sleep(2.5)
        assert analytics_error(one)
        (one.state / "filler").unlink()
        wait_for(lambda: ready(one)[0] == 200, 20, "ready again")
        wait_for(lambda: (counted(one) or 0) >= written + 40, 10, "all lines")
        time.sleep(1.5)
        assert counted(one) == written + 40
        assert said(one, "The request analytics are stored again") == 1
    finally:
        one.stop()


def remove_files(one, folder):
    for name in ("events.db", "analytics.db"):
        (folder / name).unlink()


def remove_folder(one, folder):
    shutil.rmtree(folder)


def replace_files(one, folder):
    for name in ("events.db", "analytics.db"):
        (one.folder / f"old-{name}").rename(folder / name)


@pytest.mark.parametrize("act", [remove_files, remove_folder, replace_files])
def test_what_is_removed_or_replaced_under_it_is_gone_on_with(daemon, tmp_path, act):
    log = tmp_path / "access.log"
    log.write_text("")
    one = daemon({"analytics.enabled": "true", "analytics.files": log})
    folder = one.folder / "state"
    put_app(one, "shop")
    early = post(one, "early")[1]["seq"]
    write_lines(log, 10)
    wait_for(lambda: counted(one) == 10, 10, "the lines")
    for name in ("events.db", "analytics.db"):  # a backup
        with sqlite3.connect(folder / name) as database:
            database.execute("VACUUM INTO ?", (str(one.folder / f"old-{name}"),))
        database.close()
    late = [post(one, f"late {i}")[1]["seq"] for i in range(5)]

    act(one, folder)
    status, row = post(one, "after")
    assert status == 201 and row["seq"] > late[-1]
    write_lines(log, 7, 10)
    wait_for(lambda: (folder / "analytics.db").exists() and counted(one) == 17, 20, "the lines")
    wait_for(lambda: said(one, "The event journal was removed or replaced") == 1, 15, "the line")
    wait_for(lambda: said(one, "The request analytics were removed or replaced") == 1, 15, "that line")
    wait_for(lambda: ready(one)[0] == 200, 10, "ready")
    assert {event["seq"] for event in one.events(action="noted")} == {row["seq"]} | ({early} if act is replace_files else set())

    # It is there after a kill, and so is what people told the daemon.
    one.kill()
    (one.folder / "http.sock").unlink(missing_ok=True)
    one.start()
    assert row["seq"] in {event["seq"] for event in one.events(action="noted")}
    assert json.loads(one.get("/api/app-gateway/apps/shop")[1])["hosts"] == ["shop.example"]
    assert post(one, "at last")[1]["seq"] > row["seq"]
    write_lines(log, 3, 17)
    wait_for(lambda: counted(one) == 20, 20, "the lines")


def test_files_removed_while_idle_are_noticed(daemon):
    one = daemon({})
    post(one, "one")
    remove = [path for path in (one.folder / "state").iterdir() if path.name.startswith("events.db")]
    for path in remove:
        path.unlink()
    wait_for(lambda: (one.folder / "state/events.db").exists(), 25, "another one")
    wait_for(lambda: said(one, "The event journal was removed or replaced") == 1, 5, "the line")
    assert ready(one)[0] == 200
