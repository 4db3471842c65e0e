"""The series of workloads, under our names and under those of other exporters."""

import datetime
import re
import subprocess
import time

import pytest

from conftest import wait_for
from test_http import OPENMETRICS, ask, prometheus
from test_samples import define


@pytest.fixture
def both(daemon, docker, libvirt, bus):
    """A daemon over a running guest and a running container."""
    define(libvirt, "seen")
    docker.run("held", "sleep", "1000", options=("-d", "-m", "64m"))
    one = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri,
                  "sources.docker.enabled": "true", "sources.docker.socket": docker.socket}, bus=bus)
    one.up("docker")
    one.up(f"libvirt:{libvirt.uri}")
    wait_for(lambda: b'virtwatch_workload_cpu_usage_ratio{kind="vm",name="seen"' in ask(one, "/metrics")[1]
             and b'virtwatch_workload_cpu_usage_ratio{kind="container",name="held"' in ask(one, "/metrics")[1], 20, "both are read")
    yield one
    docker("rm", "-f", "held", check=False)
    libvirt("destroy", "seen", check=False)
    libvirt("undefine", "seen", check=False)


def series(text, name):
    return {labels: float(value) for labels, value in
            re.findall(rf"^{name}\{{(.*)\}} (\S+)$", text, re.MULTILINE)}


def one(found, part):
    return next(value for labels, value in found.items() if part in labels)


def test_own_and_other_names_tell_the_same(both, libvirt, docker):
    text = ask(both, "/metrics")[1].decode()
    domain = libvirt("domuuid", "seen").stdout.strip()
    assert f'libvirt_domain_info_virtual_cpus{{domain="seen",uuid="{domain}"}} 1\n' in text
    assert f'libvirt_domain_info_maximum_memory_bytes{{domain="seen",uuid="{domain}"}} {64 << 20}\n' in text
    assert f'libvirt_domain_block_stats_capacity_bytes{{domain="seen",uuid="{domain}",target_device="vda"}} {8 << 20}\n' in text
    assert f'libvirt_domain_info_state{{domain="seen",uuid="{domain}",state_desc="the domain is running"}} 1\n' in text
    assert f'libvirt_domain_timed_out{{domain="seen",uuid="{domain}"}} 0\n' in text
    assert f'libvirt_domain_block_stats_info{{domain="seen",uuid="{domain}",target_device="vda"}} 1\n' in text
    assert one(series(text, "libvirt_domain_vcpu_state"), 'vcpu="0"') == 1
    assert "libvirt_up 1\n" in text
    said = next(labels for labels in series(text, "virtwatch_workload_usage_info") if 'name="held"' in labels)
    assert 'cpu_source="cgroup",memory_source="cgroup",disk_source=""' in said
    own = one(series(text, "virtwatch_workload_cpu_seconds_total"), 'name="seen"')
    assert own == one(series(text, "libvirt_domain_info_cpu_time_seconds_total"), 'domain="seen"') > 0
    resident = one(series(text, "virtwatch_workload_memory_resident_bytes"), 'name="seen"')
    assert resident == one(series(text, "libvirt_domain_memory_stats_rss_bytes"), 'domain="seen"') > 0
    assert one(series(text, "container_spec_memory_limit_bytes"), 'name="held"') == 64 << 20
    assert one(series(text, "virtwatch_workload_memory_given_bytes"), 'name="held"') == 64 << 20
    held = one(series(text, "container_memory_usage_bytes"), 'name="held"')
    assert held == one(series(text, "virtwatch_alloc_memory_bytes"), 'alloc="held"') > 0


def test_times_are_told_to_the_second_and_bytes_to_the_byte(both, docker):
    began = docker("inspect", "-f", "{{.State.StartedAt}}", "held").stdout.strip()
    began = datetime.datetime.fromisoformat(began[:19] + "+00:00").timestamp()
    text = ask(both, "/metrics")[1].decode()
    assert began <= one(series(text, "container_start_time_seconds"), 'name="held"') < began + 1
    assert abs(one(series(text, "container_last_seen"), 'name="held"') - time.time()) < 5
    group = both.json("/api/v1/workloads/held")["cgroup"]
    # An idle container's memory stands still, and is no multiple of what six digits can tell.
    wait_for(lambda: one(series(ask(both, "/metrics")[1].decode(), "container_memory_working_set_bytes"), 'name="held"')
             == working_set(f"/sys/fs/cgroup/memory{group}"), 20, "its working set")


def working_set(group):
    stat = dict(line.split() for line in open(f"{group}/memory.stat"))
    return int(open(f"{group}/memory.usage_in_bytes").read()) - int(stat["total_inactive_file"])


def test_vm_name_means_the_vm_where_a_container_has_the_same(both, docker):
    docker.run("seen", "sleep", "1000", options=("-d", "-m", "32m"))
    try:
        both.wait_event(name="seen", kind="container", action="started")
        answer = both.json("/api/app-gateway/metrics/shop?vm_name=seen")
        assert answer["allocation"]["memory_mb"] == 64
    finally:
        docker("rm", "-f", "seen")


