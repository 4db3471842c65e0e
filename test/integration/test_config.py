"""The configuration of a living daemon: checked, shown, and gone over to while containers run and readers follow."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from conftest import BUILD, Daemon, Libvirt, TOKEN, wait_for
from dbus_peers import NAME, Bus, Client

VIRTWATCHD = BUILD / "src/virtwatchd"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def metric(daemon, name):
    for line in daemon.get("/metrics")[1].splitlines():
        if line.startswith(name + " "):
            return float(line.rsplit(" ", 1)[1])
    return None


class Configured(Daemon):
    """All its settings stand in a file."""

    def __init__(self, folder, settings, bus=None, environment=None):
        self.path = folder / "virtwatch.yaml"
        self.variables = environment
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(folder / "notify"))
        self.notified.settimeout(20)
        super().__init__(folder, settings, bus)

    def text(self, changes=None):
        lines = []
        for key, value in {**self.settings, **(changes or {})}.items():
            section, name = key.rsplit(".", 1)
            line = f"{json.dumps(name)}: {value if isinstance(value, list) else json.dumps(str(value))}"
            for part in reversed(section.split(".")):
                line = f"{json.dumps(part)}: {{{line}}}"
            lines.append((key, line))
        return lines

    def write(self, changes=None, raw=None):
        """A file of its own for each key: sections may be given once in one file."""
        folder = self.folder / "conf.d"
        folder.mkdir(exist_ok=True)
        known = set()
        for key, line in self.text(changes):
            known.add(f"{key}.yaml")
            self.replace(folder / f"{key}.yaml", line + "\n")
        for path in folder.glob("*.yaml"):
            if path.name not in known:
                path.unlink()
        self.replace(self.path, raw or "")

    def replace(self, path, text):
        new = path.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o600)
        new.rename(path)

    def start(self):
        self.write()
        self.log = open(self.folder / "virtwatchd.log", "ab")
        self.begin = self.log.tell()
        environment = dict(os.environ, NOTIFY_SOCKET=str(self.folder / "notify"), **(self.variables or {}))
        self.process = subprocess.Popen([str(VIRTWATCHD), "-c", str(self.path)], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, env=environment)
        wait_for(lambda: self.process.poll() is not None or (self.folder / "http.sock").exists() and self.port(), 20, "it listens")
        assert self.process.poll() is None, (self.folder / "virtwatchd.log").read_text()[-2000:]
        self.message("READY=1")

    def message(self, wanted):
        """The next notification that has the word."""
        while True:
            text = self.notified.recv(4096).decode()
            if wanted in text:
                return text

    def reload(self, changes=None, raw=None):
        """Return: whether it was taken, and what systemd is told."""
        self.write(changes, raw)
        self.process.send_signal(signal.SIGHUP)
        begun = self.message("RELOADING=1")
        told = self.message("READY=1")
        assert 0 < int(begun.split("MONOTONIC_USEC=")[1].split()[0]) <= time.monotonic_ns() // 1000
        return "not good" not in told, told

    def listening(self):
        table = subprocess.check_output(["ss", "-Hltnp"], text=True)
        return [line.split()[3] for line in table.splitlines() if f"pid={self.process.pid}," in line]

    def sources(self):
        return json.loads(self.get("/ready")[1])["sources"]

    def state(self, name):
        found = [w for w in self.json("/api/v1/workloads") if w["name"] == name]
        return found[0]["state"] if found else None


@pytest.fixture
def configured(tmp_path):
    started = []

    def start(settings=None, bus=None, environment=None):
        one = Configured(tmp_path, settings or {}, bus, environment)
        started.append(one)
        return one

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop()
        one.notified.close()


def run(*args, environment=None):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=20,
                          env=dict(os.environ, **(environment or {})))


# ---- looking at files ----

def test_all_that_is_wrong_is_said_in_one_go(tmp_path):
    path = tmp_path / "virtwatch.yaml"
    path.write_text("events:\n  oom_rul: evidence\nhttp:\n  connections_max: 3\nstore: {path: here}\n")
    bad = run(VIRTWATCHD, "-c", path, "--check-config", "--set", "nonsense", environment={"VIRTWATCH_LOGGING__LEVEL": "loud"})
    assert bad.returncode == 1 and not bad.stdout
    lines = bad.stderr.splitlines()
    assert lines[0] == f"{path}:2:3: there is no key 'events.oom_rul'; did you mean 'events.oom_rule'?"
    assert lines[1].startswith(f"{path}:4:20: http.connections_max is a number from 16 to 65536")
    assert lines[2].startswith("VIRTWATCH_LOGGING__LEVEL: logging.level is ")
    assert lines[3] == "--set wants KEY=VALUE, not 'nonsense'"
    assert lines[4] == f"{path}:5:15: store.path must be absolute, not 'here'"
    assert len(lines) == 5

    path.write_text("events:\n  oom_rule: evidence\n")
    good = run(VIRTWATCHD, "-c", path, "--check-config")
    assert (good.returncode, good.stderr) == (0, "")
    missing = run(VIRTWATCHD, "-c", tmp_path / "none.yaml", "--check-config")
    assert missing.returncode == 1 and missing.stderr == f"{tmp_path}/none.yaml: No such file or directory\n"
    assert run(VIRTWATCHD, "-c", path, "--show-config=yaml").returncode == 1


@pytest.mark.parametrize("key, value, said", [
    ("http.listen", "foo:bar", "http.listen is not good: an address is ADDRESS:PORT or [ADDRESS]:PORT in numbers, or unix:/PATH, not 'foo:bar'"),
    ("sampler.interval", "soon", "sampler.interval is a span of 100ms to 1h, such as 250ms, 5s or 30d, not 'soon'"),
    ("http.listen", "127.0.0.1:99999", "not '127.0.0.1:99999'"),
    ("http.listen", "unix:relative", "not 'unix:relative'"),
    ("http.listen", "unix:/" + "x" * 120, "too long for a socket's path"),
    ("analytics.listen", "127.0.0.1", "analytics.listen has addresses such as 127.0.0.1:9889 or unix:/PATH, not '127.0.0.1'"),
    ("http.cors_origins", "panel.example", "http.cors_origins has origins such as https://panel.example:8443, without a path, not 'panel.example'"),
    ("http.cors_origins", "https://panel.example/", "not 'https://panel.example/'"),
    ("http.tls.names", "host.example,host_1.example", "http.tls.names has names and addresses such as host.example or 10.0.0.5, not 'host_1.example'"),
    ("http.tls.names", "https://host.example", "not 'https://host.example'"),
    ("http.tls.client_auth", "require", "http.tls.client_auth is given without http.tls.client_ca")])
def test_what_the_daemon_could_not_start_with_is_not_good(key, value, said):
    bad = run(VIRTWATCHD, "--check-config", "--set", f"{key}={value}")
    assert bad.returncode == 1 and bad.stderr.startswith("--set: ") and said in bad.stderr, bad


@pytest.mark.parametrize("key", ["http.tls.certificate", "metrics.web_config"])
def test_a_file_that_cannot_be_used_is_not_good(tmp_path, key):
    def checked():
        return run(VIRTWATCHD, "--check-config", "--set", "http.listen=127.0.0.1:9888 serves=metrics", "--set", f"{key}={named}")
    named = tmp_path / "named"
    bad = checked()
    assert bad.returncode == 1 and bad.stdout == "" and str(named) in bad.stderr and "No such file" in bad.stderr, bad
    named.write_text("nonsense\n")
    bad = checked()
    assert bad.returncode == 1 and bad.stdout == "" and str(named) in bad.stderr and "No such file" not in bad.stderr, bad
    if key == "metrics.web_config":
        named.write_text("{}\n")
        assert checked().stdout == "The configuration is good\n"


def test_files_are_shown_without_a_daemon(tmp_path):
    path = tmp_path / "virtwatch.yaml"
    path.write_text("events:\n  oom_rule: evidence\nhttp: {token: '${secret.t}'}\n")
    (tmp_path / "t").write_text("0123456789abcdef\n")
    shown = run(VIRTWATCHD, "-c", path, "--show-config=json", environment={"CREDENTIALS_DIRECTORY": tmp_path})
    keys = {one["key"]: one for one in json.loads(shown.stdout)}
    assert keys["events.oom_rule"]["value"] == "evidence"
    assert keys["events.oom_rule"]["origin"] == {"from": "file", "name": str(path), "line": 2, "column": 13}
    assert keys["http.token"]["value"] == "***" and keys["http.token"]["secret"]
    text = run(VIRTWATCHD, "-c", path, "--show-config", environment={"CREDENTIALS_DIRECTORY": tmp_path}).stdout
    assert f'events.oom_rule: "evidence"  # file {path}:2:13\n' in text
    assert "0123456789abcdef" not in text + shown.stdout
    alone = run(VIRTWATCHD, "-c", path, "--check-config")
    assert alone.returncode == 1 and f"{path}:3:15: http.token wants the secret 't'" in alone.stderr


def test_a_daemon_shows_what_holds_and_where_it_is_from(configured, tmp_path):
    one = configured(environment={"VIRTWATCH_EVENTS__EVIDENCE_WAIT": "1s"})
    client = BUILD / "src/virtwatch"
    where = f"--host=unix:{tmp_path}/http.sock"
    shown = run(client, where, "config", "show", "--origin")
    assert shown.returncode == 0, shown.stderr
    rows = {line.split()[0]: line for line in shown.stdout.splitlines()}
    assert rows["KEY"].endswith("FROM")
    assert rows["events.evidence_wait"].split(None, 2)[1:] == ["1s", "environment VIRTWATCH_EVENTS__EVIDENCE_WAIT"]
    assert rows["logging.level"].split(None, 1)[1].split() == ["debug", "file", f"{tmp_path}/conf.d/logging.level.yaml:1:22"]
    assert rows["sampler.ring"].split() == ["sampler.ring", "30s", "default"]
    assert rows["http.token"].split()[1] == "***"
    assert "***" not in rows["http.listen"]
    answer = json.loads(run(client, where, "config", "show", "-o", "json").stdout)
    keys = {key["key"]: key for key in answer["keys"]}
    assert keys["events.evidence_wait"]["default"] == "250ms" and keys["store.path"]["reload"] is False
    assert answer["last_reload"]["successful"] is True
    assert TOKEN not in shown.stdout + json.dumps(answer)
    assert "FROM" not in run(client, where, "config", "show").stdout
    assert run(client, where, "config", "list").returncode == 2
    assert one.get("/api/v1/config", token=None)[0] == 401
    one.stop()
    assert "virtwatchd --show-config" in run(client, where, "config", "show").stderr


# ---- going over to another one ----

def test_what_is_wrong_leaves_all_as_it_was(configured, bus):
    one = configured({"events.oom_rule": "evidence"}, bus)
    before = metric(one, "virtwatch_config_last_reload_success_timestamp_seconds")
    assert metric(one, "virtwatch_config_last_reload_successful") == 1 and abs(before - time.time()) < 60

    taken, told = one.reload({"events.oom_rule": "exit-137"}, raw="node:\n  nam: x\n  file_systems: [a]\n")
    assert not taken and f"{one.path}:2:3: there is no key 'node.nam'" in told
    assert metric(one, "virtwatch_config_last_reload_successful") == 0
    assert metric(one, "virtwatch_config_last_reload_success_timestamp_seconds") == before
    keys = {key["key"]: key for key in one.json("/api/v1/config")["keys"]}
    assert keys["events.oom_rule"]["value"] == "evidence" and keys["node.file_systems"]["origin"]["from"] == "default"
    assert one.json("/api/v1/config")["last_reload"]["successful"] is False

    # By D-Bus the error says the same.
    call = ["busctl", f"--address={bus}", "call", "org.virtwatch1", "/org/virtwatch1", "org.virtwatch1.Manager", "Reload"]
    refused = run(*call)
    assert refused.returncode != 0 and f"{one.path}:2:3: there is no key 'node.nam'" in refused.stderr
    assert "not good" in one.message("READY=1")
    log = (one.folder / "virtwatchd.log").read_text()
    assert "the old one stays" in log

    # What waits for a restart is named, and nothing of the rest is taken.
    for key, value in (("store.path", one.folder / "other"), ("dbus.bus", "user"), ("node.name", "other")):
        taken, told = one.reload({key: value, "events.oom_rule": "exit-137"})
        assert not taken and f"{key} cannot change while the daemon runs; restart it" in told
        assert f"conf.d/{key}.yaml:1:" in told
    keys = {key["key"]: key for key in one.json("/api/v1/config")["keys"]}
    assert keys["events.oom_rule"]["value"] == "evidence"

    one.write({"events.oom_rule": "exit-137"})
    assert run(*call).returncode == 0
    assert metric(one, "virtwatch_config_last_reload_successful") == 1
    assert {key["key"]: key["value"] for key in one.json("/api/v1/config")["keys"]}["events.oom_rule"] == "exit-137"


def test_sources_come_and_go(configured, docker, stream):
    one = configured({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket})
    one.up("docker")
    docker("run", "-d", "--network=none", "--name", "cfg-long", "bb:1", "sleep", "1000")
    one.wait_event(name="cfg-long", action="started")
    reader = stream(one, last_id=one.events()[-1]["seq"])
    since = one.sources()["docker"]["since"]

    # What did not change goes on as it is.
    assert one.reload({"sources.units.patterns": "nothing.service", "events.evidence_wait": "1s",
                       "sources.docker.required": "true"})[0]
    assert one.sources()["docker"]["since"] == since and one.sources()["docker"]["required"]
    assert "unit" in one.sources()
    assert metric(one, 'virtwatch_source_reconnects_total{source="docker"}') == 0
    assert one.state("cfg-long") == "running"

    # One that is gone takes what it knew with it; nobody says that anything has stopped.
    assert one.reload({"sources.docker.enabled": "false"})[0]
    assert "docker" not in one.sources() and "unit" not in one.sources()
    assert one.state("cfg-long") == "unknown"
    event = reader.next()
    while event["name"] != "docker":
        event = reader.next()
    assert event["action"] == "source_down" and event["message"] == "No longer configured"
    docker("run", "-d", "--network=none", "--name", "cfg-meanwhile", "bb:1", "sleep", "1000")

    assert one.reload()[0]
    one.up("docker")
    wait_for(lambda: one.state("cfg-long") == "running" and one.state("cfg-meanwhile") == "running", 20, "both are known")
    assert not [e for e in one.events(name="cfg-long") if e["action"] not in ("created", "started")]
    assert one.wait_event(name="cfg-meanwhile", action="started")["synthetic"]

    # Another address is another peer: what it does not list is gone.
    assert one.reload({"sources.docker.socket": "/nowhere/docker.sock"})[0]
    wait_for(lambda: one.sources()["docker"]["state"] == "down", 20, "docker is away")
    assert one.state("cfg-long") == "unknown"
    assert one.reload()[0]
    one.up("docker")
    wait_for(lambda: one.state("cfg-long") == "running", 20, "it is there again")
    docker("rm", "-f", "cfg-long", "cfg-meanwhile")
    assert one.wait_event(name="cfg-long", action="removed")


def test_a_libvirtd_that_hangs_holds_no_reload_up(configured, scratch):
    server = Libvirt(scratch / "lh")
    try:
        server.start()
        one = configured({"sources.libvirt.enabled": "true", "sources.libvirt.uris": server.uri, "sampler.interval": "1s"})
        one.up(f"libvirt:{server.uri}")
        os.kill(server.pid(), signal.SIGSTOP)
        longest, ended = [0.0], threading.Event()

        def ask():
            while not ended.is_set():
                begin = time.monotonic()
                assert one.get("/ready")[0] in (200, 503)  # by the loop itself
                longest[0] = max(longest[0], time.monotonic() - begin)
                time.sleep(0.005)

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(1.5)  # calls are under way
        for wanted in ("false", "true", "false"):
            assert one.reload({"sources.libvirt.enabled": wanted})[0]
            assert (f"libvirt:{server.uri}" in one.sources()) == (wanted == "true")
            time.sleep(1)
        ended.set()
        asking.join()
        assert 0 < longest[0] < 0.5, longest
        assert metric(one, "virtwatch_loop_stalls_total") == 0
        os.kill(server.pid(), signal.SIGCONT)
        assert one.reload({"sources.libvirt.enabled": "true"})[0]
        one.up(f"libvirt:{server.uri}")
    finally:
        if (server.folder / "libvirtd.pid").exists():
            os.kill(server.pid(), signal.SIGCONT)
        server.stop()


def test_listeners_come_and_go(configured, stream):
    second = free_port()
    one = configured()
    status, made = ask(one, "POST", "/api/v1/tokens", {"name": "reader", "scopes": ["read"]})
    assert status == 201
    kept, ended = stream(one, last_id=0, token=json.loads(made)["token"]), stream(one, last_id=0)
    kept.next()
    ended.next()
    base = one.settings["http.listen"]

    # Another one, limits, origins: what is open stays open.
    assert one.reload({"http.listen": f"{base},127.0.0.1:{second}", "http.cors_origins": "https://panel.example",
                       "http.sse_readers_max": "3"})[0]
    other = socket.create_connection(("127.0.0.1", second))
    other.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nOrigin: https://panel.example\r\nAccept: text/event-stream\r\n"
                  f"Authorization: Bearer {TOKEN}\r\n\r\n".encode())
    other.settimeout(10)
    head = other.recv(65536)
    assert b"200 OK" in head and b"Access-Control-Allow-Origin: https://panel.example" in head
    third = socket.create_connection(("127.0.0.1", second))
    third.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    assert b"503" in third.recv(65536)
    third.close()

    # A request that is under way when its listener goes is answered.
    slow = socket.create_connection(("127.0.0.1", second))
    slow.sendall(f"POST /api/app-gateway/events/shop HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
                 "Content-Type: application/json\r\nContent-Length: 62\r\n\r\n".encode())
    time.sleep(0.3)
    assert kept.thread.is_alive() and ended.thread.is_alive()
    assert one.reload({"http.token": "another-token-0123"})[0]
    ended.thread.join(10)
    assert not ended.thread.is_alive()  # whoever had the old token is not listened for any more
    assert one.get("/api/v1/workloads")[0] == 401
    assert one.get("/api/v1/workloads", token="another-token-0123")[0] == 200
    # its head was let in with the old token, its body has to be with the new one: it is refused, and not cut off
    slow.sendall(b'{"kind":"deploy_started","severity":"info","message":"m1234"} ')
    slow.settimeout(10)
    assert slow.recv(4096).startswith(b"HTTP/1.1 401")
    slow.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", second))
    data = b""
    while True:
        piece = other.recv(65536)
        if not piece:
            break
        data += piece
    assert data.endswith(b"0\r\n\r\n")  # the stream ends as streams end
    other.close()

    # The reader of the one that stayed has noticed nothing.
    assert one.reload({"sources.units.patterns": "nothing.service"})[0]
    assert one.reload()[0]
    assert kept.thread.is_alive()
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    address = f"127.0.0.1:{taken.getsockname()[1]}"
    good, told = one.reload({"http.listen": f"{address},unix:{one.folder}/more.sock", "events.oom_rule": "evidence"})
    assert not good and f"cannot listen on {address}: Address already in use" in told
    assert not (one.folder / "more.sock").exists()
    assert one.get("/api/v1/workloads")[0] == 200 and kept.thread.is_alive()
    taken.close()


class Asking(threading.Thread):
    """One request after the other, each on a connection of its own."""

    def __init__(self, one):
        super().__init__()
        self.one, self.ended = one, False
        self.answered, self.lost, self.spells = 0, [], 0
        self.start()

    def run(self):
        before = None
        while not self.ended:
            try:
                assert self.one.get("/api/v1/workloads")[0] == 200
                self.answered += 1
                before = None
            except OSError as error:
                self.lost.append(error)
                self.spells += before is None
                before = error

    def end(self):
        self.ended = True
        self.join()


def test_a_port_changes_hands(configured, stream, tmp_path):
    port = free_port()
    local, everywhere = (f"{address},unix:{tmp_path}/http.sock" for address in (f"127.0.0.1:{port}", f"0.0.0.0:{port} tls=off"))
    one = configured({"http.listen": local})
    reader = stream(one, last_id=0)
    reader.next()
    early = socket.create_connection(("127.0.0.1", port))
    time.sleep(0.2)
    askers = [Asking(one) for _ in range(4)]
    for wanted in (everywhere, local) * 5:
        before = [asker.answered for asker in askers]
        good, told = one.reload({"http.listen": wanted})
        assert good, told
        wait_for(lambda: all(asker.answered > n + 2 for asker, n in zip(askers, before)), 10, "answers")
    good, told = one.reload({"http.listen": everywhere})
    assert good, told
    for asker in askers:
        asker.end()
    # Who tries just while the port changes hands may be refused, and is told so at once: one spell a time, as long as the kernel takes
    # to give the daemon its turn between the two.
    assert all(asker.spells <= 11 for asker in askers), [(asker.spells, asker.lost) for asker in askers]
    assert all("refused" in str(error) or "reset" in str(error) for asker in askers for error in asker.lost)
    reader.thread.join(10)
    assert not reader.thread.is_alive()
    # Who had connected to the first of them is answered by it.
    early.settimeout(10)
    early.sendall(f"GET /api/v1/workloads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    assert early.recv(4096).startswith(b"HTTP/1.1 200")
    early.close()
    assert [line for line in one.listening() if line.endswith(f":{port}")] == [f"0.0.0.0:{port}"]

    # Somebody else has an address of that port: the old one listens on.
    assert one.reload({"http.listen": local})[0]
    foreign = socket.socket()
    foreign.bind(("127.0.0.2", port))
    foreign.listen()
    for _ in range(3):
        good, told = one.reload({"http.listen": everywhere})
        assert not good and f"cannot listen on 0.0.0.0:{port}" in told and "Address already in use" in told
        assert one.get("/api/v1/workloads")[0] == 200
    foreign.close()
    assert "Cannot listen on 127.0.0.1" not in (one.folder / "virtwatchd.log").read_text()
    assert one.reload({"http.listen": everywhere})[0] and one.get("/api/v1/workloads")[0] == 200


def test_samples_probes_and_logs_follow(configured, docker):
    one = configured({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket, "sampler.interval": "200ms",
                      "sampler.ring": "2s"})
    one.up("docker")
    docker("run", "-d", "--network=none", "--name", "cfg-samples", "bb:1", "sleep", "1000")
    one.wait_event(name="cfg-samples", action="started")
    put(one, "/api/app-gateway/apps/cfg", {"containers": ["cfg-samples"], "hosts": ["cfg.example"]})

    def samples():
        return one.json("/api/app-gateway/metrics/cfg")["samples"]

    wait_for(lambda: len(samples()) == 10, 20, "a full ring")
    assert one.reload({"sampler.ring": "1s"})[0]
    assert len(samples()) == 5  # the newest stay
    assert one.reload({"sampler.ring": "4s"})[0]
    assert 5 <= len(samples()) <= 8
    wait_for(lambda: len(samples()) == 20, 20, "a full ring again")
    assert one.reload({"sampler.interval": "500ms", "sampler.ring": "2s"})[0]
    assert len(samples()) <= 1  # those before stand for other times
    found = wait_for(lambda: len(samples()) == 4 and samples(), 20, "a full ring of longer slots")
    assert all(s["at"].split(".")[1][:3] in ("000", "500") for s in found if "." in s["at"])
    wait_for(lambda: samples()[-1]["cpu_pct"] is not None, 10, "readings")

    # Probes are asked or not.
    put(one, "/api/app-gateway/probes/cfg", {"url": "http://127.0.0.1:1/", "path": "/"}, wanted=(400, 403, 422))
    assert one.reload({"probes.allow": "127.0.0.0/8"})[0]
    put(one, "/api/app-gateway/probes/cfg", {"url": "http://127.0.0.1:1/", "path": "/"})
    assert one.reload({"probes.allow": "127.0.0.0/8", "probes.enabled": "false"})[0]
    assert ask(one, "POST", "/api/app-gateway/probes/cfg/run")[0] in (403, 409, 503)

    # Access logs are counted from when they are configured on, once each.
    log = one.folder / "access.log"
    net = f"unix:{one.folder}/net.sock"
    log.write_text("".join(line(i) for i in range(50)))
    assert one.reload({"analytics.files": log, "analytics.listen": net})[0]
    wait_for(lambda: requests(one) == 50, 20, "fifty requests")
    with socket.socket(socket.AF_UNIX) as caddy:
        caddy.connect(str(one.folder / "net.sock"))
        caddy.sendall("".join(line(i) for i in range(25)).encode())
    wait_for(lambda: requests(one) == 75, 20, "and twenty-five")
    inode = os.stat(one.folder / "net.sock").st_ino
    for i in range(5):
        assert one.reload({"analytics.files": log, "analytics.listen": net, "analytics.retention_days": 300 + i})[0]
        with socket.socket(socket.AF_UNIX) as caddy:
            caddy.connect(str(one.folder / "net.sock"))
            caddy.sendall(line(i).encode())
    wait_for(lambda: requests(one) == 80, 20, "and five")
    assert os.stat(one.folder / "net.sock").st_ino == inode
    assert not one.reload({"analytics.files": log, "analytics.listen": "127.0.0.1:nonsense"})[0]
    with log.open("a") as more:
        more.write(line(99))
    wait_for(lambda: requests(one) == 81, 20, "the old ones are still read")
    assert one.reload()[0]
    assert not (one.folder / "net.sock").exists()
    docker("rm", "-f", "cfg-samples")


class Leased:
    """Whoever opens that file waits until this is over, or for 45 s."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.before = signal.signal(signal.SIGIO, signal.SIG_IGN)
        self.file = open(self.path, "r+b")
        wait_for(self.take, 10, "nobody else who has it open")

    def take(self):
        try:
            return fcntl.fcntl(self.file, fcntl.F_SETLEASE, fcntl.F_WRLCK) == 0
        except BlockingIOError:
            return False

    def __exit__(self, *_):
        self.file.close()
        signal.signal(signal.SIGIO, self.before)


