"""systemd, machined and journald, for real: a Debian root boots under systemd-nspawn, its bus is reached from outside.

There is no memory controller in it and no systemd-oomd: its signal is sent by a stand-in that owns its name, and the
OOM kill of a unit is replayed from recorded traffic by a stand-in for PID 1 on a private bus.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from conftest import BUILD, TOKEN, end, guest_groups_gone, guest_leader, spawn, wait_for
from test_traces import collector, traced  # noqa: F401

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "fixtures"
OOM1_POLICY = """<busconfig><policy user="root"><allow own="org.freedesktop.oom1"/>
<allow send_destination="org.freedesktop.oom1"/></policy></busconfig>"""


class Guest:
    """PID 1 of a PID namespace is systemd; its files lie in an overlay and are gone with it."""

    def __init__(self, folder):
        self.folder = folder
        self.root = folder / "root"
        (folder / "x").mkdir(parents=True)
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--include=systemd-sysv,dbus,systemd-container",
                        "bookworm", self.root], check=True, timeout=300, stdout=subprocess.DEVNULL)
        (self.root / "etc/dbus-1/system.d/oom1.conf").write_text(OOM1_POLICY)
        machine = self.root / "var/lib/machines/bb"
        for name in ("bin", "etc", "usr"):
            (machine / name).mkdir(parents=True)
        for name in ("sh", "sleep"):
            (machine / "bin" / name).write_bytes(pathlib.Path("/bin/busybox").read_bytes())
            (machine / "bin" / name).chmod(0o755)
        (machine / "etc/os-release").touch()

    def start(self):
        self.log = open(self.folder / "console.log", "ab")
        self.process = subprocess.Popen(
            ["systemd-nspawn", "-q", "--boot", "-D", self.root, "-M", f"vw{os.getpid()}", "--register=no", "--keep-unit",
             "--volatile=overlay", "--private-network", f"--bind={self.folder}/x:/x", "--console=read-only"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True,
            env=dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1"))
        self.leader = wait_for(lambda: guest_leader(self.process), 20, "the guest's PID 1")
        self.bus = f"unix:path=/proc/{self.leader}/root/run/dbus/system_bus_socket"
        try:
            wait_for(lambda: self("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded"), 60, "a booted guest")
        except AssertionError as error:
            why = "\n".join(self("systemctl", what, check=False).stdout for what in ("list-jobs", "--failed"))
            self.stop()
            raise AssertionError(f"{error}\n{why}") from None

    def __call__(self, *args, check=True, timeout=60):
        return subprocess.run(["nsenter", "-t", str(self.leader), "-m", "-p", "-n", "-u", "-i", "-C", *map(str, args)],
                              check=check, capture_output=True, text=True, timeout=timeout)

    def unit(self, name, *command, options=()):
        self("systemd-run", "-q", f"--unit={name}", *options, *command)

    def stop(self):
        os.kill(self.leader, signal.SIGRTMIN + 4)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.kill(self.leader, signal.SIGKILL)
            self.process.wait(10)
        self.log.close()
        wait_for(guest_groups_gone, 10, "an end of all that ran in it")


@pytest.fixture(scope="module")
def guest(scratch):
    machine = Guest(scratch / "g")
    machine.start()
    yield machine
    machine.stop()


@pytest.fixture
def watched(daemon, guest):
    one = daemon({"sources.units.address": guest.bus, "sources.units.patterns": "t-*",
                  "sources.machined.enabled": "true", "sources.machined.address": guest.bus,
                  "sources.oomd.enabled": "true", "sources.oomd.address": guest.bus})
    one.up("unit")
    one.up("machined")
    return one


def actions(watched, name):
    return [(e["action"], e.get("reason")) for e in watched.events(name=name)]


def test_units_end_each_in_its_way(watched, guest):
    guest.unit("t-three", "sh", "-c", "exit 3")
    guest.unit("t-zero", "true")
    guest.unit("t-late", "sleep", "100", options=["-p", "RuntimeMaxSec=1"])
    guest.unit("t-killed", "sleep", "100", options=["--service-type=exec"])
    guest("systemctl", "kill", "-s", "KILL", "t-killed")
    guest.unit("t-stopped", "sleep", "100", options=["--service-type=exec"])
    guest("systemctl", "stop", "t-stopped")
    guest.unit("t-stubborn", "sh", "-c", "trap : TERM; while :; do sleep 0.1; done",
               options=["--service-type=exec", "-p", "TimeoutStopSec=1"])
    time.sleep(0.3)
    guest("systemctl", "stop", "t-stubborn")
    guest.unit("t-unseen.x", "true", options=["--service-type=oneshot"])

    three = watched.wait_event(name="t-three.service", action="died")
    assert three["kind"] == "unit" and three["exit_code"] == 3 and three["result"] == "exit-code"
    zero = watched.wait_event(name="t-zero.service", action="stopped")
    assert zero["reason"] == "completed" and zero["exit_code"] == 0
    killed = watched.wait_event(name="t-killed.service", action="died")
    assert killed["reason"] == "sigkill-unknown" and killed["signal"] == "SIGKILL"
    stopped = watched.wait_event(name="t-stopped.service", action="stopped")
    assert stopped["reason"] == "stop-requested" and stopped["severity"] == "info"
    assert watched.wait_event(name="t-late.service", action="died")["reason"] == "timeout"
    assert watched.wait_event(name="t-stubborn.service", action="died")["reason"] == "timeout"
    for name in ("three", "zero", "killed", "stopped", "late", "stubborn"):
        found = actions(watched, f"t-{name}.service")
        assert [a for a, _ in found][0] == "started" and len(found) == 2, found
    assert not any(e.get("synthetic") for e in watched.events())


def test_a_unit_that_systemd_restarts_and_gives_up(watched, guest):
    guest.unit("t-loop", "sh", "-c", "exit 7", options=["-p", "Restart=on-failure", "-p", "RestartSec=100ms",
                                                        "-p", "StartLimitBurst=3", "-p", "StartLimitIntervalSec=60"])
    watched.wait_event(name="t-loop.service", action="gave-up")
    assert [a for a, _ in actions(watched, "t-loop.service")] == ["started", "died"] * 3 + ["gave-up"]
    loop = [w for w in watched.json("/api/v1/workloads") if w["name"] == "t-loop.service"][0]
    assert loop["state"] == "failed" and loop["kind"] == "unit" and loop["runtime"] == "systemd"


def test_a_running_unit_shows_its_pid_and_cgroup(watched, guest):
    guest.unit("t-shown", "sleep", "100", options=["--service-type=exec"])

    def shown():
        found = [w for w in watched.json("/api/v1/workloads") if w["name"] == "t-shown.service"]
        return found and found[0].get("pid") and found[0].get("cgroup") and found[0]
    unit = wait_for(shown, 10, "pid and cgroup")
    assert unit["state"] == "running" and unit["cgroup"].endswith("/t-shown.service")
    assert str(unit["pid"]) == guest("systemctl", "show", "-P", "MainPID", "t-shown").stdout.strip()
    guest("systemctl", "stop", "t-shown")
    watched.wait_event(name="t-shown.service", action="stopped")


def test_a_daemon_reload_is_no_news(watched, guest):
    guest.unit("t-stays", "sleep", "100", options=["--service-type=exec"])
    watched.wait_event(name="t-stays.service", action="started")
    before = watched.events()[-1]["seq"]
    guest("systemctl", "daemon-reload")
    time.sleep(2)  # a removed unit is waited for that long
    assert [e for e in watched.events() if e["seq"] > before] == []
    states = {w["name"]: w["state"] for w in watched.json("/api/v1/workloads")}
    assert states["t-stays.service"] == "running"
    guest("systemctl", "stop", "t-stays")
    assert watched.wait_event(name="t-stays.service", action="stopped")["reason"] == "stop-requested"


def test_a_bus_that_goes_away_makes_units_unknown_and_the_gap_is_closed(watched, guest):
    guest.unit("t-gap", "sleep", "100", options=["--service-type=exec"])
    guest.unit("t-through", "sleep", "100", options=["--service-type=exec"])
    watched.wait_event(name="t-through.service", action="started")
    guest("systemctl", "stop", "dbus.socket", "dbus.service")
    watched.wait_event(name="unit", action="source_down")
    states = {w["name"]: w["state"] for w in watched.json("/api/v1/workloads")}
    assert states["t-gap.service"] == states["t-through.service"] == "unknown"
    guest("systemctl", "kill", "-s", "KILL", "t-gap")
    guest("systemctl", "start", "dbus.socket", "dbus.service")
    watched.up("unit")
    watched.up("machined")
    gap = watched.wait_event(name="t-gap.service", action="died")
    assert gap["synthetic"] is True and gap["signal"] == "SIGKILL" and gap["reason"] == "sigkill-unknown"
    assert actions(watched, "t-through.service") == [("started", None)]
    guest("systemctl", "stop", "t-through")
    watched.wait_event(name="t-through.service", action="stopped")


def test_a_restart_of_virtwatchd_finds_what_it_missed_once(watched, guest):
    guest.unit("t-missed", "sleep", "100", options=["--service-type=exec"])
    guest.unit("t-kept", "sleep", "100", options=["--service-type=exec"])
    watched.wait_event(name="t-kept.service", action="started")
    watched.kill()
    guest("systemctl", "kill", "-s", "ABRT", "t-missed")
    watched.start()
    watched.up("unit")
    missed = watched.wait_event(name="t-missed.service", action="died")
    assert missed["synthetic"] is True and missed["signal"] == "SIGABRT"
    assert actions(watched, "t-kept.service") == [("started", None)]
    guest("systemctl", "stop", "t-kept")
    assert watched.wait_event(name="t-kept.service", action="stopped")["reason"] == "stop-requested"


def test_nspawn_containers_start_and_end(watched, guest):
    # A scope has no exit status; a service that runs systemd-nspawn ends with the container's.
    guest("systemd-nspawn", "-q", "-M", "scoped", "-D", "/var/lib/machines/bb", "--register=yes", "/bin/sh", "-c",
          "sleep 1; exit 5", check=False)
    started = watched.wait_event(name="scoped", action="started")
    assert started["kind"] == "container" and started["unit"] == "machine-scoped.scope"
    died = watched.wait_event(name="scoped", action="died")
    assert "exit_code" not in died and died["confidence"] == "assumed"
    guest.unit("n-served", "systemd-nspawn", "-q", "-M", "served", "-D", "/var/lib/machines/bb", "--keep-unit",
               "--register=yes", "/bin/sh", "-c", "sleep 1; exit 6", options=["--slice=machine.slice", "-p", "Delegate=yes"])
    served = watched.wait_event(name="served", action="died")
    assert served["exit_code"] == 6 and served["confidence"] == "confirmed" and served["service"] == "systemd-nspawn"
    watched.wait_event(name="served", action="removed")
    assert [a for a, _ in actions(watched, "served")] == ["started", "died", "removed"]


def register(guest, name, service, kind):
    guest.unit(f"m-{name}", "sleep", "100", options=["--service-type=exec"])
    pid = guest("systemctl", "show", "-P", "MainPID", f"m-{name}").stdout.strip()
    guest("busctl", "call", "org.freedesktop.machine1", "/org/freedesktop/machine1", "org.freedesktop.machine1.Manager",
          "CreateMachine", "sayssusa(sv)", name, "0", service, kind, pid, "", "0")


def test_a_machine_of_libvirts_is_not_told_twice(watched, guest):
    register(guest, "qemu-1-web", "libvirt-qemu", "vm")
    register(guest, "other", "some-vmm", "vm")
    other = watched.wait_event(name="other", action="started")
    assert other["kind"] == "vm"
    names = {w["name"] for w in watched.json("/api/v1/workloads")}
    assert "other" in names and "qemu-1-web" not in names
    guest("machinectl", "terminate", "other")
    guest("machinectl", "terminate", "qemu-1-web")
    watched.wait_event(name="other", action="removed")
    assert watched.events(name="qemu-1-web") == []


def test_a_machine_that_ends_while_virtwatchd_is_away(watched, guest):
    register(guest, "away", "some-vmm", "container")
    watched.wait_event(name="away", action="started")
    watched.kill()
    guest("machinectl", "terminate", "away")
    wait_for(lambda: "away" not in guest("machinectl", "list").stdout, 10, "its end")
    watched.start()
    watched.up("machined")
    gone = watched.wait_event(name="away", action="vanished")
    assert gone["synthetic"] is True


OOMD = """
import dbus, dbus.mainloop.glib, dbus.service, sys
from gi.repository import GLib
address, cgroup, reason, owns = sys.argv[1:]
dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
bus = dbus.bus.BusConnection(address)
if owns == "yes":
    name = dbus.service.BusName("org.freedesktop.oom1", bus, do_not_queue=True)
