"""The D-Bus face: objects, methods, errors and signals, by busctl and by a plain client."""

import json
import os
import subprocess
import xml.etree.ElementTree as tree

import pytest

from conftest import BUILD, ROOT, Daemon, wait_for
from dbus_peers import LOG, MANAGER, NAME, PROPERTIES, Bus, Client, Engine, Error
from test_apps import send

OWN = ["Manager", "Workload", "VirtualMachine", "Container", "Node", "App", "Probe"]
NODE = "/org/virtwatch1/node/testnode"
APP = "/org/virtwatch1/app/shop"


@pytest.fixture
def engine(tmp_path):
    one = Engine(tmp_path / "engine.sock")
    yield one
    one.stop()


@pytest.fixture
def own_bus(tmp_path):
    one = Bus(tmp_path)
    yield one
    one.stop()


@pytest.fixture
def client():
    """client(address) connects; closed at the end."""
    opened = []

    def connect(address):
        opened.append(Client(address))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def watch(daemon, engine, bus, settings=None):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": engine.path, **(settings or {})}, bus)
    one.up("docker")
    one.wait_event(name="docker", action="source_up")  # the last of those: what comes from here on, a test has done
    probe = Client(bus)
    wait_for(lambda: probe.bus("NameHasOwner", "s", NAME)[0], 10, "the name")
    probe.close()
    return one


def busctl(bus, *args, check=True):
    return subprocess.run(["busctl", f"--address={bus}", "--json=short", *args], check=check, capture_output=True, text=True,
                          timeout=20)


def ask(bus, member, *args):
    return json.loads(busctl(bus, "call", NAME, *MANAGER, member, *args).stdout)["data"]


def members(interface):
    """What an interface has, in a form that can be compared."""
    found = set()
    for member in interface:
        if not isinstance(member.tag, str) or member.tag == "annotation":
            continue
        args = tuple((a.get("name"), a.get("type"), a.get("direction", "out" if member.tag == "signal" else "in"))
                     for a in member.findall("arg"))
        marks = frozenset((a.get("name"), a.get("value")) for a in member.findall("annotation"))
        found.add((member.tag, member.get("name"), member.get("type"), member.get("access"), args, marks))
    return found


def interfaces(client, path):
    root = tree.fromstring(client.call(path, "org.freedesktop.DBus.Introspectable", "Introspect")[0])
    return {one.get("name"): members(one) for one in root.findall("interface")}


# ---- objects ----

def test_the_documented_interfaces_are_the_ones_that_answer(daemon, engine, bus, client):
    container = engine.add("web")
    one = watch(daemon, engine, bus, {"sources.libvirt.enabled": "true", "sources.libvirt.uris": "test:///default"})
    one.up("libvirt:test:///default")
    user = client(bus)
    assert send(one, "PUT", "/api/app-gateway/apps/shop", {})[0] == 201
    live = {}
    for path in (MANAGER[0], user.manager("GetWorkload", "s", container)[0], user.manager("GetWorkload", "s", "test")[0],
                 NODE, APP):
        live.update({name: found for name, found in interfaces(user, path).items() if name.startswith(NAME)})
    shipped = {path.stem: members(tree.parse(path).getroot().find("interface"))
               for path in (ROOT / "packaging/dbus").glob("*.xml")}
    assert set(live) == set(shipped) == {f"{NAME}.{name}" for name in OWN}
    for name in live:
        assert live[name] == shipped[name], name


def test_the_build_installs_interfaces_and_policy(tmp_path):
    subprocess.run(["cmake", "--install", str(BUILD), "--prefix", "/usr"], check=True, capture_output=True,
                   env=dict(os.environ, DESTDIR=str(tmp_path)))
    share = tmp_path / "usr/share/dbus-1"
    assert {path.name for path in (share / "interfaces").iterdir()} == {f"{NAME}.{name}.xml" for name in OWN}
    assert (share / "system.d/org.virtwatch1.conf").read_text() == (ROOT / "packaging/dbus/org.virtwatch1.conf").read_text()


