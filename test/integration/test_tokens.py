"""Tokens: who may ask over HTTP, what, for how long; and what becomes of those who may not."""

import http.client
import json
import os
import re
import socket
import sqlite3
import subprocess
import time
import urllib.request

import pytest

from conftest import BUILD, ROOT, TOKEN, Daemon, wait_for
from dbus_peers import Engine
from test_apps import send

TOKENS = "/api/v1/tokens"
FORM = re.compile(r"vw_[0-9A-Za-z]{38}")

# AddressSanitizer keeps freed memory for a while.
MIB = (1 << 20) * (160 if b"__asan_init" in (BUILD / "src/virtwatchd").read_bytes() else 1)


@pytest.fixture
def engine(tmp_path):
    one = Engine(tmp_path / "engine.sock")
    yield one
    one.stop()


def watch(daemon, engine):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": engine.path})
    one.up("docker")
    return one


def mint(daemon, name, scopes=("read",), token=TOKEN, **more):
    status, made = send(daemon, "POST", TOKENS, {"name": name, "scopes": list(scopes), **more}, token=token)
    assert status == 201, made
    return made["token"]


def ask(daemon, method, path, token=TOKEN, header="Authorization", source="127.0.0.1", body=None):
    """(status, body, headers)"""
    client = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=20, source_address=(source, 0))
    headers = {"Authorization": f"Bearer {token}", "X-Virtwatch-Token": token}
    headers = {header: headers[header]} if token else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    client.request(method, path, body=body, headers=headers)
    answer = client.getresponse()
    text = answer.read().decode()
    client.close()
    return answer.status, json.loads(text) if text else None, dict(answer.getheaders())


def status(*args, **more):
    return ask(*args, **more)[0]


class Reader:
    """One SSE connection as bytes."""

    def __init__(self, daemon, token, query=""):
        self.socket = socket.create_connection(("127.0.0.1", daemon.port()), timeout=10)
        self.socket.sendall(f"GET /api/v1/events?{query} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
                            f"Authorization: Bearer {token}\r\n\r\n".encode())
        self.data = b""
        self.until(b": virtwatch")

    def until(self, text, seconds=10):
        end = time.monotonic() + seconds
        while text not in self.data:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            more = self.socket.recv(65536)
            assert more, self.data
            self.data += more
        return self.data

    def ended(self, seconds):
        """How long the server took to end it."""
        begin = time.monotonic()
        while True:
            self.socket.settimeout(max(0.01, begin + seconds - time.monotonic()))
            more = self.socket.recv(65536)
            if not more:
                return time.monotonic() - begin
            self.data += more

    def names(self):
        return [json.loads(line[6:])["name"] for line in self.data.split(b"\n") if line.startswith(b"data: {")]


# ---- making, using ----

def test_a_token_is_shown_once_and_its_digest_is_all_that_is_stored(daemon):
    one = daemon()
    code, made = send(one, "POST", TOKENS, {"name": "ci", "scopes": ["read"], "expires": "30d"})
    assert code == 201 and FORM.fullmatch(made["token"])
    token = made.pop("token")
    assert made["created_by"] == "http.token" and made["last_used_at"] is None and made["expired"] is False
    assert send(one, "GET", TOKENS)[1] == [made]
    for header in ("Authorization", "X-Virtwatch-Token"):
        assert status(one, "GET", "/api/v1/workloads", token, header) == 200
    assert status(one, "GET", "/api/v1/workloads", token[:-1]) == 401
    assert status(one, "GET", "/api/v1/workloads", token + "x") == 401
    one.kill()
    (one.folder / "http.sock").unlink(missing_ok=True)
    for file in [*(path for path in (one.folder / "state").rglob("*") if path.is_file()), one.folder / "virtwatchd.log"]:
        assert token.encode() not in file.read_bytes() and token[3:35].encode() not in file.read_bytes(), file
    one.start()
    assert status(one, "GET", "/api/v1/workloads", token) == 200
    listed = send(one, "GET", TOKENS)[1][0]
    assert listed["last_used_at"] and {**listed, "last_used_at": None} == made


