"""The bus as a peer that fails: it goes away, it does not read, its clients do not read, others have our name; and what its
policy lets whom do."""

import signal
import socket
import subprocess
import threading
import time
import xml.etree.ElementTree as tree

import pytest

from conftest import BUILD, ROOT, Daemon, wait_for
from dbus_peers import LOG, MANAGER, NAME, PROPERTIES, Bus, Client, Engine, Error
from test_apps import send

# AddressSanitizer keeps freed memory for a while.
MIB = (1 << 20) * (8 if b"__asan_init" in (BUILD / "src/virtwatchd").read_bytes() else 1)


@pytest.fixture
def engine(tmp_path):
    one = Engine(tmp_path / "engine.sock")
    yield one
    one.stop()


@pytest.fixture
def start_bus(tmp_path):
    started = []

    def start(*args):
        started.append(Bus(tmp_path, *args))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def client():
    opened = []

    def connect(bus):
        opened.append(Client(bus.address))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def named(bus):
    probe = Client(bus.address)
    try:
        return probe.bus("NameHasOwner", "s", NAME)[0]
    finally:
        probe.close()


def watch(daemon, engine, bus, settings=()):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": engine.path, **dict(settings)}, bus.address)
    one.up("docker")
    wait_for(lambda: named(bus), 10, "the name")
    return one


