"""virtwatch-kmsg, for real: this machine's kernel log, and kills for want of memory that are written to it."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading

import pytest

from conftest import BUILD, Daemon, wait_for
from test_config import configured  # noqa: F401

HELPER = BUILD / "src/virtwatch-kmsg"
OOM = ("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


class Helper:
    def __init__(self, path, before=(), args=None):
        self.path = path
        self.args = [*before, HELPER, "--socket", path] if args is None else args
        self.start()

    def start(self):
        self.process = subprocess.Popen(list(map(str, self.args)), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_for(lambda: self.process.poll() is not None or self.answers(), 10, "a helper that listens")
        assert self.process.poll() is None, self.process.stderr.read()

    def answers(self):
        try:
            Client(self.path).close()
        except OSError:
            return False
        return True

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def stop(self):
        self.process.terminate()
        status = self.process.wait(10)
        self.process.stderr.close()
        return status


class Client:
    def __init__(self, path, ask=None):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(10)
        self.socket.connect(str(path))
        if ask:
            self.socket.send(f"virtwatch-kmsg 1 from {ask}".encode())

    def hear(self):
        return self.socket.recv(10000).decode(errors="replace")

    def close(self):
        self.socket.close()


class Liar:
    """A helper that is none: says to each client what it is given, and then nothing."""

    def __init__(self, path, packets):
        self.asked, self.open = [], []
        self.packets = packets
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(path))
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                one, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(one)
            self.asked.append(one.recv(1000).decode())
            for packet in self.packets:
                one.send(packet)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        for one in [self.listener, *self.open]:
            one.close()


@pytest.fixture
def helper(tmp_path):
    started = []

    def start(name="kmsg.sock", **options):
        started.append(Helper(tmp_path / name, **options))  # where the path is absolute, there
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            assert one.stop() == 0


def settings(docker, path, **more):
    return {"sources.docker.enabled": "true", "sources.docker.socket": docker.socket, "sources.kernel.from": "kmsg",
            "sources.kernel.socket": path, **more}


def kernel(one):
    return json.loads(one.get("/ready")[1])["sources"]["kernel"]


def down(one, text):
    wait_for(lambda: kernel(one)["state"] == "down" and text in json.dumps(kernel(one)), 20, f"{text} in {kernel(one)}")


def opens_log(pid):
    return any(os.readlink(p) == "/dev/kmsg" for p in pathlib.Path(f"/proc/{pid}/fd").iterdir() if p.is_symlink())


def counter(one, name):
    for line in one.get("/metrics")[1].splitlines():
        if line.startswith(f"virtwatch_source_{name}") and 'source="kernel"' in line:
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"no counter {name}")


def killed_once(one, name):
    event = one.wait_event(name=name, action="OOMKilled")
    assert event["confidence"] == "confirmed" and "kernel" in event["evidence"], event
    assert len(one.events(name=name, action="OOMKilled")) == 1 and not one.events(name=name, action="amended")
    workload = [w for w in one.json("/api/v1/workloads") if w["name"] == name]
    assert not workload or workload[0]["oom_kills"] == 1, workload
    return event


def test_a_kill_is_told_by_way_of_the_helper(daemon, docker, helper):
    mine = helper()
    idle = Client(mine.path, ask="0")  # and never reads
    one = daemon(settings(docker, mine.path))
    one.up("kernel")
    one.up("docker")
    assert opens_log(mine.process.pid) and not opens_log(one.process.pid)
    docker.run("kmsg-oomed", *OOM, options=("-m", "16m"))
    killed_once(one, "kmsg-oomed")
    idle.close()


def test_nothing_is_lost_or_doubled_while_either_is_away(daemon, docker, helper):
    mine = helper()
    one = daemon(settings(docker, mine.path, **{"events.evidence_wait": "5s"}))
    one.up("kernel")
    one.up("docker")
    docker.run("kmsg-first", *OOM, options=("-m", "16m"))
    killed_once(one, "kmsg-first")

    # The daemon sees all of it at once: the helper's end, the container's, and the next helper.
    one.process.send_signal(signal.SIGSTOP)
    mine.kill()
    docker.run("kmsg-between", *OOM, options=("-m", "16m"))
    mine.start()
    one.process.send_signal(signal.SIGCONT)
    killed_once(one, "kmsg-between")
    killed_once(one, "kmsg-first")
    assert counter(one, "reconnects_total") > 0

    mine.kill()
    down(one, str(mine.path))
    assert not opens_log(one.process.pid)  # the socket is there: the helper is away, and that is what it says
    mine.start()
    one.up("kernel")

    one.stop()
    docker.run("kmsg-away", *OOM, options=("-m", "16m"))
    mine.kill()
    mine.start()
    one.start()
    one.up("kernel")
    for name in ("kmsg-away", "kmsg-first", "kmsg-between"):
        killed_once(one, name)
    assert counter(one, "malformed_total") == 0


def test_another_socket_goes_on_where_the_one_before_was(configured, docker, helper):  # noqa: F811
    mine, other = helper("mine.sock"), helper("other.sock")
    one = configured(settings(docker, mine.path, **{"events.evidence_wait": "5s"}))
    one.up("kernel")
    one.up("docker")
    docker.run("kmsg-stayed", *OOM, options=("-m", "16m"))
    killed_once(one, "kmsg-stayed")
    mine.kill()
    down(one, str(mine.path))

    # The daemon sees the container's end and the other socket at once.
    one.process.send_signal(signal.SIGSTOP)
    docker.run("kmsg-moved", *OOM, options=("-m", "16m"))
    one.write({"sources.kernel.socket": other.path})
    one.process.send_signal(signal.SIGHUP)
    one.process.send_signal(signal.SIGCONT)
    assert "not good" not in one.message("READY=1")
    for name in ("kmsg-moved", "kmsg-stayed"):
        killed_once(one, name)
    docker("rm", "kmsg-stayed", "kmsg-moved")


def test_two_daemons_are_served(docker, helper, tmp_path):
    mine = helper()
    both = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        both.append(Daemon(tmp_path / name, settings(docker, mine.path)))
    try:
        for one in both:
            one.up("kernel")
            one.up("docker")
        docker.run("kmsg-two", *OOM, options=("-m", "16m"))
        for one in both:
            killed_once(one, "kmsg-two")
    finally:
        for one in both:
            one.stop()


@pytest.fixture
def open_folder():
    with tempfile.TemporaryDirectory(prefix="vwk") as name:
        os.chmod(name, 0o777)
        yield pathlib.Path(name)


def test_one_capability_is_enough_and_none_is_told(daemon, docker, helper, open_folder):
    mine = helper(open_folder / "bare.sock", before=[*NOBODY, "--bounding-set=-all"])
    client = Client(mine.path, ask="end")
    assert client.hear() == "failed cannot open the log: Operation not permitted"
    client.close()
    one = daemon(settings(docker, mine.path))
    down(one, f"{mine.path}: Operation not permitted")  # served by a stranger, whatever he says
    one.stop()

    mine = helper(open_folder / "able.sock", before=[*NOBODY, "--no-new-privs", "--bounding-set=-all,+syslog", "--inh-caps=-all,+syslog",
                                       "--ambient-caps=-all,+syslog"])
    status = pathlib.Path(f"/proc/{mine.process.pid}/status").read_text()
    assert "CapEff:\t0000000400000000" in status and "Uid:\t65534\t65534\t65534\t65534" in status
    client = Client(mine.path, ask="end")
    assert client.hear().startswith("next ")
    client.close()


def test_systemds_socket_starts_it(daemon, docker, helper, tmp_path):
    path = tmp_path / "held.sock"
    held = subprocess.Popen(["systemd-socket-activate", "--seqpacket", "-l", path, HELPER], stderr=subprocess.DEVNULL)
    try:
        wait_for(path.exists, 10, "a socket")
        one = daemon(settings(docker, path))
        one.up("kernel")
        docker.run("kmsg-held", *OOM, options=("-m", "16m"))
        one.up("docker")
        killed_once(one, "kmsg-held")
        held.send_signal(signal.SIGTERM)
        assert held.wait(10) == 0
        assert path.exists()  # not its own to remove
    finally:
        if held.poll() is None:
            held.kill()
            held.wait()


def test_a_false_helper_is_not_believed(daemon, docker, tmp_path):
    path = tmp_path / "false.sock"
    line = b"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a,task=x,pid=1,uid=0"
    garbage = [b"x", os.urandom(500), b"6,1,2,-;" + line + b"x" * 20000, b"14,2,3,-;" + line, b"next -1", b"lost", b"6,18446744073709551615,1,-;x",
               b"6,9,18446744073709551614,-;oom-kill:constraint=" + b"," * 8000, b"6,10,1,-;\xff\x00\n" + os.urandom(2000)]
    liar = Liar(path, [b"next 5", *garbage * 20, *[b"next %d" % (1000 + i) for i in range(2000)], b"lost 18446744073709551614"])
    try:
        one = daemon(settings(docker, path))
        one.up("kernel")
        wait_for(lambda: counter(one, "dropped_total") > 1e18, 10, "all that was said")
        assert liar.asked == ["virtwatch-kmsg 1 from end"]
        assert counter(one, "malformed_total") >= 7 * 20
        assert not one.events(action="OOMKilled")
        assert one.get("/health")[0] == 200
    finally:
        liar.close()
    down(one, str(path))


def test_a_helper_that_says_nothing_is_not_up(daemon, docker, tmp_path):
    path = tmp_path / "mute.sock"
    liar = Liar(path, [])
    try:
        one = daemon(settings(docker, path))
        wait_for(lambda: liar.asked, 10, "a question")
        assert kernel(one)["state"] != "up"
        down(one, "No answer")
        wait_for(lambda: len(liar.asked) > 1, 10, "a second question")
    finally:
        liar.close()


def test_without_its_socket_the_daemon_reads_the_log_itself_if_it_may(daemon, docker, tmp_path):
    one = daemon(settings(docker, tmp_path / "none.sock"))
    one.up("kernel")
    assert opens_log(one.process.pid)
    one.stop()

    class Bare(Daemon):
        before = ("capsh", "--drop=cap_syslog,cap_sys_admin", "--shell=/usr/bin/env", "--")

    (tmp_path / "bare").mkdir()
    bare = Bare(tmp_path / "bare", settings(docker, tmp_path / "none.sock"))
    try:
        down(bare, "No such file or directory; /dev/kmsg: Operation not permitted")
    finally:
        bare.stop()
