"""What workloads use and were given: real guests, real containers, beside what they really did."""

import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import TOKEN, wait_for
from test_config import configured  # noqa: F401
from tiny_guest import TinyGuest


def samples(daemon, name):
    return daemon.json(f"/api/app-gateway/metrics/x?vm_name={name}")["samples"]


def settled(values, n=3):
    """The last n numbers, once there are so many in a row."""
    return values[-n:] if len(values) >= n and None not in values[-n:] else None


@pytest.fixture
def vms(daemon, libvirt, bus):
    one = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri, "sources.libvirt.write": "true"},
                 bus=bus)
    one.up(f"libvirt:{libvirt.uri}")
    return one


@pytest.fixture
def containers(daemon, docker):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket})
    one.up("docker")
    return one


def define(libvirt, name, vcpus=1, loop=b"\xfa\xf4\xeb\xfd"):
    """A guest that runs @loop (by default: cli, hlt, again) from the boot sector of its disk."""
    disk = libvirt.folder / f"{name}.raw"
    disk.write_bytes(loop.ljust(510, b"\0") + b"\x55\xaa" + bytes(8 * 1024 * 1024 - 512))
    libvirt("destroy", name, check=False)
    libvirt("undefine", name, check=False)
    xml = libvirt.folder / f"{name}.xml"
    xml.write_text(f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory>"
                   f"<currentMemory unit='MiB'>64</currentMemory><vcpu>{vcpus}</vcpu>"
                   "<os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><features><acpi/></features>"
                   "<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>"
                   f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>"
                   "<target dev='vda' bus='virtio'/></disk><memballoon model='virtio'/></devices></domain>")
    libvirt("define", xml)
    libvirt("start", name)


def test_a_guest_that_spins_one_of_two_cpus_reads_as_half(vms, libvirt):
    define(libvirt, "spinner", vcpus=2, loop=b"\xeb\xfe")
    vms.wait_event(name="spinner", action="started")
    pid = libvirt.qemu_pid("spinner")
    ticks = os.sysconf("SC_CLK_TCK")

    def used():
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / ticks

    wait_for(lambda: settled([s["cpu_pct"] for s in samples(vms, "spinner")]), 20, "samples")
    begin, cpu = time.monotonic(), used()
    time.sleep(6)
    truth = 100 * (used() - cpu) / (time.monotonic() - begin) / 2
    values = [s["cpu_pct"] for s in samples(vms, "spinner")][-5:]
    assert None not in values
    # The machine is busy, so what is true is what its process got, not what it asked for.
    assert abs(sum(values) / len(values) - truth) < 6, (values, truth)
    whole = vms.json("/api/v1/workloads/spinner")
    assert whole["sample"]["cpu_source"] == "libvirt"
    assert len(whole["vcpus"]) == 2
    libvirt("destroy", "spinner")
    libvirt("undefine", "spinner")


def test_allocation_is_what_was_given_and_follows_changes(vms, libvirt):
    define(libvirt, "given")
    answer = wait_for(lambda: (lambda a: a if a["samples"] and ((a["allocation"] or {}).get("disks") or [{}])[0].get("capacity_gb") else None)(
        vms.json("/api/app-gateway/metrics/shop?vm_name=given")), 20, "its allocation")
    assert answer["allocation"]["vcpus"] == 1
    assert answer["allocation"]["memory_mb"] == 64
    assert answer["allocation"]["disks"] == [{"target": "vda", "capacity_gb": 0.01}]
    told = wait_for(lambda: (lambda s: s if s["disk_pct"] is not None else None)(vms.json("/api/v1/workloads/given")["sample"]),
                    20, "what its image takes")
    assert (told["disk_pct"], told["disk_source"]) == (100, "blocks")  # it was written whole
    extra = libvirt.folder / "extra.qcow2"
    subprocess.check_call(["qemu-img", "create", "-q", "-f", "qcow2", extra, "3G"])
    libvirt("attach-disk", "given", extra, "vdb", "--live", "--subdriver", "qcow2")
    wait_for(lambda: {"target": "vdb", "capacity_gb": 3} in vms.json("/api/v1/workloads/given")["allocation"]["disks"],
             10, "the hot-plugged disk")
    newest = wait_for(lambda: (lambda s: s if s["disk_source"] == "physical" else None)(
        vms.json("/api/v1/workloads/given")["sample"]), 10, "its use")
    assert newest["disk_pct"] < 1
    assert newest["mem_source"] in ("host-rss", "guest", "balloon") and 0 < newest["mem_pct"] <= 100
    libvirt("destroy", "given")
    wait_for(lambda: vms.json("/api/v1/workloads/given")["sample"] is None, 10, "no sample of a dead guest")
    assert vms.json("/api/v1/workloads/given")["allocation"]["vcpus"] == 1
    libvirt("undefine", "given")