def answers_at_once(daemon, seconds):
    end = time.monotonic() + seconds
    while (begin := time.monotonic()) < end:
        assert daemon.get("/health")[0] == 200 and time.monotonic() - begin < 4
        time.sleep(0.1)


def test_a_disk_that_hangs_holds_no_reload_up(configured):
    one = configured()
    log = one.folder / "access.log"
    log.write_text("".join(line(i) for i in range(50)))
    put(one, "/api/app-gateway/apps/cfg", {"hosts": ["cfg.example"]})
    (one.folder / "state/analytics.db").touch(mode=0o600)
    with Leased(one.folder / "state/analytics.db"):
        begin = time.monotonic()
        assert one.reload({"analytics.files": log})[0] and time.monotonic() - begin < 5
        answers_at_once(one, 2)
        assert one.reload({"analytics.files": log, "analytics.retention_days": 300})[0]
        wait_for(lambda: json.loads(one.get("/ready")[1]).get("analytics") == "the disk does not answer", 20, "its word")
        answers_at_once(one, 1)
    wait_for(lambda: requests(one) == 50, 20, "fifty requests")
    assert one.get("/ready")[0] == 200


def test_a_disk_that_hangs_while_it_is_tried_again_holds_nobody_up(configured):
    one = configured()
    log = one.folder / "access.log"
    log.write_text("".join(line(i) for i in range(50)))
    put(one, "/api/app-gateway/apps/cfg", {"hosts": ["cfg.example"]})
    one.stop()
    path = one.folder / "state/analytics.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    path.chmod(0o600)
    one.settings["analytics.files"] = log
    one.start()
    assert one.get("/ready")[0] == 503
    with Leased(path):
        wait_for(lambda: "the disk does not answer" in one.get("/ready")[1], 30, "a try that hangs")
        answers_at_once(one, 3)
    wait_for(lambda: "the disk does not answer" not in one.get("/ready")[1], 15, "an end of it")
    assert one.get("/ready")[0] == 503
    path.unlink()
    wait_for(lambda: requests(one) == 50, 30, "fifty requests")
    assert one.get("/ready")[0] == 200


