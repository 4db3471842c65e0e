"""The host as a node: what the faces say against what the kernel says at the same time."""

import datetime
import json
import os
import pathlib
import re
import subprocess
import time

import pytest

from conftest import BUILD, wait_for
from test_http import OPENMETRICS, ask

FROZEN = {"name": str, "role": str, "status": str, "cpu_cores": int, "cpu_usage_percent": (int, float),
          "memory_total_bytes": int, "memory_used_bytes": int, "pod_count": int}


def meminfo():
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in open("/proc/meminfo")}


def cpu_ticks():
    return [int(value) for value in open("/proc/stat").readline().split()[1:9]]


def net(name):
    for line in open("/proc/net/dev"):
        if line.strip().startswith(name + ":"):
            fields = line.split(":")[1].split()
            return int(fields[0]), int(fields[8])
    raise AssertionError(name)


def detail(one):
    return one.json("/api/v1/nodes/testnode")


def sampled(one, n=3):
    """The node, once @n slots had CPU in them."""
    def look():
        node = detail(one)
        found = [s for s in node.get("samples", []) if s["cpu_pct"] is not None]
        return node if len(found) >= n else None
    return wait_for(look, 30, "samples of the host")


def series(one, name, **headers):
    text = ask(one, "/metrics", **headers)[1].decode()
    return {labels: float(value) for labels, value in re.findall(rf"^{name}{{(.*)}} (\S+)$", text, re.MULTILINE)}


def test_the_frozen_shape_is_kept(daemon):
    one = daemon()
    for path in ("/api/v1/nodes", "/api/v1/nodes/stats"):
        first = one.json(path)  # at once, before anything was compared
        assert isinstance(first, list) and len(first) == 1
        assert list(first[0])[:8] == list(FROZEN)
    sampled(one)
    for path in ("/api/v1/nodes", "/api/v1/nodes/stats"):
        node, = one.json(path)
        for name, kind in FROZEN.items():
            assert isinstance(node[name], kind), name
        assert node["name"] == "testnode" and node["role"] == "host" and node["status"] == "ready"
        assert node["cpu_cores"] == os.sysconf("SC_NPROCESSORS_ONLN") and node["pod_count"] == 0
        assert 0 <= node["cpu_usage_percent"] <= 100
    assert one.get("/api/v1/nodes", token=None)[0] == 401
    assert one.get("/api/v1/nodes/othernode")[0] == 404


