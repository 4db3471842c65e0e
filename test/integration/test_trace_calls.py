"""Spans of what is asked of the daemon on the bus, and of what the daemon asks and does by itself: which there are, whose children
they are, and that no name that somebody made up becomes the name of one."""

import json
import time
import urllib.request

import pytest

from conftest import TOKEN, wait_for
from dbus_peers import MANAGER, PROPERTIES, Error
from test_polkit import Nobody, authority, named, own_bus, root  # noqa: F401
from test_traces import PARENT, TRACE, collector, traced  # noqa: F401

SERVER, CLIENT, INTERNAL = 2, 3, 1
OBJECTS = "org.freedesktop.DBus.ObjectManager"


@pytest.fixture
def on_bus(traced, collector, own_bus):  # noqa: F811
    def start(**settings):
        one = traced(collector.address, {"dbus.address": own_bus.address, **settings})
        named(own_bus)
        return one
    return start


def called(collector, name, **wanted):  # noqa: F811
    return [one for one in collector.spans(**wanted) if one["name"] == name]


def child_of(span, parent):
    return (span["traceId"], span.get("parentSpanId")) == (parent["traceId"], parent["spanId"])


def act(daemon, workload, verb):
    """Return: the span's id that the request was given, which the caller made up."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{daemon.port()}/api/v1/workloads/{workload}/{verb}", method="POST",
        data=json.dumps({"confirm": workload}).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", "traceparent": f"00-{TRACE}-{PARENT}-01"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status in (200, 202)


# ---- the bus ----

def test_a_call_on_the_bus_is_a_span(on_bus, collector, own_bus, root):  # noqa: F811
    on_bus()
    root.manager("ListWorkloads")
    root.property(*MANAGER, "Version")
    root.call(MANAGER[0], OBJECTS, "GetManagedObjects")
    (span,) = wait_for(lambda: called(collector, "org.virtwatch1.Manager/ListWorkloads"), what="the span")
    has = span["attributes"]
    assert span["kind"] == SERVER and "parentSpanId" not in span and "status" not in span
    assert (has["rpc.system"], has["rpc.service"], has["rpc.method"]) == ("dbus", "org.virtwatch1.Manager", "ListWorkloads")
    assert has["virtwatch.dbus.sender"] == root.unique_name and has["virtwatch.dbus.path"] == "/org/virtwatch1"
    assert "error.type" not in has
    for name in (f"{PROPERTIES}/Get", f"{OBJECTS}/GetManagedObjects"):
        (span,) = wait_for(lambda name=name: called(collector, name), what=name)
        assert span["kind"] == SERVER and span["end"] - span["begin"] < 2e9


def test_an_error_on_the_bus_is_named_and_only_ours_is_a_fault(on_bus, collector, own_bus, root):  # noqa: F811
    on_bus()
    with pytest.raises(Error):
        root.manager("GetWorkload", "s", "no-such\x1b[31m\"}]}")
    (span,) = wait_for(lambda: called(collector, "org.virtwatch1.Manager/GetWorkload"))
    assert span["attributes"]["error.type"] == "org.virtwatch1.Error.NoSuchWorkload" and "status" not in span
    assert "no-such" not in json.dumps(collector.found)


def test_names_that_a_caller_makes_up_are_no_names_of_spans(on_bus, collector, own_bus, root):  # noqa: F811
    on_bus()
    for i in range(20):
        with pytest.raises(Error):
            root.call("/org/virtwatch1", f"org.made.up{i}", f"MadeUp{i}")
        with pytest.raises(Error):
            root.call(f"/made/up{i}", "org.virtwatch1.Manager", "ListWorkloads")
    with pytest.raises(Error):
        root.manager("ListWorkloads", "s", "it has no argument")
    spans = wait_for(lambda: len(found := called(collector, "dbus")) == 41 and found)
    assert all(one["attributes"]["rpc.method"] == "_OTHER" and one["attributes"]["error.type"] == "_OTHER" for one in spans)
    assert not any("made" in one["name"].lower() for _, one in collector.found)


def test_a_call_that_waits_for_the_disk_ends_with_its_answer(on_bus, collector, own_bus, root):  # noqa: F811
    on_bus()
    begin = time.time_ns()
    root.manager("AddEvent", "ssssa{sv}", "shop", "x", "info", "", {})
    end = time.time_ns()
    (span,) = wait_for(lambda: called(collector, "org.virtwatch1.Manager/AddEvent"))
    assert begin < span["begin"] < span["end"] < end + 0.5e9 and "status" not in span  # the answer may be read first
    (asked,) = [one for one in called(collector, "org.freedesktop.DBus/GetConnectionUnixUser") if child_of(one, span)]
    assert asked["kind"] == CLIENT and span["begin"] <= asked["begin"] and asked["end"] <= span["end"]
    commits = wait_for(lambda: [one for one in called(collector, "journal commit", db__system__name="sqlite") if one["end"] < span["end"]])
    assert any(one["attributes"]["virtwatch.events"] >= 1 and one["begin"] > asked["end"] for one in commits)


def test_a_call_that_waits_for_polkit_says_so(on_bus, collector, own_bus, authority):  # noqa: F811
    on_bus()
    polkit = authority()
    polkit.wait.clear()
    polkit.answer = (False, False, {})
    caller = Nobody(own_bus)
    wait_for(lambda: polkit.asked, 20, "the question")
    time.sleep(0.5)
    polkit.wait.set()
    assert "AccessDenied" in caller.says()
    (span,) = wait_for(lambda: called(collector, "org.virtwatch1.Manager/Reload"))
    assert span["attributes"]["error.type"] == "org.freedesktop.DBus.Error.AccessDenied" and "status" not in span
    (asked,) = called(collector, "org.freedesktop.PolicyKit1.Authority/CheckAuthorization")
    assert child_of(asked, span) and asked["end"] - asked["begin"] > 0.4e9 and span["end"] >= asked["end"]

    polkit.answer = (True, False, {})
    assert Nobody(own_bus).says().startswith("ok")
    spans = wait_for(lambda: len(found := called(collector, "org.virtwatch1.Manager/Reload")) == 2 and found)
    assert "error.type" not in spans[1]["attributes"]

    polkit.wait.clear()
    polkit.asked.clear()
    caller = Nobody(own_bus)
    wait_for(lambda: polkit.asked, 20, "the question")
    polkit.client.close()
    assert "AccessDenied" in caller.says()
    asked = wait_for(lambda: len(found := called(collector, "org.freedesktop.PolicyKit1.Authority/CheckAuthorization")) == 3 and found)[-1]
    assert asked["attributes"]["error.type"] == "org.freedesktop.DBus.Error.NoReply" and asked["status"]["code"] == 2


def test_calls_under_way_when_the_bus_dies_are_ended(on_bus, collector, own_bus, authority):  # noqa: F811
    on_bus()
    polkit = authority()
    polkit.wait.clear()
    caller = Nobody(own_bus)
    wait_for(lambda: polkit.asked, 20, "the question")
    own_bus.kill()
    (span,) = wait_for(lambda: called(collector, "org.virtwatch1.Manager/Reload"), what="the span")
    (asked,) = called(collector, "org.freedesktop.PolicyKit1.Authority/CheckAuthorization")
    assert child_of(asked, span) and asked["status"]["code"] == 2 and span["attributes"]["error.type"]
    caller.says()


def test_an_action_on_the_bus_has_its_call_to_the_engine(on_bus, collector, own_bus, root, docker):  # noqa: F811
    one = on_bus(**{"sources.docker.enabled": "true", "sources.docker.socket": docker.socket, "actions.enabled": "true"})
    one.up("docker")
    docker.run("spans-bus", "sleep", "1000", options=("-d",))
    one.wait_event(name="spans-bus", action="started")
    workload = [w for w in one.json("/api/v1/workloads") if w["name"] == "spans-bus"][0]
    path = root.manager("GetWorkload", "s", workload["id"])[0]
    root.call(path, "org.virtwatch1.Workload", "Destroy")
    (span,) = wait_for(lambda: called(collector, "org.virtwatch1.Workload/Destroy"))
    assert span["attributes"]["virtwatch.dbus.path"] == path and "status" not in span
    asked = [one for one in collector.spans(http__request__method="POST", network__peer__address=str(docker.socket)) if child_of(one, span)]
    assert asked and asked[0]["kind"] == CLIENT and asked[0]["attributes"]["url.path"].endswith("/kill")
    with pytest.raises(Error):
        root.call(path, "org.virtwatch1.Workload", "Destroy")
    spans = wait_for(lambda: len(found := called(collector, "org.virtwatch1.Workload/Destroy")) == 2 and found)
    assert spans[1]["attributes"]["error.type"] == "org.virtwatch1.Error.InvalidState"
    docker("rm", "-f", "spans-bus", check=False)


# ---- sources and meters ----

def test_what_containerd_is_asked_has_its_status(traced, collector, containerd):  # noqa: F811
    daemon = traced(collector.address, {"sources.containerd.enabled": "true", "sources.containerd.socket": containerd.socket,
                                        "actions.enabled": "true"})
    daemon.up("containerd")
    containerd.run("spans-grpc", "sleep", "1000", options=("-d",))
    daemon.wait_event(name="spans-grpc", action="started")
    for span in wait_for(lambda: collector.spans(rpc__system="grpc"), what="spans of gRPC"):
        has = span["attributes"]
        assert span["kind"] == CLIENT and span["name"] == f"{has['rpc.service']}/{has['rpc.method']}"
        assert has["rpc.service"].startswith("containerd.services.") and has["rpc.grpc.status_code"] == 0 and "status" not in span
    act(daemon, "spans-grpc", "destroy")
    (served,) = wait_for(lambda: collector.spans(http__route="/api/v1/workloads/{id}/destroy"))
    asked = wait_for(lambda: [one for one in collector.spans(rpc__method="Kill") if child_of(one, served)])
    assert served["traceId"] == TRACE and served["parentSpanId"] == PARENT and asked[0]["attributes"]["rpc.grpc.status_code"] == 0


def test_a_round_of_readings_is_few_spans_however_many_there_are(traced, collector, libvirt):  # noqa: F811
    names = [f"spans-vm{i}" for i in range(3)]
    for name in names:
        libvirt.define(name)
        libvirt("start", name)
    try:
        daemon = traced(collector.address, {"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri,
                                            "sampler.interval": "1s"})
        wait_for(lambda: {w["name"] for w in daemon.json("/api/v1/workloads") if w["state"] == "running"} >= set(names), 30)

        def full():
            return [one for one in called(collector, "sampler round") if one["attributes"]["virtwatch.samples"] >= 3]

        rounds = wait_for(lambda: len(found := full()) >= 4 and found, 30, "rounds")[:3]
        with collector.lock:
            all_spans = [one for _, one in collector.found]
        for one in rounds:
            assert one["kind"] == INTERNAL and one["attributes"]["virtwatch.null_samples"] <= 3 and "parentSpanId" not in one
            children = [other for other in all_spans if child_of(other, one)]
            assert len(children) <= 8, [c["name"] for c in children]
        by_name = {name: called(collector, name) for name in ("libvirt list", "libvirt stats", "cgroup read")}
        assert all(by_name.values()), {name: len(found) for name, found in by_name.items()}
        stats = by_name["libvirt stats"][-1]
        assert stats["attributes"]["virtwatch.domains"] >= 3 and stats["attributes"]["virtwatch.source"] == libvirt.uri
        assert any(child_of(stats, one) for one in called(collector, "sampler round"))
        assert by_name["cgroup read"][-1]["kind"] == INTERNAL
        # Three VMs or none: what is told each second is as much.
        assert not any(name in json.dumps(all_spans) for name in names)
    finally:
        for name in names:
            libvirt("destroy", name, check=False)