def ask(daemon, method, path, body=None):
    request = urllib.request.Request(f"http://127.0.0.1:{daemon.port()}{path}", method=method,
                                     data=json.dumps(body).encode() if body is not None else None,
                                     headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def put(daemon, path, body, wanted=(200, 201, 204)):
    status, text = ask(daemon, "PUT", path, body)
    assert status in wanted, (status, text)


def line(number):
    return json.dumps({"level": "info", "ts": time.time(), "logger": "http.log.access", "msg": "handled request",
                       "request": {"host": "cfg.example", "method": "GET", "uri": f"/{number}"}, "status": 200,
                       "size": 10, "duration": 0.01}) + "\n"


def requests(daemon):
    status, text = daemon.get("/api/app-gateway/analytics/cfg?days=2")
    return sum(row["requests"] for row in json.loads(text)["rollups"]) if status == 200 else None


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def memory_kb(process):
    with open(f"/proc/{process.pid}/status") as status:
        return next(int(one.split()[1]) for one in status if one.startswith("VmRSS:"))


def test_a_storm_of_reloads_loses_nothing(configured, docker, stream):
    one = configured({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket})
    one.up("docker")
    reader = stream(one, last_id=one.events()[-1]["seq"])
    good = [{"events.evidence_wait": "100ms"}, {"events.evidence_wait": "50ms", "sampler.ring": "60s"},
            {"sampler.interval": "500ms"}, {"http.listen": one.settings["http.listen"] + f",unix:{one.folder}/other.sock"},
            {"node.ignore_disks": "loop*"}, {"sources.units.patterns": "none.service"}, {}]
    bad = ["node: {nam: x}\n", "events: [\n", "http: {connections_max: 1}\n", "store: {path: /elsewhere}\n",
           "http: {listen: ['127.0.0.1:1:1']}\n", "sampler: {interval: 1h}\n", "\x00"]
    stop = threading.Event()
    sent = [0]

    def storm():
        turn = 0
        while not stop.is_set():
            if turn % 3 == 0:
                one.write(good[turn // 3 % len(good)], bad[turn // 3 % len(bad)] if turn % 2 else None)
            one.process.send_signal(signal.SIGHUP)
            sent[0] += 1
            turn += 1
            time.sleep(0.005)

    def drain():
        while not stop.is_set():
            try:
                one.notified.recv(4096)
            except TimeoutError:
                pass

    threads = [threading.Thread(target=storm), threading.Thread(target=drain)]
    one.notified.settimeout(0.2)
    for thread in threads:
        thread.start()
    time.sleep(2)
    open_before, memory_before = descriptors(one.process), memory_kb(one.process)
    names = [f"cfg-storm-{i}" for i in range(12)]
    for name in names:
        assert docker.run(name, "sh", "-c", "exit 3").returncode == 3
    for name in names:
        assert one.wait_event(name=name, action="died")
    stop.set()
    for thread in threads:
        thread.join(30)
    assert sent[0] > 300 and one.process.poll() is None

    # Each event came over the one stream, once and in order.
    one.notified.settimeout(20)
    assert one.reload()[0]
    last = one.events()[-1]["seq"]
    seen = []
    while not seen or seen[-1]["seq"] < last:
        seen.append(reader.next())
    numbers = [event["seq"] for event in seen]
    assert numbers == list(range(numbers[0], last + 1))
    for name in names:
        actions = [event["action"] for event in seen if event["name"] == name]
        assert actions.count("started") == 1 and actions.count("died") == 1, actions
    assert one.sources()["docker"]["state"] == "up"
    assert metric(one, 'virtwatch_source_reconnects_total{source="docker"}') == 0
    assert descriptors(one.process) < open_before + 20
    with open(f"/proc/{one.process.pid}/maps") as maps:
        keeps_what_is_freed = "libasan" in maps.read()
    if not keeps_what_is_freed:
        assert memory_kb(one.process) < memory_before + 16384
    docker("rm", "-f", *names)


def test_conf_d_alone_is_read_where_the_default_file_is_missing(tmp_path):
    etc = tmp_path / "etc"
    (etc / "virtwatch/conf.d").mkdir(parents=True)
    (etc / "virtwatch/conf.d/mine.yaml").write_text("node: {name: alone}\n")

    def daemon(*args):
        return run("unshare", "-m", "--propagation", "private", "sh", "-ec", f"mount --bind {etc} /etc; exec \"$@\"", "sh", VIRTWATCHD, *args)

    shown = daemon("--show-config")
    assert shown.returncode == 0, shown.stderr
    assert 'node.name: "alone"  # file /etc/virtwatch/conf.d/mine.yaml:1:14' in shown.stdout.splitlines()
    assert "# file /etc/virtwatch/virtwatch.yaml" not in shown.stdout
    (etc / "virtwatch/conf.d/mine.yaml").write_text("node: {nam: alone}\n")
    faulty = daemon("--check-config")
    assert faulty.returncode == 1 and "/etc/virtwatch/conf.d/mine.yaml:1:8: there is no key 'node.nam'" in faulty.stderr


@pytest.fixture
def slow_bus(tmp_path):
    bus = Bus(tmp_path)
    yield bus
    bus.stop()


def named(bus):
    client = Client(bus.address)
    try:
        return client.bus("NameHasOwner", "s", NAME)[0]
    finally:
        client.close()


def test_a_bus_that_comes_back_does_not_hide_what_is_wrong(configured, slow_bus):
    one = configured({}, slow_bus.address)
    wait_for(lambda: named(slow_bus), 10, "the name")
    taken, told = one.reload(raw="node: {nam: x}\n")
    assert not taken and "there is no key 'node.nam'" in told
    slow_bus.kill()
    one.message("the bus is away")
    slow_bus.start()
    told = one.message("READY=1")
    assert "the bus is away" not in told and "there is no key 'node.nam'" in told
    assert "not good" not in one.reload()[1]


class Unready(Configured):
    """One that has not yet been told to be ready when it answers over HTTP."""

    def message(self, wanted):
        return None if wanted == "READY=1" and not hasattr(self, "begun") else super().message(wanted)


@pytest.fixture
def unready(tmp_path, slow_bus):
    slow_bus.signal(signal.SIGSTOP)
    one = Unready(tmp_path, {}, slow_bus.address)
    one.begun = time.monotonic()
    yield one
    slow_bus.signal(signal.SIGCONT)
    one.stop()
    one.notified.close()


def test_ready_means_that_the_name_is_on_the_bus(unready, slow_bus):
    assert unready.get("/health")[0] == 200
    unready.notified.settimeout(2)
    with pytest.raises(TimeoutError):
        unready.message("READY=1")
    unready.notified.settimeout(20)
    slow_bus.signal(signal.SIGCONT)
    told = unready.message("READY=1")
    assert named(slow_bus) and "the bus is away" not in told


def test_a_bus_that_is_away_holds_ready_up_for_a_while_only(unready, slow_bus):
    told = unready.message("READY=1")
    assert "the bus is away" in told and 3 < time.monotonic() - unready.begun < 10
    assert unready.get("/health")[0] == 200
    slow_bus.signal(signal.SIGCONT)
    told = unready.message("READY=1")
    assert named(slow_bus) and "STATUS=Watching" in told and "the bus is away" not in told