def test_the_last_use_is_kept_over_a_clean_end(daemon):
    one = daemon()
    token = mint(one, "ci")
    assert status(one, "GET", "/api/v1/workloads", token) == 200
    used = send(one, "GET", TOKENS)[1][0]["last_used_at"]
    one.stop()
    one.start()
    assert send(one, "GET", TOKENS)[1][0]["last_used_at"] == used


@pytest.mark.parametrize("body, field", [
    ({"scopes": ["read"]}, "name"), ({"name": "a b", "scopes": ["read"]}, "name"), ({"name": "x"}, "scopes"),
    ({"name": "x", "scopes": ["write"]}, "scopes"), ({"name": "x", "scopes": ["read"], "expires": "0s"}, "expires"),
    ({"name": "x", "scopes": ["read"], "slugs": ["A"]}, "slugs"), ({"name": "x", "scopes": ["read"], "workloads": [1]}, "workloads"),
    ({"name": "x", "scopes": ["admin"], "slugs": ["a"]}, "scopes"), ({"name": "x", "scopes": ["read"], "colour": 1}, "colour"),
], ids=range(9))
def test_a_bad_wish_names_its_field_and_makes_nothing(daemon, body, field):
    one = daemon()
    code, answer = send(one, "POST", TOKENS, body)
    assert code == 400 and answer["error"]["message"].startswith(field + ": "), answer
    assert send(one, "GET", TOKENS)[1] == []


def test_a_name_is_one_token_s_until_it_is_revoked(daemon):
    one = daemon()
    mint(one, "ci")
    assert send(one, "POST", TOKENS, {"name": "ci", "scopes": ["read"]})[1]["error"]["code"] == "name_taken"
    assert send(one, "DELETE", f"{TOKENS}/ci") == (204, None)
    assert send(one, "DELETE", f"{TOKENS}/ci")[0] == 404
    mint(one, "ci")


def test_there_are_at_most_a_thousand(daemon):
    one = daemon({"logging.level": "info"})
    for i in range(1000):
        mint(one, f"t{i}")
    code, answer = send(one, "POST", TOKENS, {"name": "more", "scopes": ["read"]})
    assert code == 507 and answer["error"]["code"] == "too_many_tokens"
    assert "virtwatch_tokens 1000" in one.get("/metrics")[1]


WRITES = {
    "read": [("GET", "/api/v1/workloads", None, 200), ("GET", "/api/app-gateway/events/shop", None, 200)],
    "events:write": [("POST", "/api/app-gateway/events/shop", '{"kind":"x"}', 201)],
    "probes:write": [("PUT", "/api/app-gateway/probes/shop", '{"url":"http://192.0.2.1/","enabled":false}', 201),
                     ("DELETE", "/api/app-gateway/probes/shop", None, 204)],
    "apps:write": [("PUT", "/api/app-gateway/apps/shop", "{}", 201), ("DELETE", "/api/app-gateway/apps/shop", None, 204)],
    "admin": [("GET", TOKENS, None, 200), ("DELETE", f"{TOKENS}/nobody", None, 404)],
}


def test_each_scope_allows_what_is_its_own_and_admin_all(daemon):
    one = daemon()
    tokens = {scope: mint(one, scope.replace(":", "-"), [scope]) for scope in WRITES}
    for scope, calls in WRITES.items():
        for method, path, body, wanted in calls:
            for holder, token in tokens.items():
                if holder in (scope, "admin"):
                    continue
                code, answer, _ = ask(one, method, path, token, body=body)
                assert code == 403 and scope in answer["error"]["message"], (holder, method, path, answer)
            assert status(one, method, path, tokens[scope], body=body) == wanted, (scope, method, path)
    for calls in WRITES.values():
        for method, path, body, wanted in calls:
            assert status(one, method, path, tokens["admin"], body=body) == wanted, (method, path)
    assert one.get("/metrics", token=None)[0] == 200


