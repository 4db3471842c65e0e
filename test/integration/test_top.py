"""virtwatch top on a real terminal: tmux on a socket of its own, a real daemon, real containers."""

import http.server
import json
import os
import re
import signal
import subprocess
import threading
import time
import unicodedata

import pytest

from conftest import BUILD, TOKEN, wait_for

CLI = BUILD / "src/virtwatch"


class Terminal:
    """A shell in a tmux of its own."""

    def __init__(self, folder, columns, lines, environment):
        self.socket = folder / f"tmux-{columns}x{lines}"
        self.environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC", **environment}
        self.size = ("-x", columns, "-y", lines)
        self.pid = None

    def start(self):
        self.tmux("-f", "/dev/null", "new-session", "-d", *self.size, "sh",
                  env=dict(self.environment, TERM="dumb"))
        self.pid = int(self.tmux("display-message", "-p", "#{pid}"))
        wait_for(lambda: self.lines()[0].startswith(("$", "#")), 10, "a prompt")

    def tmux(self, *args, **options):
        return subprocess.run(["tmux", "-S", str(self.socket), *map(str, args)], check=True, capture_output=True, text=True,
                              timeout=20, **options).stdout

    def lines(self, escapes=False):
        return self.tmux("capture-pane", "-p", *(["-e"] if escapes else [])).split("\n")

    def screen(self, escapes=False):
        return "\n".join(self.lines(escapes))

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def key(self, *names):
        self.tmux("send-keys", *names)

    def run(self, command):
        self.type(command)
        self.key("Enter")

    def sees(self, text, seconds=10):
        try:
            return wait_for(lambda: text in self.screen() and self.screen(), seconds, repr(text))
        except AssertionError:
            raise AssertionError(f"{text!r} is not on the screen:\n{self.screen()}") from None

    def sees_not(self, text, seconds=10):
        try:
            wait_for(lambda: text not in self.screen(), seconds, f"no {text!r}")
        except AssertionError:
            raise AssertionError(f"{text!r} stays on the screen:\n{self.screen()}") from None

    def matches(self, pattern, seconds=10):
        try:
            return wait_for(lambda: re.search(pattern, self.screen(), re.M), seconds, pattern)
        except AssertionError:
            raise AssertionError(f"{pattern!r} is not on the screen:\n{self.screen()}") from None

    def selected(self):
        """The line that begins in reverse; titles do too, but with a blank."""
        reverse, found = False, []
        for line in self.lines(escapes=True):
            begins = None
            for sgr, text in re.findall(r"\x1b\[([0-9;]*)m|([^\x1b]+)", line):
                if text and begins is None:
                    begins = reverse and text[0] != " "
                for code in [] if text else (sgr or "0").split(";"):
                    reverse = {"0": False, "7": True, "27": False}.get(code, reverse)
            if begins:
                found.append(re.sub(r"\x1b\[[0-9;]*m", "", line))
        return found[0] if len(found) == 1 else None

    def selects(self, text):
        try:
            wait_for(lambda: (self.selected() or "").startswith(text), 10, f"{text} selected")
        except AssertionError:
            raise AssertionError(f"{text!r} is not selected:\n{self.lines(escapes=True)}") from None

    def resize(self, columns, lines):
        self.tmux("resize-window", "-x", columns, "-y", lines)

    def stop(self):
        if not self.pid:
            return
        self.tmux("kill-server")
        try:
            wait_for(lambda: not os.path.exists(f"/proc/{self.pid}"), 5, "the end of tmux")
        except AssertionError:
            os.kill(self.pid, signal.SIGKILL)


@pytest.fixture
def terminal(scratch):
    started = []

    def start(columns=100, lines=30, **environment):
        one = Terminal(scratch, columns, lines, environment)
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def watched(daemon, docker):
    """A daemon and three containers, and none that another test has left: one that spins, one that sleeps, one that failed."""
    left = docker("ps", "-aq").stdout.split()
    if left:
        docker("rm", "-f", *left)
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket})
    one.up("docker")
    docker.run("spins", "sh", "-c", "while :; do :; done", options=("-d", "--cpu-period", "100000", "--cpu-quota", "10000"))
    docker.run("sleeps", "sleep", "1000", options=("-d",))
    docker.run("failed", "sh", "-c", "exit 3")
    one.wait_event(name="failed", action="died")
    for name in ("spins", "sleeps"):
        wait_for(lambda name=name: (one.json(f"/api/v1/workloads/{name}")["sample"] or {}).get("cpu_pct") is not None, 20, "samples")
    yield one
    docker("rm", "-f", "spins", "sleeps", "failed", check=False)