def test_cpu_is_what_the_kernel_counts(daemon):
    one = daemon()
    sampled(one)
    begin = cpu_ticks()
    burner = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    try:
        time.sleep(7.5)
        end = cpu_ticks()
        node = detail(one)
    finally:
        burner.kill()
        burner.wait()
    spent = [b - a for a, b in zip(begin, end)]
    truth = 100 * (1 - (spent[3] + spent[4]) / sum(spent))
    values = [s["cpu_pct"] for s in node["samples"]][-6:]
    assert None not in values
    assert abs(sum(values) / len(values) - truth) < 12, (values, truth)
    assert max(values) > 100 / os.cpu_count() * 0.8
    cpu = node["cpu"]
    whole = sum(cpu[f"{mode}_pct"] for mode in ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"))
    assert abs(whole - 100) < 0.1
    assert len(cpu["cpus"]) == os.sysconf("SC_NPROCESSORS_ONLN")
    assert all(0 <= c["busy_pct"] <= 100 for c in cpu["cpus"])


def test_memory_load_and_boot_are_what_the_kernel_says(daemon):
    one = daemon()
    sampled(one, 1)

    def agree():
        truth, node = meminfo(), detail(one)
        load = float(open("/proc/loadavg").read().split()[0])
        up = float(open("/proc/uptime").read().split()[0])
        boot = int(re.search(r"btime (\d+)", open("/proc/stat").read()).group(1))
        used = truth["MemTotal"] - truth["MemAvailable"]
        assert node["memory_total_bytes"] == node["memory"]["total_bytes"] == truth["MemTotal"]
        assert node["memory"]["swap_total_bytes"] == truth["SwapTotal"]
        assert abs(node["uptime_secs"] - up) < 4
        assert node["booted_at"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(boot))
        return (abs(node["memory_used_bytes"] - used) < 64 << 20 and abs(node["load"]["1m"] - load) < 0.5
                and abs(node["sample"]["mem_pct"] - 100 * used / truth["MemTotal"]) < 1)

    wait_for(agree, 20, "memory and load of the same moment")  # others use memory meanwhile


def test_a_file_system_is_as_full_as_statvfs_says(daemon):
    one = daemon()
    sampled(one, 1)
    device = os.stat("/").st_dev
    found = [f for f in detail(one)["filesystems"] if os.path.exists(f["mountpoint"])]
    points = [f["mountpoint"] for f in found]
    assert len(points) == len(set(points))
    for one_of in found:
        truth = os.statvfs(one_of["mountpoint"])
        assert one_of["total_bytes"] == truth.f_blocks * truth.f_frsize, one_of
        assert abs(one_of["free_bytes"] - truth.f_bfree * truth.f_frsize) < 1 << 30
        assert not one_of["stuck"] and 0 <= one_of["used_pct"] <= 100
    kinds = {line.split(" - ")[1].split()[0] for line in open("/proc/self/mountinfo")
             if line.split()[2] == f"{os.major(device)}:{os.minor(device)}"}
    if kinds & {"ext4", "xfs", "btrfs"}:
        assert "/" in points


def test_types_of_file_systems_and_devices_are_settings(daemon):
    one = daemon({"node.file_systems": "proc", "node.ignore_interfaces": "", "node.ignore_disks": "*"})
    node = sampled(one, 1)
    shown = [f["mountpoint"] for f in node["filesystems"]]
    assert "/proc" in shown and all(place.endswith("/proc") for place in shown)  # a root that is made meanwhile has one, too
    assert node["disks"] == []
    names = {line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line}
    assert "lo" in names and "lo" in {n["name"] for n in node["interfaces"]}
    before = net("lo")

    def passed():  # what this very request moves is counted too
        lo, = [n for n in detail(one)["interfaces"] if n["name"] == "lo"]
        return lo["rx_bytes"] >= before[0] and lo["tx_bytes"] >= before[1] and lo["rx_bytes_per_s"] is not None
    wait_for(passed, 10, "the loopback's counters to pass what they were")
    lo, = [n for n in detail(one)["interfaces"] if n["name"] == "lo"]
    assert lo["rx_bytes"] <= net("lo")[0]


HANGING = """#!/usr/bin/python3
# In a mount namespace of its own: a FUSE mount whose server answers nothing, then the daemon itself.
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x20000) == 0 and libc.mount(None, b"/", None, 0x44000, None) == 0
fd = os.open("/dev/fuse", os.O_RDWR)
os.set_inheritable(fd, True)
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
assert libc.mount(b"hang", b"%(point)s", b"fuse.hang", 6, options) == 0
# The leak checker of a sanitized build stops every thread first, and waits for ever for one that is in the kernel.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
os.execv("%(daemon)s", sys.argv)
"""


def test_a_file_system_that_hangs_costs_only_its_own_numbers(daemon, tmp_path, monkeypatch):
    point, wrapper = tmp_path / "hang", tmp_path / "build/src/virtwatchd"
    point.mkdir()
    wrapper.parent.mkdir(parents=True)
    wrapper.write_text(HANGING % {"point": point, "daemon": BUILD / "src/virtwatchd"})
    wrapper.chmod(0o755)
    monkeypatch.setattr("conftest.BUILD", tmp_path / "build")
    one = daemon({"node.file_systems": "ext4,xfs,btrfs,overlay,proc,fuse.hang"})
    mounts = wait_for(lambda: {f["mountpoint"]: f for f in detail(one).get("filesystems") or []}, 30, "the file systems")
    hung = mounts.pop(str(point))
    assert hung["stuck"] and hung["total_bytes"] is None and hung["used_pct"] is None
    assert mounts and all(not f["stuck"] and f["total_bytes"] is not None for f in mounts.values())
    values = [s for s in detail(one)["samples"][1:]]
    assert None not in [s["cpu_pct"] for s in values] and None in [s["disk_pct"] for s in values]
    assert one.json("/api/v1/nodes")[0]["status"] == "ready"
    found = series(one, "virtwatch_node_filesystem_stuck")
    assert {labels: value for labels, value in found.items() if value} == {
        f'node="testnode",device="hang",mountpoint="{point}",fstype="fuse.hang"': 1}
    begin = time.monotonic()
    one.stop()
    assert time.monotonic() - begin < 5


def test_pressure_is_told_where_the_kernel_does(daemon):
    one = daemon()
    node = sampled(one, 1)
    if not pathlib.Path("/proc/pressure/cpu").exists():
        assert node["pressure"] is None
        return
    total = int(re.search(r"some .*total=(\d+)", open("/proc/pressure/cpu").read()).group(1))
    assert set(node["pressure"]) == {"cpu", "memory", "io"}
    wait_for(lambda: detail(one)["pressure"]["cpu"]["some"]["total_us"] >= total, 10, "pressure to pass what it was")
    assert 0 <= node["pressure"]["io"]["some"]["avg10_pct"] <= 100
    found = series(one, "virtwatch_node_pressure_seconds_total")
    assert found['node="testnode",resource="cpu",scope="some"'] >= total / 1e6


def test_workloads_that_run_are_counted(daemon, docker):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket})
    one.up("docker")
    before = one.json("/api/v1/nodes")[0]
    assert before["role"] == "container-host"
    docker.run("counted", "sleep", "1000", options=("-d",))
    try:
        wait_for(lambda: one.json("/api/v1/nodes")[0]["pod_count"] == before["pod_count"] + 1, 10, "one more")
    finally:
        docker("rm", "-f", "counted")
    wait_for(lambda: one.json("/api/v1/nodes")[0]["pod_count"] == before["pod_count"], 10, "one less")