def rss(one):
    for line in open(f"/proc/{one.process.pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024


def flood(engine, one_id, one, n):
    """n events, and wait until they are durable."""
    before = one.json("/api/v1/events?newest=1&limit=1")["last_seq"]
    for _ in range(0, n, 500):
        engine.tell(one_id, *["pause", "unpause"] * 250)
    wait_for(lambda: one.json("/api/v1/events?newest=1&limit=1")["last_seq"] >= before + n, 60, "the flood")


def sane(one):
    begin = time.monotonic()
    assert one.get("/health")[0] == 200
    return time.monotonic() - begin


def test_a_bus_that_goes_away_is_survived(daemon, engine, start_bus, client):
    bus, one_id = start_bus(), engine.add("web")
    one = watch(daemon, engine, bus)
    bus.kill()
    engine.tell(one_id, "pause")
    one.wait_event(name="web", action="paused")
    assert sane(one) < 1
    bus.start()
    wait_for(lambda: named(bus), 15, "the name, again")
    user = client(bus).listen(f"type='signal',sender='{NAME}'")
    path = user.manager("GetWorkload", "s", one_id)[0]
    assert user.property(path, f"{NAME}.Workload", "State") == "paused"
    engine.tell(one_id, "unpause")
    user.wait("Event", lambda body: body[4] == "resumed")
    user.wait("PropertiesChanged", lambda body: body[1].get("State") == ("s", "running"), path=path)
    assert len(user.manager("GetEvents", "tua{sv}", 0, 1000, {})[0]) == len(one.events())
    log = (one.folder / "virtwatchd.log").read_text()
    assert log.count("The bus has gone") == 1 and log.count("On the bus as") == 2


def test_events_go_on_where_the_bus_went_away(daemon, engine, start_bus, client):
    bus, one_id = start_bus(), engine.add("web")
    one = watch(daemon, engine, bus)
    user = client(bus).listen(f"type='signal',sender='{NAME}',member='Event'")
    flood(engine, one_id, one, 500)
    cut = one.json("/api/v1/events?newest=1&limit=1")["last_seq"]
    user.wait("Event", lambda body: body[0] == cut)
    bus.kill()
    flood(engine, one_id, one, 3000)
    time.sleep(2)  # so that the next try is some time away
    bus.start()
    user = client(bus).listen("type='signal'")
    user.wait("Event", lambda body: body[0] == cut + 3000)
    missed = sum(body[0] for _, body in user.found("EventsMissed"))
    seqs = [body[0] for _, body in user.found("Event")]
    assert seqs == list(range(cut + 1 + missed, cut + 3001))


def test_a_bus_that_is_not_there_yet_is_waited_for(daemon, engine, start_bus):
    bus = start_bus()
    bus.kill()
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": engine.path}, bus.address)
    one.up("docker")
    time.sleep(1)
    bus.start()
    wait_for(lambda: named(bus), 15, "the name")
    assert (one.folder / "virtwatchd.log").read_text().count("Cannot reach the bus") == 1


def test_a_name_that_another_has_is_taken_when_it_is_free(daemon, engine, start_bus, client):
    bus = start_bus()
    other = client(bus)
    assert other.bus("RequestName", "su", NAME, 4)[0] == 1
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": engine.path}, bus.address)
    one.up("docker")
    wait_for(lambda: "has another owner" in (one.folder / "virtwatchd.log").read_text(), 5, "it says so")
    assert sane(one) < 1
    other.bus("ReleaseName", "s", NAME)
    wait_for(lambda: named(bus), 15, "the name")
    assert other.manager("ListWorkloads") == ([],)


@pytest.fixture
def plain_growth(tmp_path_factory):
    """What 20000 events cost a daemon that is on no bus: what the feed keeps."""
    folder = tmp_path_factory.mktemp("plain")
    engine = Engine(folder / "engine.sock")
    one_id = engine.add("web")
    one = Daemon(folder, {"sources.docker.enabled": "true", "sources.docker.socket": engine.path})
    try:
        one.up("docker")
        flood(engine, one_id, one, 2000)
        before = rss(one)
        flood(engine, one_id, one, 20000)
        return rss(one) - before
    finally:
        one.stop()
        engine.stop()


def test_a_bus_that_does_not_read_costs_no_memory_and_no_event(daemon, engine, start_bus, client, plain_growth):
    bus, one_id = start_bus(), engine.add("web")
    one = watch(daemon, engine, bus)
    user = client(bus).listen(f"type='signal',sender='{NAME}'")
    path = user.manager("GetWorkload", "s", one_id)[0]
    flood(engine, one_id, one, 2000)
    user.receive(1)
    before = rss(one)
    bus.signal(signal.SIGSTOP)
    flood(engine, one_id, one, 20000)
    engine.tell(one_id, "pause")
    for i in range(500):  # come and gone while nobody reads
        engine.tell(f"f{i:063x}", "create", "destroy", name=f"gone{i}")
    one.wait_event(name="gone499", action="removed")
    assert sane(one) < 1
    assert rss(one) - before < plain_growth + 24 * MIB  # the feed keeps 16 MiB for who has not read them
    bus.signal(signal.SIGCONT)
    last = one.json("/api/v1/events?newest=1&limit=1")["last_seq"]
    user.wait("Event", lambda body: body[0] == last, seconds=30)
    seqs = [body[0] for _, body in user.found("Event")]
    missed = sum(body[0] for _, body in user.found("EventsMissed"))
    assert seqs == sorted(set(seqs)) and len(seqs) + missed == last - seqs[0] + 1
    assert user.property(path, f"{NAME}.Workload", "State") == "paused"
    assert [change["State"] for _, change in user.changes(path) if "State" in change][-1] == "paused"
    assert len(user.found("WorkloadNew")) == len(user.found("WorkloadRemoved")) < 500


def test_a_reload_is_told_once_the_bus_reads_again(daemon, engine, start_bus, client, tmp_path):
    bus, one_id, config = start_bus(), engine.add("web"), tmp_path / "virtwatch.yaml"
    config.write_text("sampler: {interval: 2s}\n")
    one = watch(daemon, engine, bus, {"-c": config})
    user = client(bus).listen(f"type='signal',sender='{NAME}',member='PropertiesChanged'")
    assert user.property(*MANAGER, "SampleIntervalUSec") == 2000000
    bus.signal(signal.SIGSTOP)
    flood(engine, one_id, one, 20000)
    config.write_text("sampler: {interval: 5s}\n")
    one.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "Configuration reloaded" in (one.folder / "virtwatchd.log").read_text(), 10, "the reload")
    bus.signal(signal.SIGCONT)
    user.receive(3)
    told = [change for interface, change in user.changes(MANAGER[0]) if "SampleIntervalUSec" in change]
    assert [change["SampleIntervalUSec"] for change in told] == [5000000] and "Features" in told[0]


def test_the_daemon_ends_though_the_bus_does_not_read(daemon, engine, start_bus):
    bus, one_id = start_bus(), engine.add("web")
    one = watch(daemon, engine, bus)
    bus.signal(signal.SIGSTOP)
    flood(engine, one_id, one, 5000)
    begin = time.monotonic()
    one.stop()
    assert time.monotonic() - begin < 5


def test_a_client_that_never_reads_costs_others_nothing(daemon, engine, start_bus, client, plain_growth):
    bus, one_id = start_bus(), engine.add("web")
    one = watch(daemon, engine, bus)
    deaf, user = client(bus), client(bus)
    deaf.listen(f"type='signal',sender='{NAME}'")
    user.listen(f"type='signal',sender='{NAME}',member='Event'")
    flood(engine, one_id, one, 2000)
    user.receive(1)
    before = rss(one)
    flood(engine, one_id, one, 20000)
    last = one.json("/api/v1/events?newest=1&limit=1")["last_seq"]
    user.wait("Event", lambda body: body[0] == last, seconds=30)
    assert rss(one) - before < plain_growth + 24 * MIB
    begin = time.monotonic()
    assert len(user.manager("ListWorkloads")[0]) == 1
    assert time.monotonic() - begin < 3