def command(one, *args):
    return " ".join(map(str, [CLI, "--host", f"unix:{one.folder}/http.sock", "top", *args]))


def start(terminal, one, *args, **options):
    screen = terminal(**options)
    screen.run("trap : INT; clear; before=$(stty -g); " + command(one, *args) + "; echo \"ended $?\"")
    screen.sees("spins")
    return screen


def ended(screen, code):
    """The shell has the terminal back as it was."""
    screen.sees(f"ended {code}")
    assert "Workloads" not in screen.screen()
    assert screen.tmux("display-message", "-p", "#{cursor_flag} #{alternate_on} #{keypad_cursor_flag}").strip() == "1 0 0"
    screen.run("[ $(stty -g) = $before ] && echo same as be''fore")
    screen.sees("same as before")


def test_it_shows_what_runs_what_it_uses_and_what_happened(watched, terminal):
    screen = start(terminal, watched, columns=130, lines=30)
    screen.matches(r"^testnode  2 of 3 running  data \d s old")
    screen.matches(r" Workloads 1/3  by cpu")
    screen.matches(r"^spins +container running +\d+\.\d +\d+\.\d +- .*[▁▂▃▄▅▆▇█]{3}.* 0\.1 ")
    screen.matches(r"^sleeps +container running ")
    screen.matches(r"^failed +container failed +- +- +- .* died \(exit")
    screen.matches(r"^\d\d:\d\d:\d\d container failed +died +exit code 3")
    node = watched.json("/api/v1/nodes")[0]
    screen.matches(rf"^testnode .* {node['cpu_cores']} +[\d.]+ +[\d.]+ +{node['memory_total_bytes'] / 2**20:.0f} +2$")
    screen.key("q")
    ended(screen, 0)


def test_events_are_there_at_once(watched, docker, terminal):
    screen = start(terminal, watched)
    screen.sees("by cpu")
    docker("kill", "sleeps")
    watched.wait_event(name="sleeps", action="OOMKilled")
    screen.matches(r"sleeps +OOMKilled", 1.5)
    screen.matches(r"^sleeps +container failed ", 5)


def test_keys_walk_through_the_panes(watched, terminal):
    screen = start(terminal, watched)
    screen.selects("spins")
    order = ["sleeps", "failed"]
    for key in ("j", "Down"):
        screen.key(key)
        screen.selects(order[0] if key == "j" else order[1])
    screen.key("Down")  # there is none below
    screen.key("k")
    screen.selects("sleeps")
    screen.key("Up")
    screen.selects("spins")
    screen.key("Tab")
    screen.key("Tab")
    wait_for(lambda: re.match(r"\d\d:\d\d:\d\d", screen.selected() or ""), 10, "an event selected")
    screen.key("BTab")
    screen.key("BTab")
    screen.selects("spins")
    screen.key("BTab")
    wait_for(lambda: re.match(r"\d\d:\d\d:\d\d", screen.selected() or ""), 10, "an event selected")
    screen.key("Escape")
    ended(screen, 0)


def test_keys_sort_filter_and_help(watched, terminal):
    screen = start(terminal, watched)
    names = ("spins", "sleeps", "failed")

    def order():
        return [line.split()[0] for line in screen.lines() if line.split()[:1] and line.split()[0] in names]

    for key, column in ((">", "mem"), (">", "disk"), (">", "disk"), ("<", "mem"), ("<", "cpu"), ("<", "state")):
        screen.key(key)
        screen.sees(f"by {column}")
    wait_for(lambda: order()[0] == "failed", 10, "failed first")
    screen.selects("spins")  # it stays selected where it went
    screen.key("<")
    screen.sees("by name")
    wait_for(lambda: order() == ["failed", "sleeps", "spins"], 10, "sorted by name")
    screen.type("/")
    screen.type("SLeepx")
    screen.sees("nothing passes the filter")
    screen.key("BSpace")
    screen.sees(" Workloads 1/1  by name  /SLeep")
    screen.key("Enter")
    wait_for(lambda: order() == ["sleeps"], 10, "one is left")
    screen.type("/")
    screen.key("Escape")
    screen.sees(" Workloads 2/3")
    screen.type("?")
    screen.sees("Keys (any key goes back)")
    screen.sees("delete: stop or destroy")
    screen.key("x")
    screen.sees("by name")
    screen.key("q")
    ended(screen, 0)


