"""Probes and request analytics on the bus."""

import json
import subprocess
import time

import pytest

from conftest import wait_for
from dbus_peers import NAME, Error
from test_apps import send
from test_dbus import client  # noqa: F401
from test_probes import LOOPBACK, SHOP, target  # noqa: F401

APP, PROBE, PATH = f"{NAME}.App", f"{NAME}.Probe", "/org/virtwatch1/app/shop"
INVALID = "org.freedesktop.DBus.Error.InvalidArgs"


@pytest.fixture
def bound(daemon, bus, client):  # noqa: F811
    """A daemon with an app, and somebody on the bus."""
    def start(settings=None, **app):
        one = daemon({**LOOPBACK, **(settings or {})}, bus)
        user = client(bus)
        wait_for(lambda: user.bus("NameHasOwner", "s", NAME)[0], 10, "the name")
        assert send(one, "PUT", "/api/app-gateway/apps/shop", app)[0] == 201
        wait_for(lambda: PATH in str(user.manager("ListApps")), 10, "the app")
        user.listen(f"type='signal',sender='{NAME}'")
        return one, user
    return start


def configure(user, **config):
    kinds = {str: "s", bool: "b", int: "u"}
    return user.call(PATH, PROBE, "Configure", "a{sv}", {name: (kinds[type(value)], value) for name, value in config.items()})


def test_a_probe_is_set_runs_and_is_removed_on_the_bus(bound, target):  # noqa: F811
    shop = target()
    one, user = bound()
    empty = user.properties(PATH, PROBE)
    assert empty["Configured"] is False and empty["Path"] == "" and empty["Status"] == "unknown" and empty["LastRunUSec"] == 0
    for member in ("RunNow", "Remove"):
        with pytest.raises(Error) as refused:
            user.call(PATH, PROBE, member)
        assert refused.value.name == f"{NAME}.Error.NoSuchProbe"

    assert configure(user, url=shop.url, path="/healthz", interval_s=3600, failures=1, successes=1) == ()
    assert send(one, "GET", SHOP)[1]["config"] == {"path": "/healthz", "interval_s": 3600, "expected_status": 200, "timeout_s": 5,
                                                   "enabled": True, "failures": 1, "successes": 1, "url": shop.url}
    told = user.wait("PropertiesChanged", lambda body: body[0] == PROBE, path=PATH)[1]
    assert {name: value[1] for name, value in told.items()} == {
        "Configured": True, "Enabled": True, "Path": "/healthz", "Url": shop.url, "IntervalUSec": 3600 * 10**6,
        "TimeoutUSec": 5 * 10**6, "ExpectedStatus": 200, "Failures": 1, "Successes": 1}

    user.signals.clear()
    assert user.call(PATH, PROBE, "RunNow") == ()
    up = user.properties(PATH, PROBE)
    assert up["Status"] == "up" and up["LastSuccess"] and up["LastHttpStatus"] == 200 and up["LastDurationUSec"] > 0
    assert abs(up["LastRunUSec"] / 1e6 - time.time()) < 30 and up["SinceUSec"] == up["LastRunUSec"]
    flip = user.wait("PropertiesChanged", lambda body: body[0] == PROBE, path=PATH)[1]
    assert {name: value[1] for name, value in flip.items()} == {"Status": "up", "SinceUSec": up["SinceUSec"]}
    assert user.wait("Event", lambda body: body[4] == "probe_up")[3] == "shop"

    # A run that changes nothing is there to be read, and not told.
    user.signals.clear()
    user.call(PATH, PROBE, "RunNow")
    assert user.properties(PATH, PROBE)["LastRunUSec"] > up["LastRunUSec"]
    shop.status = 500
    user.call(PATH, PROBE, "RunNow")
    down = user.properties(PATH, PROBE)
    assert down["Status"] == "down" and down["LastHttpStatus"] == 500 and down["ConsecutiveFailures"] == 1
    assert "status 500" in down["LastError"]
    user.wait("PropertiesChanged", lambda body: body[1].get("Status") == ("s", "down"), path=PATH)
    assert [changes for interface, changes in user.changes(PATH) if interface == PROBE] == [
        {"Status": "down", "SinceUSec": down["SinceUSec"]}]

    # Set over REST, told on the bus.
    user.signals.clear()
    assert send(one, "PUT", SHOP, {"url": shop.url, "path": "/other", "interval_s": 3600})[0] == 200
    told = user.wait("PropertiesChanged", lambda body: body[0] == PROBE, path=PATH)[1]
    assert {name: value[1] for name, value in told.items()} == {"Path": "/other", "Failures": 3, "Successes": 2, "Status": "unknown",
                                                               "SinceUSec": 0}
    assert user.call(PATH, PROBE, "Remove") == ()
    assert send(one, "GET", SHOP)[0] == 404 and user.property(PATH, PROBE, "Configured") is False
    user.wait("PropertiesChanged", lambda body: body[1].get("Configured") == ("b", False), path=PATH)


