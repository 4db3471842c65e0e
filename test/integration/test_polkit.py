"""Who may write over D-Bus: root, the daemon's own user, and whom polkit lets. polkit is asked, and whatever is no clear yes is a
no: it says no, it is away, it is slow, it dies, it talks nonsense."""

import os
import pathlib
import subprocess
import threading
import time

import jeepney
import pytest

from conftest import ROOT, end, spawn, wait_for
from dbus_peers import LOG, MANAGER, NAME, Bus, Client, Error
from test_apps import send

POLKIT = "org.freedesktop.PolicyKit1"
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.fixture
def own_bus(tmp_path):
    one = Bus(tmp_path)
    yield one
    one.stop()


@pytest.fixture
def root(own_bus):
    one = Client(own_bus.address)
    yield one
    one.close()


class Authority:
    """Answers CheckAuthorization as the test says, and keeps what it was asked."""

    def __init__(self, address):
        self.client = Client(address)
        assert self.client.bus("RequestName", "su", POLKIT, 4)[0] == 1
        self.asked, self.answer, self.wait = [], (True, False, {}), threading.Event()
        self.wait.set()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        connection = self.client.connection
        try:
            while True:
                message = connection.receive()
                if message.header.message_type != jeepney.MessageType.method_call:
                    continue
                fields = message.header.fields
                if fields[jeepney.HeaderFields.member] != "CheckAuthorization":
                    continue
                self.asked.append((fields[jeepney.HeaderFields.sender], *message.body))
                self.wait.wait()
                if isinstance(self.answer, str):
                    reply = jeepney.new_error(message, self.answer, "s", ("no",))
                elif self.answer == ():
                    reply = jeepney.new_method_return(message)
                else:
                    reply = jeepney.new_method_return(message, "(bba{ss})", (self.answer,))
                connection.send(reply)
        except (OSError, EOFError, ValueError):  # closed
            pass

    def close(self):
        self.wait.set()
        self.client.close()


@pytest.fixture
def authority(own_bus):
    started = []

    def start():
        started.append(Authority(own_bus.address))
        return started[-1]

    yield start
    for one in started:
        one.close()


def named(bus):
    probe = Client(bus.address)
    wait_for(lambda: probe.bus("NameHasOwner", "s", NAME)[0], 10, "the name")
    probe.close()


@pytest.fixture
def watch(daemon, own_bus):
    one = daemon(None, own_bus.address)
    named(own_bus)
    return one


def call(bus, *args, interactive=False, user=NOBODY, seconds=40):
    answer = subprocess.run([*user, "busctl", f"--address={bus.address}", f"--allow-interactive-authorization={interactive}",
                             "--timeout=35", *args], capture_output=True, text=True, timeout=seconds)
    return answer.returncode, answer.stdout + answer.stderr


RELOAD = ("call", NAME, *MANAGER, "Reload")
WRITES = {
    "org.virtwatch1.reload": [RELOAD, ("set-property", NAME, *LOG, "LogLevel", "s", "debug")],
    "org.virtwatch1.add-event": [("call", NAME, *MANAGER, "AddEvent", "ssssa{sv}", "shop", "x", "info", "", "0")],
    "org.virtwatch1.manage-tokens": [("call", NAME, *MANAGER, "CreateToken", "sast", "ci", "1", "read", "0"),
                                     ("call", NAME, *MANAGER, "ListTokens"),
                                     ("call", NAME, *MANAGER, "RevokeToken", "s", "ci")],
}


def test_each_write_asks_for_its_own_action_and_goes_on_with_a_yes(watch, own_bus, authority):
    polkit = authority()
    for action, calls in WRITES.items():
        for args in calls:
            polkit.asked.clear()
            code, text = call(own_bus, *args)
            assert code == 0, (args, text)
            (sender, (kind, subject), asked, details, flags, cancel), = polkit.asked
            assert (kind, asked, details, flags, cancel) == ("system-bus-name", action, {}, 0, "")
            assert set(subject) == {"name"} and subject["name"][1].startswith(":")
    assert call(own_bus, *RELOAD, interactive=True)[0] == 0 and polkit.asked[-1][4] == 1
    told = watch.events(name="api")
    assert [(e["action"], e["by"]) for e in told] == [("token_created", "uid 65534"), ("token_revoked", "uid 65534")]
    assert [e["action"] for e in watch.events(slug="shop")] == ["x"]


def test_root_and_reads_are_not_asked_about(watch, own_bus, root, authority):
    polkit = authority()
    polkit.answer = (False, False, {})
    root.manager("Reload")
    assert root.manager("AddEvent", "ssssa{sv}", "shop", "x", "info", "", {})[0] > 0
    for args in (("call", NAME, *MANAGER, "ListWorkloads"), ("get-property", NAME, *LOG, "LogLevel"),
                 ("call", NAME, *MANAGER, "Describe")):
        assert call(own_bus, *args)[0] == 0
    assert polkit.asked == []


