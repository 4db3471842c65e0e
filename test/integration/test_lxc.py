"""libvirt's LXC driver, which has no bulk statistics: real containers, read call by call."""

import os
import pathlib
import shutil
import subprocess
import time

import pytest

from conftest import end, wait_for
from test_samples import samples, settled

SCRIPT = """
mount --bind {0}/etc /etc/libvirt; mount --bind {0}/lib /var/lib/libvirt; mount --bind {0}/run /run/libvirt
mount --bind {0}/cache /var/cache/libvirt; mount --bind {0}/log /var/log/libvirt
mount --bind {0}/passwd /etc/passwd; mount --bind {0}/group /etc/group
umount /sys/fs/cgroup/unified 2>/dev/null || :  # beside cgroup v1 its driver cannot make directories there
exec tini -s -- /usr/sbin/libvirtd -f {0}/etc/libvirtd.conf -p {0}/libvirtd.pid
"""


class Lxc:
    """A libvirtd as root, in a mount namespace of its own: LXC has no session mode."""

    def __init__(self, folder):
        self.folder = folder
        self.uri = f"lxc+unix:///system?socket={folder}/sock/libvirt-sock"
        for name in ("etc", "lib", "run", "cache", "log", "sock", "home"):
            (folder / name).mkdir(parents=True)
        for place in ("/etc/libvirt", "/var/lib/libvirt", "/run/libvirt", "/var/cache/libvirt", "/var/log/libvirt"):
            pathlib.Path(place).mkdir(parents=True, exist_ok=True)
        (folder / "etc/libvirtd.conf").write_text(
            f'auth_unix_ro = "none"\nauth_unix_rw = "none"\nunix_sock_dir = "{folder}/sock"\nunix_sock_rw_perms = "0700"\n'
            f'log_outputs = "3:file:{folder}/libvirtd.log"\nhost_uuid = "{pathlib.Path("/proc/sys/kernel/random/uuid").read_text().strip()}"\n')

        # QEMU's driver is loaded as well, and wants its user.
        (folder / "etc/qemu.conf").write_text('user = "root"\ngroup = "root"\nsecurity_driver = "none"\nnamespaces = [ ]\n')
        for name, entry in (("passwd", "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin\n"), ("group", "libvirt-qemu:x:64055:\n")):
            lines = [line for line in open(f"/etc/{name}") if not line.startswith("libvirt-qemu:")]
            (folder / name).write_text("".join(lines) + entry)

    def start(self):
        self.log = open(self.folder / "out", "ab")
        self.process = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-ec", SCRIPT.format(self.folder)],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)
        wait_for(lambda: self("version", check=False).returncode == 0, 60, "libvirtd answers")

    def __call__(self, *args, check=True):
        environment = dict(os.environ, HOME=str(self.folder / "home"), XDG_CACHE_HOME=str(self.folder / "cache"))
        return subprocess.run(["virsh", "-q", "-c", self.uri, *map(str, args)], check=check, capture_output=True, text=True,
                              timeout=60, env=environment)

    def create(self, name, root, command, devices=""):
        file = self.folder / f"{name}.xml"
        file.write_text(f"<domain type='lxc'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type>exe</type>"
                        f"<init>/bin/sh</init><initarg>-c</initarg><initarg>{command}</initarg></os><devices>"
                        "<emulator>/usr/lib/libvirt/libvirt_lxc</emulator><filesystem type='mount'>"
                        f"<source dir='{root}'/><target dir='/'/></filesystem>{devices}<console type='pty'/></devices></domain>")
        self("create", file)

    def group(self, controller, name):
        """Its control group: the one that its controller, whose pid is the domain's id, is in."""
        pid = self("domid", name).stdout.strip()
        for line in open(f"/proc/{pid}/cgroup"):
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if controller in controllers.split(","):
                return pathlib.Path(f"/sys/fs/cgroup/{controller}{path}")
        raise AssertionError(f"no {controller} group of {name}")

    def stop(self):
        for name in self("list", "--name", check=False).stdout.split():
            self("destroy", name, check=False)
        end(self.process)
        self.log.close()
        for group in pathlib.Path("/sys/fs/cgroup").glob("*/machine"):
            try:
                group.rmdir()
            except OSError:
                pass  # another test's


@pytest.fixture(scope="module")
def lxc(scratch):
    server = Lxc(scratch / "x")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def boxes(daemon, lxc):
    one = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": lxc.uri, "sampler.guest_period": "1s"})
    one.up(f"libvirt:{lxc.uri}")
    return one


@pytest.fixture
def root(scratch, image):
    """A root of its own: the shared one must not be written to."""
    folder = scratch / "x/root"
    if not folder.exists():
        shutil.copytree(scratch / "rootfs", folder, symlinks=True)
    return folder