message = dbus.lowlevel.SignalMessage("/org/freedesktop/oom1", "org.freedesktop.oom1.Manager", "Killed")
message.append(cgroup, reason, signature="ss")
if owns != "yes":
    message.set_destination(owns)
print("ready", flush=True)
sys.stdin.readline()
bus.send_message(message)
bus.flush()
print("sent", flush=True)
sys.stdin.readline()
"""


def oomd(guest, cgroup, owns):
    return subprocess.Popen([sys.executable, "-c", OOMD, guest.bus, cgroup, "memory-pressure", owns], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def say(process, word):
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline().strip() == word


def act(one, name, verb, **body):
    """As its operator, by the command line."""
    options = [f"--{key}={value}" for key, value in body.items()]
    return subprocess.run([BUILD / "src/virtwatch", "--host", f"unix:{one.folder}/http.sock", "workload", verb, name, "--yes-i-mean", name,
                           *options], capture_output=True, text=True, timeout=60)


@pytest.fixture
def acting(daemon, guest):
    one = daemon({"sources.units.address": guest.bus, "sources.units.patterns": "t-*", "sources.machined.enabled": "true",
                  "sources.machined.address": guest.bus, "actions.enabled": "true"})
    one.up("unit")
    one.up("machined")
    return one


def test_operators_stop_destroy_and_scale_units(acting, guest):
    guest.unit("t-asked", "sleep", "100", options=["--service-type=exec"])
    guest.unit("t-deaf", "sh", "-c", "trap : TERM; while :; do sleep 0.1; done", options=["--service-type=exec", "-p", "Restart=always"])
    for name in ("t-asked.service", "t-deaf.service"):
        acting.wait_event(name=name, action="started")
    said = act(acting, "t-asked.service", "scale", vcpus=1, memory=64)
    assert said.returncode == 0 and said.stdout == "t-asked.service: scale to 1 vCPU and 64 MiB: done\n", said
    shown = guest("systemctl", "show", "-p", "CPUQuotaPerSecUSec", "-p", "MemoryMax", "t-asked.service").stdout.split()
    assert set(shown) == {"CPUQuotaPerSecUSec=1s", f"MemoryMax={64 << 20}"}
    assert act(acting, "t-asked.service", "stop").returncode == 0
    stopped = acting.wait_event(name="t-asked.service", action="stopped")
    assert stopped["reason"] == "operator-stop" and stopped["kind"] == "unit"
    assert act(acting, "t-deaf.service", "destroy").returncode == 0
    gone = acting.wait_event(name="t-deaf.service", action="stopped", seconds=5)
    assert gone["reason"] == "operator-destroy"
    time.sleep(0.5)
    wait_for(lambda: guest("systemctl", "is-active", "t-deaf.service", check=False).stdout.strip() in ("inactive", "failed"), 10,
             "its end")  # nor is it restarted

    def refused():  # once what systemd has said last was heard
        said = act(acting, "t-deaf.service", "destroy")
        return said.returncode != 0 and said
    again = wait_for(refused, 10, "a refusal")
    assert "t-deaf" not in again.stdout


def test_operators_destroy_and_scale_machines(acting, guest):
    guest.unit("n-acted", "systemd-nspawn", "-q", "-M", "acted", "-D", "/var/lib/machines/bb", "--volatile=overlay", "--keep-unit",
               "--register=yes", "/bin/sh", "-c", "sleep 100", options=["--slice=machine.slice", "-p", "Delegate=yes"])
    acting.wait_event(name="acted", action="started")
    said = act(acting, "acted", "scale", vcpus=1)
    assert said.returncode == 0, said
    assert "CPUQuotaPerSecUSec=1s" in guest("systemctl", "show", "-p", "CPUQuotaPerSecUSec", "n-acted.service").stdout
    assert "asked for" in act(acting, "acted", "stop").stdout  # its shell has no ear for it
    said = act(acting, "acted", "destroy")
    assert said.returncode == 0, said
    assert acting.wait_event(name="acted", action="stopped")["reason"] == "operator-destroy"


def post(one, name, verb):
    request = urllib.request.Request(
        f"http://127.0.0.1:{one.port()}/api/v1/workloads/{name}/{verb}", method="POST", data=json.dumps({"confirm": name}).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status in (200, 202)


def test_what_systemd_and_machined_are_asked_are_spans_of_who_asked(traced, collector, guest):  # noqa: F811
    one = traced(collector.address, {"sources.units.address": guest.bus, "sources.units.patterns": "t-*", "actions.enabled": "true",
                                     "sources.machined.enabled": "true", "sources.machined.address": guest.bus})
    one.up("unit")
    one.up("machined")
    for member in ("Manager.Subscribe", "Manager.ListUnitsByPatterns"):
        span = wait_for(lambda member=member: [s for s in collector.spans(rpc__system="dbus")
                                               if s["name"].startswith("org.freedesktop.systemd1.") and s["name"].endswith(member.replace(".", "/"))])[0]
        assert span["kind"] == 3 and span["attributes"]["virtwatch.source"] == "unit" and "status" not in span
    wait_for(lambda: collector.spans(rpc__service="org.freedesktop.machine1.Manager", rpc__method="ListMachines"))
    wait_for(lambda: collector.spans(rpc__method="GetNameOwner", virtwatch__source="machined"))
    guest.unit("t-spanned", "sh", "-c", "trap : TERM; while :; do sleep 0.1; done", options=["--service-type=exec", "-p", "Restart=always"])
    one.wait_event(name="t-spanned.service", action="started")
    assert collector.spans(rpc__service="org.freedesktop.DBus.Properties", virtwatch__source="unit")
    assert not any("spanned" in span["name"] for span in collector.spans())
    post(one, "t-spanned.service", "destroy")
    (served,) = wait_for(lambda: collector.spans(http__route="/api/v1/workloads/{id}/destroy"))
    asked = [s for s in collector.spans(rpc__system="dbus") if s.get("parentSpanId") == served["spanId"]]
    assert [s["attributes"]["rpc.method"] for s in sorted(asked, key=lambda s: s["begin"])] == ["StopUnit", "KillUnit"]
    assert all(s["traceId"] == served["traceId"] and served["begin"] <= s["begin"] and s["end"] <= served["end"] for s in asked)


def test_a_kill_by_oomd_is_an_oom_kill_and_only_its_word_counts(watched, guest):
    for name in ("pressed", "forged"):
        guest.unit(f"t-{name}", "sleep", "100", options=["--service-type=exec"])
        watched.wait_event(name=f"t-{name}.service", action="started")
    real = oomd(guest, "/system.slice/t-pressed.service", "yes")
    assert real.stdout.readline().strip() == "ready"
    watched.up("oomd")
    say(real, "sent")
    guest("systemctl", "kill", "-s", "KILL", "t-pressed")
    pressed = watched.wait_event(name="t-pressed.service", action="OOMKilled")
    assert pressed["oom_scope"] == "oomd" and pressed["reason"] == "memory-pressure"
    assert pressed["confidence"] == "confirmed" and "runtime" in pressed["evidence"]

    # Sent straight to our connection by somebody who does not own the name.
    listed = subprocess.check_output(["busctl", f"--address={guest.bus}", "list", "--unique", "--no-legend"], text=True)
    ours = [line.split()[0] for line in listed.splitlines() if line.split()[1] == "-"]  # of pids the guest cannot name
    assert len(ours) >= 3, listed
    for one in ours:
        forger = oomd(guest, "/system.slice/t-forged.service", one)
        assert forger.stdout.readline().strip() == "ready"
        say(forger, "sent")
        forger.communicate("\n", timeout=10)
    guest("systemctl", "kill", "-s", "KILL", "t-forged")
    assert watched.wait_event(name="t-forged.service", action="died")["reason"] == "sigkill-unknown"
    real.communicate("\n", timeout=10)
    watched.wait_event(name="oomd", action="source_down")


REPLAY = """
import dbus, dbus.lowlevel, dbus.mainloop.glib, dbus.service, json, sys
from gi.repository import GLib
address, path = sys.argv[1:]
dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
bus = dbus.bus.BusConnection(address)
loop = GLib.MainLoop()
MANAGER = "org.freedesktop.systemd1.Manager"
records = [json.loads(line) for line in open(path)]