def test_busctl_draws_the_tree_and_the_object_manager_lists_it(daemon, engine, bus):
    ids = [engine.add(f"c{i}") for i in range(3)]
    watch(daemon, engine, bus)
    paths = [ask(bus, "GetWorkload", "s", one)[0] for one in ids]
    drawn = busctl(bus, "tree", "--list", NAME).stdout.split()
    assert set(paths) | {"/org/virtwatch1", "/org/freedesktop/LogControl1"} <= set(drawn)
    objects = json.loads(busctl(bus, "call", NAME, MANAGER[0], "org.freedesktop.DBus.ObjectManager",
                                "GetManagedObjects").stdout)["data"][0]
    assert set(objects) == {*paths, NODE}
    for path, one in zip(paths, ids):
        assert objects[path][f"{NAME}.Container"]["ContainerId"]["data"] == one
        assert f"{NAME}.VirtualMachine" not in objects[path]
    assert "web" not in drawn and "emits-change" in subprocess.check_output(
        ["busctl", f"--address={bus}", "introspect", NAME, paths[0]], text=True)


def test_the_log_is_controlled_as_systemd_does_it(daemon, engine, bus, client):
    one = watch(daemon, engine, bus)
    user = client(bus)
    found = {(m[0], m[1], m[2], m[3]) for m in interfaces(user, LOG[0])[LOG[1]]}
    assert found == {("property", "LogLevel", "s", "readwrite"), ("property", "LogTarget", "s", "readwrite"),
                     ("property", "SyslogIdentifier", "s", "read")}
    assert user.properties(*LOG) == {"LogLevel": "debug", "LogTarget": "console", "SyslogIdentifier": "virtwatchd"}

    def put(name, kind, value):
        user.call(LOG[0], PROPERTIES, "Set", "ssv", LOG[1], name, (kind, value))

    for word, read in (("emerg", "err"), ("warning", "warning"), ("notice", "info"), ("debug", "debug")):
        put("LogLevel", "s", word)
        assert user.property(*LOG, "LogLevel") == read
    put("LogTarget", "s", "journal")
    assert user.property(*LOG, "LogTarget") == "journal"
    put("LogTarget", "s", "console")
    assert user.property(*LOG, "LogTarget") == "console"
    for name, kind, value, error in (("LogLevel", "s", "loud", "org.freedesktop.DBus.Error.InvalidArgs"),
                                     ("LogLevel", "u", 3, "org.freedesktop.DBus.Error.InvalidArgs"),
                                     ("LogTarget", "s", "kmsg", f"{NAME}.Error.NotSupported"),
                                     ("LogTarget", "s", "moon", "org.freedesktop.DBus.Error.InvalidArgs"),
                                     ("SyslogIdentifier", "s", "x", "org.freedesktop.DBus.Error.PropertyReadOnly")):
        with pytest.raises(Error) as refused:
            put(name, kind, value)
        assert refused.value.name == error
    assert one.get("/health")[0] == 200


# ---- methods and errors ----