# ---- ending ----

def test_a_revoked_token_ends_at_once_with_its_streams_and_stays_so(daemon):
    one = daemon()
    token, other = mint(one, "ci"), mint(one, "other")
    events, samples, kept = Reader(one, token), Reader(one, token, "stream=samples"), Reader(one, other)
    assert send(one, "DELETE", f"{TOKENS}/ci")[0] == 204
    assert events.ended(5) < 1 and samples.ended(5) < 1
    code, answer, _ = ask(one, "GET", "/api/v1/workloads", token)
    assert code == 401 and "revoked" in answer["error"]["message"]
    kept.until(b"token_revoked")
    assert status(one, "GET", "/api/v1/workloads", other) == 200
    one.kill()
    (one.folder / "http.sock").unlink(missing_ok=True)
    one.start()
    assert status(one, "GET", "/api/v1/workloads", token) == 401
    assert [row["name"] for row in send(one, "GET", TOKENS)[1]] == ["other"]


def test_an_expired_token_ends_with_its_streams(daemon):
    one = daemon()
    token = mint(one, "short", expires="2s")
    events, samples = Reader(one, token), Reader(one, token, "stream=samples")
    begin = time.monotonic()
    events.ended(5)
    samples.ended(5)
    assert 0.5 < time.monotonic() - begin < 3.5
    code, answer, _ = ask(one, "GET", "/api/v1/workloads", token)
    assert code == 401 and answer["error"]["message"] == "the token has expired"
    assert send(one, "GET", TOKENS)[1][0]["expired"] is True
    wait_for(lambda: [e["action"] for e in one.events(name="api")][:2] == ["token_created", "token_expired"], 5, "the event")
    assert "virtwatch_tokens 0" in one.get("/metrics")[1]


# ---- limits ----

@pytest.fixture
def limited(daemon, engine):
    """Four containers, one of an app and one by its name within a token's limits."""
    engine.add("web", labels={"virtwatch.slug": "shop"})
    engine.add("db", labels={"virtwatch.slug": "bank"})
    engine.add("cache")
    engine.add("queue")
    one = watch(daemon, engine)
    wait_for(lambda: len(one.json("/api/v1/workloads")) == 4, 10, "the containers")
    one.token = mint(one, "limited", ["read", "events:write", "probes:write", "actions"], slugs=["shop"], workloads=["cache"])
    return one


def test_a_limited_token_s_lists_leave_out_what_is_not_its_own(limited, engine):
    ids = {row["name"]: row["id"] for row in limited.json("/api/v1/workloads")}

    def names(path, key="name"):
        code, answer, _ = ask(limited, "GET", path, limited.token)
        assert code == 200, answer
        return sorted(row[key] for row in answer)

    assert names("/api/v1/workloads") == names("/api/v1/pods") == ["cache", "web"]
    assert names("/api/app-gateway/apps", "slug") == ["shop"]
    for slug in ("shop", "bank"):
        assert send(limited, "PUT", f"/api/app-gateway/probes/{slug}", {"url": "http://192.0.2.1/", "enabled": False})[0] == 201
    assert names("/api/app-gateway/probes", "slug") == ["shop"]
    for name, wanted in (("web", 200), ("cache", 200), ("db", 404), ("queue", 404), ("nobody", 404)):
        assert status(limited, "GET", f"/api/v1/workloads/{name}", limited.token) == wanted, name
        if name in ids:
            assert status(limited, "GET", f"/api/v1/pods/{ids[name]}", limited.token) == wanted, name