def dbus_value(data, signature):
    types = {"s": dbus.String, "u": dbus.UInt32, "i": dbus.Int32, "t": dbus.UInt64, "b": dbus.Boolean, "x": dbus.Int64,
             "o": dbus.ObjectPath, "d": dbus.Double}
    if signature in types:
        return types[signature](data, variant_level=1)
    if signature == "ay":
        return dbus.Array([dbus.Byte(b) for b in data], signature="y", variant_level=1)
    return None  # a shape that nobody here reads

class Systemd(dbus.service.Object):
    @dbus.service.method(MANAGER, in_signature="", out_signature="")
    def Subscribe(self):
        pass

    @dbus.service.method(MANAGER, in_signature="asas", out_signature="a(ssssssouso)")
    def ListUnitsByPatterns(self, states, patterns):
        GLib.timeout_add(300, replay)
        return dbus.Array([], signature="(ssssssouso)")

def replay():
    for record in records:
        message = dbus.lowlevel.SignalMessage(record["path"], record["interface"], record["member"])
        data = record["payload"]["data"]
        if record["member"] == "PropertiesChanged":
            properties = {k: dbus_value(v["data"], v["type"]) for k, v in data[1].items()}
            properties = dbus.Dictionary({k: v for k, v in properties.items() if v is not None}, signature="sv")
            message.append(data[0], properties, dbus.Array(data[2], signature="s"), signature="sa{sv}as")
        else:
            message.append(*data, signature=record["payload"]["type"])
        bus.send_message(message)
    bus.flush()
    return False