def test_every_read_answers_as_http_does(daemon, engine, bus):
    engine.add("web", image="nginx:1", labels={"com.docker.compose.service": "shop"})
    engine.add("done", state="exited")
    one = watch(daemon, engine, bus, {"sources.docker.required": "true"})
    listed = {row[0]: row for row in ask(bus, "ListWorkloads")[0]}
    for workload in one.json("/api/v1/workloads"):
        row = listed.pop(workload["id"])
        assert row[1:4] == [workload["name"], workload["kind"], workload["state"]]
        assert {row[5]} == {ask(bus, "GetWorkload", "s", text)[0] for text in (workload["id"], workload["name"])}
        described = json.loads(json.loads(busctl(bus, "call", NAME, row[5], f"{NAME}.Workload", "Describe").stdout)["data"][0])
        alone = one.json(f"/api/v1/workloads/{workload['id']}")
        assert {k: v for k, v in described.items() if k != "samples"} == {k: v for k, v in alone.items() if k != "samples"}
    assert not listed
    whole = json.loads(ask(bus, "Describe")[0])
    assert whole["workloads"] == one.json("/api/v1/workloads") and whole["node"] == "testnode"
    lines = ask(bus, "Dump")[0].splitlines()
    assert len([line for line in lines if line.startswith("container ")]) == 2
    assert any(line.startswith("source docker: up") for line in lines)
    user = Client(bus)
    manager = user.properties(*MANAGER)
    user.close()
    assert manager["Ready"] is True and manager["Health"] == "ok" and manager["NodeName"] == "testnode"
    assert (manager["WorkloadCount"], manager["RunningCount"]) == (2, 1)
    assert ("docker", "up", "") in manager["Sources"] and manager["EventSequence"] == len(one.events())
    assert manager["Version"] == one.json("/api/v1/version")["version"] and "dbus" in manager["Features"]


def test_a_workload_is_found_by_the_pid_of_its_main_process(daemon, engine, bus, client):
    one = engine.add("web")
    engine.containers[one]["State"]["Pid"] = os.getpid()
    watch(daemon, engine, bus)
    user = client(bus)
    path = user.manager("GetWorkloadByPID", "u", os.getpid())[0]
    assert path == user.manager("GetWorkload", "s", "web")[0]
    assert user.property(path, f"{NAME}.Container", "Pid") == os.getpid()


