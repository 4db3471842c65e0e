"""Apps that the configuration binds: read-only over REST, changed by a reload."""

import json
import os
import signal
import subprocess
import time

from conftest import BUILD, wait_for
from test_apps import APP, EVENTS, send
from test_dbus import ask


def write(path, text):
    path.write_text(text)
    path.chmod(0o600)


def test_configured_apps_are_bound_and_read_only(daemon, docker, bus, tmp_path):
    config = tmp_path / "virtwatch.yaml"
    write(config, "apps:\n  shop:\n    containers: [configured]\n    hosts: [shop.example]\n  idle:\n")
    one = daemon({"--config": config, "sources.docker.enabled": "true", "sources.docker.socket": docker.socket}, bus)
    one.up("docker")
    status, app = send(one, "GET", APP)
    assert status == 200 and app["origin"] == "config" and app["containers"] == ["configured"] and app["hosts"] == ["shop.example"]
    assert [app["slug"] for app in send(one, "GET", "/api/app-gateway/apps")[1]] == ["idle", "shop"]
    for method, body in (("PUT", {"vm_name": "x"}), ("DELETE", None)):
        status, answer = send(one, method, APP, body)
        assert status == 409 and answer["error"]["code"] == "configured" and "apps:" in answer["error"]["message"]
    assert send(one, "GET", APP)[1] == app
    assert send(one, "PUT", "/api/app-gateway/apps/blog", {"container": "configured"})[0] == 201
    wait_for(lambda: ["shop", "config", "shop.example", "/org/virtwatch1/app/shop"] in ask(bus, "ListApps")[0], 10, "it on the bus")
    docker.run("configured", "sh", "-c", "exit 3")
    try:
        wait_for(lambda: [e for e in send(one, "GET", EVENTS)[1]["events"] if e["kind"] == "died"], 20, "its exit")
        assert send(one, "GET", "/api/v1/workloads/configured")[1]["slug"] == "shop"  # before blog's, which came over REST

        write(config, "apps:\n  - slug: idle\n    container: configured\n")
        os.kill(one.process.pid, signal.SIGHUP)
        wait_for(lambda: send(one, "GET", APP)[0] == 404, 10, "the reload")
        assert send(one, "GET", "/api/v1/workloads/configured")[1]["slug"] == "idle"
        wait_for(lambda: [app[:2] for app in ask(bus, "ListApps")[0]] == [["idle", "config"], ["blog", "api"]]
                 or [app[:2] for app in ask(bus, "ListApps")[0]] == [["blog", "api"], ["idle", "config"]], 10, "the bus")
        assert send(one, "PUT", APP, {"vm_name": "x"})[0] == 201

        write(config, "apps:\n  - slug: idle\n    contaner: configured\n")  # refused: what was stays
        os.kill(one.process.pid, signal.SIGHUP)
        wait_for(lambda: b"not reloaded" in (one.folder / "virtwatchd.log").read_bytes(), 10, "the refusal")
        assert send(one, "GET", "/api/v1/workloads/configured")[1]["slug"] == "idle"
    finally:
        docker("rm", "-f", "configured")


def test_what_was_bound_is_back_once_the_configuration_names_it_no_more(daemon, tmp_path):
    config = tmp_path / "virtwatch.yaml"
    write(config, "apps: {}\n")
    one = daemon({"--config": config})
    assert send(one, "PUT", APP, {"vm_name": "mine"})[0] == 201
    for text, name, origin in (("apps: {shop: {vm_name: theirs}}\n", "theirs", "config"), ("node:\n", "mine", "api")):
        write(config, text)
        one.kill()
        (one.folder / "http.sock").unlink(missing_ok=True)
        one.start()
        app = send(one, "GET", APP)[1]
        assert (app["vm_names"], app["origin"]) == ([name], origin)


def test_a_mistake_is_told_with_its_place(tmp_path):
    config = tmp_path / "virtwatch.yaml"
    write(config, "apps:\n  shop:\n    hosts: [a.example, 'b c']\n")
    checked = subprocess.run([BUILD / "src/virtwatchd", "--check-config", "--config", config], capture_output=True, text=True)
    assert checked.returncode != 0 and f"{config}:3:24: apps.shop.hosts: wants host names" in checked.stderr
    write(config, "apps:\n  shop:\n    host: [a.example]\n")
    checked = subprocess.run([BUILD / "src/virtwatchd", "--check-config", "--config", config], capture_output=True, text=True)
    assert checked.returncode != 0 and f"{config}:3:5: apps.shop.host: there is no such member; did you mean 'hosts'?" in checked.stderr


def test_the_hosts_of_apps_have_rows_when_a_day_is_full(daemon, tmp_path):
    def lines(*hosts):
        with open(tmp_path / "access.log", "a") as log:
            for host in hosts:
                log.write(json.dumps({"level": "info", "ts": time.time(), "logger": "http.log.access", "msg": "handled request",
                                      "request": {"remote_ip": "127.0.0.1", "proto": "HTTP/1.1", "method": "GET", "host": host, "uri": "/"},
                                      "duration": 0.01, "size": 5, "status": 200}) + "\n")

    config = tmp_path / "virtwatch.yaml"
    write(config, "apps:\n  shop:\n    hosts: [Shop.Example:8443, 'shop.example:443']\n")
    lines(*(f"h{n}.example" for n in range(20)))
    one = daemon({"--config": config, "analytics.files": tmp_path / "access.log", "analytics.hosts_max": "10"})
    wait_for(lambda: 'virtwatch_proxy_requests_total{domain="h19.example"' in one.get("/metrics")[1], 20, "the lines are read")
    lines("shop.example", "SHOP.example:443", "blog.example", "h20.example")
    send(one, "PUT", "/api/app-gateway/apps/late", {"hosts": ["late.example"]})
    path = "/api/app-gateway/analytics/shop"
    rows = wait_for(lambda: (lambda r: r if r and r[0]["requests"] == 2 else None)(send(one, "GET", path)[1]["rollups"]), 20, "its row")
    assert len(rows) == 1  # two ports of one host are counted once
    lines("late.example")
    wait_for(lambda: send(one, "GET", "/api/app-gateway/analytics/late")[1]["rollups"], 20, "the row of one bound later")
    send(one, "PUT", "/api/app-gateway/apps/blog", {"hosts": ["blog.example"]})  # too late: it is among the others
    assert send(one, "GET", "/api/app-gateway/analytics/blog")[1]["rollups"] == []
