"""Apps on the bus: their objects, their workloads, their timelines, and events handed in."""

import json
import os
import signal
import subprocess

import pytest

from conftest import wait_for
from dbus_peers import MANAGER, NAME, Error
from test_apps import send
from test_dbus import ask, busctl, client, engine, own_bus, watch  # noqa: F401

APP = f"{NAME}.App"
SHOP = "/org/virtwatch1/app/shop"
BOUND = "/api/app-gateway/apps/shop"
ADD = ("AddEvent", "ssssa{sv}")
INVALID = "org.freedesktop.DBus.Error.InvalidArgs"


def test_an_app_comes_changes_and_goes_with_its_binding(daemon, docker, bus, client):  # noqa: F811
    docker("create", "--network=none", "--name", "web", "bb:1", "true")
    docker("create", "--network=none", "--name", "other", "bb:1", "true")
    try:
        one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket}, bus)
        one.up("docker")
        user = client(bus)
        wait_for(lambda: user.bus("NameHasOwner", "s", NAME)[0], 10, "the name")
        web, other = (user.manager("GetWorkload", "s", name)[0] for name in ("web", "other"))
        user.listen(f"type='signal',sender='{NAME}'")
        assert user.property(web, f"{NAME}.Workload", "App") == "/" and user.manager("ListApps") == ([],)

        assert send(one, "PUT", BOUND, {"containers": ["web"], "hosts": ["shop.example:8443", "b"], "vm_name": "v"})[0] == 201
        added = user.wait("InterfacesAdded", lambda body: body[0] == SHOP)[1]
        assert {name: value[1] for name, value in added[APP].items()} == {
            "Slug": "shop", "VmNames": ["v"], "Containers": ["web"], "Hosts": ["shop.example:8443", "b"], "Workloads": [web]}
        user.wait("PropertiesChanged", lambda body: body[1] == {"App": ("o", SHOP)}, path=web)
        assert user.property(web, f"{NAME}.Workload", "App") == SHOP
        assert user.property(other, f"{NAME}.Workload", "App") == "/"
        assert ask(bus, "ListApps") == [[["shop", "api", "shop.example:8443", SHOP]]]
        described = busctl(bus, "call", NAME, SHOP, APP, "Describe").stdout
        assert json.loads(json.loads(described)["data"][0]) == send(one, "GET", BOUND)[1]
        assert SHOP in busctl(bus, "tree", "--list", NAME).stdout.split()
        objects = user.call(MANAGER[0], "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")[0]
        assert objects[SHOP][APP] == added[APP]

        user.signals.clear()
        assert send(one, "PUT", BOUND, {"containers": ["other"], "hosts": ["shop.example:8443", "b"], "vm_name": "v"})[0] == 200
        user.wait("PropertiesChanged", lambda body: body[0] == APP, path=SHOP)
        assert user.changes(SHOP) == [(APP, {"Containers": ["other"], "Workloads": [other]})]
        assert user.changes(web) == [(f"{NAME}.Workload", {"App": "/"})]
        assert user.changes(other) == [(f"{NAME}.Workload", {"App": SHOP})]
        assert send(one, "PUT", BOUND, {"containers": ["other"], "hosts": ["shop.example:8443", "b"], "vm_name": "v"})[0] == 200
        docker("rm", "other")
        user.wait("PropertiesChanged", lambda body: body[1].get("Workloads") == ("ao", []), path=SHOP)
        assert len(user.changes(SHOP)) == 2 and not user.found("InterfacesAdded")

        assert send(one, "DELETE", BOUND)[0] == 204
        assert set(user.wait("InterfacesRemoved", lambda body: body[0] == SHOP)[1]) == set(added)
        with pytest.raises(Error) as refused:
            user.property(SHOP, APP, "Slug")
        assert refused.value.name == "org.freedesktop.DBus.Error.UnknownObject"
        assert user.manager("ListApps") == ([],)
    finally:
        docker("rm", "-f", "web", "other", check=False)


