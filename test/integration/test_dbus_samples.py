"""What workloads use and were given, on the bus: real guests and containers, beside what HTTP says of them."""

import json
import math
import signal
import subprocess
import time

import pytest

from conftest import wait_for
from dbus_peers import MANAGER, NAME, Client
from test_dbus import busctl, client, engine, own_bus, watch  # noqa: F401
from test_dbus_bus import MIB, rss, sane
from test_samples import define, samples

WORKLOAD = f"{NAME}.Workload"


def read(user, path, name):
    return user.property(path, WORKLOAD, name)


def ready(user):
    wait_for(lambda: user.bus("NameHasOwner", "s", NAME)[0], 10, "the name")
    return user.listen(f"type='signal',sender='{NAME}'")


def percent(value):
    return None if math.isnan(value) else round(value, 2)


def test_a_container_s_numbers_are_those_of_http(daemon, docker, bus, client):  # noqa: F811
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket, "sampler.interval": "500ms",
                  "sampler.ring": "10s"}, bus)
    one.up("docker")
    user = ready(client(bus))
    assert user.property(*MANAGER, "SampleIntervalUSec") == 500_000 and user.property(*MANAGER, "RingUSec") == 10_000_000
    docker.run("busy", "sh", "-c", "while :; do :; done",
               options=("-d", "--cpu-period", "100000", "--cpu-quota", "20000", "-m", "64m"))
    try:
        path = wait_for(lambda: user.manager("GetWorkload", "s", "busy"), 10, "it")[0]
        wait_for(lambda: len([s for s in samples(one, "busy") if s["cpu_pct"] is not None]) >= 4, 20, "samples")
        # The allocation came after the object, and was told.
        user.receive(0.1)
        changes = {}
        for _, change in user.changes(path):
            changes.update(change)
        assert (changes["VCpus"], changes["MemoryBytes"]) == (1, 64 << 20)  # a fifth of a CPU counts as one
        assert (read(user, path, "VCpus"), read(user, path, "MemoryBytes"), read(user, path, "Disks")) == (1, 64 << 20, [])
        assert read(user, path, "CpuPercent") > 50 and 0 < read(user, path, "MemoryPercent") < 50
        assert math.isnan(read(user, path, "DiskPercent"))

        rows = json.loads(busctl(bus, "call", NAME, path, WORKLOAD, "GetSamples", "t", "0").stdout)["data"][0]
        assert len(rows) >= 4 and all(a[0] + 500_000 <= b[0] for a, b in zip(rows, rows[1:]))
        found = user.call(path, WORKLOAD, "GetSamples", "t", 0)[0]
        http = [(s["cpu_pct"], s["mem_pct"], s["disk_pct"]) for s in samples(one, "busy")]
        mine = [tuple(map(percent, row[1:])) for row in found]
        shared = [row for row in mine if row[0] is not None and row in http]
        assert len(shared) >= len(mine) - 2, (mine, http)
        middle = found[len(found) // 2][0]
        later = user.call(path, WORKLOAD, "GetSamples", "t", middle)[0]
        assert later and later[0][0] > middle and found[-1][0] in [row[0] for row in later]
        assert user.call(path, WORKLOAD, "GetSamples", "t", 2**64 - 1)[0] == []

        user.signals.clear()
        user.receive(2)
        assert user.changes(path) == [] and user.found("Sample") == []  # nobody subscribed
        docker("update", "--memory", "96m", "--memory-swap", "96m", "busy")
        user.wait("PropertiesChanged", lambda body: body[1].get("MemoryBytes") == ("t", 96 << 20), path=path)
        assert all(set(change) <= {"MemoryBytes", "StateReason"} for _, change in user.changes(path))
        docker("stop", "-t", "0", "busy")
        user.wait("Exited", path=path)
        wait_for(lambda: math.isnan(read(user, path, "CpuPercent")), 5, "no numbers of the dead")
        assert read(user, path, "MemoryBytes") == 96 << 20 and user.call(path, WORKLOAD, "GetSamples", "t", 0)[0]
    finally:
        docker("rm", "-f", "busy")


def test_a_vm_s_allocation_is_told_as_it_changes(daemon, libvirt, bus, client):  # noqa: F811
    one = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri}, bus)
    one.up(f"libvirt:{libvirt.uri}")
    user = ready(client(bus))
    define(libvirt, "grows", vcpus=2)
    extra = libvirt.folder / "grows.qcow2"
    subprocess.check_call(["qemu-img", "create", "-q", "-f", "qcow2", extra, "3G"])
    try:
        path = wait_for(lambda: user.manager("GetWorkload", "s", "grows"), 10, "it")[0]
        disk = 8 * 1024 * 1024
        wait_for(lambda: read(user, path, "Disks") == [("vda", disk)], 20, "its disk")
        assert (read(user, path, "VCpus"), read(user, path, "MemoryBytes")) == (2, 64 << 20)
        wait_for(lambda: not math.isnan(read(user, path, "CpuPercent")), 20, "its CPU")
        user.receive(0.5)
        user.signals.clear()
        user.receive(3)
        assert [change for change in user.changes(path)] == []  # a round of samples changes nothing
        libvirt("attach-disk", "grows", extra, "vdb", "--live", "--subdriver", "qcow2")
        user.wait("PropertiesChanged", lambda body: body[1].get("Disks") == ("a(st)", [("vda", disk), ("vdb", 3 << 30)]), path=path)
        assert all(set(change) == {"Disks"} for interface, change in user.changes(path) if interface == WORKLOAD)
        shown = subprocess.run(["busctl", f"--address={bus}", "introspect", NAME, path, WORKLOAD], capture_output=True, text=True,
                               timeout=20).stdout
        assert f'2 "vda" {disk} "vdb" {3 << 30}' in shown
    finally:
        libvirt("destroy", "grows", check=False)
        libvirt("undefine", "grows")


