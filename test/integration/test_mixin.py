"""The dashboards and rules of packaging/mixin: what they ask for is there, and says what they take it for."""

import json
import os
import re
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest

from conftest import ROOT, Daemon, end, spawn, wait_for
from test_containers import OOM
from test_probes import Target, certificates, context, put  # noqa: F401
from tiny_guest import TinyGuest, ide_disk, qcow2

MIXIN = ROOT / "packaging/mixin"
RULES = sorted(MIXIN.glob("*.yaml"))
DASHBOARDS = sorted((MIXIN / "dashboards").glob("*.json"))
OWN = re.compile(r"(?<![\w:])virtwatch_\w+(?![\w:])")
RECORDED = re.compile(r"\b\w+:\w+:\w+")
# What only a kernel with PSI tells.
PRESSURE = {"virtwatch_node_pressure_seconds_total"} if not os.path.exists("/proc/pressure/memory") else set()


class Prometheus:
    """A real server that scrapes one target and has the rules."""

    def __init__(self, folder, target):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % free.getsockname()[1]
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": list(map(str, RULES)),
            "scrape_configs": [{"job_name": "virtwatch", "static_configs": [{"targets": [target]}]}]}))
        self.log = open(folder / "prometheus.log", "wb")
        self.process = spawn(["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
                              f"--web.listen-address={self.address}"], self.log)
        wait_for(self.is_ready, 40, "prometheus is ready")

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def api(self, path, **form):
        """GET, or POST of a form."""
        body = urllib.parse.urlencode(form).encode() if form else None
        try:
            with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}", body, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{form}: {error.read().decode()}") from None

    def query(self, text):
        return self.api("query", query=text)["result"]

    def stop(self):
        end(self.process)
        self.log.close()


def give_network(pid):
    """A container here has no network, so no traffic to tell of: an interface in its namespace."""
    subprocess.check_call(["nsenter", "-t", str(pid), "-n", "ip", "link", "add", "vwt0", "type", "veth", "peer", "name", "vwt1"])