def test_a_limited_token_gets_only_its_own_events_and_samples(limited, engine):
    ids = {row["name"]: row["id"] for row in limited.json("/api/v1/workloads")}
    engines = {c["Name"][1:]: one for one, c in engine.containers.items()}
    reader, past = Reader(limited, limited.token), limited.json("/api/v1/events?limit=1000")["last_seq"]
    for name in ("db", "web", "queue", "cache"):
        engine.tell(engines[name], "pause", attributes=engine.containers[engines[name]]["Config"]["Labels"])
    assert send(limited, "POST", "/api/app-gateway/events/bank", {"kind": "x"})[0] == 201
    assert send(limited, "POST", "/api/app-gateway/events/shop", {"kind": "last"})[0] == 201
    wait_for(lambda: len(limited.events(action="paused")) == 4, 10, "the pauses")
    reader.until(b'"last"')
    reader.until(b"cache")
    assert sorted(reader.names()) == ["cache", "shop", "web"]
    page = ask(limited, "GET", f"/api/v1/events?after={past}&limit=1000", limited.token)[1]["events"]
    assert sorted(e["name"] for e in page) == ["cache", "shop", "web"]
    assert {e["id"] for e in page if e["kind"] == "container"} == {ids["web"], ids["cache"]}
    # One at a time, with a filter of its own, from the journal and over SSE alike.
    assert ask(limited, "GET", "/api/v1/events?name=db", limited.token)[1]["events"] == []
    assert [e["name"] for e in ask(limited, "GET", "/api/v1/events?limit=1&newest=1&action=paused&name=web",
                                   limited.token)[1]["events"]] == ["web"]
    replay = Reader(limited, limited.token, f"after={past}")
    replay.until(b"last")
    replay.until(b"cache")
    assert sorted(replay.names()) == ["cache", "shop", "web"]
    assert ask(limited, "GET", "/api/v1/events?name=api", limited.token)[1]["events"] == []


def test_a_limited_token_reaches_its_apps_and_no_others_and_nothing_of_the_host(limited):
    for path in ("/api/app-gateway/events/{}", "/api/app-gateway/analytics/{}", "/api/app-gateway/apps/{}",
                 "/api/app-gateway/metrics/{}"):
        assert status(limited, "GET", path.format("shop"), limited.token) == 200, path
        code, answer, _ = ask(limited, "GET", path.format("bank"), limited.token)
        assert code == 403 and "limited" in answer["error"]["message"], path
    event = "/api/app-gateway/events/{}"
    assert status(limited, "POST", event.format("shop"), limited.token, body='{"kind":"x"}') == 201
    assert status(limited, "POST", event.format("bank"), limited.token, body='{"kind":"x"}') == 403
    assert limited.json(event.format("bank"))["events"] == []
    probe = '{"url":"http://192.0.2.1/","enabled":false}'
    assert status(limited, "PUT", "/api/app-gateway/probes/shop", limited.token, body=probe) == 201
    assert status(limited, "PUT", "/api/app-gateway/probes/bank", limited.token, body=probe) == 403
    # Another's numbers by way of one's own app.
    for name, wanted in (("web", 200), ("cache", 200), ("db", 404)):
        assert status(limited, "GET", f"/api/app-gateway/metrics/shop?vm_name={name}", limited.token) == wanted, name
    for path in ("/api/v1/nodes", "/api/v1/nodes/stats", "/api/v1/nodes/testnode", TOKENS):
        assert status(limited, "GET", path, limited.token) == 403, path
    assert 'virtwatch_auth_failures_total{reason="limit"}' in limited.get("/metrics")[1]


# ---- refusals ----

@pytest.mark.parametrize("path", ["/api/v1/workloads?token=x", "/api/v1/workloads?access_token={}", "/api/v1/workloads?x={}",
                                  "/api/v1/workloads?{}", "/api/v1/workloads/{}", "/metrics?x=a{}", "/health?x=%76w%5f{rest}",
                                  "/nowhere/{}"])
def test_a_token_in_the_url_is_refused_even_where_none_is_needed(daemon, path):
    one = daemon()
    token = mint(one, "ci")
    for given in (token, None):
        code, answer, _ = ask(one, "GET", path.format(token, rest=token[3:]), given)
        assert code == 400 and answer["error"]["code"] == "token_in_url", answer
    assert token not in json.dumps(one.events())
    assert token not in (one.folder / "virtwatchd.log").read_text()


