"""What guests say of themselves through a real agent, and what images and configurations say of those that cannot."""

import os
import signal
import subprocess
import time

import pytest

from conftest import wait_for
from dbus_peers import NAME
from linux_guest import LinuxGuest, linux  # noqa: F401
from test_dbus import client  # noqa: F401
from test_dbus_samples import WORKLOAD, read, ready
from test_samples import samples
from test_traces import collector, traced  # noqa: F401

MAC = "52:54:00:12:34:56"
IMAGE = ("physical", "blocks")


@pytest.fixture
def vms(daemon, libvirt, bus):
    one = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri, "sources.libvirt.write": "true",
                  "sampler.guest_period": "1s", "sampler.balloon_period": "1s"}, bus=bus)
    one.up(f"libvirt:{libvirt.uri}")
    return one


def raw_disk(libvirt, name, mib, file_system=True):
    path = libvirt.folder / f"{name}.raw"
    path.unlink(missing_ok=True)
    with open(path, "wb") as image:
        image.truncate(mib << 20)
    if file_system:
        subprocess.check_call(["/usr/sbin/mkfs.ext4", "-q", "-E", "lazy_itable_init=0", path])
    return path


def disk_xml(path, target="vda", kind="raw"):
    return (f"<disk type='file' device='disk'><driver name='qemu' type='{kind}'/><source file='{path}'/>"
            f"<target dev='{target}' bus='virtio'/></disk>")


def newest(daemon, name):
    return daemon.json(f"/api/v1/workloads/{name}")["sample"] or {}


def agent_guest(libvirt, linux, name):  # noqa: F811
    path = raw_disk(libvirt, name, 64)
    guest = LinuxGuest(libvirt, linux, name, devices=disk_xml(path) + f"<interface type='user'><mac address='{MAC}'/>"
                       "<model type='virtio'/></interface>").start()
    guest.run("mount -t ext4 /dev/vda /mnt")
    guest.run("echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_ra; ip link set lo up; ip addr add 10.9.8.7/24 dev eth0; ip addr add 2001:db8::7/64 dev eth0; ip link set eth0 up")
    return guest, path


def used_percent(guest):
    """By df in the guest: of what is there for everybody, as the agent counts it too."""
    fields = guest.run("df -k /mnt | tail -n 1").split()
    return 100 * int(fields[2]) / (int(fields[2]) + int(fields[3]))


def test_a_guest_with_an_agent_tells_its_disks_memory_and_addresses(vms, libvirt, linux, bus, client):  # noqa: F811
    user = ready(client(bus))
    guest, path = agent_guest(libvirt, linux, "tells")
    try:
        # No agent yet: what the image takes on the host is all there is.
        told = wait_for(lambda: (lambda s: s if s.get("disk_source") in IMAGE else None)(newest(vms, "tells")), 20, "its image")
        assert abs(told["disk_pct"] - 100 * os.stat(path).st_blocks * 512 / (64 << 20)) < 1
        assert "addresses" not in vms.json("/api/v1/workloads/tells")

        guest.agent()
        told = wait_for(lambda: (lambda s: s if s.get("disk_source") == "guest" else None)(newest(vms, "tells")), 60, "its agent")
        first = told["disk_pct"]
        assert abs(first - used_percent(guest)) < 1 and told["disk_fullest_pct"] == first
        whole = vms.json("/api/v1/workloads/tells")
        assert [(f["mountpoint"], f["device"], f["type"]) for f in whole["file_systems"]] == [("/mnt", "vda", "ext4")]
        total = whole["file_systems"][0]["total_bytes"]
        assert whole["addresses"] == ["10.9.8.7", "2001:db8::7"]
        object_path = user.manager("GetWorkload", "s", "tells")[0]
        assert read(user, object_path, "Addresses") == ["10.9.8.7", "2001:db8::7"]

        # The guest writes 20 MiB: that much more of its disk is used.
        guest.run("dd if=/dev/urandom of=/mnt/x bs=1M count=20 2>/dev/null && sync")
        wait_for(lambda: abs(newest(vms, "tells")["disk_pct"] - first - 100 * (20 << 20) / total) < 1.5, 10, "20 MiB more")
        wait_for(lambda: abs(samples(vms, "tells")[-1]["disk_pct"] - used_percent(guest)) < 1, 10, "what the guest's df says")
        metrics = vms.get("/metrics")[1]
        metrics = metrics.decode() if isinstance(metrics, bytes) else metrics
        lines = [line for line in metrics.splitlines() if line.startswith("virtwatch_workload_guest_filesystem_") and '"tells"' in line]
        assert len(lines) == 2 and any(line.endswith(f" {total}") for line in lines), lines

        # And takes 60 MiB of memory.
        def truth():
            numbers = {line.split(":")[0]: int(line.split()[1]) for line in guest.run("cat /proc/meminfo").splitlines() if ":" in line}
            return 100 * (numbers["MemTotal"] - numbers["MemAvailable"]) / numbers["MemTotal"]

        before = wait_for(lambda: (lambda s: s["mem_pct"] if s.get("mem_source") == "guest" else None)(newest(vms, "tells")), 60, "memory")
        guest.run("dd if=/dev/zero of=/dev/shm/held bs=1M count=60 2>/dev/null")
        held = truth()
        assert held > before + 20
        wait_for(lambda: abs(newest(vms, "tells")["mem_pct"] - held) < 3, 15, "60 MiB more")

        # It gets another address, and at its end it has none.
        user.receive(0.1)
        user.signals.clear()
        guest.run("ip addr del 10.9.8.7/24 dev eth0; ip addr add 10.9.8.8/24 dev eth0")
        user.wait("PropertiesChanged", lambda body: "10.9.8.8" in body[1].get("Addresses", ("as", []))[1], path=object_path)
        assert "10.9.8.7" not in vms.json("/api/v1/workloads/tells")["addresses"]
        libvirt("destroy", "tells")
        vms.wait_event(name="tells", action="died")
        assert "addresses" not in vms.json("/api/v1/workloads/tells")
    finally:
        guest.gone()