@pytest.fixture
def acting(daemon, docker):
    """A daemon with actions, and a container that ends when it is told to."""
    docker("rm", "-f", "topped", check=False)
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket, "actions.enabled": "true"})
    one.up("docker")
    docker.run("topped", "sleep", "1000", options=("-d", "-m", "64m", "--stop-timeout", "1"))
    wait_for(lambda: (one.json("/api/v1/workloads/topped").get("allocation") or {}).get("memory_mb") == 64, 20, "its memory")
    yield one
    docker("rm", "-f", "topped", check=False)


def act(terminal, one, *args, **options):
    screen = terminal(**options)
    screen.run(command(one, "--filter", "kind=container", *args))
    screen.type("/")
    screen.type("topped")
    screen.key("Enter")
    screen.selects("topped")
    wait_for(lambda: "testnode" in screen.screen(), 10, "what the daemon offers")
    return screen


def test_a_workload_is_scaled_and_stopped_by_keys(acting, docker, terminal):
    screen = act(terminal, acting)
    screen.type("s")
    screen.matches(r"^scale topped: vCPUs \(now \d+\), Enter keeps it:")
    screen.type("1")
    screen.key("Enter")
    screen.sees("scale topped: memory in MiB (now 64), Enter keeps it:")
    screen.type("128")
    screen.key("BSpace")
    screen.type("8")
    screen.key("Enter")
    screen.sees("type the name to scale topped to 1 vCPU and 128 MiB:")
    screen.type("topped")
    screen.key("Enter")
    screen.sees("scale topped to 1 vCPU and 128 MiB: done")
    assert docker("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", "topped").stdout.split() == [str(128 << 20), "1000000000"]
    screen.matches(r"topped +action_done +scale to 1 vCPU and 128 MiB: done")
    screen.type("s")
    screen.key("Enter", "Enter")
    screen.sees("as it was: nothing was done")
    screen.type("s")
    screen.type("9999")
    screen.key("Enter", "Enter")
    screen.sees("type the name to scale topped to 9999 vCPUs")
    screen.type("topped")
    screen.key("Enter")
    screen.sees("refused: vcpus: ")
    screen.type("d")
    screen.sees("delete topped: s stop  d destroy  Esc neither")
    screen.type("s")
    screen.type("toppex")
    screen.key("Enter")
    screen.sees("that is not its name: nothing was done")
    screen.type("ds")
    screen.sees("type the name to stop topped:")
    screen.key("Escape")
    screen.sees("nothing was done")
    assert docker("inspect", "-f", "{{.State.Running}}", "topped").stdout.strip() == "true"
    screen.type("ds")
    screen.type("topped")
    screen.key("Enter")
    screen.sees("stop topped: done")
    screen.matches(r"^topped +container stopped ")
    assert acting.wait_event(name="topped", action="stopped")["reason"] == "operator-stop"
    assert len(acting.events(name="topped", action="action_requested")) == 2
    screen.type("d")
    screen.sees("cannot delete topped: it is stopped")
    screen.key("q")


def test_a_workload_is_destroyed_by_keys_where_there_is_little_room(acting, terminal):
    screen = act(terminal, acting, columns=40, lines=10)
    screen.type("dd")
    screen.sees("type the name to destroy topped:")
    screen.type("no such long name at all topped")
    screen.sees("to destroy topped: no such long name at all topped"[-39:])  # the end is what is being typed
    for _ in "no such long name at all topped":
        screen.key("BSpace")
    screen.sees("type the name to destroy topped:")
    screen.type("topped")
    screen.key("Enter")
    screen.sees("destroy topped: done")
    assert acting.wait_event(name="topped", action="stopped")["reason"] == "operator-destroy"
    screen.key("q")


def test_what_the_daemon_does_not_offer_is_said_and_not_done(watched, docker, terminal):
    screen = start(terminal, watched)
    before = watched.json("/api/v1/workloads/spins")["allocation"]
    screen.selects("spins")
    for key, text in (("s", "no actions on this daemon: cannot scale spins"),
                      ("d", "no actions on this daemon: cannot delete spins"),
                      ("l", "this daemon offers no logs yet: spins"), ("Enter", "this daemon offers no logs yet: spins")):
        screen.key(key)
        screen.sees(text)
        screen.key("k")
        screen.sees("? help")
    screen.key("s")
    screen.sees("no actions")
    screen.sees_not("no actions", 8)  # it goes by itself
    screen.key("Tab")
    screen.key("d")
    screen.sees("select a workload first")
    assert watched.json("/api/v1/workloads/spins")["allocation"] == before
    assert docker("inspect", "-f", "{{.State.Running}}", "spins").stdout.strip() == "true"