Systemd(bus, "/org/freedesktop/systemd1")
name = dbus.service.BusName("org.freedesktop.systemd1", bus)
loop.run()
"""


def kernel_lines(journal, folder):
    """The recorded kernel lines as if written now: what is older than its first start is no news to virtwatchd."""
    text = (FIXTURES / "journal-kernel-oom-cgroup2.export").read_text()
    text = re.sub(r"(?m)^__CURSOR=.*\n", "", text)
    text = re.sub(r"(?m)^__REALTIME_TIMESTAMP=.*$", f"__REALTIME_TIMESTAMP={time.time_ns() // 1000}", text)
    (folder / "k.export").write_text(text)
    subprocess.run(["/lib/systemd/systemd-journal-remote", "-o", journal / "k.journal", folder / "k.export"], check=True,
                   capture_output=True)


def test_the_recorded_oom_kill_of_a_unit_joins_result_and_kernel_line(daemon, bus, tmp_path):
    journal = tmp_path / "journal"
    journal.mkdir()
    log = open(tmp_path / "replay.log", "ab")
    one = daemon({"sources.units.address": bus, "sources.units.patterns": "t-*", "sources.kernel.from": "journal",
                  "sources.kernel.journal_dir": journal, "events.evidence_wait": "5s"})
    one.up("kernel")
    systemd = spawn([sys.executable, "-c", REPLAY, bus, FIXTURES / "busctl-systemd1-signals.jsonl"], log)
    try:
        one.wait_event(name="t-oom.service", action="started")
        kernel_lines(journal, tmp_path)
        killed = one.wait_event(name="t-oom.service", action="OOMKilled")
        assert killed["evidence"][0] == "kernel" and "runtime" in killed["evidence"]
        assert killed["confidence"] == "confirmed" and killed["oom_scope"] == "self"
        one.wait_event(name="t-exit3.service", action="gave-up")
        assert [a for a, _ in actions(one, "t-exit3.service")] == ["started", "died"] * 2 + ["gave-up"]
        assert actions(one, "t-oomchild.service")[-1] == ("stopped", "completed")
        assert one.wait_event(name="t-kill.service", action="died")["reason"] == "sigkill-unknown"
    finally:
        end(systemd)
        log.close()
    one.wait_event(name="unit", action="source_down")
    assert json.loads(one.get("/ready")[1])["sources"]["unit"]["state"] == "down"


SILENT = """
import dbus, dbus.mainloop.glib, dbus.service, sys, time
from gi.repository import GLib
dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
bus = dbus.bus.BusConnection(sys.argv[1])
loop = GLib.MainLoop()
MANAGER = "org.freedesktop.systemd1.Manager"
PATH = "/org/freedesktop/systemd1/unit/t_2da_2eservice"
asked = []