@pytest.mark.parametrize("answer, name", [
    ((False, False, {}), "AccessDenied"), ((False, True, {}), "InteractiveAuthorizationRequired"),
    (f"{POLKIT}.Error.Failed", "AccessDenied"), (f"{POLKIT}.Error.NotAuthorized", "AccessDenied"),
    ("org.freedesktop.DBus.Error.NoReply", "AccessDenied"), ((), "AccessDenied"),
], ids=["no", "challenge", "failed", "not-authorized", "no-reply", "nonsense"])
def test_what_is_no_yes_is_a_no(watch, own_bus, authority, answer, name):
    polkit = authority()
    polkit.answer = answer
    for calls in WRITES.values():
        for args in calls:
            code, text = call(own_bus, *args)
            assert code != 0 and (name in text or {"AccessDenied": "Access denied", "InteractiveAuthorizationRequired":
                                                   "password"}[name] in text), text
    assert watch.events(slug="shop") == [] and send(watch, "GET", "/api/v1/tokens")[1] == []
    (told,) = watch.events(name="api")
    assert (told["action"], told["reason"], told["address"]) == ("access_refused", "polkit", "uid 65534")
    assert 'virtwatch_auth_failures_total{reason="polkit"} 6' in watch.get("/metrics")[1]
    polkit.answer = (True, False, {})
    assert call(own_bus, *RELOAD)[0] == 0


class Nobody:
    """A client of user 65534 whose errors have their names and texts."""

    SCRIPT = """
import sys; sys.path.insert(0, {folder!r})
from dbus_peers import Client, Error, MANAGER
try:
    print("ok", Client({address!r}).call(*MANAGER, "Reload", seconds=40))
except Error as error:
    print(error.name, "|", error.text)
"""

    def __init__(self, bus):
        script = self.SCRIPT.format(folder=str(pathlib.Path(__file__).parent), address=bus.address)
        self.process = subprocess.Popen([*NOBODY, "/usr/bin/python3", "-B", "-c", script], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)

    def says(self, seconds=40):
        return self.process.communicate(timeout=seconds)[0].strip()


def test_without_polkit_the_error_says_so(watch, own_bus):
    assert Nobody(own_bus).says() == (
        "org.freedesktop.DBus.Error.AccessDenied | Only root may do that: polkit is not there to ask")


def test_a_polkit_that_dies_while_it_is_asked_is_a_no(watch, own_bus, authority):
    polkit = authority()
    polkit.wait.clear()
    caller = Nobody(own_bus)
    wait_for(lambda: polkit.asked, 20, "the question")
    polkit.client.close()
    assert caller.says().startswith("org.freedesktop.DBus.Error.AccessDenied | Only root may do that: polkit")


def test_a_slow_polkit_holds_nobody_else_up_and_is_a_no_in_the_end(watch, own_bus, root, authority):
    polkit = authority()
    polkit.wait.clear()
    begin = time.monotonic()
    caller = Nobody(own_bus)
    wait_for(lambda: polkit.asked, 20, "the question")
    for _ in range(20):
        root.manager("ListWorkloads")
        assert watch.get("/health")[0] == 200
    assert time.monotonic() - begin < 15
    assert caller.says() == "org.freedesktop.DBus.Error.AccessDenied | Only root may do that: polkit has not answered"
    assert 15 < time.monotonic() - begin < 30
    polkit.wait.set()  # its yes comes too late
    time.sleep(0.5)
    assert "Configuration reloaded" not in (watch.folder / "virtwatchd.log").read_text()


def test_those_who_wait_for_polkit_do_not_use_up_the_places_of_others(watch, own_bus, root, authority):
    polkit = authority()
    polkit.wait.clear()
    script = f"""
import sys, time; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
from dbus_peers import Client, MANAGER
held = [Client({own_bus.address!r}) for _ in range(4)]
for one in held:
    for serial in range(10, 26):
        one.connection.send(one.message(*MANAGER, "Reload"), serial)
refused, end = 0, time.monotonic() + 30  # which of them is refused is up to the bus: it reads them as it likes
while refused < 32 and time.monotonic() < end:
    for one in held:
        try:
            refused += "LimitsExceeded" in str(one.connection.receive(timeout=0.1).header.fields)
        except TimeoutError:
            pass
print(refused)
"""
    answer = subprocess.run([*NOBODY, "/usr/bin/python3", "-B", "-c", script], capture_output=True, text=True, timeout=60)
    assert answer.stdout.strip() == "32", answer
    root.manager("Reload")


