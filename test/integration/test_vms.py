"""libvirt and QEMU (TCG), for real."""

import os
import pathlib
import signal
import subprocess
import time

import pytest

from conftest import wait_for


@pytest.fixture
def watched(daemon, libvirt, bus):
    one = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri}, bus=bus)
    one.up(f"libvirt:{libvirt.uri}")
    return one


def fresh(libvirt, name):
    libvirt("destroy", name, check=False)
    libvirt("undefine", name, check=False)
    libvirt.define(name)


def test_start_pause_resume_destroy(watched, libvirt):
    fresh(libvirt, "alpha")
    for command in ("start", "suspend", "resume", "destroy"):
        libvirt(command, "alpha")
    gone = watched.wait_event(name="alpha", action="died")
    assert gone["reason"] == "destroyed" and gone["kind"] == "vm"
    libvirt("undefine", "alpha")
    watched.wait_event(name="alpha", action="undefined")
    assert [e["action"] for e in watched.events(name="alpha")] == [
        "defined", "started", "paused", "resumed", "died", "undefined"]


def test_a_killed_qemu_is_a_crash(watched, libvirt):
    fresh(libvirt, "beta")
    libvirt("start", "beta")
    watched.wait_event(name="beta", action="started")
    os.kill(libvirt.qemu_pid("beta"), signal.SIGKILL)
    crash = watched.wait_event(name="beta", action="crashed")
    assert crash["reason"] == "qemu-failed" and crash["severity"] == "error"


def test_a_qemu_killed_by_its_memory_cgroup_is_oom_killed(watched, libvirt):
    group = pathlib.Path("/sys/fs/cgroup/memory") / f"vwtest-{os.getpid()}"
    fresh(libvirt, "gamma")
    libvirt("start", "gamma")
    watched.wait_event(name="gamma", action="started")
    wait_for(lambda: [w for w in watched.json("/api/v1/workloads") if w["name"] == "gamma" and w.get("pid")], 10, "its pid")
    pid = libvirt.qemu_pid("gamma")
    group.mkdir()
    try:
        # What was charged before the move does not count: have QEMU take more.
        (group / "memory.limit_in_bytes").write_text("4M")
        (group / "cgroup.procs").write_text(str(pid))
        libvirt("qemu-monitor-command", "--hmp", "gamma", "object_add memory-backend-ram,id=m0,size=64M,prealloc=on", check=False)
        killed = watched.wait_event(name="gamma", action="OOMKilled")
        assert killed["confidence"] == "confirmed" and "kernel" in killed["evidence"]
    finally:
        wait_for(lambda: not (group / "cgroup.procs").read_text().split(), 10, "an empty group")
        group.rmdir()


def test_a_killed_libvirtd_comes_back_and_the_gap_is_closed(watched, libvirt):
    source = f"libvirt:{libvirt.uri}"
    fresh(libvirt, "delta")
    libvirt("start", "delta")
    watched.wait_event(name="delta", action="started")
    pid = libvirt.qemu_pid("delta")
    (libvirt.folder / "delay").write_text("3")
    os.kill(libvirt.pid(), signal.SIGKILL)
    watched.wait_event(name=source, action="source_down")
    states = {w["name"]: w["state"] for w in watched.json("/api/v1/workloads")}
    assert states["delta"] == "unknown"
    os.kill(pid, signal.SIGKILL)
    (libvirt.folder / "delay").write_text("1")
    watched.up(source)
    crash = watched.wait_event(name="delta", action="crashed")
    assert crash["synthetic"] is True


def test_a_stopped_libvirtd_leaves_the_faces_alone(watched, libvirt):
    os.kill(libvirt.pid(), signal.SIGSTOP)
    try:
        for _ in range(10):
            begin = time.monotonic()
            assert watched.get("/health")[0] == 200
            assert time.monotonic() - begin < 3
            time.sleep(0.1)
    finally:
        os.kill(libvirt.pid(), signal.SIGCONT)


def test_a_hung_qemu_delays_no_other_domain(watched, libvirt):
    fresh(libvirt, "hung")
    fresh(libvirt, "lively")
    libvirt("start", "hung")
    watched.wait_event(name="hung", action="started")
    pid = libvirt.qemu_pid("hung")
    os.kill(pid, signal.SIGSTOP)
    try:
        libvirt("start", "lively")
        watched.wait_event(name="lively", action="started", seconds=5)
        os.kill(libvirt.qemu_pid("lively"), signal.SIGKILL)
        watched.wait_event(name="lively", action="crashed", seconds=5)
    finally:
        os.kill(pid, signal.SIGCONT)
        libvirt("destroy", "hung")


def test_busctl_sees_the_same(watched, libvirt, bus):
    def busctl(*args):
        return subprocess.check_output(["busctl", f"--address={bus}", *args], text=True)

    fresh(libvirt, "zeta")
    monitor = subprocess.Popen(["stdbuf", "-oL", "busctl", f"--address={bus}", "monitor", "org.virtwatch1"],
                               stdout=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: "org.virtwatch1" in busctl("list"), 10, "the name")
        time.sleep(0.5)
        libvirt("start", "zeta")
        watched.wait_event(name="zeta", action="started")
        path = busctl("call", "org.virtwatch1", "/org/virtwatch1", "org.virtwatch1.Manager", "GetWorkload", "s", "zeta").split('"')[1]
        state = busctl("get-property", "org.virtwatch1", path, "org.virtwatch1.Workload", "State")
        assert state.strip() == 's "running"'
        libvirt("destroy", "zeta")
        watched.wait_event(name="zeta", action="died")
        assert "died" in busctl("get-property", "org.virtwatch1", path, "org.virtwatch1.Workload", "LastExit")
        time.sleep(0.5)
    finally:
        monitor.terminate()
    text = monitor.communicate()[0]
    assert "Member=Event" in text and "Member=Exited" in text and "destroyed" in text