def test_samples_are_sent_to_subscribers_and_to_nobody_else(daemon, docker, bus, client):  # noqa: F811
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket, "sampler.interval": "300ms"}, bus)
    one.up("docker")
    for name in ("one", "two"):
        docker.run(name, "sleep", "100", options=("-d",))
    try:
        one.wait_event(name="two", action="started")
        user, other, plain = ready(client(bus)), ready(client(bus)), ready(client(bus))
        paths = {user.manager("GetWorkload", "s", name)[0] for name in ("one", "two")}
        user.manager("Subscribe")
        other.manager("Subscribe")
        for _ in range(2):
            for each in (user, other, plain):
                each.receive(0.7)
        assert plain.found("Sample") == []
        for each in (user, other):
            told = each.found("Sample")
            assert {path for path, _ in told} >= paths  # others may run beside these
            for path in paths:
                times = [body[0] for where, body in told if where == path]
                assert len(times) >= 3 and all(a + 300_000 <= b for a, b in zip(times, times[1:]))
                ring = {row[0]: row for row in user.call(path, WORKLOAD, "GetSamples", "t", 0)[0]}
                same = [str(ring[body[0]]) == str(body) for where, body in told if where == path and body[0] in ring]
                assert len(same) >= 3 and all(same)
        other.manager("Unsubscribe")
        other.receive(0.1)
        other.signals.clear()
        docker("stop", "-t", "0", "one")
        user.wait("Exited")
        user.receive(0.5)
        user.signals.clear()
        user.receive(1.2)
        other.receive(0.1)
        assert other.found("Sample") == []
        assert {path for path, _ in user.found("Sample")} & paths == {user.manager("GetWorkload", "s", "two")[0]}
        # One who leaves is forgotten, and the daemon goes on.
        user.close()
        time.sleep(1)
        assert one.get("/health")[0] == 200 and "D-Bus: 0 subscribers" in other.manager("Dump")[0]
    finally:
        docker("rm", "-f", "one", "two")


def test_busctl_waits_for_a_sample_it_asked_for(daemon, docker, bus):
    """A client of sd-bus gets what is sent to it alone."""
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket}, bus)
    one.up("docker")
    docker.run("seen", "sleep", "100", options=("-d",))
    monitor = subprocess.Popen(["busctl", f"--address={bus}", "--json=short", "monitor", NAME], stdout=subprocess.PIPE, text=True)
    user = Client(bus)
    try:
        one.wait_event(name="seen", action="started")
        path = user.manager("GetWorkload", "s", "seen")[0]
        user.manager("Subscribe")
        end = time.monotonic() + 20
        for line in monitor.stdout:
            message = json.loads(line)
            assert time.monotonic() < end
            if message.get("member") == "Sample":
                break
        assert message["path"] == path and message["destination"] == user.unique_name
        assert message["payload"]["type"] == "tddd"
    finally:
        monitor.kill()
        monitor.wait()
        user.close()
        docker("rm", "-f", "seen")


def test_a_bus_that_does_not_read_gets_the_newest_round_only(daemon, engine, own_bus, client):  # noqa: F811
    for i in range(40):
        engine.add(f"c{i}")
    one = watch(daemon, engine, own_bus.address, {"sampler.interval": "100ms"})
    users = [client(own_bus.address) for _ in range(60)]
    for user in users:
        user.manager("Subscribe")
    user = users[0]
    path = user.manager("GetWorkload", "s", "c7")[0]
    user.wait("Sample", path=path)
    before = rss(one)
    own_bus.signal(signal.SIGSTOP)
    time.sleep(6)  # 24000 signals a second: far more than the socket takes
    assert sane(one) < 1 and rss(one) - before < 16 * MIB
    own_bus.signal(signal.SIGCONT)
    resumed = time.time() * 1e6
    user.wait("Sample", lambda body: body[0] > resumed, path=path)
    times = [body[0] for _, body in user.found("Sample", path)]
    assert times == sorted(set(times))
    assert max(b - a for a, b in zip(times, times[1:])) > 2_000_000, "what could not be sent then is not sent late"


def test_a_subscriber_that_never_reads_costs_others_nothing(daemon, engine, own_bus, client):  # noqa: F811
    for i in range(200):
        engine.add(f"c{i}")
    one = watch(daemon, engine, own_bus.address, {"sampler.interval": "100ms"})
    user, deaf = client(own_bus.address), client(own_bus.address)
    path = user.manager("GetWorkload", "s", "c7")[0]
    stats = ("/org/freedesktop/DBus", "org.freedesktop.DBus.Debug.Stats", "GetConnectionStats", "s", deaf.unique_name)

    def unread():
        return user.call(*stats, destination="org.freedesktop.DBus")[0]["OutgoingBytes"][1]

    user.manager("Subscribe")
    deaf.manager("Subscribe")
    wait_for(lambda: user.receive(0.2) and unread() > 256 << 10, 30, "samples pile up")
    user.receive(2.5)
    most = unread()  # a look a second; 2000 samples come in one
    user.signals.clear()
    user.receive(4)
    assert unread() <= most < 2 << 20, (unread(), most)
    times = [body[0] for _, body in user.found("Sample", path)]
    assert len(times) >= 20, "the other one goes on"
    deaf.receive(3)
    begin = time.time() * 1e6
    deaf.wait("Sample", lambda body: body[0] > begin, path=path)  # it reads again
    assert sane(one) < 1