def test_pages_of_events_are_the_journal(daemon, engine, bus, client):
    ids = [engine.add(f"c{i}") for i in range(4)]
    one = watch(daemon, engine, bus)
    for each in ids:
        engine.tell(each, *["pause", "unpause"] * 5)
    wait_for(lambda: len([e for e in one.events() if e["kind"] == "container"]) == 40, 10, "40 events")
    user, after, found = client(bus), 0, []
    while True:
        page = user.manager("GetEvents", "tua{sv}", after, 7, {})[0]
        if not page:
            break
        assert len(page) <= 7
        found += page
        after = page[-1][0]
    expected = one.events()
    assert [(e[0], e[2], e[3], e[4], e[5], e[6]) for e in found] == [
        (e["seq"], e["kind"], e["name"], e["action"], e["severity"], e["message"]) for e in expected]
    assert [e[7].get("id", ("s", None))[1] for e in found] == [e.get("id") or None for e in expected]

    def count(**conditions):
        return len(user.manager("GetEvents", "tua{sv}", 0, 1000, {k: ("s", v) for k, v in conditions.items()})[0])

    assert count(kind="container") == 40 and count(name="c1") == 10 and count(name="c1", action="paused") == 5
    assert count(workload=ids[2]) == 10 and count(severity="error") == 0 and count(slug="x") == 0
    half = expected[len(expected) // 2]
    since = user.manager("GetEvents", "tua{sv}", 0, 1000, {"since": ("t", found[len(found) // 2][1])})[0]
    assert half["seq"] in [e[0] for e in since] and len(since) < len(found)


@pytest.mark.parametrize("after,limit,conditions,text", [
    (0, 0, {}, "limit"), (0, 1001, {}, "limit"), (0, 2**32 - 1, {}, "limit"),
    (2**63, 1, {}, "large"), (0, 1, {"since": ("t", 2**64 - 1)}, "large"),
    (0, 1, {"colour": ("s", "red")}, "no filter 'colour'"), (0, 1, {"name": ("u", 1)}, "type"),
    (0, 1, {"since": ("s", "1h")}, "type"), (0, 1, {"kind": ("s", "boat")}, "kind"),
    (0, 1, {"severity": ("s", "dire")}, "severity"), (0, 1, {"name": ("s", "x" * 600)}, "name"),
    (0, 1, {"name": ("as", ["x"])}, "type"),
    # cut in the middle of a character, it would be no text: the bus throws off who sends such
    (0, 1, {"kind": ("s", "x" * 63 + "é")}, "\ufffd'"), (0, 1, {"severity": ("s", "é" + "x" * 61 + "é")}, "\ufffd'"),
    (0, 1, {"x" * 63 + "é": ("s", "")}, "é'")])
def test_a_bad_question_for_events_is_refused(events_bus, after, limit, conditions, text):
    with pytest.raises(Error) as refused:
        events_bus.manager("GetEvents", "tua{sv}", after, limit, conditions)
    assert refused.value.name == "org.freedesktop.DBus.Error.InvalidArgs" and text in refused.value.text


@pytest.fixture(scope="module")
def events_bus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("d")
    bus = Bus(folder)
    one = Daemon(folder, {}, bus.address)
    user = Client(bus.address)
    wait_for(lambda: user.bus("NameHasOwner", "s", NAME)[0], 10, "the name")
    yield user
    user.close()
    one.stop()
    bus.stop()


@pytest.mark.parametrize("path,interface,member,signature,body,error", [
    (*MANAGER, "GetWorkload", "s", ("nobody",), f"{NAME}.Error.NoSuchWorkload"),
    (*MANAGER, "GetWorkload", "s", ("",), f"{NAME}.Error.NoSuchWorkload"),
    (*MANAGER, "GetWorkloadByPID", "u", (0,), f"{NAME}.Error.NoSuchWorkload"),
    (*MANAGER, "GetWorkloadByPID", "u", (2**32 - 1,), f"{NAME}.Error.NoSuchWorkload"),
    (*MANAGER, "GetWorkload", "u", (1,), "org.freedesktop.DBus.Error.InvalidArgs"),
    (*MANAGER, "Unsubscribe", None, (), f"{NAME}.Error.NotSubscribed"),
    (*MANAGER, "Fly", None, (), "org.freedesktop.DBus.Error.UnknownMethod"),
    (MANAGER[0], f"{NAME}.Boat", "Fly", None, (), "org.freedesktop.DBus.Error.UnknownMethod"),
    ("/org/virtwatch1/workload/none", f"{NAME}.Workload", "Describe", None, (), "org.freedesktop.DBus.Error.UnknownObject"),
    ("/org/virtwatch1/workload", f"{NAME}.Workload", "Describe", None, (), "org.freedesktop.DBus.Error.UnknownMethod"),
    ("/org/virtwatch1/workload/_zz", f"{NAME}.Workload", "Describe", None, (), "org.freedesktop.DBus.Error.UnknownObject"),
    (MANAGER[0], PROPERTIES, "Get", "ss", (MANAGER[1], "Colour"), "org.freedesktop.DBus.Error.UnknownProperty"),
    (MANAGER[0], PROPERTIES, "Set", "ssv", (MANAGER[1], "Ready", ("b", True)), "org.freedesktop.DBus.Error.PropertyReadOnly")])
def test_an_error_has_its_name(events_bus, path, interface, member, signature, body, error):
    with pytest.raises(Error) as refused:
        events_bus.call(path, interface, member, signature, *body)
    assert refused.value.name == error and refused.value.text


def test_a_subscription_is_one_and_ends_with_its_client(daemon, engine, bus, client):
    watch(daemon, engine, bus)
    first, second = client(bus), Client(bus)

    def subscribers():
        return int(first.manager("Dump")[0].split("D-Bus: ")[1].split()[0])

    first.manager("Subscribe")
    with pytest.raises(Error) as refused:
        first.manager("Subscribe")
    assert refused.value.name == f"{NAME}.Error.AlreadySubscribed"
    second.manager("Subscribe")
    assert subscribers() == 2
    second.close()
    wait_for(lambda: subscribers() == 1, 5, "it is forgotten")
    first.manager("Unsubscribe")
    with pytest.raises(Error) as refused:
        first.manager("Unsubscribe")
    assert refused.value.name == f"{NAME}.Error.NotSubscribed"
    first.manager("Subscribe")
    assert subscribers() == 1


def test_subscriptions_of_one_user_are_bounded(daemon, engine, bus, client):
    watch(daemon, engine, bus)
    clients = [client(bus) for _ in range(65)]
    for one in clients[:64]:
        one.manager("Subscribe")
    with pytest.raises(Error) as refused:
        clients[64].manager("Subscribe")
    assert refused.value.name == "org.freedesktop.DBus.Error.LimitsExceeded"
    clients[0].manager("Unsubscribe")
    clients[64].manager("Subscribe")


def test_a_reload_is_for_the_owner_and_keeps_what_cannot_change(daemon, engine, own_bus, client, tmp_path):
    bus = own_bus.address
    config = tmp_path / "virtwatch.yaml"
    config.write_text("events: {oom_rule: evidence}\n")
    one = watch(daemon, engine, bus, {"-c": config})
    user = client(bus)
    user.manager("Reload")
    assert user.property(*MANAGER, "NodeName") == "testnode" == one.json("/api/v1/version")["node"]
    assert json.loads(user.manager("Describe")[0])["node"] == "testnode"
    config.write_text("events: {colour: red}\n")
    with pytest.raises(Error) as refused:
        user.manager("Reload")
    assert refused.value.name == f"{NAME}.Error.BadConfiguration"
    # The bus of this test lets everybody call: the daemon itself says no.
    for call in (("call", NAME, *MANAGER, "Reload"), ("set-property", NAME, *LOG, "LogLevel", "s", "err")):
        answer = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "busctl", f"--address={bus}", *call],
                                capture_output=True, text=True, timeout=20)
        assert answer.returncode != 0 and ("Access denied" in answer.stderr or "Only root may do that" in answer.stderr)
    assert user.property(*LOG, "LogLevel") == "debug"


# ---- signals ----

def test_a_container_s_life_is_told_once_and_exactly(daemon, docker, bus, client):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket}, bus)
    one.up("docker")
    user = client(bus)
    wait_for(lambda: user.bus("NameHasOwner", "s", NAME)[0], 10, "the name")
    user.listen(f"type='signal',sender='{NAME}'")
    docker("create", "--network=none", "--name", "told", "bb:1", "sh", "-c", "sleep 1; exit 3")
    one_id, path = user.wait("WorkloadNew", lambda body: True)
    assert user.manager("GetWorkload", "s", "told")[0] == path
    added = user.wait("InterfacesAdded", lambda body: body[0] == path)[1]
    assert {f"{NAME}.Workload", f"{NAME}.Container"} < set(added)
    assert added[f"{NAME}.Workload"]["Name"] == ("s", "told")
    docker("start", "told")
    user.wait("Exited", path=path)
    user.wait("Event", lambda body: body[3] == "told" and body[4] == "died")
    assert user.found("Exited", path) == [(path, ("died", 3, "exit-code", user.found("Exited", path)[0][1][3]))]
    died = next(body for _, body in user.found("Event") if body[4] == "died" and body[3] == "told")
    assert died[7]["exit_code"] == ("x", 3) and died[7]["evidence"] == ("as", ["exit-code"]) and died[7]["id"] == ("s", one_id)
    docker("rm", "told")
    user.wait("WorkloadRemoved", lambda body: body == (one_id, path))
    removed = user.wait("InterfacesRemoved", lambda body: body[0] == path)[1]
    assert set(removed) == set(added)
    states = [change["State"] for _, change in user.changes(path) if "State" in change]
    assert states[-1] == "failed" and "running" in states
    assert all(a != b for a, b in zip(states, states[1:]))
    exits = [change["LastExit"] for _, change in user.changes(path) if "LastExit" in change]
    assert len(exits) == 1 and exits[0][:4] == ("died", 3, "exit-code", "exit-code")
    seqs = [body[0] for _, body in user.found("Event")]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    with pytest.raises(Error):
        user.property(path, f"{NAME}.Workload", "State")


def test_a_vm_tells_its_last_lifecycle_event(daemon, libvirt, bus, client):
    one = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri}, bus)
    one.up(f"libvirt:{libvirt.uri}")
    user = client(bus)
    wait_for(lambda: user.bus("NameHasOwner", "s", NAME)[0], 10, "the name")
    user.listen(f"type='signal',sender='{NAME}'")
    libvirt.define("cycle")
    path = user.wait("WorkloadNew")[1]
    vm = f"{NAME}.VirtualMachine"
    for command, wanted in (("start", ("started", "booted")), ("suspend", ("suspended", "paused")),
                            ("resume", ("resumed", "unpaused")), ("destroy", ("stopped", "destroyed"))):
        libvirt(command, "cycle")
        user.wait("PropertiesChanged", lambda body: body[0] == vm and body[1].get("LastLifecycle", ("", ""))[1] == wanted, path=path)
        assert user.property(path, vm, "LastLifecycle") == wanted
    assert user.property(path, vm, "ConnectionUri") == libvirt.uri
    one.stop()
    one.start()
    one.up(f"libvirt:{libvirt.uri}")
    wait_for(lambda: user.bus("NameHasOwner", "s", NAME)[0], 10, "the name")
    assert user.property(path, vm, "LastLifecycle") == ("stopped", "destroyed")
    libvirt("undefine", "cycle")
    user.wait("WorkloadRemoved", lambda body: body[1] == path)