@pytest.mark.parametrize("member,body", [("Describe", (None,)), ("GetEvents", ("tua{sv}", 0, 1000, {})), ("Reload", (None,))])
def test_ten_thousand_calls_without_reading_an_answer_are_bounded(daemon, engine, start_bus, client, member, body):
    bus = start_bus()
    for i in range(200):
        engine.add(f"c{i}", labels={"text": "x" * 2000})
    one_id = engine.add("web")
    one = watch(daemon, engine, bus)
    flood(engine, one_id, one, 1000)
    deaf, user = client(bus), client(bus)
    before = rss(one)
    call = deaf.message(*MANAGER, member, *body)
    stop = threading.Event()

    def shout():
        deaf.connection.sock.settimeout(0.2)
        for serial in range(1000, 11000):
            data = call.serialise(serial=serial)
            while data and not stop.is_set():
                try:
                    data = data[deaf.connection.sock.send(data):]
                except (TimeoutError, socket.timeout):
                    pass
                except OSError:
                    return  # the bus has had enough of it

    shouting = threading.Thread(target=shout)
    shouting.start()
    worst, waits = 0, []
    limit = time.monotonic() + 6
    while time.monotonic() < limit:
        begin = time.monotonic()
        user.manager("GetWorkload", "s", "web")
        waits.append(time.monotonic() - begin)
        worst = max(worst, rss(one))
        time.sleep(0.02)
    assert sane(one) < 1
    stop.set()
    shouting.join()
    print(f"{member}: {(worst - before) / 2**20:.1f} MiB more, others wait {sorted(waits)[len(waits) // 2] * 1000:.1f} ms")
    assert worst - before < 96 * MIB, worst - before
    assert sorted(waits)[len(waits) // 2] < 1, waits
    deaf.connection.sock.close()
    wait_for(lambda: "0 calls wait" in user.manager("Dump")[0], 10, "nothing waits")


def test_what_is_said_of_one_workload_counts_too(daemon, engine, start_bus, client):
    bus, one_id = start_bus(), engine.add("web", labels={f"l{i}": "x" * 4000 for i in range(50)})
    watch(daemon, engine, bus)
    user, told = client(bus), 0
    path = user.manager("GetWorkload", "s", one_id)[0]
    with pytest.raises(Error) as refused:
        for _ in range(1000):
            told += len(user.call(path, f"{NAME}.Workload", "Describe")[0])
    assert refused.value.name == "org.freedesktop.DBus.Error.LimitsExceeded" and told > 4 << 20
    time.sleep(1.1)
    user.call(path, f"{NAME}.Workload", "Describe")


def test_calls_of_many_megabytes_hold_nobody_up(daemon, engine, start_bus, client):
    """What dbus-daemon holds for a client that does not read counts as its sender's, which is read no more at 127 MiB; an answer
    that has all of such a call in it would be enough five times."""
    bus = start_bus()
    engine.add("web")
    one = watch(daemon, engine, bus)
    deaf, user = client(bus), client(bus)
    large = "x" * (20 << 20)
    before = rss(one)
    for serial, call in enumerate([("GetWorkload", "s", large), ("RevokeToken", "s", large),
                                   ("GetEvents", "tua{sv}", 0, 1, {large: ("s", "")}),
                                   ("AddEvent", "ssssa{sv}", "shop", "x", "info", "", {"a": ("av", [("s", large)])})] * 2 +
                                  [("GetWorkload", "s", large)] * 4, 100):
        deaf.connection.sock.sendall(deaf.message(*MANAGER, *call).serialise(serial=serial))
    deaf.connection.sock.sendall(deaf.message(MANAGER[0], PROPERTIES, "GetAll", "s", large).serialise(serial=200))
    begin = time.monotonic()
    for _ in range(100):
        assert len(user.manager("ListWorkloads")[0]) == 1
    assert time.monotonic() - begin < 10
    assert rss(one) - before < 48 * MIB
    with pytest.raises(Error) as refused:
        user.manager("GetWorkload", "s", "x" * 65537)
    assert refused.value.name == "org.freedesktop.DBus.Error.LimitsExceeded" and len(refused.value.text) < 200


def test_a_match_that_the_bus_refuses_fails_the_subscription_only(daemon, engine, start_bus, client):
    bus = start_bus(Bus.__init__.__defaults__[0] + '<limit name="max_match_rules_per_connection">1</limit>')
    watch(daemon, engine, bus)
    users = [client(bus) for _ in range(3)]
    results = []
    for user in users:
        try:
            user.manager("Subscribe")
            results.append("")
        except Error as error:
            results.append(error.name)
    assert results.count("") == 1 and results.count(f"{NAME}.Error.NotSubscribed") == 2
    assert users[0].manager("Dump")[0].count("D-Bus: 1 subscribers") == 1


def test_a_caller_that_leaves_after_its_call_gets_no_grant(daemon, engine, start_bus, client):
    bus = start_bus()
    watch(daemon, engine, bus)
    user = client(bus)
    for _ in range(200):
        leaver = Client(bus.address)
        leaver.connection.send(leaver.message(*MANAGER, "Subscribe"))
        leaver.connection.send(leaver.message(LOG[0], PROPERTIES, "Set", "ssv", LOG[1], "LogLevel", ("s", "debug")))
        leaver.close()
    wait_for(lambda: "D-Bus: 0 subscribers, 0 calls" in user.manager("Dump")[0], 10, "they are forgotten")


# ---- the policy that ships ----

@pytest.fixture
def strict_bus(start_bus):
    """As /usr/share/dbus-1/system.conf has it, with the policy that ships."""
    ours = tree.parse(ROOT / "packaging/dbus/org.virtwatch1.conf").getroot()
    return start_bus("""<policy context="default"><allow user="*"/><deny own="*"/><deny send_type="method_call"/>
<allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
<allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
<allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/></policy>
""" + "".join(tree.tostring(policy, encoding="unicode") for policy in ours))


def as_nobody(bus, *args):
    answer = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "busctl", f"--address={bus.address}",
                             *args], capture_output=True, text=True, timeout=20)
    return answer.returncode, answer.stdout + answer.stderr