def test_a_node_without_a_required_source_is_not_ready(daemon, tmp_path):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.required": "true",
                  "sources.docker.socket": tmp_path / "nobody.sock"})
    sampled(one, 1)
    assert one.json("/api/v1/nodes")[0]["status"] == "not-ready"


def test_slots_are_whole_seconds_and_come_once(daemon):
    one = daemon({"sampler.interval": "200ms", "sampler.ring": "2s"})
    wait_for(lambda: len(detail(one).get("samples", [])) == 10, 20, "ten slots")
    found = detail(one)["samples"]
    times = [round(datetime.datetime.fromisoformat(s["at"].replace("Z", "+00:00")).timestamp() * 1000) for s in found]
    assert all(b - a == 200 for a, b in zip(times, times[1:])) and all(at % 200 == 0 for at in times)
    assert all(set(s) == {"at", "cpu_pct", "mem_pct", "disk_pct"} for s in found)


def test_a_daemon_that_was_stopped_says_null_for_that_time(daemon):
    one = daemon()
    sampled(one)
    os.kill(one.process.pid, 19)
    time.sleep(4)
    os.kill(one.process.pid, 18)
    node = wait_for(lambda: (lambda n: n if len([s for s in n["samples"] if s["mem_pct"] is None]) >= 2 else None)(detail(one)),
                    10, "the gap")
    times = [s["at"] for s in node["samples"]]
    assert len(times) == len(set(times))
    wait_for(lambda: detail(one)["sample"]["cpu_pct"] is not None, 10, "a value after the gap")


def test_metrics_are_in_base_units_and_clean(daemon):
    one = daemon()
    sampled(one)
    ticks = cpu_ticks()
    wait_for(lambda: series(one, "virtwatch_node_cpu_seconds_total")['node="testnode",mode="user"'] >= ticks[0] / 100, 10,
             "CPU time to pass what it was")
    after = cpu_ticks()
    found = series(one, "virtwatch_node_cpu_seconds_total")
    for i, mode in enumerate(("user", "nice", "system", "idle")):
        assert ticks[i] / 100 - 5 <= found[f'node="testnode",mode="{mode}"'] <= after[i] / 100 + 5, mode
    assert len(found) == 8
    assert series(one, "virtwatch_node_memory_total_bytes") == {'node="testnode"': meminfo()["MemTotal"]}
    percent, = series(one, "virtwatch_node_cpu_usage_percent").values()
    assert 0 <= percent <= 100
    assert series(one, "virtwatch_node_cpus") == {'node="testnode"': os.sysconf("SC_NPROCESSORS_ONLN")}
    sizes = series(one, "virtwatch_node_filesystem_size_bytes")
    assert len(sizes) == len(series(one, "virtwatch_node_filesystem_stuck")) == len(detail(one)["filesystems"])
    text = ask(one, "/metrics")[1]
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert "virtwatch_node_" not in (checked.stdout + checked.stderr).decode()
    text = ask(one, "/metrics", Accept=OPENMETRICS)[1].decode()
    assert "# UNIT virtwatch_node_cpu_seconds seconds" in text and text.endswith("# EOF\n")


def test_the_client_draws_a_table_and_tells_json(daemon):
    one = daemon()
    sampled(one)

    def virtwatch(*args):
        return subprocess.run([BUILD / "src/virtwatch", *args, f"--host=unix:{one.folder}/http.sock"], check=True,
                              capture_output=True, text=True, timeout=20).stdout

    head, row = virtwatch("nodes").splitlines()
    assert head.split()[:5] == ["NAME", "ROLE", "STATUS", "CPUS", "CPU%"]
    cells = row.split()
    assert cells[:3] == ["testnode", "host", "ready"] and int(cells[3]) == os.sysconf("SC_NPROCESSORS_ONLN")
    assert 0 <= float(cells[4]) <= 100
    assert abs(float(cells[6]) - meminfo()["MemTotal"] / 2**30) < 0.1
    assert virtwatch("nodes", "-o", "table").splitlines()[0] == head
    node, = json.loads(virtwatch("nodes", "-o", "json"))
    assert node["name"] == "testnode" and node["memory_total_bytes"] == meminfo()["MemTotal"]
    assert "nodes" in virtwatch("--help")