WRONG = "not-the-token-0123456789"


def test_failed_tries_are_limited_by_address_and_made_tokens_still_work(daemon):
    one = daemon()
    token = mint(one, "ci")
    codes = [status(one, "GET", "/api/v1/workloads", WRONG) for _ in range(30)]
    assert codes[:20] == [401] * 20 and set(codes[21:]) == {429}
    code, answer, headers = ask(one, "GET", "/api/v1/workloads", WRONG)
    assert code == 429 and answer["error"]["code"] == "too_many_tries" and 1 <= int(headers["Retry-After"]) <= 4
    # The token of the configuration may be one that can be guessed, so it is not looked at either; one of ours is.
    assert status(one, "GET", "/api/v1/workloads", TOKEN) == 429
    assert status(one, "GET", "/api/v1/workloads", token) == 200
    assert status(one, "GET", "/api/v1/workloads", TOKEN, source="127.0.0.2") == 200
    assert status(one, "GET", "/api/v1/workloads", None) == 401
    assert status(one, "GET", "/health", WRONG) == 200
    time.sleep(int(ask(one, "GET", "/api/v1/workloads", WRONG)[2]["Retry-After"]))
    assert status(one, "GET", "/api/v1/workloads", TOKEN) == 200


def rss(daemon):
    for line in open(f"/proc/{daemon.process.pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


def flood(daemon, n, token):
    """Many connections at once, answers thrown away."""
    statuses = {}
    request = f"GET /api/v1/workloads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    for begin in range(0, n, 100):
        sockets = []
        for i in range(min(100, n - begin)):
            one = socket.socket()
            one.settimeout(20)
            one.bind((f"127.0.{1 + (begin + i) // 250 % 250}.{1 + (begin + i) % 250}", 0))
            one.connect(("127.0.0.1", daemon.port()))
            one.sendall(request)
            sockets.append(one)
        for one in sockets:
            data = b""
            while more := one.recv(65536):
                data += more
            statuses[data[9:12]] = statuses.get(data[9:12], 0) + 1
            one.close()
    return statuses


def test_ten_thousand_bad_logins_leave_memory_flat_and_few_events(daemon):
    one = daemon({"logging.level": "info"})
    assert flood(one, 2000, WRONG) == {b"401": 2000}
    before = rss(one)
    assert flood(one, 10000, "vw_" + 38 * "0") == {b"401": 10000}
    assert rss(one) - before < 2 * MIB, rss(one) - before
    assert len(one.events(name="api")) <= 64
    assert 'virtwatch_auth_failures_total{reason="malformed"} 12000' in one.get("/metrics")[1]


def test_each_reason_is_counted(daemon):
    one = daemon()
    token, unknown = mint(one, "ci"), mint(one, "gone")
    assert send(one, "DELETE", f"{TOKENS}/gone")[0] == 204
    assert status(one, "GET", "/api/v1/workloads", None) == 401
    assert status(one, "GET", "/api/v1/workloads", WRONG) == 401
    assert status(one, "GET", "/api/v1/workloads", unknown) == 401
    assert status(one, "GET", TOKENS, token) == 403
    assert status(one, "GET", f"/health?t={token}", None) == 400
    text = one.get("/metrics")[1]
    for reason in ("missing", "malformed", "unknown", "scope", "in_url"):
        assert f'virtwatch_auth_failures_total{{reason="{reason}"}} 1\n' in text, reason
    assert 'reason="expired"' not in text


def test_who_made_revoked_and_was_refused_is_in_the_journal(daemon, stream):
    one = daemon()
    reader = stream(one)
    boss = mint(one, "boss", ["admin"])
    token = mint(one, "ci", token=boss)
    assert status(one, "DELETE", f"{TOKENS}/ci", token) == 403
    assert status(one, "DELETE", f"{TOKENS}/ci", boss) == 204
    answer = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", "DELETE", "--unix-socket",
                             one.folder / "http.sock", f"http://x{TOKENS}/boss"], capture_output=True, text=True, timeout=20)
    assert answer.stdout == "204"
    told = []
    while len(told) < 5:
        told += [event for event in [reader.next()] if event["name"] == "api"]
    assert [(e["kind"], e["name"], e["action"]) for e in told] == [
        ("source", "api", action) for action in ("token_created", "token_created", "access_refused", "token_revoked",
                                                 "token_revoked")]
    assert [e.get("by") for e in told] == ["http.token", "token boss", None, "token boss", "uid 0"]
    assert (told[1]["token_name"], told[3]["token_name"], told[4]["token_name"]) == ("ci", "ci", "boss")
    assert told[2]["reason"] == "scope" and told[2]["address"] == "127.0.0.1" and "token ci" in told[2]["what"]
    assert one.events(name="api") == told
    assert token not in json.dumps(told) and boss not in json.dumps(told)


