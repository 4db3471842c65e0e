"""What libvirt tells of a VM, each with a real QEMU (TCG) and a guest that does it."""

import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import Libvirt, wait_for
from tiny_guest import TinyGuest, ide_disk, qcow2


@pytest.fixture
def watched(daemon, libvirt, bus):
    one = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri}, bus=bus)
    one.up(f"libvirt:{libvirt.uri}")
    return one


@pytest.fixture
def guest(libvirt):
    """guest(name, ...) makes one; it is gone at the end."""
    made = []

    def make(name, **options):
        one = TinyGuest(libvirt, name, **options)
        made.append(one)
        return one

    yield make
    for one in made:
        one.gone()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 448 KiB with an image of 1 MiB on it, and nothing free."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.check_call(["mount", "-t", "tmpfs", "-o", "size=448k", "vwtest", place])
    try:
        qcow2(place / "disk.qcow2")
        with open(place / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(b"\0" * 4096)
            except OSError:
                pass
        yield place
    finally:
        subprocess.check_call(["umount", "-l", place])


def actions(watched, name):
    return [e["action"] for e in watched.events(name=name)]


def state_of(watched, name):
    return {w["name"]: w["state"] for w in watched.json("/api/v1/workloads")}.get(name)


# ---- how a life ends ----


def test_a_guest_that_powers_off(watched, guest):
    one = guest("off").start()
    one.tell("o")
    stopped = watched.wait_event(name="off", action="stopped")
    assert stopped["reason"] == "guest-shutdown" and stopped["severity"] == "info"
    assert stopped["libvirt_detail"] == "shutdown" and not stopped.get("synthetic")
    assert actions(watched, "off") == ["defined", "started", "stopped"]


def test_a_qemu_that_is_asked_to_end(watched, guest):
    one = guest("term").start()
    os.kill(one.pid(), signal.SIGTERM)
    assert watched.wait_event(name="term", action="stopped")["reason"] == "host-shutdown"


def test_a_guest_that_panics_is_a_crash_told_twice_by_libvirt_and_once_by_us(watched, guest):
    one = guest("panic").start()
    one.tell("p")
    crash = watched.wait_event(name="panic", action="crashed")
    assert crash["reason"] == "guest-panic" and crash["confidence"] == "confirmed" and crash["severity"] == "error"
    panicked = watched.wait_event(name="panic", action="panicked")
    assert panicked["severity"] == "error" and panicked["seq"] < crash["seq"]
    assert [a for a in actions(watched, "panic") if a != "paused"] == ["defined", "started", "panicked", "crashed"]


def test_a_panicked_guest_that_is_preserved_has_failed(watched, guest, libvirt):
    one = guest("kept", crash="preserve").start()
    one.tell("p")
    watched.wait_event(name="kept", action="panicked")
    wait_for(lambda: state_of(watched, "kept") == "failed", 5, "state failed")
    libvirt("destroy", "kept")
    assert watched.wait_event(name="kept", action="died")["reason"] == "destroyed"


def test_a_panicked_guest_that_is_started_anew_runs_again(watched, guest):
    one = guest("again", crash="restart").start()
    one.tell("p")
    watched.wait_event(name="again", action="rebooted")
    watched.wait_event(name="again", action="resumed")
    wait_for(lambda: state_of(watched, "again") == "running", 5, "state running")
    assert "crashed" not in actions(watched, "again")


def test_a_dump_that_ends_the_guest_is_no_panic(watched, guest, libvirt, tmp_path):
    guest("dumped").start()
    libvirt("dump", "dumped", tmp_path / "core", "--crash", "--memory-only")
    died = watched.wait_event(name="dumped", action="died")
    assert died["reason"] == "destroyed" and died["libvirt_detail"] == "crashed"


@pytest.mark.parametrize("action", ["reset", "poweroff", "pause", "none"])
def test_a_watchdog_that_fires(watched, guest, action):
    name = f"dog-{action}"
    one = guest(name, watchdog=action).start()
    one.tell("W")
    fired = watched.wait_event(name=name, action="watchdog")
    assert fired["watchdog_action"] == action
    assert fired["severity"] == ("warning" if action == "none" else "error")
    if action == "reset":
        watched.wait_event(name=name, action="rebooted")
        assert state_of(watched, name) == "running"
    elif action == "poweroff":
        crash = watched.wait_event(name=name, action="crashed")
        assert crash["reason"] == "watchdog" and crash["libvirt_detail"] == "failed"
    elif action == "pause":
        paused = watched.wait_event(name=name, action="paused")
        assert paused["reason"] == "watchdog" and paused["severity"] == "error"
    else:
        assert state_of(watched, name) == "running"


def test_a_watchdog_that_did_nothing_is_not_to_blame_for_a_later_crash(watched, guest):
    one = guest("later", watchdog="none").start()
    one.tell("W")
    watched.wait_event(name="later", action="watchdog")
    os.kill(one.pid(), signal.SIGKILL)
    assert watched.wait_event(name="later", action="crashed")["reason"] == "qemu-failed"


def test_saved_and_restored(watched, guest, libvirt, tmp_path):
    guest("saved").start()
    libvirt("save", "saved", tmp_path / "image")
    assert watched.wait_event(name="saved", action="saved")["reason"] == "saved"
    assert state_of(watched, "saved") == "stopped"
    job = watched.wait_event(name="saved", action="job-completed")
    assert job["operation"] == "save" and job["success"] is True and job["job"]["time_elapsed"] >= 0
    assert watched.wait_event(name="saved", action="migration-iteration")["iteration"] >= 1
    libvirt("restore", tmp_path / "image")
    started = wait_for(lambda: [e for e in watched.events(name="saved", action="started") if e["reason"] == "restored"],
                       10, "started (restored)")[0]
    assert state_of(watched, "saved") == "running"
    assert "resumed" not in [e["action"] for e in watched.events(name="saved") if e["seq"] > started["seq"]]


def test_a_vm_that_migrates_ends_here_and_goes_on_there(daemon, libvirt, scratch, guest):
    there = Libvirt(scratch / "m", hostname="vwthere")
    there.start()
    try:
        watched = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": f"{libvirt.uri},{there.uri}"})
        for uri in (libvirt.uri, there.uri):
            watched.up(f"libvirt:{uri}")
        guest("moving").start()
        libvirt("migrate", "--live", "moving", there.uri, f"unix://{scratch}/m/moving.sock")
        left = watched.wait_event(name="moving", action="migrated")
        assert left["source"] == f"libvirt:{libvirt.uri}" and left["severity"] == "info"
        came = wait_for(lambda: [e for e in watched.events(name="moving", action="started")
                                 if e["source"] == f"libvirt:{there.uri}"], 10, "its start there")[0]
        assert came["reason"] == "migrated"
        wait_for(lambda: [e for e in watched.events(name="moving", action="resumed")
                          if e["source"] == f"libvirt:{there.uri}"], 10, "its going on there")
        states = {w["source"]: w["state"] for w in watched.json("/api/v1/workloads") if w["name"] == "moving"}
        assert states == {f"libvirt:{libvirt.uri}": "stopped", f"libvirt:{there.uri}": "running"}
        there("destroy", "moving")

        # One that is not defined leaves nothing behind, whatever is told of it after its end.
        guest("passing-by").create()
        libvirt("migrate", "--live", "passing-by", there.uri, f"unix://{scratch}/m/passing-by.sock")
        watched.wait_event(name="passing-by", action="migrated")
        watched.wait_event(name="passing-by", action="removed")
        watched.wait_event(name="passing-by", action="job-completed", operation="migration-out")
        time.sleep(0.5)
        assert [w["source"] for w in watched.json("/api/v1/workloads") if w["name"] == "passing-by"] == [f"libvirt:{there.uri}"]
        there("destroy", "passing-by")
    finally:
        there.stop()


# ---- sleep, reset, clock, balloon ----


def test_a_reset_a_clock_and_a_balloon(watched, guest):
    one = guest("busy", balloon="virtio").start()
    for byte in "rtl":
        one.ready()
        one.tell(byte)
    watched.wait_event(name="busy", action="rebooted")
    assert isinstance(watched.wait_event(name="busy", action="rtc-changed")["offset_s"], int)
    assert watched.wait_event(name="busy", action="balloon-changed")["memory_bytes"] == (2048 - 4) * 1024
    assert actions(watched, "busy").count("started") == 1


def test_a_guest_that_sleeps_and_wakes_has_not_started_anew(watched, guest, libvirt):
    one = guest("sleepy").start()
    one.tell("z")
    assert watched.wait_event(name="sleepy", action="suspended")["reason"] == "memory"
    assert state_of(watched, "sleepy") == "paused"
    libvirt("dompmwakeup", "sleepy")
    assert watched.wait_event(name="sleepy", action="resumed")["reason"] == "wakeup"
    assert state_of(watched, "sleepy") == "running"
    assert actions(watched, "sleepy") == ["defined", "started", "suspended", "resumed"]


def test_a_guest_that_sleeps_on_disk_has_stopped(watched, guest):
    one = guest("deep").start()
    one.tell("Z")
    watched.wait_event(name="deep", action="stopped")
    assert watched.wait_event(name="deep", action="suspended")["reason"] == "disk"


# ---- disks ----


def test_a_full_disk_pauses_the_vm_and_says_which(watched, guest, libvirt, small_disk):
    one = guest("full", devices=ide_disk(small_disk / "disk.qcow2")).start()
    one.tell("d")
    error = watched.wait_event(name="full", action="io-error")
    assert error["io_error"] == "enospc" and error["io_error_action"] == "pause" and error["severity"] == "error"
    assert error["path"] == str(small_disk / "disk.qcow2")
    paused = watched.wait_event(name="full", action="paused")
    assert (paused["reason"], paused["io_error"], paused["disk"]) == ("io-error", "enospc", error["disk"])
    assert paused["severity"] == "error" and "no space left" in paused["message"]
    assert state_of(watched, "full") == "paused"
    (small_disk / "filler").unlink()
    libvirt("resume", "full")
    watched.wait_event(name="full", action="resumed")
    wait_for(lambda: state_of(watched, "full") == "running", 5, "state running")


class Virsh:
    """`virsh event` beside us: what libvirtd itself counts."""

    def __init__(self, libvirt, *events):
        command = ["stdbuf", "-oL", "virsh", "-q", "-c", libvirt.uri, "event", "--loop", "--timestamp"]
        for event in events:
            command += ["--event", event]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                        env=dict(os.environ, HOME=str(libvirt.folder / "home")))
        self.lines = []
        threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True).start()
        time.sleep(1)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        return self.lines