def test_an_app_that_only_labels_name_lives_as_long_as_its_workloads(daemon, docker, bus, client):  # noqa: F811
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket}, bus)
    one.up("docker")
    user = client(bus)
    wait_for(lambda: user.bus("NameHasOwner", "s", NAME)[0], 10, "the name")
    user.listen(f"type='signal',sender='{NAME}'")
    blog, path = "/org/virtwatch1/app/blog", {}
    try:
        for name in ("first", "second"):
            docker("create", "--network=none", "--name", name, "--label", "virtwatch.slug=blog", "bb:1", "true")
            path[name] = wait_for(lambda: user.receive(0.1) and user.found("WorkloadNew")[-1:], 10, "it")[0][1][1]
            user.signals = [s for s in user.signals if s.header.fields[3] != "WorkloadNew"]
        user.wait("PropertiesChanged", lambda body: body[1].get("Workloads") == ("ao", [path["first"], path["second"]]), path=blog)
        assert [body[1][APP]["Workloads"] for _, body in user.found("InterfacesAdded") if body[0] == blog] == [
            ("ao", [path["first"]])]
        assert user.manager("ListApps") == ([("blog", "label", "", blog)],)
        assert user.property(path["first"], f"{NAME}.Workload", "App") == blog
        # A binding takes it over, and leaves it to the labels again.
        assert send(one, "PUT", "/api/app-gateway/apps/blog", {"hosts": ["x"]})[0] == 201
        user.wait("PropertiesChanged", lambda body: body[1] == {"Hosts": ("as", ["x"])}, path=blog)
        assert user.manager("ListApps") == ([("blog", "api", "x", blog)],)
        assert send(one, "DELETE", "/api/app-gateway/apps/blog")[0] == 204
        user.wait("PropertiesChanged", lambda body: body[1] == {"Hosts": ("as", [])}, path=blog)
        assert json.loads(user.call(blog, APP, "Describe")[0])["origin"] == "label"
        docker("rm", "first")
        user.wait("PropertiesChanged", lambda body: body[1].get("Workloads") == ("ao", [path["second"]]), path=blog)
        assert all(body[0] != blog for _, body in user.found("InterfacesRemoved"))
        docker("rm", "second")
        user.wait("InterfacesRemoved", lambda body: body[0] == blog)
        assert user.manager("ListApps") == ([],)
    finally:
        docker("rm", "-f", "first", "second", check=False)


def test_a_vm_is_in_the_app_it_is_bound_to_also_after_a_restart(daemon, libvirt, bus, client):  # noqa: F811
    one = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri}, bus)
    one.up(f"libvirt:{libvirt.uri}")
    user = client(bus)
    libvirt.define("member")
    try:
        one.wait_event(name="member", action="defined")
        assert send(one, "PUT", BOUND, {"vm_name": "member"})[0] == 201
        path = user.manager("GetWorkload", "s", "member")[0]
        assert user.property(path, f"{NAME}.Workload", "App") == SHOP
        one.kill()
        (one.folder / "http.sock").unlink(missing_ok=True)
        one.start()
        one.up(f"libvirt:{libvirt.uri}")
        wait_for(lambda: user.bus("NameHasOwner", "s", NAME)[0], 10, "the name")
        assert user.property(SHOP, APP, "Workloads") == [path]
        assert user.manager("ListApps") == ([("shop", "api", "", SHOP)],)
    finally:
        libvirt("undefine", "member")


# ---- events ----

def test_an_event_handed_in_is_the_one_that_post_would_have_made(daemon, engine, bus, client):  # noqa: F811
    engine.add("web")
    one = watch(daemon, engine, bus)
    user = client(bus).listen(f"type='signal',sender='{NAME}',member='Event'")
    metadata = {"commit": ("s", "a58e5a0"), "n": ("i", -3), "big": ("t", 2**64 - 1), "small": ("x", -2**63), "byte": ("y", 255),
                "yes": ("b", True), "ratio": ("d", 0.25), "list": ("as", ["a", "b"]), "numbers": ("ai", [1, 2]), "none": ("as", []),
                "nested": ("a{sv}", {"deep": ("a(sv)", [("x", ("b", False))])}), "path": ("o", "/a"), "in": ("v", ("s", "é"))}
    seq = user.manager(*ADD, "shop", "deploy_started", "warning", "begun", metadata)[0]
    assert seq == one.json("/api/v1/events?newest=1&limit=1")["last_seq"] == user.property(*MANAGER, "EventSequence")
    row = send(one, "GET", "/api/app-gateway/events/shop")[1]["events"][0]
    as_json = {"commit": "a58e5a0", "n": -3, "big": 2**64 - 1, "small": -2**63, "byte": 255, "yes": True, "ratio": 0.25,
               "list": ["a", "b"], "numbers": [1, 2], "none": [], "nested": {"deep": [["x", False]]}, "path": "/a", "in": "é"}
    assert row["metadata"] == as_json and row["seq"] == seq
    posted = send(one, "POST", "/api/app-gateway/events/shop",
                  {"kind": "deploy_started", "severity": "warning", "message": "begun", "metadata": as_json})[1]
    assert {k: v for k, v in row.items() if k not in ("seq", "event_id", "at")} == {
        k: v for k, v in posted.items() if k not in ("seq", "event_id", "at")}
    told = user.wait("Event", lambda body: body[0] == seq)
    assert told[2:7] == ("app", "shop", "deploy_started", "warning", "begun")
    # By busctl, and its timeline on the bus: newest first.
    done = json.loads(busctl(bus, "call", NAME, *MANAGER, *ADD, "shop", "deploy_succeeded", "info", "done", "1", "took", "u",
                             "7").stdout)["data"][0]
    assert send(one, "PUT", BOUND, {})[0] == 201
    page = json.loads(busctl(bus, "call", NAME, SHOP, APP, "GetEvents", "u", "2").stdout)["data"][0]
    assert [(row[0], row[4]) for row in page] == [(done, "deploy_succeeded"), (posted["seq"], "deploy_started")]
    assert json.loads(page[0][7]["metadata"]["data"]) == {"took": 7}
    assert len(user.call(SHOP, APP, "GetEvents", "u", 1000)[0]) == 3
    for limit in (0, 1001):
        with pytest.raises(Error) as refused:
            user.call(SHOP, APP, "GetEvents", "u", limit)
        assert refused.value.name == INVALID