def told(text):
    """Of each metric in an exposition the sets of its labels' names."""
    found = {}
    for name, labels in re.findall(r"^([a-z0-9_]+)(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        found.setdefault(name, set()).add(frozenset(re.findall(r'(?:^|,)(\w+)="', labels)))
    return found


@pytest.fixture(scope="module")
def world(scratch, docker, libvirt, certificates):  # noqa: F811
    """A daemon with a guest, a container, an OOM kill and a probe to tell of, and a Prometheus that scrapes it."""
    folder = scratch / "mixin"
    folder.mkdir()
    guest = TinyGuest(libvirt, "mixin-guest", balloon="virtio", devices=ide_disk(qcow2(libvirt.folder / "mixin-guest.qcow2"))).start()
    daemon = Daemon(folder, {"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri,
                             "sources.docker.enabled": "true", "sources.docker.socket": docker.socket, "metrics.compat": "off",
                             "probes.allow": "127.0.0.1", "probes.ca_file": certificates / "ca.pem"})
    prometheus, shop = None, Target(tls=context(certificates, "good"))
    try:
        put(daemon, url=shop.url, interval_s=1)
        wait_for(lambda: 'virtwatch_probe_up{slug="shop"} 1' in daemon.get("/metrics")[1], 20, "a probe")
        prometheus = Prometheus(folder, f"127.0.0.1:{daemon.port()}")
        daemon.up("docker")
        daemon.up(f"libvirt:{libvirt.uri}")
        assert guest.tell("q")
        docker.run("mixin-worker", "sleep", "1000", options=("-d", "-m", "64m", "--cpu-period", "100000", "--cpu-quota", "50000"))
        give_network(docker("inspect", "-f", "{{.State.Pid}}", "mixin-worker").stdout.strip())
        docker.run("mixin-oomed", *OOM, options=("-m", "16m"))
        daemon.wait_event(name="mixin-oomed", action="OOMKilled")
        for name in ("virtwatch_workload_guest_memory_usable_bytes", "virtwatch_workload_network_receive_bytes_total",
                     "virtwatch_workload_disk_usage_ratio", "virtwatch_workload_cpu_steal_ratio"):
            wait_for(lambda name=name: name in daemon.get("/metrics")[1], 30, name)
        wait_for(lambda: any(len(series["values"]) > 3 for series in prometheus.query('virtwatch_exits_total{name="mixin-oomed"}[1m]')),
                 30, "scrapes")
        yield daemon, prometheus
    finally:
        if prometheus:
            prometheus.stop()
        daemon.stop()
        shop.stop()
        docker("rm", "-f", "mixin-worker", "mixin-oomed", check=False)
        guest.gone()


def rules(prometheus):
    return [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]


def queries(dashboard):
    """(panel, query, legend) of every panel, and the queries of the variables."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]
    for variable in dashboard["templating"]["list"]:
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]) if variable["type"] == "query" else None
        if found:
            yield variable["name"], found[1], f"{{{{{found[2]}}}}}"


WORKLOADS = (("vm", "mixin-guest"), ("container", "mixin-worker"), ("container", "mixin-oomed"))


def filled(query, kind, name):
    """As Grafana would send it."""
    values = {"__rate_interval": "20s", "__range": "1m", "job": "virtwatch", "instance": ".+", "node": ".+", "kind": kind,
              "name": name, "source": ".+"}
    query = query.replace('source="$source"', 'source=~"$source"')  # as a pattern: its name has a folder in it
    filled_in = re.sub(r"\$(\w+)", lambda match: values[match[1]], query)
    assert "$" not in filled_in
    return filled_in


def found_below(part, key):
    """Every value of @key, however deep."""
    if isinstance(part, dict):
        if key in part:
            yield part[key]
        part = list(part.values())
    for one in part if isinstance(part, list) else ():
        yield from found_below(one, key)


def test_promtool_finds_no_fault_in_the_rules_and_their_tests_pass():
    for command in (["check", "rules", *RULES], ["test", "rules", *sorted((MIXIN / "tests").glob("*.yaml"))]):
        done = subprocess.run(["promtool", *map(str, command)], capture_output=True, text=True)
        assert done.returncode == 0 and "FAILED" not in done.stdout + done.stderr, done.stdout + done.stderr


def test_each_rule_has_a_test_that_it_passes_and_each_alert_one_that_it_stays_silent(world):
    alerts, recordings = ((MIXIN / "tests" / f"{name}_test.yaml").read_text() for name in ("alerts", "recording"))
    for rule in rules(world[1]):
        name = re.escape(rule["name"])
        if rule["type"] == "recording":
            assert re.search(rf"- expr: {name}\n", recordings), name
            continue
        assert re.search(rf"- alertname: {name}\n +eval_time: \S+\n +exp_alerts:\n", alerts), name
        assert re.search(rf"- alertname: {name}\n +eval_time: \S+\n +exp_alerts: \[\]\n", alerts), name


def test_every_rule_is_evaluated_without_fault_and_says_what_it_is(world):
    found = wait_for(lambda: (lambda all_rules: all_rules if all_rules and all(r["health"] != "unknown" for r in all_rules) else None)(
        rules(world[1])), 20, "an evaluation")
    assert len({rule["name"] for rule in found}) == len(found) > 30
    for rule in found:
        assert rule["health"] == "ok", rule
        if rule["type"] == "alerting":
            assert rule["labels"]["severity"] in ("info", "warning", "critical")
            assert rule["annotations"]["summary"] and rule["annotations"]["description"]
    for path in RULES:
        text = path.read_text()
        assert text.count("- alert:") == len(re.findall(r"^ +for: \d+[smh]$", text, re.MULTILINE)), path


def test_every_metric_that_is_asked_for_is_one_that_there_is(world):
    daemon, prometheus = world
    there = told(daemon.get("/metrics")[1])
    recorded = {rule["name"] for rule in rules(prometheus) if rule["type"] == "recording"}
    asked = {rule["name"]: rule["query"] for rule in rules(prometheus)}
    for path in DASHBOARDS:
        asked.update({f"{path.name}: {title}: {expr}": expr for title, expr, _ in queries(json.loads(path.read_text()))})
    used = set()
    for where, query in asked.items():
        names = set(OWN.findall(re.sub(r'"[^"]*"', '""', query)))
        used |= names
        assert names <= set(there) | PRESSURE, (where, names - set(there))
        assert set(RECORDED.findall(query)) <= recorded, where
    assert len(used) > 90


def test_the_series_of_the_rule_tests_look_like_real_ones(world):
    there = told(world[0].get("/metrics")[1])
    found = re.findall(r"- series: '([a-z0-9_]+)\{(.*)\}'", "".join(path.read_text() for path in (MIXIN / "tests").glob("*.yaml")))
    assert len(found) > 100
    for name, labels in found:
        names = set(re.findall(r'(?:^|,)(\w+)="', labels))
        assert {"job", "instance"} <= names
        if name != "up" and name not in PRESSURE:
            assert frozenset(names - {"job", "instance"}) in there[name], (name, names, there[name])


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_whole_and_bound_to_no_one_s_prometheus(path):
    dashboard = json.loads(path.read_text())
    assert dashboard["uid"] == f"virtwatch-{path.stem}" and dashboard["id"] is None and dashboard["schemaVersion"] == 37
    assert dashboard["templating"]["list"][0]["type"] == "datasource" and dashboard["templating"]["list"][0]["query"] == "prometheus"
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 5
    known = {variable["name"] for variable in dashboard["templating"]["list"]}
    sources = list(found_below(dashboard, "datasource"))
    assert len(sources) > len([panel for panel in panels if panel["type"] != "row"])
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
    for title, query, _ in queries(dashboard):
        assert set(re.findall(r"\$(\w+)", query)) <= known | {"__rate_interval", "__range"}, title
    taken = set()
    for panel in panels:
        where = panel["gridPos"]
        cells = {(x, y) for x in range(where["x"], where["x"] + where["w"]) for y in range(where["y"], where["y"] + where["h"])}
        assert not cells & taken and where["x"] + where["w"] <= 24, panel["title"]
        taken |= cells
    assert len({json.loads(other.read_text())["uid"] for other in DASHBOARDS}) == len(DASHBOARDS) == 4


def test_the_dashboards_are_those_that_are_generated(tmp_path):
    subprocess.check_call([MIXIN / "generate", tmp_path])
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in DASHBOARDS]
    for path in DASHBOARDS:
        assert (tmp_path / path.name).read_text() == path.read_text()


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_s_query_is_answered_with_the_labels_of_its_legend(world, path):
    silent = []
    for title, query, legend in queries(json.loads(path.read_text())):
        found = [series for kind, name in WORKLOADS for series in world[1].query(filled(query, kind, name))]
        for series in found:  # an empty label is none, and a scope is empty unless memory ran out
            assert set(re.findall(r"\{\{(\w+)\}\}", legend)) - {"oom_scope"} <= set(series["metric"]), (title, query, series)
        if not found and not set(OWN.findall(query)) & PRESSURE:
            silent.append((title, query))
    assert not silent