def test_a_token_that_is_given_counts_on_the_local_socket_too(daemon):
    one = daemon()
    token = mint(one, "ci")

    def local(*headers):
        args = [part for header in headers for part in ("-H", header)]
        return subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *args, "--unix-socket",
                               one.folder / "http.sock", f"http://x{TOKENS}"], capture_output=True, text=True, timeout=20).stdout

    assert local() == "200"
    assert local(f"Authorization: Bearer {token}") == "403"
    assert local(f"X-Virtwatch-Token: {token}x") == "401"
    assert local(f"Authorization: Bearer {TOKEN}") == "200"


def test_a_stranger_on_the_local_socket_is_limited_by_his_user(daemon):
    one = daemon()
    one.folder.chmod(0o755)
    for parent in one.folder.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    call = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-s", "-w", "%{http_code}\n", "-H",
            f"Authorization: Bearer {WRONG}", "--unix-socket", one.folder / "http.sock",
            *["-o", "/dev/null", "http://x/api/v1/workloads"] * 25]
    codes = subprocess.run(call, capture_output=True, text=True, timeout=60).stdout.split()
    assert codes[:20] == ["401"] * 20 and codes[-1] == "429"
    wait_for(lambda: one.events(name="api")[0]["address"] == "uid 65534", 10, "the event")
    assert status(one, "GET", "/api/v1/workloads") == 200


# As systemd does it: root and the service's user keep their numbers, all others are the one that stands for "somebody".
PRIVATE_USERS = """
import ctypes, os, sys
user = int(sys.argv[1])
unshared = os.pipe()
writer = os.fork()
if writer == 0:
    os.read(unshared[0], 1)
    for kind in ("uid", "gid"):
        with open(f"/proc/{os.getppid()}/{kind}_map", "w") as numbers:
            numbers.write(f"0 0 1\\n{user} {user} 1\\n")
    os._exit(0)
assert ctypes.CDLL(None).unshare(0x10000000) == 0
os.write(unshared[1], b"x")
assert os.waitpid(writer, 0)[1] == 0
os.setgroups([])
os.setresgid(user, user, user)
os.setresuid(user, user, user)
os.execv(sys.argv[2], sys.argv[2:])
"""


class OwnUser(Daemon):
    """As a user of its own, who knows of the others what the unit lets it."""

    def __init__(self, folder, user):
        unit = (ROOT / "units/virtwatchd.service.in").read_text()
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        self.before = ["/usr/bin/python3", "-c", PRIVATE_USERS, user] if "\nPrivateUsers=yes\n" in unit else as_user
        super().__init__(folder, {})


def test_who_asks_over_the_local_socket_is_told_by_his_own_number(tmp_path):
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(path.stat().st_mode | 0o011)
    os.chown(tmp_path, 64991, 64991)
    one = OwnUser(tmp_path, 64991)
    try:
        for user in (64992, 64993):
            call = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "curl", "-s", "-w", "%{http_code}\n", "-H",
                    f"Authorization: Bearer {WRONG}", "--unix-socket", one.folder / "http.sock", "-o", "/dev/null", f"http://x{TOKENS}"]
            assert subprocess.run(call, capture_output=True, text=True, timeout=60).stdout == "401\n"
        wait_for(lambda: [event["address"] for event in one.events(name="api")] == ["uid 64992", "uid 64993"], 10, "both")
    finally:
        one.stop()