def test_a_storm_of_io_errors_is_one_event_at_once_and_then_one_an_interval(watched, guest, libvirt, small_disk):
    beside = Virsh(libvirt, "io-error-reason")
    stormy = guest("stormy", devices=ide_disk(small_disk / "disk.qcow2", policy="ignore")).start()
    calm = guest("calm").start()
    begin = time.monotonic()
    stormy.tell("x")
    watched.wait_event(name="stormy", action="io-error", seconds=5)
    calm.tell("r")
    watched.wait_event(name="calm", action="rebooted", seconds=5)
    assert time.monotonic() - begin < 5
    time.sleep(2)
    assert len(watched.events(name="stormy", action="io-error")) == 1
    summary = wait_for(lambda: [e for e in watched.events(name="stormy", action="io-error") if "count" in e], 15, "a summary")[0]
    assert 9000 <= summary["interval_ms"] <= 13000
    assert summary["io_error"] == "error" and summary["io_error_action"] == "none" and "more in" in summary["message"]
    stormy.tell("?")  # it ends
    time.sleep(1)
    libvirt("destroy", "stormy")
    died = watched.wait_event(name="stormy", action="died")
    seen = [line for line in beside.stop() if "stormy" in line]
    told = watched.events(name="stormy", action="io-error")
    assert len(seen) > 1000, "that was no storm"
    assert 2 <= len(told) <= 4 and all(e["seq"] < died["seq"] for e in told)
    assert sum(e.get("count", 1) for e in told) == len(seen)