def test_memory_of_a_guest_is_what_it_says_of_itself(vms, libvirt):
    guest = TinyGuest(libvirt, "speaks", balloon="virtio").start()
    wait_for(lambda: samples(vms, "speaks"), 20, "samples")
    assert guest.tell("q")  # 2 MiB, of which 96 KiB are usable
    told = wait_for(lambda: (lambda s: s if s and s["mem_source"] == "guest" else None)(
        vms.json("/api/v1/workloads/speaks")["sample"]), 20, "what the guest tells")
    assert abs(told["mem_pct"] - 100 * (2048 - 96) / 2048) < 0.1
    guest.gone()


def test_a_hung_qemu_costs_only_its_own_samples(vms, libvirt):
    define(libvirt, "hangs")
    define(libvirt, "lives")
    for name in ("hangs", "lives"):
        wait_for(lambda name=name: settled([s["cpu_pct"] for s in samples(vms, name)]), 20, "samples")
    pid = libvirt.qemu_pid("hangs")
    os.kill(pid, signal.SIGSTOP)
    try:
        hung = vms.wait_event(name="hangs", action="monitor_hung", seconds=30)
        assert hung["severity"] == "warning"
        assert "monitor_hung_since" in vms.json("/api/v1/workloads/hangs")
        time.sleep(5)
        values = [s["mem_pct"] for s in samples(vms, "lives")][-3:]
        assert None not in values, values
        wait_for(lambda: vms.json("/api/v1/workloads/hangs")["sample"]["cpu_source"] == "process", 10, "the kernel still tells")
        begin = time.monotonic()
        assert vms.get("/health")[0] == 200
        assert time.monotonic() - begin < 3
    finally:
        os.kill(pid, signal.SIGCONT)
    vms.wait_event(name="hangs", action="monitor_recovered", seconds=60)
    # It is left out for 40 s from when it was found to hang.
    wait_for(lambda: vms.json("/api/v1/workloads/hangs")["sample"]["cpu_source"] == "libvirt", 60, "readings again")
    for name in ("hangs", "lives"):
        libvirt("destroy", name)
        libvirt("undefine", name)


def test_a_qemu_that_answers_late_again_and_again_costs_others_little(vms, libvirt):
    for name in ("late", "prompt"):
        define(libvirt, name)
        wait_for(lambda name=name: settled([s["disk_pct"] for s in samples(vms, name)]), 20, "samples")
    pid, ended = libvirt.qemu_pid("late"), threading.Event()

    def stutter():
        while not ended.is_set():
            os.kill(pid, signal.SIGSTOP)
            ended.wait(6)
            os.kill(pid, signal.SIGCONT)
            ended.wait(0.5)

    stuttering = threading.Thread(target=stutter)
    stuttering.start()
    try:
        vms.wait_event(name="late", action="monitor_hung", seconds=30)
        time.sleep(24)
        # Disks are what only libvirt tells.
        found = [s["disk_pct"] for s in samples(vms, "prompt")][-20:]
        assert len(found) == 20 and found.count(None) <= 4, found
        assert len([e for e in vms.events(name="late") if e["action"] == "monitor_hung"]) == 1
    finally:
        ended.set()
        stuttering.join()
        os.kill(pid, signal.SIGCONT)
        for name in ("late", "prompt"):
            libvirt("destroy", name)
            libvirt("undefine", name)


def test_a_reload_that_adds_a_libvirt_leaves_what_hangs_elsewhere_hung(configured, libvirt):  # noqa: F811
    one = configured({"sources.libvirt.enabled": "true", "sources.libvirt.uris": [libvirt.uri]})
    one.up(f"libvirt:{libvirt.uri}")
    define(libvirt, "remains")
    wait_for(lambda: settled([s["cpu_pct"] for s in samples(one, "remains")]), 20, "samples")
    pid = libvirt.qemu_pid("remains")
    os.kill(pid, signal.SIGSTOP)
    try:
        one.wait_event(name="remains", action="monitor_hung", seconds=30)
        assert one.reload({"sources.libvirt.uris": [libvirt.uri, "test:///default"]})[0]
        one.up("libvirt:test:///default")
        assert "monitor_hung_since" in one.json("/api/v1/workloads/remains")
    finally:
        os.kill(pid, signal.SIGCONT)
        libvirt("destroy", "remains")
        libvirt("undefine", "remains")