class NoReply(dbus.DBusException):
    _dbus_error_name = "org.freedesktop.DBus.Error.NoReply"

class Systemd(dbus.service.Object):
    @dbus.service.method(MANAGER)
    def Subscribe(self):
        pass

    @dbus.service.signal(MANAGER, signature="b")
    def Reloading(self, active):
        pass

    @dbus.service.method(MANAGER, in_signature="asas", out_signature="a(ssssssouso)")
    def ListUnitsByPatterns(self, states, patterns):
        return [("t-a.service", "", "loaded", "active", "running", "", dbus.ObjectPath(PATH), dbus.UInt32(0), "",
                 dbus.ObjectPath("/"))]

class Unit(dbus.service.Object):
    @dbus.service.method("org.freedesktop.DBus.Properties", in_signature="s", out_signature="a{sv}")
    def GetAll(self, interface):
        asked.append(interface)
        if len(asked) == 2:
            raise NoReply("too busy")
        now = dbus.UInt64(1700000000000000)
        return {"ActiveState": "active", "SubState": "running", "LoadState": "loaded", "InactiveExitTimestamp": now,
                "InvocationID": dbus.Array([dbus.Byte(7)] * 16, signature="y"), "MainPID": dbus.UInt32(1)}

manager, unit = Systemd(bus, "/org/freedesktop/systemd1"), Unit(bus, PATH)
name = dbus.service.BusName("org.freedesktop.systemd1", bus)
GLib.io_add_watch(sys.stdin, GLib.IO_IN, lambda *_: sys.stdin.readline() and (manager.Reloading(False) or True))
loop.run()
"""


def test_a_manager_that_does_not_answer_makes_units_unknown_and_not_gone(daemon, bus, tmp_path):
    one = daemon({"sources.units.address": bus, "sources.units.patterns": "t-*"})
    with open(tmp_path / "silent.log", "ab") as log:
        systemd = subprocess.Popen([sys.executable, "-c", SILENT, bus], stdin=subprocess.PIPE, stdout=log, stderr=log)
    try:
        one.up("unit")
        systemd.stdin.write(b"relist\n")
        systemd.stdin.flush()
        lost = one.wait_event(name="unit", action="source_down")
        assert "does not answer" in lost["message"]
        one.up("unit")
        assert actions(one, "t-a.service") == []
        assert [w["state"] for w in one.json("/api/v1/workloads") if w["name"] == "t-a.service"] == ["running"]
    finally:
        systemd.kill()
        systemd.wait()


@pytest.fixture(scope="module")
def journald(scratch):
    """A journald of its own /run that reads this machine's kernel log: the folder of its files."""
    folder = scratch / "jd"
    folder.mkdir()
    log = open(folder / "journald.log", "ab")
    process = subprocess.Popen(
        ["unshare", "-m", "--propagation", "private", "sh", "-c",
         "mount -t tmpfs -o mode=755 t /run && mkdir -p /run/systemd/journal /run/log/journal && "
         "exec /lib/systemd/systemd-journald"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    files = pathlib.Path(f"/proc/{process.pid}/root/run/log/journal")

    def made():
        return [path.parent for path in files.glob("*/system.journal")]
    yield wait_for(made, 20, "journald's file")[0]
    end(process)
    log.close()


def oom(docker, name):
    docker.run(name, "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1", options=("-m", "16m"))


def test_a_real_oom_kill_is_confirmed_by_the_journal(daemon, docker, journald):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket,
                  "sources.kernel.from": "journal", "sources.kernel.journal_dir": journald})
    one.up("docker")
    one.up("kernel")
    try:
        oom(docker, "joom")
        killed = one.wait_event(name="joom", action="OOMKilled")
        assert killed["confidence"] == "confirmed" and killed["oom_scope"] == "self"
        assert "kernel" in killed["evidence"], killed

        # What the kernel writes while nobody reads is read by the next one, from the stored cursor.
        one.kill()
        oom(docker, "jaway")
        one.start()
        one.up("docker")
        away = one.wait_event(name="jaway", action="OOMKilled")
        assert away["confidence"] == "confirmed" and "kernel" in away["evidence"], away
        time.sleep(3)
        assert [e["action"] for e in one.events(name="joom")].count("OOMKilled") == 1
        assert not any(e["action"] == "oom" for e in one.events())
    finally:
        docker("rm", "-f", "joom", "jaway", check=False)