def test_jobs_limits_trays_and_descriptions(watched, guest, libvirt, tmp_path):
    tmp_path.chmod(0o755)
    image = qcow2(libvirt.folder / "jobs.qcow2")
    cdrom = libvirt.folder / "cd.iso"
    cdrom.write_bytes(b"\0" * 2048 * 16)
    guest("jobs", devices=f"<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{image}'/>"
          "<target dev='vda' bus='virtio'/></disk><disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>"
          ).create()
    libvirt("blockcopy", "jobs", "vda", libvirt.folder / "copy.qcow2", "--wait", "--pivot", "--transient-job")
    done = watched.wait_event(name="jobs", action="block-job", status="completed")
    assert done["disk"] == "vda" and done["job_type"] == "copy"
    watched.wait_event(name="jobs", action="block-job", status="ready")
    assert all("path" not in e for e in watched.events(name="jobs", action="block-job"))

    libvirt("blkdeviotune", "jobs", "vda", "--total-iops-sec", "1000")
    tuned = watched.wait_event(name="jobs", action="tunable-changed")["tunables"]
    assert tuned["blkdeviotune.disk"] == "vda" and tuned["blkdeviotune.total_iops_sec"] == 1000

    libvirt("change-media", "jobs", "hdc", cdrom, "--insert")
    libvirt("change-media", "jobs", "hdc", "--eject", "--force")
    watched.wait_event(name="jobs", action="tray-opened")

    libvirt("desc", "jobs", "--live", "--title", "a \"title\" with </script>")
    assert watched.wait_event(name="jobs", action="metadata-changed")["metadata"] == "title"
    libvirt("metadata", "jobs", "urn:x", "--live", "--key", "k", "--set", "<a/>")
    assert watched.wait_event(name="jobs", action="metadata-changed", metadata="element")["namespace"] == "urn:x"
    libvirt("destroy", "jobs")
    (libvirt.folder / "copy.qcow2").unlink()