def deep(levels):
    """Metadata of so many levels. The bus allows 64 containers in all, three of them to each a{sv} in an a{sv}."""
    value = "x"
    for _ in range(levels - 1):
        value = [value]
    return {"a": ("a" * (levels - 1) + "s", value)}


def test_what_post_refuses_is_refused_and_nothing_is_stored(daemon, engine, bus, client):  # noqa: F811
    one = watch(daemon, engine, bus)
    user = client(bus)
    before = user.property(*MANAGER, "EventSequence")
    long = "x" * 8192
    for slug, kind, severity, message, metadata, field in (
            ("-shop", "x", "info", "", {}, "slug"), ("", "x", "info", "", {}, "slug"), ("x" * 64, "x", "info", "", {}, "slug"),
            ("Shop", "x", "info", "", {}, "slug"), ("shop", "", "info", "", {}, "kind"), ("shop", "Upper", "info", "", {}, "kind"),
            ("shop", "x" * 65, "info", "", {}, "kind"), ("shop", "x", "warn", "", {}, "severity"), ("shop", "x", "", "", {}, "severity"),
            ("shop", "x", "info", "x" * 1001, {}, "message"), ("shop", "x", "info", "", {"a": ("s", long)}, "metadata"),
            ("shop", "x", "info", "", {long: ("s", "")}, "metadata"), ("shop", "x", "info", "", {"a": ("ay", bytes(8192))}, "metadata"),
            ("shop", "x", "info", "", {"a": ("s", "x" * (32 << 10))}, "metadata"),
            ("shop", "x", "info", "", {"a": ("d", float("nan"))}, "metadata"),
            ("shop", "x", "info", "", {"a": ("d", float("inf"))}, "metadata"),
            ("shop", "x", "info", "", {"a": ("a{us}", {1: "x"})}, "metadata"), ("shop", "x", "info", "", deep(32), "metadata")):
        with pytest.raises(Error) as refused:
            user.manager(*ADD, slug, kind, severity, message, metadata)
        assert refused.value.name == INVALID and refused.value.text.startswith(field + ":"), (field, refused.value)
    # Names that come twice: no dict of Python's has them.
    twice = busctl(bus, "call", NAME, *MANAGER, *ADD, "shop", "x", "info", "", "2", "a", "s", "1", "a", "s", "2", check=False)
    assert twice.returncode != 0 and "metadata: wants names that come once" in twice.stderr
    assert user.property(*MANAGER, "EventSequence") == before and send(one, "GET", "/api/app-gateway/events/shop")[1]["events"] == []
    edge = user.manager(*ADD, "x" * 63, "x" * 64, "error", "x" * 1000, deep(31))[0]
    row = send(one, "GET", f"/api/app-gateway/events/{'x' * 63}")[1]["events"][0]
    # POST goes as deep, and no deeper.
    for n, status in ((30, 201), (31, 400)):
        body = '{"kind":"x","metadata":{"a":' + "[" * n + "]" * n + "}}"
        assert send(one, "POST", "/api/app-gateway/events/other", body)[0] == status
    assert row["seq"] == edge and json.dumps(row["metadata"]).count("[") == 30
    assert one.get("/health")[0] == 200


def test_only_the_owner_adds_events(daemon, engine, own_bus, client):  # noqa: F811
    watch(daemon, engine, own_bus.address)
    call = ["busctl", f"--address={own_bus.address}", "call", NAME, *MANAGER, *ADD, "shop", "x", "info", "", "0"]
    answer = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *call], capture_output=True, text=True,
                            timeout=20)
    # The bus of this test lets everybody call: the daemon itself says no.
    assert answer.returncode != 0 and ("Access denied" in answer.stderr or "Only root may do that" in answer.stderr)
    user = client(own_bus.address)
    assert all(event[4] != "x" for event in user.manager("GetEvents", "tua{sv}", 0, 1000, {})[0])
    assert subprocess.run(call, capture_output=True, timeout=20).returncode == 0


def test_what_was_answered_survives_a_kill(daemon, engine, own_bus, client):  # noqa: F811
    one = watch(daemon, engine, own_bus.address)
    user, answered = client(own_bus.address), []
    for i in range(40):
        answered.append((user.manager(*ADD, "shop", "x", "info", str(i), {})[0], str(i)))
    os.kill(one.process.pid, signal.SIGKILL)
    one.process.wait()
    one.log.close()
    (one.folder / "http.sock").unlink(missing_ok=True)
    one.start()
    stored = [(event["seq"], event["message"]) for event in one.events(slug="shop")]
    assert stored == answered