def test_only_what_changed_is_told_as_changed(daemon, engine, bus, client):
    one_id = engine.add("web")
    one = watch(daemon, engine, bus)
    user = client(bus).listen(f"type='signal',sender='{NAME}'")
    path = user.manager("GetWorkload", "s", one_id)[0]
    engine.tell(one_id, "update")
    one.wait_event(name="web", action="updated")
    user.receive(0.7)
    assert user.changes(path) == []
    engine.tell(one_id, "pause")
    one.wait_event(name="web", action="paused")
    user.receive(0.7)
    assert [(interface, set(change)) for interface, change in user.changes(path)] == [(f"{NAME}.Workload", {"State"})]
    assert ("org.virtwatch1.Manager", {"RunningCount": 0}) in user.changes(MANAGER[0])
    user.signals.clear()
    engine.containers[one_id]["Name"] = "/shop"
    engine.tell(one_id, "rename")
    one.wait_event(name="shop", action="renamed")
    user.receive(0.7)
    assert user.changes(path) == [(f"{NAME}.Workload", {"Name": "shop"})]
    assert user.changes(MANAGER[0]) == []


def test_a_source_that_goes_takes_the_states_with_it(daemon, engine, bus, client):
    one_id = engine.add("web")
    watch(daemon, engine, bus, {"sources.docker.required": "true"})
    user = client(bus).listen(f"type='signal',sender='{NAME}'")
    path = user.manager("GetWorkload", "s", one_id)[0]
    engine.stop()
    down = user.wait("SourceChanged", lambda body: body[:2] == ("docker", "down"))
    assert down[2]
    user.wait("PropertiesChanged", lambda body: body[1].get("State") == ("s", "unknown"), path=path)
    user.receive(0.7)
    changed = {}
    for _, change in user.changes(MANAGER[0]):
        changed.update(change)
    assert changed["Ready"] is False and changed["RunningCount"] == 0
    assert [state for name, state, error in changed["Sources"] if name == "docker" and error] == ["down"]
    user.signals.clear()
    engine.start()
    user.wait("SourceChanged", lambda body: body == ("docker", "up", ""))
    user.wait("PropertiesChanged", lambda body: body[1].get("State") == ("s", "running"), path=path)
    user.wait("PropertiesChanged", lambda body: body[1].get("Ready") == ("b", True), path=MANAGER[0])