def test_a_threshold_is_told_once(watched, guest, libvirt):
    image = qcow2(libvirt.folder / "threshold.qcow2")
    one = guest("thresh", devices=ide_disk(image)).start()
    beside = Virsh(libvirt, "block-threshold")
    libvirt("domblkthreshold", "thresh", "hda", "1")
    one.tell("d")
    told = watched.wait_event(name="thresh", action="block-threshold")
    assert told["disk"] == "hda" and told["threshold_bytes"] == 1 and told["severity"] == "warning"
    time.sleep(0.5)
    assert len(beside.stop()) == 2
    assert actions(watched, "thresh").count("block-threshold") == 1


def test_media_that_is_missing_at_start(watched, guest):
    guest("media", devices="<disk type='file' device='cdrom'><source file='/nowhere/cd.iso' startupPolicy='optional'/>"
          "<target dev='hdc' bus='ide'/><readonly/></disk>").start()
    changed = watched.wait_event(name="media", action="disk-changed")
    assert changed["old_path"] == "/nowhere/cd.iso" and changed["change"] == "missing-on-start"


def test_a_qemu_that_dies_while_it_starts(watched, guest, libvirt):
    image = qcow2(libvirt.folder / "locked.qcow2")
    guest("holder", devices=ide_disk(image)).start()
    other = guest("refused", devices=ide_disk(image)).define()
    assert libvirt("start", "refused", check=False).returncode != 0
    assert watched.wait_event(name="refused", action="control-error")["severity"] == "error"
    assert state_of(watched, "refused") == "created"
    other.gone()


# ---- devices, agent, graphics ----