def test_the_object_comes_and_goes_with_both_interfaces(bound):
    one, user = bound()
    assert configure(user, url="http://10.0.0.1") == ()
    objects = user.call("/org/virtwatch1", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")[0]
    assert objects[PATH][PROBE]["Url"][1] == "http://10.0.0.1" and APP in objects[PATH]
    user.signals.clear()
    assert send(one, "DELETE", "/api/app-gateway/apps/shop")[0] == 204
    assert {APP, PROBE} <= set(user.wait("InterfacesRemoved", lambda body: body[0] == PATH)[1])
    with pytest.raises(Error) as refused:
        user.call(PATH, PROBE, "RunNow")
    assert refused.value.name == "org.freedesktop.DBus.Error.UnknownObject"
    assert send(one, "GET", SHOP)[0] == 200  # the probe stays, as over REST


@pytest.mark.parametrize("config, words", [
    ({"interval_s": 0}, "interval_s"), ({"interval_s": 86401}, "interval_s"), ({"path": "healthz"}, "path"),
    ({"path": "/a\r\nHost: x"}, "path"), ({"colour": "red"}, "colour"), ({"url": "http://127.0.0.2"}, "url"),
    ({"url": "http://169.254.169.254"}, "url"), ({"enabled": "yes"}, "enabled"), ({"path": "/" + "x" * 9000}, "8192"),
    ({"target": "vm", "url": "http://x"}, "target"),
], ids=range(10))
def test_a_bad_probe_is_refused_by_name_and_nothing_is_set(bound, config, words):
    one, user = bound()
    with pytest.raises(Error) as refused:
        configure(user, **config)
    assert refused.value.name == INVALID and words in refused.value.text
    assert send(one, "GET", SHOP)[0] == 404


def test_what_cannot_be_asked_is_told_by_name(bound):
    one, user = bound()
    assert configure(user, path="/x") == ()
    with pytest.raises(Error) as refused:
        user.call(PATH, PROBE, "RunNow")
    assert refused.value.name == f"{NAME}.Error.NoTarget"
    status, answer = send(one, "POST", f"{SHOP}/run")
    assert status == 404 and answer["error"]["message"] == refused.value.text  # every face says the same


def test_only_its_owner_changes_a_probe(bound, bus):
    one, user = bound()
    configure(user, url="http://10.0.0.1")
    for call in (["Configure", "a{sv}", "0"], ["RunNow"], ["Remove"]):
        answer = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "busctl", f"--address={bus}", "call", NAME,
                                 PATH, PROBE, *call], capture_output=True, text=True, timeout=20)
        assert answer.returncode != 0 and ("denied" in answer.stderr or "Only root" in answer.stderr), answer
    assert send(one, "GET", SHOP)[1]["config"]["url"] == "http://10.0.0.1"


def test_a_caller_that_leaves_while_a_probe_hangs_harms_nobody(bound, bus, client, target):  # noqa: F811
    shop = target()
    shop.behave = lambda handler: time.sleep(1.5)
    one, user = bound()
    configure(user, url=shop.url, timeout_s=1, interval_s=3600)
    leaver = client(bus)
    leaver.connection.send(leaver.message(PATH, PROBE, "RunNow"))
    wait_for(lambda: shop.requests, 10, "the run")
    leaver.close()
    wait_for(lambda: send(one, "GET", SHOP)[1]["last_error"], 10, "its end")
    assert user.property(PATH, PROBE, "LastSuccess") is False
    user.connection.send(user.message(PATH, PROBE, "RunNow"))
    user.connection.send(user.message(PATH, PROBE, "Remove"))  # while it runs
    wait_for(lambda: send(one, "GET", SHOP)[0] == 404, 10, "it is gone")


def test_rollups_are_those_of_rest(bound, tmp_path):
    now = time.time()
    with open(tmp_path / "access.log", "w") as log:
        for n, host in enumerate(["shop.example"] * 9 + ["other.example"]):
            log.write(json.dumps({"level": "info", "ts": now - 1, "logger": "http.log.access", "msg": "handled request",
                                  "request": {"remote_ip": "127.0.0.1", "proto": "HTTP/1.1", "method": "GET", "host": host, "uri": "/"},
                                  "duration": 0.001 * (n + 1), "size": 5, "status": 200 if n else 502}) + "\n")
    one, user = bound({"analytics.files": tmp_path / "access.log"}, hosts=["shop.example:8443"])
    rows = wait_for(lambda: send(one, "GET", "/api/app-gateway/analytics/shop")[1]["rollups"], 20, "rows")
    row = rows[0]
    (date, *counts, p50, p95, size), = user.call(PATH, APP, "GetRollups", "u", 7)[0]
    assert (date, counts, round(p50, 2), round(p95, 2), size) == (row["date"], [9, 8, 0, 0, 1], row["p50_ms"], row["p95_ms"], 45)
    for days in (0, 367):
        with pytest.raises(Error) as refused:
            user.call(PATH, APP, "GetRollups", "u", days)
        assert refused.value.name == INVALID
    assert send(one, "PUT", "/api/app-gateway/apps/shop", {})[0] == 200
    assert user.call(PATH, APP, "GetRollups", "u", 7)[0] == []