def test_the_policy_lets_everybody_read_and_nobody_write(daemon, engine, strict_bus):
    engine.add("web")
    one = watch(daemon, engine, strict_bus)
    path = as_nobody(strict_bus, "call", NAME, *MANAGER, "GetWorkload", "s", "web")[1].split('"')[1]
    arguments = {"GetWorkload": ("s", "web"), "GetWorkloadByPID": ("u", "1"), "GetEvents": ("tua{sv}", "0", "1", "0"),
                 "GetSamples": ("t", "0"), "Scale": ("ut", "1", "0"), "AddEvent": ("ssssa{sv}", "shop", "walk_completed", "info", "", "0"),
                 "CreateToken": ("sast", "x", "1", "read", "0"), "RevokeToken": ("s", "x")}
    places = {f"{NAME}.Manager": MANAGER[0], f"{NAME}.Node": "/org/virtwatch1/node/testnode",
              f"{NAME}.App": "/org/virtwatch1/app/shop", f"{NAME}.Probe": "/org/virtwatch1/app/shop"}
    arguments.update({"GetRollups": ("u", "1"), "Configure": ("a{sv}", "0")})
    writes = {"Reload", "AddEvent", "Stop", "Destroy", "Scale", "Configure", "RunNow", "Remove", "CreateToken", "ListTokens", "RevokeToken"}
    assert send(one, "PUT", "/api/app-gateway/apps/shop", {})[0] == 201
    n = 0
    for file in (ROOT / "packaging/dbus").glob("*.xml"):
        interface = tree.parse(file).getroot().find("interface")
        where = places.get(interface.get("name"), path)
        for method in interface.findall("method"):
            name = method.get("name")
            given = ("u", "1") if interface.get("name") == f"{NAME}.App" and name == "GetEvents" else arguments.get(name, ())
            answer = as_nobody(strict_bus, "call", NAME, where, interface.get("name"), name, *given)[1]
            denied = "rejected" in answer or "Access denied" in answer
            assert denied == (name in writes), (name, answer)
            assert denied or "Unknown" not in answer, (name, answer)
            n += 1
    assert n >= 10
    assert as_nobody(strict_bus, "introspect", NAME, path)[0] == 0
    assert as_nobody(strict_bus, "call", NAME, MANAGER[0], "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")[0] == 0
    assert as_nobody(strict_bus, "get-property", NAME, *LOG, "LogLevel")[0] == 0
    assert as_nobody(strict_bus, "set-property", NAME, *LOG, "LogLevel", "s", "err")[0] != 0
    # A call without an interface could be any: it is none of those that are open.
    assert as_nobody(strict_bus, "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "RequestName", "su", NAME, "0")[0] != 0
    root = Client(strict_bus.address)
    root.manager("Reload")
    before = root.property(*MANAGER, "EventSequence")
    assert root.manager("AddEvent", "ssssa{sv}", "shop", "walk_completed", "info", "", {}) == (before + 1,)
    root.call(LOG[0], PROPERTIES, "Set", "ssv", LOG[1], "LogLevel", ("s", "info"))
    assert root.property(*LOG, "LogLevel") == "info"
    root.close()
    assert one.get("/health")[0] == 200