def test_a_disk_comes_and_goes_when_the_guest_lets_go(watched, guest, libvirt):
    image = qcow2(libvirt.folder / "plug.qcow2")
    one = guest("plug").start()
    disk = libvirt.folder / "plugged.xml"
    disk.write_text(f"<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{image}'/><target dev='vdb' bus='virtio'/>"
                    "<address type='pci' domain='0x0000' bus='0x00' slot='0x0c' function='0x0'/></disk>")
    libvirt("attach-device", "plug", disk)
    assert watched.wait_event(name="plug", action="device-added")["device"] == "virtio-disk1"
    asked = threading.Thread(target=libvirt, args=("detach-device", "plug", disk), kwargs={"check": False})
    asked.start()
    time.sleep(0.5)
    assert "device-removed" not in actions(watched, "plug")
    one.tell("e")
    assert watched.wait_event(name="plug", action="device-removed")["device"] == "virtio-disk1"
    asked.join()


def test_memory_comes_is_kept_and_goes(watched, guest, libvirt):
    one = guest("memory", head="<maxMemory slots='4' unit='MiB'>1024</maxMemory><cpu><numa><cell id='0' cpus='0' memory='2048' unit='KiB'/>"
                "</numa></cpu>").start()
    dimm = libvirt.folder / "dimm.xml"
    dimm.write_text("<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target></memory>")
    libvirt("attach-device", "memory", dimm)
    # libvirt 9 names the memory behind the device here, the device itself later.
    assert watched.wait_event(name="memory", action="device-added")["device"] in ("dimm0", "memdimm0")
    for byte, action, severity in (("f", "device-removal-failed", "warning"), ("u", "device-removed", "info")):
        asked = threading.Thread(target=libvirt, args=("detach-device", "memory", dimm), kwargs={"check": False})
        asked.start()
        time.sleep(0.5)
        one.tell(byte)
        told = watched.wait_event(name="memory", action=action)
        assert told["device"] == "dimm0" and told["severity"] == severity
        asked.join()


def test_an_agent_connects_and_disconnects(watched, guest):
    one = guest("agent", devices="<controller type='virtio-serial' index='0'><address type='pci' domain='0x0000' bus='0x00' slot='0x0d' function='0x0'/>"
                "</controller><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/>"
                "<address type='virtio-serial' controller='0' bus='0' port='1'/></channel>").start()
    assert "agent-disconnected" not in actions(watched, "agent")  # there was none yet
    one.tell("a")
    assert watched.wait_event(name="agent", action="agent-connected")["reason"] == "channel"
    one.tell("A")
    assert watched.wait_event(name="agent", action="agent-disconnected")["reason"] == "channel"
    assert actions(watched, "agent") == ["defined", "started", "agent-connected", "agent-disconnected"]


def test_a_graphics_client_comes_and_goes(watched, guest, libvirt):
    path = libvirt.folder / "vnc.sock"
    guest("screen", devices=f"<graphics type='vnc'><listen type='socket' socket='{path}'/></graphics>"
          "<video><model type='vga' vram='1024' heads='1'/></video>").start()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        version = client.recv(12)
        client.sendall(version)
        assert client.recv(16)[0] >= 1
        client.sendall(b"\1")   # no authentication
        client.recv(4)
        client.sendall(b"\1")   # shared
        client.recv(24)
        come = watched.wait_event(name="screen", action="graphics-connected")
        assert come["phase"] == "connect" and come["family"] == "unix", come
        watched.wait_event(name="screen", action="graphics-initialized")
    watched.wait_event(name="screen", action="graphics-disconnected")


# ---- what was missed ----


def without_libvirtd(watched, libvirt, do):
    """Kill libvirtd, do something while it is away, wait until it is back."""
    source = f"libvirt:{libvirt.uri}"
    (libvirt.folder / "delay").write_text("3")
    os.kill(libvirt.pid(), signal.SIGKILL)
    watched.wait_event(name=source, action="source_down")
    do()
    (libvirt.folder / "delay").write_text("1")
    watched.up(source)


