"""Probes that ask a workload at its own address."""

import pytest

from conftest import wait_for
from test_apps import send
from test_probes import PROBES, put


@pytest.fixture
def network(docker):
    """A bridge of the tests' own; without one the containers have no address."""
    made = docker("network", "create", "--subnet", "10.213.17.0/28", "--opt", "com.docker.network.bridge.name=vwprobe0", "vwprobe", check=False)
    assert made.returncode == 0, made.stderr
    yield "vwprobe"
    docker("network", "rm", "vwprobe", check=False)


def test_a_container_is_asked_at_its_own_address(daemon, docker, network):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket})
    one.up("docker")
    web = ("sh", "-c", "mkdir -p /www && echo ok > /www/index.html && exec httpd -f -p 8080 -h /www")
    started = docker("run", "-d", "--network", network, "--ip", "10.213.17.5", "--name", "addressed", "--label", "virtwatch.slug=shop", "bb:1", *web,
                     check=False)
    assert started.returncode == 0, started.stderr
    try:
        wait_for(lambda: one.json("/api/v1/workloads/addressed").get("addresses") == ["10.213.17.5"], 20, "its address")
        put(one, target="vm", port=8080, path="/index.html")
        status, probe = send(one, "POST", f"{PROBES}/shop/run")
        assert status == 200 and probe["last_status"] == "up" and probe["last_address"] == "10.213.17.5", probe
        assert probe["config"] == {"path": "/index.html", "interval_s": 60, "expected_status": 200, "timeout_s": 5, "enabled": True,
                                   "port": 8080, "target": "vm"}

        # A host of the app comes first, unless the probe says otherwise.
        assert send(one, "PUT", "/api/app-gateway/apps/shop", {"container": "addressed", "hosts": ["127.0.0.1:1"]})[0] == 201
        assert send(one, "POST", f"{PROBES}/shop/run")[1]["last_status"] == "up"
        put(one, port=8080, path="/index.html")
        refused = send(one, "POST", f"{PROBES}/shop/run")[1]
        assert refused["last_status"] == "down" and "127.0.0.1 is not to be asked" in refused["last_error"] and "last_address" not in refused

        # What no longer runs has no address.
        put(one, target="vm", port=8080, path="/index.html", failures=1, interval_s=1)
        wait_for(lambda: send(one, "GET", f"{PROBES}/shop")[1]["last_status"] == "up", 20, "a turn")
        docker("kill", "addressed")
        down = one.wait_event(name="shop", action="probe_down")
        assert down["path"] == "/index.html"
        assert "addresses" not in one.json("/api/v1/workloads/addressed")
        assert send(one, "POST", f"{PROBES}/shop/run")[0] == 404
    finally:
        docker("rm", "-f", "addressed", check=False)


def test_an_address_that_is_denied_is_not_asked(daemon, docker, network):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket, "probes.deny": "10.213.17.0/28"})
    one.up("docker")
    docker("run", "-d", "--network", network, "--ip", "10.213.17.6", "--name", "denied", "--label", "virtwatch.slug=shop", "bb:1", "sleep", "1000")
    try:
        wait_for(lambda: one.json("/api/v1/workloads/denied").get("addresses") == ["10.213.17.6"], 20, "its address")
        put(one)
        probe = send(one, "POST", f"{PROBES}/shop/run")[1]
        assert probe["last_status"] == "down" and "10.213.17.6 is not to be asked" in probe["last_error"]
    finally:
        docker("rm", "-f", "denied", check=False)