def test_it_follows_the_size_of_the_terminal(watched, terminal):
    screen = start(terminal, watched)
    screen.resize(40, 10)
    screen.matches(r"^testnode  2 of 3 running  data \d s old$")
    screen.matches(r"^spins +running +\d+\.\d +\d+\.\d$")
    assert "Nodes" not in screen.screen() and "Events" not in screen.screen()
    screen.key("Tab")
    screen.sees(" Nodes")
    screen.key("Tab")
    screen.matches(r"^\d\d:\d\d:\d\d failed +died")
    screen.type("?")
    screen.sees("q Esc          quit")
    screen.key("x")
    for columns, lines in ((39, 10), (40, 9), (20, 5), (3, 1)):
        screen.resize(columns, lines)
        text = f"needs 40x10, has {columns}x{lines}"
        screen.sees(text if columns >= len(text) else text[:columns - 1] + "…")
        assert [line for line in screen.lines()[1:] if line.strip()] == []
    screen.resize(200, 50)
    screen.matches(r"^spins +container running ")
    screen.key("q")
    ended(screen, 0)


def test_colors_are_left_out_on_request(watched, terminal):
    color = re.compile(r"\x1b\[([0-9;]*;)?(3[0-8]|4[0-8]|9[0-7])[;m]")
    screen = start(terminal, watched, lines=31)
    wait_for(lambda: color.search(screen.screen(escapes=True)), 10, "colors")
    screen = start(terminal, watched, lines=32, NO_COLOR="1")
    screen.selects("spins")
    assert not color.search(screen.screen(escapes=True))


def test_a_lost_daemon_shows_the_age_of_the_data_and_comes_back(watched, docker, terminal):
    screen = start(terminal, watched)
    screen.sees("by cpu")
    watched.kill()
    screen.matches(r"^LOST  data \d+ s old  next try in \d+ s", 5)
    screen.sees("spins")  # what is known stays
    screen.matches(r"^LOST  data [6-9] s old  ", 20)
    screen.key("j")
    screen.selects("sleeps")
    (watched.folder / "http.sock").unlink(missing_ok=True)
    docker("rm", "-f", "sleeps")
    watched.start()
    screen.matches(r"^testnode  1 of 2 running  data \d s old", 30)
    screen.sees_not("LOST")
    wait_for(lambda: not re.search(r"^sleeps ", screen.screen(), re.M), 10, "the removed one is gone")
    docker("kill", "spins")
    screen.matches(r"^\d\d:\d\d:\d\d container +spins +OOMKilled|^\d\d:\d\d:\d\d spins +OOMKilled", 10)
    assert len(re.findall(r"failed +died +exit code 3", screen.screen())) == 1  # nothing came twice


def test_a_daemon_that_hangs_does_not_freeze_it(watched, terminal):
    screen = start(terminal, watched)
    screen.sees("by cpu")
    os.kill(watched.process.pid, signal.SIGSTOP)
    try:
        end = time.monotonic() + 12
        lost = False
        while time.monotonic() < end and not lost:
            for key, item in (("j", "sleeps"), ("k", "spins")):
                begin = time.monotonic()
                screen.key(key)
                screen.selects(item)
                assert time.monotonic() - begin < 1.5
            lost = screen.lines()[0].startswith("LOST  data ")
        assert lost, screen.screen()
    finally:
        os.kill(watched.process.pid, signal.SIGCONT)
    screen.matches(r"^testnode  2 of 3 running  data \d s old", 30)
    screen.key("q")
    ended(screen, 0)


def test_without_a_daemon_it_says_so_and_can_be_left(terminal, tmp_path):
    screen = terminal()
    screen.run(f"clear; {CLI} --host unix:{tmp_path}/none top; echo \"ended $?\"")
    screen.matches(r"^LOST  no data yet  next try in \d+ s  No such file or directory: unix:")
    screen.key("q")
    screen.sees("ended 0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_given_back(watched, terminal, number):
    screen = start(terminal, watched, lines=30 + number)
    pid = int(subprocess.check_output(["pgrep", "-f", f"^{CLI} --host unix:{watched.folder}/http.sock top"], text=True))
    os.kill(pid, number)
    ended(screen, 128 + number)


def test_ctrl_c_ends_it_and_ctrl_z_stops_it(watched, terminal):
    screen = start(terminal, watched)
    screen.key("C-z")
    screen.sees("Stopped")
    assert "Workloads" not in screen.screen()
    screen.run("fg > /dev/null; echo \"then ended $?\"")
    screen.sees("by cpu")
    screen.sees("testnode")
    screen.key("j")
    screen.selects("sleeps")
    screen.key("C-c")
    screen.sees("then ended 130")


def batch(one, *args, environment=None):
    return subprocess.run([CLI, "--host", f"unix:{one.folder}/http.sock", *args], capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, LC_ALL="C.UTF-8", **(environment or {})))