def test_the_document_of_a_token_that_somebody_spoiled_is_skipped(daemon):
    one = daemon()
    good, bad = mint(one, "good"), mint(one, "bad")
    one.stop()
    database = sqlite3.connect(one.folder / "state/events.db")
    assert database.execute("UPDATE documents SET document = replace(document, '\"read\"', '\"root\"') WHERE kind = 'token' "
                            "AND document LIKE '%\"bad\"%'").rowcount == 1
    database.commit()
    database.close()
    one.start()
    assert status(one, "GET", "/api/v1/workloads", good) == 200
    assert status(one, "GET", "/api/v1/workloads", bad) == 401
    assert "Cannot restore token" in (one.folder / "virtwatchd.log").read_text()


# ---- the client ----

def cli(daemon, *args, **environment):
    return subprocess.run([BUILD / "src/virtwatch", "--host", f"unix:{daemon.folder}/http.sock", *args], capture_output=True,
                          text=True, timeout=20, env={"PATH": "/usr/bin:/bin", **environment})


def test_the_client_makes_lists_uses_and_revokes(daemon, tmp_path):
    one = daemon()
    made = cli(one, "token", "create", "ci", "--scope", "read,events:write", "--expires", "30d", "--slug", "shop", "--slug", "bank",
               "--workload", "web-1")
    assert made.returncode == 0 and FORM.fullmatch(made.stdout.strip()) and "not shown again" in made.stderr
    token = made.stdout.strip()
    listed = send(one, "GET", TOKENS)[1][0]
    assert listed["scopes"] == ["read", "events:write"] and listed["slugs"] == ["shop", "bank"]
    assert listed["workloads"] == ["web-1"] and listed["expires_at"] and listed["created_by"] == "uid 0"
    table = cli(one, "token", "list").stdout.splitlines()
    assert table[0].split()[:2] == ["ID", "NAME"] and table[1].split()[:2] == [listed["id"], "ci"]
    assert table[1].endswith("read,events:write  slugs: shop,bank  workloads: web-1")
    (tmp_path / "token").write_text(token + "\n")
    over_tcp = ["--host", f"http://127.0.0.1:{one.port()}"]
    assert cli(one, *over_tcp, "--token-file", tmp_path / "token", "workloads").returncode == 0
    assert cli(one, *over_tcp, "workloads", VIRTWATCH_TOKEN=token).returncode == 0
    refused = cli(one, *over_tcp, "token", VIRTWATCH_TOKEN=token)
    assert refused.returncode == 2 and "403: that needs the scope admin" in refused.stderr
    assert json.loads(cli(one, "--json", "token").stdout)[0]["name"] == "ci"
    assert cli(one, "token", "revoke", "ci").returncode == 0
    assert cli(one, "token", "revoke", listed["id"]).returncode == 2
    assert cli(one, *over_tcp, "workloads", VIRTWATCH_TOKEN=token).returncode == 2


@pytest.mark.parametrize("args, text", [
    (("create", "ci"), "wants --scope"), (("create", "ci", "--scope", "root"), "400: scopes: "),
    (("create", "--scope", "read"), "token create NAME"), (("create", "ci", "--scope", "read", "--expires", "soon"), "400: expires: "),
    (("create", "ci", "--scope", "read", "--slug", "A"), "400: slugs: "), (("revoke",), "token revoke ID|NAME"),
    (("revoke", "a/../b"), "404: "), (("mint",), "token [list]"),
], ids=range(8))
def test_the_client_says_what_is_wrong(daemon, args, text):
    one = daemon()
    answer = cli(one, "token", *args)
    assert answer.returncode == 2 and text in answer.stderr and send(one, "GET", TOKENS)[1] == []