def busctl(bus, *args):
    return subprocess.run(["busctl", f"--address={bus}", "--json=short", *args], check=True, capture_output=True, text=True,
                          timeout=20).stdout


@pytest.fixture
def on_bus(daemon, bus):
    one = daemon({}, bus)
    wait_for(lambda: "org.virtwatch1" in busctl(bus, "list", "--acquired"), 20, "the name")
    sampled(one)
    return one


PATH = "/org/virtwatch1/node/testnode"


def test_the_bus_lists_the_node_and_has_its_numbers(on_bus, bus):
    nodes = json.loads(busctl(bus, "call", "org.virtwatch1", "/org/virtwatch1", "org.virtwatch1.Manager", "ListNodes"))
    assert nodes["type"] == "a(sssuo)" and nodes["data"] == [[["testnode", "host", "ready", 0, PATH]]]
    assert PATH in busctl(bus, "tree", "--list", "org.virtwatch1").split()

    def get(name):
        answer = json.loads(busctl(bus, "get-property", "org.virtwatch1", PATH, "org.virtwatch1.Node", name))
        return answer["type"], answer["data"]

    assert get("Name") == ("s", "testnode") and get("Role") == ("s", "host") and get("Status") == ("s", "ready")
    assert get("CpuCores") == ("d", os.sysconf("SC_NPROCESSORS_ONLN"))
    assert get("MemoryTotal") == ("t", meminfo()["MemTotal"])
    kind, used = get("MemoryUsed")
    assert kind == "t" and abs(used - on_bus.json("/api/v1/nodes")[0]["memory_used_bytes"]) < 256 << 20
    kind, percent = get("CpuPercent")
    assert kind == "d" and 0 <= percent <= 100
    assert get("WorkloadCount") == ("u", 0)
    kind, pressure = get("Pressure")
    assert kind == "a{sd}" and ("cpu.some.avg10" in pressure) == pathlib.Path("/proc/pressure/cpu").exists()
    whole = json.loads(json.loads(busctl(bus, "call", "org.virtwatch1", PATH, "org.virtwatch1.Node", "Describe"))["data"][0])
    assert set(whole) == set(detail(on_bus)) and whole["name"] == "testnode"


def test_the_bus_gives_samples_since_a_time(on_bus, bus):
    def samples(since):
        answer = json.loads(busctl(bus, "call", "org.virtwatch1", PATH, "org.virtwatch1.Node", "GetSamples", "t", str(since)))
        assert answer["type"] == "a(tddd)"
        return answer["data"][0]

    found = samples(0)
    assert len(found) >= 3 and all(a[0] < b[0] for a, b in zip(found, found[1:]))
    rest = samples(found[-2][0])
    assert rest[0] == found[-1] and len(rest) <= len(found)
    assert samples(2**63) == []


def test_there_is_no_other_node_on_the_bus(on_bus, bus):
    with pytest.raises(subprocess.CalledProcessError):
        busctl(bus, "get-property", "org.virtwatch1", "/org/virtwatch1/node/other", "org.virtwatch1.Node", "Status")


def test_the_bus_tells_when_the_count_of_workloads_changes(daemon, bus, docker, tmp_path):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket}, bus)
    one.up("docker")
    wait_for(lambda: "org.virtwatch1" in busctl(bus, "list", "--acquired"), 20, "the name")
    sampled(one)
    with open(tmp_path / "monitor", "w+") as log:
        monitor = subprocess.Popen(["busctl", f"--address={bus}", "--json=short", "--match",
                                    f"type='signal',path='{PATH}',member='PropertiesChanged'", "monitor"], stdout=log)
        try:
            time.sleep(1)
            docker.run("told", "sleep", "1000", options=("-d",))

            def told():
                text = (tmp_path / "monitor").read_text()
                changes = [json.loads(line)["payload"]["data"] for line in text.splitlines() if line.startswith("{")]
                return [c for c in changes if c[0] == "org.virtwatch1.Node" and "WorkloadCount" in c[1]]
            wait_for(told, 15, "the signal")
        finally:
            docker("rm", "-f", "told", check=False)
            monitor.kill()
            monitor.wait()