def test_an_agent_that_hangs_costs_only_what_it_alone_can_tell(vms, libvirt, linux):  # noqa: F811
    guest, _ = agent_guest(libvirt, linux, "mute")
    try:
        guest.agent()
        wait_for(lambda: newest(vms, "mute").get("disk_source") == "guest", 60, "its agent")
        guest.run("kill -STOP $(cat /agent.pid)")
        wait_for(lambda: newest(vms, "mute").get("disk_source") in IMAGE, 30, "its image instead")
        values = [s["cpu_pct"] for s in samples(vms, "mute")][-5:]
        assert None not in values, values  # nothing else was held up
        assert vms.json("/api/v1/workloads/mute")["addresses"] == ["10.9.8.7", "2001:db8::7"]
        guest.run("kill -CONT $(cat /agent.pid)")
        wait_for(lambda: newest(vms, "mute").get("disk_source") == "guest", 60, "it speaks again")
    finally:
        guest.gone()


def test_what_an_agent_is_asked_is_a_span(traced, collector, libvirt, linux):  # noqa: F811
    one = traced(collector.address, {"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri, "sources.libvirt.write": "true",
                                     "sampler.guest_period": "1s", "sampler.balloon_period": "1s"})
    one.up(f"libvirt:{libvirt.uri}")
    guest, _ = agent_guest(libvirt, linux, "spanned")
    try:
        guest.agent()
        asked = {}
        for what in ("guest-file-systems", "guest-addresses"):
            asked[what] = wait_for(lambda: [s for s in collector.spans(rpc__method=what) if "status" not in s], 60, what)[0]  # noqa: B023
            has = asked[what]["attributes"]
            assert asked[what]["kind"] == 3 and asked[what]["name"] == f"libvirt {what}" and has["virtwatch.source"] == libvirt.uri
            assert has["virtwatch.native_id"] == libvirt("domuuid", "spanned").stdout.strip()
        rounds = {s["spanId"] for s in collector.spans() if s["name"] == "sampler round"}
        assert all(s["parentSpanId"] in rounds for s in asked.values())
        guest.run("kill -STOP $(cat /agent.pid)")
        # Whichever it is asked first; libvirt waits for it as long as the daemon wants it to.
        mute = wait_for(lambda: [s for s in collector.spans(virtwatch__native_id=has["virtwatch.native_id"])
                                 if s.get("status", {}).get("code") == 2 and s["end"] - s["begin"] > 4e9], 120, "its silence")[0]
        assert "agent" in mute["status"]["message"]
        assert not any("spanned" in s["name"] for s in collector.spans())
    finally:
        guest.gone()


def test_a_hung_qemu_with_an_agent_holds_nobody_up(vms, libvirt, linux):  # noqa: F811
    guest, _ = agent_guest(libvirt, linux, "frozen")
    other = LinuxGuest(libvirt, linux, "awake", devices=disk_xml(raw_disk(libvirt, "awake", 16, False))).start()
    pid = None
    try:
        guest.agent()
        wait_for(lambda: newest(vms, "frozen").get("disk_source") == "guest", 60, "its agent")
        pid = libvirt.qemu_pid("frozen")
        os.kill(pid, signal.SIGSTOP)
        vms.wait_event(name="frozen", action="monitor_hung", seconds=40)
        with open(libvirt.folder / "awake.raw", "r+b") as image:
            image.write(os.urandom(8 << 20))
            os.fsync(image.fileno())
        wait_for(lambda: (newest(vms, "awake").get("disk_pct") or 0) > 49, 20, "the other's image is still looked at")
        wait_for(lambda: newest(vms, "frozen")["cpu_source"] == "process", 10, "the kernel still tells")
    finally:
        if pid:
            os.kill(pid, signal.SIGCONT)
        guest.gone()
        other.gone()