def test_a_container_of_libvirt_is_measured(boxes, lxc, root):
    lxc.create("boxed", root, "while [ ! -e /tmp/stop ]; do :; done; sleep 1000", "<interface type='ethernet'/>")
    try:
        boxes.wait_event(name="boxed", action="started")
        values = wait_for(lambda: settled([s["cpu_pct"] for s in samples(boxes, "boxed")]), 20, "samples")
        usage = lxc.group("cpuacct", "boxed") / "cpuacct.usage"
        begin, used = time.monotonic(), int(usage.read_text())
        time.sleep(5)
        truth = 100 * (int(usage.read_text()) - used) / 1e9 / (time.monotonic() - begin)
        values = [s["cpu_pct"] for s in samples(boxes, "boxed")][-4:]
        assert None not in values and abs(sum(values) / len(values) - min(100, truth)) < 10, (values, truth)

        whole = boxes.json("/api/v1/workloads/boxed")
        assert whole["runtime"] == "lxc" and whole["sample"]["cpu_source"] == "libvirt"
        assert whole["allocation"]["vcpus"] == 1 and whole["allocation"]["memory_mb"] == 64
        assert len(whole["interfaces"]) == 1 and whole["interfaces"][0]["name"] == whole["allocation"]["interfaces"][0]
        name = whole["interfaces"][0]["name"]
        counted = int(pathlib.Path(f"/sys/class/net/{name}/statistics/rx_packets").read_text())
        assert whole["interfaces"][0]["rx_packets"] is not None
        # libvirt tells what the host's end of the cable sends as received.
        assert whole["interfaces"][0]["rx_packets"] <= counted + int(
            pathlib.Path(f"/sys/class/net/{name}/statistics/tx_packets").read_text())
        # Its configuration is looked at beside what it uses, and says the same of it.
        seen, end_at = set(), time.monotonic() + 8
        while time.monotonic() < end_at:
            seen.add(tuple(boxes.json("/api/v1/workloads/boxed")["allocation"]["interfaces"]))
            time.sleep(0.05)
        assert seen == {(name,)}
        (root / "tmp/stop").touch()
        wait_for(lambda: (samples(boxes, "boxed")[-1]["cpu_pct"] or 100) < 20, 15, "it sleeps")
        lxc("suspend", "boxed")
        boxes.wait_event(name="boxed", action="paused")
        lxc("resume", "boxed")  # what is frozen cannot be killed
    finally:
        lxc("destroy", "boxed", check=False)
        (root / "tmp/stop").unlink(missing_ok=True)


def test_memory_of_a_container_of_libvirt_is_that_of_its_group(boxes, lxc, root):
    lxc.create("holds", root, "mount -t tmpfs t /tmp; dd if=/dev/zero of=/tmp/x bs=1M count=20; sleep 1000")
    try:
        group = lxc.group("memory", "holds")
        told = wait_for(lambda: (lambda s: s if (s.get("mem_pct") or 0) > 30 else None)(
            boxes.json("/api/v1/workloads/holds")["sample"] or {}), 20, "20 MiB of 64")
        assert told["mem_source"] == "cgroup"

        def truth():
            return 100 * int((group / "memory.usage_in_bytes").read_text()) / (64 << 20)

        wait_for(lambda: abs(samples(boxes, "holds")[-1]["mem_pct"] - truth()) < 3, 10, "what its group holds")
    finally:
        lxc("destroy", "holds", check=False)


def test_a_container_of_libvirt_that_takes_too_much_memory_is_oom_killed(boxes, lxc, root):
    """Its first process is the one that the kernel kills; libvirt tells of a shutdown."""
    lxc.create("greedy", root, "while [ ! -e /tmp/go ]; do sleep 0.1; done; exec dd if=/dev/zero of=/dev/null bs=200M count=3")
    try:
        boxes.wait_event(name="greedy", action="started")
        group = lxc.group("memory", "greedy")
        init = int(pathlib.Path("/proc", lxc("domid", "greedy").stdout.strip(), "task", lxc("domid", "greedy").stdout.strip(), "children")
                   .read_text().split()[0])
        whole = wait_for(lambda: (lambda w: w if w.get("pid") else None)(boxes.json("/api/v1/workloads/greedy")), 10, "its pid")
        assert whole["pid"] == init and f"/sys/fs/cgroup/memory{whole['cgroup']}" == str(group)
        (root / "tmp/go").touch()
        killed = boxes.wait_event(name="greedy", action="OOMKilled")
        assert killed["confidence"] == "confirmed" and killed["oom_scope"] == "self" and killed["reason"] == "oom", killed
        assert {"kernel", "cgroup"} & set(killed["evidence"]), killed
    finally:
        lxc("destroy", "greedy", check=False)
        (root / "tmp/go").unlink(missing_ok=True)


def test_a_container_of_libvirt_that_ends_is_not_oom_killed(boxes, lxc, root):
    lxc.create("ends", root, "while [ ! -e /tmp/end ]; do sleep 0.1; done; exit 3")
    try:
        boxes.wait_event(name="ends", action="started")
        (root / "tmp/end").touch()
        ended = boxes.wait_event(name="ends", reason="guest-shutdown")
        assert ended["action"] == "stopped" and ended["evidence"] == ["runtime"]
    finally:
        lxc("destroy", "ends", check=False)
        (root / "tmp/end").unlink(missing_ok=True)