def test_busctl_monitor_shows_events_as_they_come(daemon, engine, bus):
    one_id = engine.add("web")
    one = watch(daemon, engine, bus)
    monitor = subprocess.Popen(["stdbuf", "-oL", "busctl", f"--address={bus}", "--json=short", "monitor", NAME],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert "Monitoring" in monitor.stderr.readline()
        engine.tell(one_id, "die", attributes={"exitCode": "7"})
        one.wait_event(name="web", action="died")
        busctl(bus, "call", NAME, *MANAGER, "ListWorkloads")
    finally:
        monitor.terminate()
    seen = [json.loads(line) for line in monitor.communicate()[0].splitlines()]
    told = {m["member"]: m["payload"]["data"] for m in seen if m.get("type") == "signal"}
    assert told["Event"][3:5] == ["web", "died"] and told["Event"][7]["exit_code"]["data"] == 7
    assert told["Exited"][:3] == ["died", 7, "exit-code"]


# ---- hostile input ----

def test_hostile_names_break_nothing(daemon, engine, bus, client):
    hostile = {"a/b é\n\"'</script>": "plain text is fine", "x" * 500: "long",
"\ufdd0\ufdef\ufffe\uffff\U0001fffe\U0010ffff": "noncharacters", "..": "dots", "_2f": "looks encoded", "\x01\x1b[31m": "controls"}
    ids = [engine.add(name, one=f"id {i} {name}", image=name, labels={name: name, "com.docker.compose.service": name})
           for i, name in enumerate(hostile)]
    # Docker's list has ids that go into paths; these come as events, as a hostile engine would tell them.
    engine.containers.clear()
    one = watch(daemon, engine, bus, {"node.name": "n\udcff\ufdd0"})
    user = client(bus).listen(f"type='signal',sender='{NAME}'")
    for one_id, name in zip(ids, hostile):
        engine.tell(one_id, "create", name=name, image=name, attributes={"com.docker.compose.service": name})
        engine.tell(one_id, "start", "die", name=name, exitCode="1")
    wait_for(lambda: len([e for e in one.events() if e["action"] == "died"]) == len(hostile), 10, "they died")
    user.receive(1)
    listed = user.manager("ListWorkloads")[0]
    assert len(listed) == len(hostile) == len(user.found("WorkloadNew"))
    for row in listed:
        found = user.properties(row[5], f"{NAME}.Workload")
        assert found["Id"] == row[0] and found["Name"] == row[1] and user.properties(row[5], f"{NAME}.Container")["Image"] == row[1]
        json.loads(user.call(row[5], f"{NAME}.Workload", "Describe")[0])
        assert not any(0xfdd0 <= ord(c) <= 0xfdef or ord(c) & 0xfffe == 0xfffe for c in row[1])
    assert "a/b é\n\"'</script>" in [row[1] for row in listed] and "\ufffd" * 6 in [row[1] for row in listed]
    assert len(user.found("Exited")) == len(hostile)
    assert user.property(*MANAGER, "NodeName") == "n\ufffd\ufffd"
    assert json.loads(one.get("/api/v1/version")[1])["node"] == "n\ufffd\ufdd0"
    # busctl, which refuses what RFC 3629 allows, reads all of it.
    busctl(bus, "call", NAME, MANAGER[0], "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
    assert len(ask(bus, "GetEvents", "tua{sv}", "0", "1000", "0")[0]) == len(one.events())
    lines = ask(bus, "Dump")[0].splitlines()
    assert len([line for line in lines if line.startswith("container ")]) == len(hostile)


def test_a_vm_of_any_name_is_listed(daemon, tmp_path, bus, client):
    name = "ﷻ \"'&lt;script&gt; \ufdd0"
    (tmp_path / "node.xml").write_text(f"<node><domain type='test'><name>{name}</name><memory>8192</memory>"
                                       "<os><type>hvm</type></os></domain></node>")
    one = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": f"test://{tmp_path}/node.xml"}, bus)
    one.up(f"libvirt:test://{tmp_path}/node.xml")
    user = client(bus)
    wait_for(lambda: user.bus("NameHasOwner", "s", NAME)[0], 10, "the name")
    assert [row[1:4] for row in user.manager("ListWorkloads")[0]] == [("ﷻ \"'<script> \ufffd", "vm", "running")]