def test_a_transient_vm_that_died_while_libvirtd_was_away(watched, guest, libvirt):
    one = guest("passing").create()
    stays = guest("staying").create()
    watched.wait_event(name="passing", action="started")
    pid = one.pid()
    without_libvirtd(watched, libvirt, lambda: os.kill(pid, signal.SIGKILL))
    vanished = watched.wait_event(name="passing", action="vanished")
    assert vanished["synthetic"] is True and vanished["confidence"] == "assumed" and vanished["severity"] == "warning"
    assert watched.wait_event(name="passing", action="removed")["synthetic"] is True
    assert "passing" not in {w["name"] for w in watched.json("/api/v1/workloads")}
    assert state_of(watched, "staying") == "running"
    assert actions(watched, "staying") == ["started"]
    os.kill(stays.pid(), signal.SIGKILL)
    assert watched.wait_event(name="staying", action="crashed").get("synthetic") is None
    watched.wait_event(name="staying", action="removed")


def test_a_panic_while_libvirtd_was_away_is_found_afterwards(watched, guest, libvirt):
    one = guest("alone", crash="preserve").start()
    watched.wait_event(name="alone", action="started")
    without_libvirtd(watched, libvirt, lambda: one.tell("p"))
    told = wait_for(lambda: [e for e in watched.events(name="alone") if e["action"] in ("crashed", "panicked")], 20, "the panic")
    assert told[-1]["action"] == "panicked" or told[-1]["reason"] == "guest-panic"
    assert state_of(watched, "alone") == "failed"


def test_what_happened_while_we_were_away(daemon, guest, libvirt):
    watched = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri})
    source = f"libvirt:{libvirt.uri}"
    watched.up(source)
    names = ("ended", "paused", "fresh", "gone")
    vms = {name: guest(name) for name in names}
    for name in ("ended", "paused"):
        vms[name].start()
        watched.wait_event(name=name, action="started")
    vms["gone"].create()
    watched.wait_event(name="gone", action="started")
    watched.kill()
    (watched.folder / "http.sock").unlink(missing_ok=True)
    vms["ended"].tell("o")
    libvirt("suspend", "paused")
    vms["fresh"].start()
    libvirt("destroy", "gone")
    wait_for(lambda: "shut off" in libvirt("domstate", "ended").stdout, 10, "its end")
    watched.start()
    watched.up(source)
    expected = {"ended": ("stopped", "guest-shutdown"), "paused": ("paused", None), "fresh": ("started", None), "gone": ("vanished", "vanished")}
    for name, (action, reason) in expected.items():
        event = watched.wait_event(name=name, action=action, synthetic=True)
        assert reason is None or event["reason"] == reason


def test_two_connections_at_once_keep_their_own(daemon, libvirt, guest):
    test_uri = f"test+unix:///default?socket={libvirt.socket}"
    watched = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": f"{libvirt.uri},{test_uri}"})
    for uri in (libvirt.uri, test_uri):
        watched.up(f"libvirt:{uri}")

    def virsh_test(*args):
        subprocess.run(["virsh", "-q", "-c", test_uri, *args], check=True, capture_output=True, text=True, timeout=30)

    workloads = {(w["name"], w["source"]) for w in watched.json("/api/v1/workloads")}
    assert ("test", f"libvirt:{test_uri}") in workloads
    # The same name on both: two VMs, each with its own events.
    one = guest("test").start()
    virsh_test("suspend", "test")
    paused = watched.wait_event(name="test", action="paused")
    assert paused["source"] == f"libvirt:{test_uri}"
    one.tell("o")
    stopped = watched.wait_event(name="test", action="stopped")
    assert stopped["source"] == f"libvirt:{libvirt.uri}" and stopped["id"] != paused["id"]
    virsh_test("resume", "test")
    virsh_test("destroy", "test")
    died = watched.wait_event(name="test", action="died")
    assert died["source"] == f"libvirt:{test_uri}" and died["reason"] == "destroyed"
    virsh_test("start", "test")
    watched.wait_event(name="test", action="started", source=f"libvirt:{test_uri}")
    assert [e["action"] for e in watched.events(name="test") if e["source"] == f"libvirt:{test_uri}"] == [
        "paused", "resumed", "died", "started"]