def test_a_container_is_measured_against_its_limits(containers, docker):
    docker.run("busy", "sh", "-c", "while :; do :; done", options=("-d", "--cpu-period", "100000", "--cpu-quota", "20000",
                                                                    "-m", "64m"))
    try:
        values = wait_for(lambda: settled([s["cpu_pct"] for s in samples(containers, "busy")], 4), 20, "samples")
        assert all(value > 60 for value in values), values
        whole = containers.json("/api/v1/workloads/busy")
        assert whole["allocation"]["vcpus"] == 0.2 and whole["allocation"]["memory_mb"] == 64
        assert whole["allocation"]["cpu_limited"] and whole["allocation"]["memory_limited"]
        assert whole["sample"]["mem_source"] == "cgroup" and 0 < whole["sample"]["mem_pct"] < 50
    finally:
        docker("rm", "-f", "busy")


def test_memory_of_a_container_is_what_it_holds(containers, docker):
    docker.run("holder", "sh", "-c", "dd if=/dev/zero of=/held/x bs=1M count=12; sleep 100",
               options=("-d", "-m", "128m", "--tmpfs", "/held"))
    try:
        limit = 128 << 20
        path = wait_for(lambda: containers.json("/api/v1/workloads/holder").get("cgroup"), 10, "its control group")
        group = f"/sys/fs/cgroup/memory{path}"

        def truth():
            stat = dict(line.split() for line in open(f"{group}/memory.stat"))
            return 100 * (int(open(f"{group}/memory.usage_in_bytes").read()) - int(stat["total_inactive_file"])) / limit

        wait_for(lambda: truth() > 9, 20, "it holds the memory")
        wait_for(lambda: abs(samples(containers, "holder")[-1]["mem_pct"] - truth()) < 2, 10, "its sample says so")
    finally:
        docker("rm", "-f", "holder")


def test_slots_nobody_filled_are_null_and_none_comes_twice(containers, docker):
    assert docker.run("unhurried", "sleep", "100", options=("-d",)).returncode == 0
    try:
        wait_for(lambda: len(samples(containers, "unhurried")) >= 5, 20, "samples")
        found = samples(containers, "unhurried")
        assert found[0]["cpu_pct"] is None  # the first has nothing to be compared with
        assert len({s["at"] for s in found}) == len(found)
        docker("pause", "unhurried")
        wait_for(lambda: samples(containers, "unhurried")[-1]["cpu_pct"] == 0, 10, "a sample of a container that does nothing")
    finally:
        docker("rm", "-f", "unhurried")


def test_metrics_of_an_unknown_app_or_workload_are_refused(daemon):
    one = daemon()
    assert one.get("/api/app-gateway/metrics/shop")[0] == 404
    assert one.get("/api/app-gateway/metrics/shop?vm_name=nobody")[0] == 404


def test_the_ring_is_as_long_as_configured(daemon, docker):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket, "sampler.interval": "200ms",
                  "sampler.ring": "2s"})
    one.up("docker")
    docker.run("quick", "sleep", "100", options=("-d",))
    try:
        wait_for(lambda: len(samples(one, "quick")) == 10, 20, "ten slots")
        time.sleep(1)
        assert len(samples(one, "quick")) == 10
    finally:
        docker("rm", "-f", "quick")


def test_samples_are_streamed_as_they_are_taken(containers, docker):
    for name in ("one", "two"):
        docker.run(name, "sleep", "100", options=("-d",))
    try:
        containers.wait_event(name="two", action="started")
        assert containers.get("/api/v1/events?stream=nothing")[0] == 400
        for query, names in (("", {"one", "two"}), ("&name=two", {"two"})):
            found = []
            with socket.create_connection(("127.0.0.1", containers.port())) as client:
                client.sendall(f"GET /api/v1/events?stream=samples{query} HTTP/1.1\r\nHost: x\r\n"
                               f"Authorization: Bearer {TOKEN}\r\n\r\n".encode())
                client.settimeout(10)
                with client.makefile("rb") as lines:
                    for line in lines:
                        if line.startswith(b"data: "):
                            found.append(json.loads(line[6:]))
                        if len({f["at"] for f in found}) == 4:
                            break
            assert {f["name"] for f in found} == names
            assert all(set(f) == {"at", "cpu_pct", "mem_pct", "disk_pct", "id", "name", "kind"} for f in found)
            assert len({(f["at"], f["name"]) for f in found}) == len(found)
            ring = {s["at"]: s["cpu_pct"] for s in samples(containers, "two")}
            assert all(ring[f["at"]] == f["cpu_pct"] for f in found if f["name"] == "two" and f["at"] in ring)
    finally:
        docker("rm", "-f", "one", "two")
