"""Real servers for the tests: each started here, isolated in a folder of its own, ended by pid."""

import hashlib
import json
import os
import pathlib
import re
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("VIRTWATCH_BUILD", ROOT / "build" / "debug"))
TOKEN = "test-token-0123456789"


def pytest_terminal_summary(terminalreporter):
    """What was run once more (--reruns) is told with how it had failed, and named in a file beside the XML."""
    reports = terminalreporter.stats.get("rerun", [])
    for report in reports:
        terminalreporter.section(f"failed at first: {report.nodeid} ({report.when})")
        terminalreporter.write_line(report.longreprtext)
    if xml := terminalreporter.config.getoption("xmlpath"):
        pathlib.Path(xml).with_suffix(".again").write_text("".join(f"{report.nodeid}\n" for report in reports))


def wait_for(condition, seconds=20, what="condition"):
    """What condition gives once it gives something. One that asserts, or reads a field of what is not there, is not true yet: a workload
    asked for may not be known so soon, or have no sample. Where more wants to run than there are processors it takes that much longer."""
    seconds *= min(max(os.getloadavg()[0] / os.cpu_count(), 1), 6)
    end, why = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            value, why = condition(), None
        except (AssertionError, LookupError, TypeError) as error:
            value, why = None, error
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come true in {seconds:.0f} s" + (f": {why!r}" if why else "")) from why


def spawn(args, log, **options):
    """Under a subreaper, in a session of its own."""
    return subprocess.Popen(["tini", "-s", "--", *map(str, args)], stdin=subprocess.DEVNULL,
                            stdout=log, stderr=log, start_new_session=True, **options)


def guest_leader(nspawn):
    """PID 1 of what systemd-nspawn boots, or None: its first child only makes that one."""
    for child in pathlib.Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split():
        try:
            status = pathlib.Path(f"/proc/{child}/status").read_text()
        except OSError:
            continue
        if re.search(r"^NSpid:.*\s1$", status, re.MULTILINE):
            return int(child)
    return None


def guest_groups_gone():
    """Whether the cgroups of such a guest could be removed: what has ended may not have been reaped yet."""
    try:
        for group in pathlib.Path("/sys/fs/cgroup").glob("*/payload"):
            for path in sorted(group.rglob("*/"), reverse=True):
                path.rmdir()
            group.rmdir()
    except OSError:
        return False
    return True