def test_a_batch_is_frames_of_json(watched, docker):
    process = subprocess.Popen([CLI, "--host", f"unix:{watched.folder}/http.sock", "top", "--batch", "-n", "3", "-o", "json"],
                               stdout=subprocess.PIPE, text=True)
    begin = time.monotonic()
    first = json.loads(process.stdout.readline())
    docker("kill", "sleeps")
    watched.wait_event(name="sleeps", action="OOMKilled")
    rest = [json.loads(line) for line in process.stdout]
    assert process.wait(10) == 0 and len(rest) == 2
    assert time.monotonic() - begin > 3.9
    assert first["node"] == "testnode"
    assert [w["name"] for w in first["workloads"]] == ["spins", "sleeps", "failed"]  # by CPU, the unknown last
    assert first["workloads"][0]["sample"]["cpu_pct"] > 0
    assert "nodes" in first
    assert any(e["name"] == "failed" and e["action"] == "died" for e in first["events"])
    later = [e for frame in rest for e in frame["events"]]
    assert sum(e["name"] == "sleeps" and e["action"] == "OOMKilled" for e in later) == 1
    assert not {e["seq"] for e in later} & {e["seq"] for e in first["events"]}


def test_a_batch_is_tables_too(watched):
    result = batch(watched, "top", "--batch", "--sort", "name")
    assert result.returncode == 0 and result.stderr == ""
    lines = result.stdout.splitlines()
    names = [line.split()[1] for line in lines if re.match(r"[0-9a-f]{12} ", line)]
    assert names == ["failed", "sleeps", "spins"]
    assert any(re.match(r".* container +failed +died +exit code 3", line) for line in lines)
    assert "\x1b" not in result.stdout


def test_workloads_are_sorted_on_request(watched):
    def names(key):
        return [w["name"] for w in json.loads(batch(watched, "workloads", "--sort", key, "-o", "json").stdout)]

    assert names("name") == ["failed", "sleeps", "spins"]
    assert names("state") == ["failed", "sleeps", "spins"]
    assert names("cpu") == ["spins", "sleeps", "failed"]
    table = batch(watched, "workloads", "--sort", "cpu").stdout.splitlines()
    assert re.search(r"STATE +CPU +MEM +DISK ", table[0])
    assert re.search(r" spins +container +docker +running +\d+\.\d +\d+\.\d +- ", table[1])
    assert re.search(r" failed +container +docker +failed +- +- +- ", table[3])
    wrong = batch(watched, "workloads", "--sort", "memory")
    assert wrong.returncode == 2 and "--sort is cpu, mem, disk, name or state" in wrong.stderr


def test_what_cannot_be_is_refused(watched, tmp_path):
    assert "wants a terminal" in batch(watched, "top").stderr
    assert batch(watched, "top").returncode == 2
    assert batch(watched, "top", "--batch", "-n", "0").returncode == 2
    gone = subprocess.run([CLI, "--host", f"unix:{tmp_path}/none", "top", "--batch"], capture_output=True, text=True, timeout=20)
    assert gone.returncode == 2 and "cannot reach" in gone.stderr


def test_a_terminal_that_nobody_knows_is_refused(watched, terminal):
    screen = terminal(ASAN_OPTIONS="detect_leaks=0")  # curses keeps what it had when it fails
    screen.run("clear; TERM=nonsense " + command(watched) + "; echo \"ended $?\"")
    screen.sees("ended 2")
    assert "this terminal is not known" in screen.screen()


def test_over_tcp_it_wants_a_token(watched, terminal):
    screen = terminal()
    call = f"{CLI} --host http://127.0.0.1:{watched.port()} top"
    screen.run(f"clear; {call}; echo \"ended $?\"")
    screen.matches(r"^LOST  no data yet  next try in \d+ s  it wants a token: --token")
    screen.key("q")
    screen.sees("ended 0")
    screen.run(f"clear; {call} --token {TOKEN} --filter kind=container --sort name")
    screen.matches(r" Workloads 1/3  by name")
    screen.matches(r"^failed +container failed ")
    screen.matches(r"^\d\d:\d\d:\d\d container failed +died ")
    assert "Connected" not in screen.screen()  # no event of a source: the filter is the daemon's too


