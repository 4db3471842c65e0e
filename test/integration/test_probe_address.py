"""Probes that ask a workload at its own address."""

import json
import subprocess

import pytest

from conftest import wait_for
from linux_guest import LinuxGuest, linux  # noqa: F401
from test_apps import send
from test_dbus import client  # noqa: F401
from test_dbus_samples import ready
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
        def ask():
            status, probe = send(one, "POST", f"{PROBES}/shop/run")
            assert status == 200, probe
            return probe if probe["last_status"] == "up" else None
        probe = wait_for(ask, 20, "its server")
        assert probe["last_address"] == "10.213.17.5", probe
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


@pytest.fixture
def tap():
    """A cable from here into a guest: what QEMU's user networking gives a guest as address is nobody's outside."""
    subprocess.check_call(["ip", "tuntap", "add", "dev", "vwprobe1", "mode", "tap", "user", "0"])
    subprocess.check_call(["ip", "addr", "add", "10.213.18.1/30", "dev", "vwprobe1"])
    subprocess.check_call(["ip", "link", "set", "vwprobe1", "up"])
    yield "vwprobe1"
    subprocess.check_call(["ip", "link", "del", "vwprobe1"])


def follow(reader, action):
    """The next event of that action that the stream brings."""
    while True:
        event = reader.next(30)
        if event["action"] == action:
            return event


def test_a_vm_is_asked_at_the_address_that_its_agent_tells(daemon, libvirt, linux, tap, bus, client, stream):  # noqa: F811
    one = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri, "sources.libvirt.write": "true",
                  "sampler.guest_period": "1s"}, bus=bus)
    one.up(f"libvirt:{libvirt.uri}")
    user = ready(client(bus))
    guest = LinuxGuest(libvirt, linux, "asked", devices=f"<interface type='ethernet'><mac address='52:54:00:65:43:21'/>"
                       f"<target dev='{tap}' managed='no'/><model type='virtio'/></interface>").start()
    try:
        assert send(one, "PUT", "/api/app-gateway/apps/vmshop", {"vm_name": "asked"})[0] == 201
        guest.run("ip addr add 10.213.18.2/30 dev eth0; ip link set eth0 up; mkdir /www; echo ok > /www/index.html")
        guest.run("httpd -f -p 8080 -h /www & echo $! > /httpd.pid")
        put(one, "vmshop", target="vm", port=8080, path="/index.html", interval_s=1, failures=1, successes=1)

        # Without its agent nobody knows where it is.
        assert "nothing to ask" in one.wait_event(name="vmshop", action="probe_down")["error"]
        assert send(one, "POST", f"{PROBES}/vmshop/run")[0] == 404
        guest.agent()
        wait_for(lambda: one.json("/api/v1/workloads/asked").get("addresses") == ["10.213.18.2"], 90, "its address")
        up = wait_for(lambda: (lambda p: p if p["last_status"] == "up" else None)(send(one, "GET", f"{PROBES}/vmshop")[1]), 20, "an answer")
        assert up["last_address"] == "10.213.18.2" and up["last_http_status"] == 200

        # It stops serving, and serves again: once each, on the timeline, the stream and the bus, with one number.
        reader = stream(one)
        user.receive(0.1)
        user.signals.clear()
        for command, action in (("kill $(cat /httpd.pid)", "probe_down"), ("httpd -f -p 8080 -h /www &", "probe_up")):
            guest.run(command)
            told = follow(reader, action)
            assert told["slug"] == "vmshop" and told["kind"] == "probe"
            user.wait("Event", lambda body: body[0] == told["seq"])
            line = send(one, "GET", "/api/app-gateway/events/vmshop?limit=1")[1]["events"][0]
            assert (line["kind"], line["seq"]) == (action, told["seq"]), line
        # With the guest its address goes.
        libvirt("destroy", "asked")
        down = follow(reader, "probe_down")
        assert down["slug"] == "vmshop"
        assert [e["action"] for e in one.events(slug="vmshop", kind="probe")] == ["probe_down", "probe_up"] * 2 + ["probe_down"]
    finally:
        guest.gone()


@pytest.fixture
def pod_network(podman):
    """An internal one: netavark leaves the host's firewall alone then, and gives the host no address on its bridge."""
    made = podman("network", "create", "--internal", "--disable-dns", "--subnet", "10.213.19.0/28", "vwprobe", check=False)
    assert made.returncode == 0, made.stderr
    yield "vwprobe"
    podman("network", "rm", "-f", "-t", "0", "vwprobe", check=False)


def test_a_container_of_podman_is_asked_at_its_own_address(daemon, podman, pod_network):
    one = daemon({"sources.podman.enabled": "true", "sources.podman.socket": podman.socket})
    one.up("podman")
    web = ("sh", "-c", "mkdir -p /www && echo ok > /www/index.html; while :; do httpd -f -p 8080 -h /www & echo $! > /tmp/pid; wait; "
           "while [ -e /tmp/stop ]; do sleep 0.1; done; done")
    started = podman("run", "-d", "--network", pod_network, "--ip", "10.213.19.5", "--name", "pod-addressed", "--label", "virtwatch.slug=podshop",
                     "localhost/bb:1", *web, check=False)
    assert started.returncode == 0, started.stderr
    try:
        bridge = json.loads(podman("network", "inspect", pod_network).stdout)[0]["network_interface"]
        subprocess.check_call(["ip", "addr", "add", "10.213.19.1/28", "dev", bridge])
        wait_for(lambda: one.json("/api/v1/workloads/pod-addressed").get("addresses") == ["10.213.19.5"], 20, "its address")
        put(one, "podshop", target="vm", port=8080, path="/index.html", interval_s=1, failures=1, successes=1)
        assert one.wait_event(name="podshop", action="probe_up")
        assert send(one, "GET", f"{PROBES}/podshop")[1]["last_address"] == "10.213.19.5"
        podman("exec", "pod-addressed", "sh", "-c", "touch /tmp/stop; kill $(cat /tmp/pid)")
        down = one.wait_event(name="podshop", action="probe_down")
        podman("exec", "pod-addressed", "rm", "/tmp/stop")
        up = wait_for(lambda: [e for e in one.events(slug="podshop", kind="probe") if e["seq"] > down["seq"]], 20, "it is up again")
        assert [e["action"] for e in up] == ["probe_up"]
    finally:
        podman("rm", "-f", "-t", "0", "pod-addressed", check=False)