def end(process, seconds=15):
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="session")
def scratch():
    path = pathlib.Path(tempfile.mkdtemp(prefix="vwt"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def make_image(folder):
    """A tar of a busybox root: the image of every container."""
    root = folder / "rootfs"
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "root"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin")
    for applet in subprocess.check_output(["/bin/busybox", "--list"], text=True).split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    subprocess.check_call(["tar", "-C", root, "-cf", folder / "bb.tar", "."])
    return folder / "bb.tar"


@pytest.fixture(scope="session")
def image(scratch):
    return make_image(scratch)


class Docker:
    def __init__(self, folder, image):
        self.folder = folder
        self.socket = folder / "docker.sock"
        self.image = image
        self.process = None

    def start(self):
        self.log = open(self.folder / "dockerd.log", "ab")
        (self.folder / "daemon.json").write_text("{}")
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)
        self.process = spawn(["dockerd", "--config-file", self.folder / "daemon.json", "-H", f"unix://{self.socket}",
                              "--data-root", self.folder / "data", "--exec-root", self.folder / "exec",
                              "--pidfile", self.folder / "dockerd.pid", "--iptables=false", "--ip6tables=false",
                              "--ip-masq=false", "--bridge=none", "--storage-driver=overlay2",
                              "--exec-opt", "native.cgroupdriver=cgroupfs"], self.log)
        wait_for(lambda: self("version", check=False).returncode == 0, 60, "dockerd answers")

    def __call__(self, *args, check=True):
        return subprocess.run(["/usr/bin/docker", "-H", f"unix://{self.socket}", *map(str, args)], check=check,
                              capture_output=True, text=True, timeout=120)

    def run(self, name, *args, options=()):
        return self("run", "--network=none", "--name", name, *options, "bb:1", *args, check=False)

    def pid(self):
        return int((self.folder / "dockerd.pid").read_text())

    def stop(self):
        end(self.process, 40)
        self.log.close()


@pytest.fixture(scope="session")
def docker(scratch, image):
    folder = scratch / "d"
    folder.mkdir()
    engine = Docker(folder, image)
    engine.start()
    engine("import", image, "bb:1")
    yield engine
    ids = engine("ps", "-aq", check=False).stdout.split()
    if ids:
        engine("rm", "-f", *ids, check=False)
    engine.stop()


class Podman:
    def __init__(self, folder):
        self.folder = folder
        self.socket = folder / "podman.sock"
        (folder / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\nnetns = "none"\n'
            'log_driver = "k8s-file"\n[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n'
            f'tmp_dir = "{folder}/tmp"\n[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "{folder}/networks"\n')
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/root"\n')
        self.environment = dict(os.environ, CONTAINERS_CONF=str(folder / "containers.conf"),
                                CONTAINERS_STORAGE_CONF=str(folder / "storage.conf"))

    def start(self):
        self.log = open(self.folder / "podman.log", "ab")
        self.process = spawn(["podman", "system", "service", "-t", "0", f"unix://{self.socket}"], self.log,
                             env=self.environment, cwd=self.folder)
        wait_for(self.socket.exists, 30, "podman's socket")

    def __call__(self, *args, check=True):
        return subprocess.run(["podman", *map(str, args)], check=check, capture_output=True, text=True, timeout=120,
                              env=self.environment, cwd=self.folder)

    def run(self, name, *args, options=()):
        return self("run", "--name", name, *options, "localhost/bb:1", *args, check=False)


@pytest.fixture(scope="session")
def podman(scratch, image):
    folder = scratch / "p"
    folder.mkdir()
    engine = Podman(folder)
    engine("import", "-q", image, "localhost/bb:1")
    engine.start()
    yield engine
    engine("rm", "-f", "-t", "0", "-a", check=False)
    end(engine.process)
    engine.log.close()
    subprocess.run(["umount", "-l", folder / "root/overlay"], stderr=subprocess.DEVNULL)


class Containerd:
    """A containerd of our own under a reaper that outlives it, as its shims do."""

    NAMESPACES = ("default", "other", "moby")

    def __init__(self, folder):
        self.folder = folder
        self.socket = folder / "state/containerd.sock"
        self.reaper = None
        (folder / "config.toml").write_text(
            f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{self.socket}"\n[ttrpc]\naddress = "{folder}/ttrpc.sock"\n')

        (folder / "loop.sh").write_text(
            f"#!/bin/sh\ncd {folder}\nwhile [ ! -e stop ]; do\nif [ -e go ]; then\n"
            "containerd -c config.toml & echo $! > pid.new; mv pid.new pid; wait $!; rm -f pid\nfi\nsleep 0.1\ndone\n")

    def start(self):
        if not self.reaper:
            self.log = open(self.folder / "containerd.log", "ab")
            self.reaper = spawn(["sh", self.folder / "loop.sh"], self.log)
        (self.folder / "go").touch()
        wait_for(lambda: self("version", check=False).returncode == 0, 60, "containerd answers")

    def __call__(self, *args, namespace="default", check=True):
        return subprocess.run(["ctr", "-a", self.socket, "-n", namespace, *map(str, args)], check=check,
                              capture_output=True, text=True, timeout=120)

    def run(self, name, *args, options=(), namespace="default"):
        return self("run", *options, "localhost/bb:1", name, *args, namespace=namespace, check=False)

    def start_task(self, name, *args, options=(), namespace="default"):
        """In the background; the caller sees to its end."""
        assert self.run(name, *args, options=("-d", *options), namespace=namespace).returncode == 0

    def task_pid(self, name, namespace="default"):
        lines = self("task", "ls", namespace=namespace).stdout.splitlines()[1:]
        return next(int(line.split()[1]) for line in lines if line.split()[0] == name)

    def import_image(self, layer, namespaces):
        """An OCI archive round the layer, made by hand."""
        layout = self.folder / "oci"
        blobs = layout / "blobs/sha256"
        blobs.mkdir(parents=True)

        def blob(kind, data):
            digest = hashlib.sha256(data).hexdigest()
            (blobs / digest).write_bytes(data)
            return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

        data = layer.read_bytes()
        config = blob("config.v1+json", json.dumps({
            "architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(data).hexdigest()]}}).encode())
        manifest = blob("manifest.v1+json", json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
            "layers": [blob("layer.v1.tar", data)]}).encode())
        manifest["annotations"] = {"io.containerd.image.name": "localhost/bb:1"}
        (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
        subprocess.check_call(["tar", "-C", layout, "-cf", self.folder / "bb-oci.tar", "."])
        for namespace in namespaces:
            self("image", "import", self.folder / "bb-oci.tar", namespace=namespace)

    def server_pid(self):
        return int((self.folder / "pid").read_text())

    def kill(self):
        """containerd alone, not the tasks; start() brings it back."""
        (self.folder / "go").unlink()
        os.kill(self.server_pid(), signal.SIGKILL)
        wait_for(lambda: not (self.folder / "pid").exists(), 10, "containerd is gone")

    def stop(self):
        self.start()
        for namespace in self.NAMESPACES:
            for name in self("task", "ls", "-q", namespace=namespace, check=False).stdout.split():
                self("task", "rm", "-f", name, namespace=namespace, check=False)
        (self.folder / "stop").touch()
        os.kill(self.server_pid(), signal.SIGTERM)
        self.reaper.wait(30)
        self.log.close()


@pytest.fixture(scope="session")
def containerd(scratch, image):
    folder = scratch / "c"
    folder.mkdir()
    engine = Containerd(folder)
    engine.start()
    engine.import_image(image, Containerd.NAMESPACES)
    yield engine
    engine.stop()


class Libvirt:
    """qemu:///session as uid 1 (which every system has) of a user namespace: isolated, no system bus, no polkit. With a host name of its
    own it passes for another host."""

    def __init__(self, folder, hostname=None):
        self.folder = folder
        self.hostname = hostname
        self.socket = folder / "run/libvirt/libvirt-sock"
        self.uri = f"qemu+unix:///session?socket={self.socket}"
        for name in ("run", "config/libvirt", "cache", "data", "home"):
            (folder / name).mkdir(parents=True, mode=0o700)
        (folder / "config/libvirt/libvirtd.conf").write_text(
            'auth_unix_ro = "none"\nauth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\n'
            f'log_outputs = "3:file:{folder}/libvirtd.log"\n'
            f'host_uuid = "{pathlib.Path("/proc/sys/kernel/random/uuid").read_text().strip()}"\n')
        (folder / "config/libvirt/qemu.conf").write_text(
            'security_driver = "none"\ncgroup_controllers = [ ]\nnamespaces = [ ]\nstdio_handler = "file"\n'
            'seccomp_sandbox = 0\n')
        self.reaper = None

    def start(self):
        """A reaper that keeps libvirtd running, as init would, unless the file `stop` is there."""
        script = self.folder / "loop.sh"
        script.write_text(
            f"#!/bin/sh\nwhile [ ! -e {self.folder}/stop ]; do\n"
            f"env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME={self.folder}/home XDG_RUNTIME_DIR={self.folder}/run"
            f" XDG_CONFIG_HOME={self.folder}/config XDG_CACHE_HOME={self.folder}/cache XDG_DATA_HOME={self.folder}/data"
            f" /usr/sbin/libvirtd -f {self.folder}/config/libvirt/libvirtd.conf -p {self.folder}/libvirtd.pid -t 0\n"
            f"sleep $(cat {self.folder}/delay 2>/dev/null || echo 1)\ndone\n")
        self.log = open(self.folder / "out", "ab")
        other = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.hostname] if self.hostname else []
        self.reaper = subprocess.Popen(
            [*other, "unshare", "-U", "--map-user=1", "--map-group=1", "tini", "-s", "--", "sh", str(script)],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)
        wait_for(lambda: self("version", check=False).returncode == 0, 60, "libvirtd answers")

    def __call__(self, *args, check=True):
        environment = dict(os.environ, HOME=str(self.folder / "home"), XDG_CACHE_HOME=str(self.folder / "cache"))
        return subprocess.run(["virsh", "-q", "-c", self.uri, *map(str, args)], check=check, capture_output=True,
                              text=True, timeout=60, env=environment)

    def define(self, name):
        xml = self.folder / f"{name}.xml"
        xml.write_text(f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>"
                       "<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>"
                       "<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><memballoon model='none'/></devices>"
                       "</domain>")
        self("define", xml)

    def pid(self):
        return int((self.folder / "libvirtd.pid").read_text())

    def qemu_pid(self, name):
        return int((self.folder / f"run/libvirt/qemu/run/{name}.pid").read_text())

    def stop(self):
        (self.folder / "stop").touch()
        (self.folder / "delay").write_text("0")
        for pid in (self.folder / "run/libvirt/qemu/run").glob("*.pid"):
            try:
                os.kill(int(pid.read_text()), signal.SIGKILL)
            except (ProcessLookupError, ValueError):
                pass
        try:
            os.kill(self.pid(), signal.SIGTERM)
        except (ProcessLookupError, FileNotFoundError):
            pass
        end(self.reaper)
        self.log.close()


@pytest.fixture(scope="session")
def libvirt(scratch):
    server = Libvirt(scratch / "l")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def bus(scratch):
    """A private system-like bus that anybody may own names on."""
    path = scratch / "bus.sock"
    config = scratch / "bus.conf"
    config.write_text(
        f'<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>'
        '<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>'
        '<allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>'
        '<allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>'
        '<allow receive_type="signal"/><allow receive_type="method_return"/><allow receive_type="error"/>'
        '</policy></busconfig>')
    log = open(scratch / "bus.log", "ab")
    process = spawn(["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--nosyslog"], log)
    wait_for(path.exists, 10, "the bus")
    yield f"unix:path={path}"
    end(process)
    log.close()


class Daemon:
    before = ()  # a command that runs it in a place of its own

    def __init__(self, folder, settings, bus=None, environment=None):
        self.folder = folder
        self.environment = dict(os.environ, **environment) if environment else None
        self.settings = {"store.path": folder / "state", "http.listen": f"127.0.0.1:0,unix:{folder}/http.sock",
                         "http.token": TOKEN, "sources.docker.enabled": "false", "sources.podman.enabled": "false",
                         "sources.containerd.enabled": "false", "sources.libvirt.enabled": "false",
                         "sources.machined.enabled": "false", "sources.oomd.enabled": "false",
                         "logging.level": "debug", "logging.format": "text",
                         "dbus.bus": "none", "node.name": "testnode"}
        if bus:
            self.settings["dbus.address"] = bus
        self.settings.update(settings)
        self.process = None
        self.start()

    def start(self):
        folder = self.folder
        self.log = open(folder / "virtwatchd.log", "ab")
        self.begin = self.log.tell()
        args = [*self.before, BUILD / "src/virtwatchd"]
        for key, value in self.settings.items():
            args += [key, value] if key.startswith("-") else ["--set", f"{key}={value}"]
        self.process = subprocess.Popen(list(map(str, args)), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        env=self.environment)
        wait_for(lambda: self.process.poll() is not None or (folder / "http.sock").exists() and self.port(), 20, "virtwatchd listens")
        assert self.process.poll() is None, (folder / "virtwatchd.log").read_text()[-2000:]

    def port(self):
        text = (self.folder / "virtwatchd.log").read_bytes()[self.begin:].decode(errors="replace")
        for line in text.splitlines():
            if "Listening on 127.0.0.1:" in line:
                return int(line.rsplit(":", 1)[1].split('"')[0])  # a line of text, or of JSON
        return None

    def get(self, path, token=TOKEN):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port()}{path}")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def json(self, path):
        status, text = self.get(path)
        assert status == 200, text
        return json.loads(text)

    def events(self, **filters):
        """All events there are, in order."""
        query, after, found = urllib.parse.urlencode(filters), 0, []
        while True:
            page = self.json(f"/api/v1/events?limit=1000&after={after}&{query}")
            if not page["events"]:
                return found
            found += page["events"]
            after = page["next_after"]

    def wait_event(self, seconds=20, **wanted):
        def look():
            for event in self.events(name=wanted["name"]):
                if all(event.get(key) == value for key, value in wanted.items()):
                    return event
            return None
        try:
            return wait_for(look, seconds, str(wanted))
        except AssertionError:
            raise AssertionError(f"{wanted} not among {self.events()[-10:]}") from None

    def up(self, source):
        wait_for(lambda: json.loads(self.get("/ready")[1])["sources"].get(source, {}).get("state") == "up", 40, f"{source} up")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(20) == 0
        self.log.close()


@pytest.fixture
def daemon(request, tmp_path):
    """daemon(settings) starts one; the test's end stops it cleanly."""
    started = []

    def start(settings=None, bus=None):
        one = Daemon(tmp_path, settings or {}, bus)
        started.append(one)
        return one

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop()


class Stream:
    """An SSE client on a thread."""

    def __init__(self, daemon, last_id=None, token=TOKEN):
        self.queue = queue.Queue()
        self.socket = socket.create_connection(("127.0.0.1", daemon.port()))
        head = f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: Bearer {token}\r\n"
        if last_id is not None:
            head += f"Last-Event-ID: {last_id}\r\n"
        self.socket.sendall((head + "\r\n").encode())
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        with self.socket.makefile("rb") as lines:
            for line in lines:
                if line.startswith(b"data: "):
                    self.queue.put((time.time(), json.loads(line[6:])))

    def next(self, seconds=10):
        return self.queue.get(timeout=seconds)[1]

    def close(self):
        self.socket.close()


@pytest.fixture
def stream():
    opened = []

    def start(daemon, last_id=None, token=TOKEN):
        one = Stream(daemon, last_id, token)
        opened.append(one)
        return one

    yield start
    for one in opened:
        one.close()