def test_a_filter_that_the_daemon_refuses_is_said(watched, terminal):
    screen = terminal(120, 20)
    screen.run("clear; " + command(watched, "--filter", "kind=cow"))
    screen.matches(r"^LOST  no data yet .* it answers 400: kind is vm, container or unit")


def test_wide_and_combining_names_keep_the_columns(daemon, libvirt, bus, terminal):
    one = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri}, bus=bus)
    one.up(f"libvirt:{libvirt.uri}")
    names = ("数据库服务器生产环境主节点一号机", "cafe\u0301", "plain")
    for name in names:
        libvirt.define(name)
    try:
        wait_for(lambda: {w["name"] for w in one.json("/api/v1/workloads")} >= set(names), 20, "they are listed")
        screen = terminal(40, 12)
        screen.run("clear; " + command(one, "--sort", "name"))
        rows = wait_for(lambda: {name: [line for line in screen.lines() if line.startswith(name[:4])][0] for name in names}, 10, "a row of each")
        assert rows[names[0]].startswith("数据库服务器生产环")
        assert names[0] not in rows[names[0]] and "…" in rows[names[0]]
        assert all(row.rstrip().endswith("-") for row in rows.values()), rows
        before = [re.split("created|stopped|unknown", row)[0] for row in rows.values()]
        columns = {sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) == "W" else 1 for c in text)
                   for text in before}
        assert len(columns) == 1 and max(columns) < 30, rows
    finally:
        for name in names:
            libvirt("undefine", name)


HOSTILE = "\x1b]0;owned\x07\x1b[2J\n\x9b31m\u202egnp"


class Liar(http.server.BaseHTTPRequestHandler):
    """A server that is not ours: names that want to be code, answers of other shapes."""

    nodes = 200

    def do_GET(self):
        path = self.path.split("?")[0]
        status, answer = 200, {}
        if path == "/api/v1/workloads":
            answer = [{"id": "a", "name": HOSTILE, "state": HOSTILE, "kind": 7, "sample": {"at": "x", "cpu_pct": 1e300}},
                      {"id": "b", "name": "honest", "sample": [], "allocation": "all"}, None, 7]
        elif path == "/api/v1/nodes":
            status = self.nodes
            answer = [{"name": HOSTILE, "cpu_cores": "many", "memory_total_bytes": -1}, None]
        elif path == "/api/v1/events":
            answer = {"events": [{"name": HOSTILE, "action": HOSTILE, "message": HOSTILE, "timestamp": HOSTILE}, None, []],
                      "last_seq": "x"}
        elif path == "/api/v1/version":
            answer = {"node": HOSTILE}
        elif path.startswith("/api/app-gateway/metrics/"):
            answer = {"samples": [None, {"cpu_pct": -5}, {"cpu_pct": 1e300}, {"cpu_pct": "x"}, 7]}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def liar():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("OneLiar", (Liar,), {}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_hostile_server_cannot_reach_the_terminal(terminal, liar):
    screen = terminal(120, 30)
    screen.run(f"clear; {CLI} --host http://127.0.0.1:{liar.server_port} top; echo \"ended $?\"")
    screen.sees("honest")
    shown = "\\x1b]0;owned\\x07\\x1b[2J\\n\\x9b31m\\u202egnp"
    screen.matches(f"^{re.escape(shown[:-2])}… .* 1e\\+3… ")
    screen.matches(f"^{re.escape(shown)}  0 of 2 running")
    screen.matches(f"^{re.escape(shown)} .* - +- +- +-9.54e-07 +-$")  # the node
    time.sleep(3)
    screen.sees("honest")
    assert "owned" not in screen.tmux("display-message", "-p", "#{pane_title}")
    assert "\u202e" not in screen.screen()
    screen.key("q")
    screen.sees("ended 0")


def test_a_daemon_without_nodes_is_no_trouble(terminal, liar):
    liar.RequestHandlerClass.nodes = 404
    screen = terminal(120, 30)
    call = f"{CLI} --host http://127.0.0.1:{liar.server_port} top"
    screen.run(f"clear; {call}; clear; {call} --batch")
    screen.sees("honest")
    screen.sees("not offered by this daemon")
    screen.key("q")
    screen.sees("Nodes: not offered by this daemon")
    screen.sees("honest")