def test_cpu_time_is_what_libvirt_says(both, libvirt):
    before = int(re.search(r"cpu.time=(\d+)", libvirt("domstats", "seen", "--cpu-total").stdout)[1])
    time.sleep(2.5)
    told = one(series(ask(both, "/metrics")[1].decode(), "virtwatch_workload_cpu_seconds_total"), 'name="seen"')
    after = int(re.search(r"cpu.time=(\d+)", libvirt("domstats", "seen", "--cpu-total").stdout)[1])
    assert before / 1e9 <= told <= after / 1e9


@pytest.mark.parametrize("compat, there, gone", [
    ("inovex", "libvirt_domain_memory_stats_current_balloon_bytes", "libvirt_domain_info_vstate"),
    ("tinkoff", "libvirt_domain_info_vstate", "libvirt_domain_vcpu_current"),
    ("off", "virtwatch_workload_cpus", "libvirt_"),
])
def test_the_dialect_is_a_setting(daemon, libvirt, bus, compat, there, gone):
    define(libvirt, "dialect")
    server = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri, "metrics.compat": compat}, bus=bus)
    wait_for(lambda: there in ask(server, "/metrics")[1].decode(), 20, there)
    text = ask(server, "/metrics")[1].decode().replace(libvirt.uri, "")
    assert not re.search(rf"^{gone}", text, re.MULTILINE)
    if compat == "off":
        checked = subprocess.run(["promtool", "check", "metrics"], input=text.encode(), capture_output=True)
        complaints = sorted(line for line in checked.stderr.decode().splitlines() if line)
        assert complaints == [f'{name} non-counter metrics should not have "_total" suffix'
                              for name in ("virtwatch_deployments_total", "virtwatch_nodes_total", "virtwatch_pods_total")]
    libvirt("destroy", "dialect")
    libvirt("undefine", "dialect")


def test_storage_pools_are_told_as_libvirt_tells_them(daemon, libvirt, tmp_path):
    libvirt("pool-create-as", "heap", "dir", "--target", tmp_path)
    try:
        server = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": f"{libvirt.uri},test:///default"})
        wait_for(lambda: all(f'libvirt_storage_pool_capacity_bytes{{storage_pool="{pool}"}}' in ask(server, "/metrics")[1].decode()
                             for pool in ("heap", "default-pool")), 30, "both pools")
        text = ask(server, "/metrics")[1].decode()
        info = dict(re.findall(r"^(\w+): +(\S+)", libvirt("pool-info", "heap", "--bytes").stdout, re.MULTILINE))
        for name, column in (("capacity", "Capacity"), ("allocation", "Allocation"), ("available", "Available")):
            assert one(series(text, f"libvirt_storage_pool_{name}_bytes"), '"heap"') == int(info[column])
        assert one(series(text, "libvirt_storage_pool_state"), '"heap"') == 2
    finally:
        libvirt("pool-destroy", "heap")


def test_both_formats_have_the_same_series(both):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
    from prometheus_client.parser import text_string_to_metric_families as read_plain
    text = ask(both, "/metrics", Accept=OPENMETRICS)[1].decode()
    names = {sample.name for family in read_openmetrics(text) for sample in family.samples}
    plain = {sample.name for family in read_plain(ask(both, "/metrics")[1].decode()) for sample in family.samples}
    assert names == plain and "virtwatch_workload_disk_read_bytes_total" in names


def test_what_is_gone_has_no_series_but_its_exits_live_on(both, docker):
    docker("kill", "-s", "KILL", "held")
    docker("rm", "held")
    both.wait_event(name="held", action="removed")
    text = ask(both, "/metrics")[1].decode()
    assert not series(text, "container_last_seen")
    assert 'alloc="held"' not in text
    assert one(series(text, "virtwatch_exits_total"), 'name="held"') == 1


def test_a_real_prometheus_answers_queries_over_it(both, prometheus):
    api = prometheus(f"127.0.0.1:{both.port()}")

    def ask_for(query):
        found = (api("query?query=" + query.replace("+", "%2B").replace("{", "%7B").replace("}", "%7D").replace('"', "%22")) or {})
        return found.get("result")

    wait_for(lambda: ask_for('rate(libvirt_domain_info_cpu_time_seconds_total[10s])'), 40, "a rate")
    assert float(ask_for('libvirt_domain_vcpu_current{domain="seen"}')[0]["value"][1]) == 1
    assert float(ask_for('container_spec_memory_limit_bytes{name="held"}')[0]["value"][1]) == 64 << 20
    ratio = float(ask_for('virtwatch_workload_memory_usage_ratio{name="held"}')[0]["value"][1])
    assert 0 < ratio < 1