def test_without_write_access_no_agent_is_asked(daemon, libvirt, linux):  # noqa: F811
    one = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri, "sources.libvirt.write": "false",
                  "sampler.guest_period": "1s"})
    one.up(f"libvirt:{libvirt.uri}")
    guest, _ = agent_guest(libvirt, linux, "private")
    try:
        guest.agent()
        wait_for(lambda: newest(one, "private").get("disk_source") in IMAGE, 20, "its image")
        time.sleep(3)
        wait_for(lambda: newest(one, "private")["disk_source"] in IMAGE, 10, "still its image")
        assert "addresses" not in one.json("/api/v1/workloads/private")
    finally:
        guest.gone()


def allocation(daemon, name):
    answer = daemon.get(f"/api/app-gateway/metrics/x?vm_name={name}")
    return daemon.json(f"/api/app-gateway/metrics/x?vm_name={name}")["allocation"] if answer[0] == 200 else None


def test_disks_of_a_vm_that_never_ran_come_from_its_configuration(vms, libvirt, bus, client):  # noqa: F811
    user = ready(client(bus))
    first = libvirt.folder / "never.qcow2"
    subprocess.check_call(["qemu-img", "create", "-q", "-f", "qcow2", first, "5G"])
    second = raw_disk(libvirt, "never2", 512, False)
    xml = libvirt.folder / "never.xml"
    xml.write_text("<domain type='qemu'><name>never</name><memory unit='MiB'>96</memory><vcpu>3</vcpu>"
                   "<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>"
                   f"{disk_xml(first, kind='qcow2')}</devices></domain>")
    libvirt("undefine", "never", check=False)
    libvirt("define", xml)
    try:
        wait_for(lambda: (allocation(vms, "never") or {}).get("disks") == [{"target": "vda", "capacity_gb": 5}], 10, "its disk")
        found = allocation(vms, "never")
        assert (found["vcpus"], found["memory_mb"]) == (3, 96)
        path = user.manager("GetWorkload", "s", "never")[0]
        assert read(user, path, "Disks") == [("vda", 5 << 30)]
        libvirt("attach-disk", "never", second, "vdb", "--config")
        wait_for(lambda: {"target": "vdb", "capacity_gb": 0.5} in allocation(vms, "never")["disks"], 10, "the new disk")
        assert read(user, path, "Disks") == [("vda", 5 << 30), ("vdb", 512 << 20)]
        libvirt("detach-disk", "never", "vda", "--config")
        wait_for(lambda: [d["target"] for d in allocation(vms, "never")["disks"]] == ["vdb"], 10, "one disk less")
        libvirt("setmaxmem", "never", "128M", "--config")
        libvirt("setmem", "never", "128M", "--config")
        wait_for(lambda: allocation(vms, "never")["memory_mb"] == 128, 10, "more memory")
        # A disk that is gone has a target, and no size.
        second.unlink()
        xml.write_text(libvirt("dumpxml", "never").stdout.replace("never2.raw", "nowhere.raw"))
        libvirt("define", xml)
        wait_for(lambda: allocation(vms, "never")["disks"] == [{"target": "vdb", "capacity_gb": None}], 10, "no size")
        assert newest(vms, "never") == {}
    finally:
        libvirt("undefine", "never")


@pytest.mark.parametrize("begin, mib, percent, word", [(0, 0, 0, "blocks"), (0, 32, 100, "blocks"), (8, 8, 25, "physical")])
def test_a_raw_image_s_use_is_what_its_file_takes(vms, libvirt, begin, mib, percent, word):
    """Libvirt tells the length of one that takes nothing, as of one that takes all."""
    path = raw_disk(libvirt, "sparse", 32, False)
    with open(path, "r+b") as image:
        image.seek(begin << 20)
        image.write(os.urandom(mib << 20))
        os.fsync(image.fileno())
    xml = libvirt.folder / "sparse.xml"
    xml.write_text("<domain type='qemu'><name>sparse</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>"
                   "<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>"
                   f"{disk_xml(path)}</devices></domain>")
    libvirt("create", xml)
    try:
        told = wait_for(lambda: (lambda s: s if s.get("disk_source") in IMAGE else None)(newest(vms, "sparse")), 20, "its image")
        assert abs(told["disk_pct"] - percent) < 1 and told["disk_source"] == word, told
        wait_for(lambda: vms.json("/api/v1/workloads/sparse")["disks"][0].get("file_bytes") == os.stat(path).st_blocks * 512, 20, "its file's size")
    finally:
        libvirt("destroy", "sparse")