def test_callers_that_leave_at_once_get_nothing_and_leave_nothing(watch, own_bus, root, authority):
    """The bus tells polkit, and us, that there is no such caller: an error, and so a no (CVE-2021-3560)."""
    polkit = authority()
    polkit.answer = f"{POLKIT}.Error.Failed"
    script = f"""
import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
from dbus_peers import Client, MANAGER
for i in range(1000):
    one = Client({own_bus.address!r})
    one.connection.send(one.message(*MANAGER, "AddEvent", "ssssa{{sv}}", "shop", "x", "info", "", {{}}), 2)
    one.close()
"""
    subprocess.run([*NOBODY, "/usr/bin/python3", "-B", "-c", script], check=True, timeout=120)
    root.manager("Reload")
    assert watch.events(slug="shop") == []
    # None of them is waited for any more: there is room for all calls there may be.
    polkit.answer = (True, False, {})
    assert call(own_bus, *RELOAD)[0] == 0


def test_a_call_whose_bus_goes_away_while_polkit_thinks_is_forgotten(watch, own_bus, authority):
    polkit = authority()
    polkit.wait.clear()
    caller = Nobody(own_bus)
    wait_for(lambda: polkit.asked, 20, "the question")
    own_bus.kill()
    caller.says()
    polkit.wait.set()
    own_bus.start()
    named(own_bus)
    again = Client(own_bus.address)
    again.manager("Reload")
    again.close()
    assert watch.get("/health")[0] == 200


# ---- polkit itself ----

# The user that the service runs as need not exist here.
ACTIONS = (ROOT / "packaging/polkit/org.virtwatch1.policy").read_text().replace("unix-user:virtwatch", "unix-user:daemon")

RULE = """polkit.addRule(function(action, subject) {
    if (action.id == "org.virtwatch1.add-event" && subject.user == "nobody") return polkit.Result.YES;
    if (action.id == "org.virtwatch1.manage-tokens" && subject.user == "nobody") return polkit.Result.AUTH_ADMIN;
    if (action.id == "org.virtwatch1.reload") return polkit.Result.NO;
});"""


@pytest.fixture
def polkitd(own_bus, tmp_path):
    """Debian's, with our actions and a rule, in a mount namespace of its own."""
    (tmp_path / "actions").mkdir()
    (tmp_path / "rules").mkdir()
    (tmp_path / "actions/org.virtwatch1.policy").write_text(ACTIONS)
    (tmp_path / "rules/10-test.rules").write_text(RULE)
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(path.stat().st_mode | 0o011)
    (tmp_path / "rules").chmod(0o755)
    (tmp_path / "actions").chmod(0o755)
    log = open(tmp_path / "polkitd.log", "ab")
    script = (f"mount --make-rprivate / && mount --bind {tmp_path}/actions /usr/share/polkit-1/actions && "
              f"mount --bind {tmp_path}/rules /etc/polkit-1/rules.d && exec /usr/lib/polkit-1/polkitd")
    process = spawn(["unshare", "-m", "sh", "-c", script], log, env=dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=own_bus.address))
    probe = Client(own_bus.address)
    wait_for(lambda: probe.bus("NameHasOwner", "s", POLKIT)[0], 20, "polkitd")
    probe.close()
    yield process
    end(process)
    log.close()


def test_debian_s_polkit_is_understood(watch, own_bus, polkitd):
    (event,), (reload, _), (token, *_) = WRITES["org.virtwatch1.add-event"], WRITES["org.virtwatch1.reload"], WRITES[
        "org.virtwatch1.manage-tokens"]
    code, text = call(own_bus, *event)
    assert code == 0, text
    assert call(own_bus, *reload)[0] != 0 and "Access denied" in call(own_bus, *reload)[1]
    code, text = call(own_bus, *token)
    assert code != 0 and ("nteractive" in text or "password" in text), text
    other = ["setpriv", "--reuid=2", "--regid=2", "--clear-groups"]
    assert call(own_bus, *event, user=other)[0] != 0
    assert len(watch.events(slug="shop")) == 1 and send(watch, "GET", "/api/v1/tokens")[1] == []


def test_a_daemon_that_is_not_root_must_be_named_as_the_owner_of_its_actions(root, own_bus, polkitd):
    """Why the policy that ships names the service's user: polkit tells others nothing of a caller that is not theirs."""
    question = ("call", POLKIT, "/org/freedesktop/PolicyKit1/Authority", f"{POLKIT}.Authority", "CheckAuthorization",
                "(sa{sv})sa{ss}us", "system-bus-name", "1", "name", "s", root.unique_name, "org.virtwatch1.reload", "0", "0", "")
    owner, other = (["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] for uid in (1, 2))
    assert call(own_bus, *question, user=owner)[1].startswith("(bba{ss}) true false")
    code, text = call(own_bus, *question, user=other)
    assert code != 0 and "trusted callers" in text, text
