"""Probes against real HTTP and HTTPS servers: what is told of them, once, also across kills; and whom they never ask."""

import calendar
import http.server
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest

from conftest import BUILD, wait_for
from dbus_peers import Engine
from test_apps import send

PROBES = "/api/app-gateway/probes"
SHOP = f"{PROBES}/shop"
LOOPBACK = {"probes.allow": "127.0.0.1"}


class Target:
    """A server on loopback; self.behave(handler) answers."""

    def __init__(self, tls=None, port=0):
        self.requests, self.status, self.headers, self.behave = [], 200, {}, None
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                target.requests.append((time.monotonic(), self.path, dict(self.headers)))
                if target.behave:
                    return target.behave(self)
                self.send_response(target.status)
                for name, value in target.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *args):
                pass

        self.server = Server(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def target():
    started = []

    def start(**options):
        started.append(Target(**options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def put(daemon, slug="shop", **config):
    status, probe = send(daemon, "PUT", f"{PROBES}/{slug}", config)
    assert status in (200, 201), probe
    return probe


def run(daemon, slug="shop"):
    status, probe = send(daemon, "POST", f"{PROBES}/{slug}/run")
    assert status == 200, probe
    return probe


def flips(daemon, slug="shop"):
    return [event["action"] for event in daemon.events(slug=slug, kind="probe")]


def test_the_frozen_shape_is_set_told_changed_and_removed(daemon):
    one = daemon()
    config = {"path": "/healthz", "interval_s": 60, "expected_status": 200, "timeout_s": 5, "enabled": True}
    assert send(one, "GET", SHOP)[0] == 404
    assert send(one, "DELETE", SHOP)[0] == 404
    assert send(one, "PUT", SHOP, config)[0] == 201
    assert send(one, "GET", SHOP) == (200, {"config": config, "last_run_at": None, "last_status": None, "last_http_status": None,
                                            "last_error": None, "consecutive_failures": 0})
    assert send(one, "PUT", SHOP, dict(config, interval_s=30, enabled=False))[0] == 200
    one.kill()
    (one.folder / "http.sock").unlink(missing_ok=True)
    one.start()
    assert send(one, "GET", SHOP)[1]["config"] == dict(config, interval_s=30, enabled=False)
    assert [probe["slug"] for probe in send(one, "GET", PROBES)[1]] == ["shop"]
    assert send(one, "DELETE", SHOP) == (204, None)
    assert send(one, "GET", SHOP)[0] == 404
    assert send(one, "GET", PROBES)[1] == []
    one.kill()
    (one.folder / "http.sock").unlink(missing_ok=True)
    one.start()
    assert send(one, "GET", SHOP)[0] == 404


@pytest.mark.parametrize("body, field", [
    ({"interval_s": 0}, "interval_s"), ({"interval_s": -1}, "interval_s"), ({"interval_s": 1e308}, "interval_s"),
    ({"interval_s": 86401}, "interval_s"), ({"interval_s": 60.5}, "interval_s"), ({"interval_s": "60"}, "interval_s"),
    ({"expected_status": 99}, "expected_status"), ({"expected_status": 600}, "expected_status"), ({"timeout_s": 0}, "timeout_s"),
    ({"timeout_s": 61}, "timeout_s"), ({"path": "/x\r\nHost: y"}, "path"), ({"path": "x"}, "path"), ({"path": "/" + "x" * 1024}, "path"),
    ({"path": "/\u0000"}, "path"), ({"enabled": 1}, "enabled"), ({"failures": 0}, "failures"), ({"successes": 101}, "successes"),
    ({"url": "file:///etc/passwd"}, "url"), ({"url": "http://user@10.0.0.1"}, "url"), ({"url": "http://0x7f.1/"}, "url"),
    ({"url": "http://169.254.169.254/latest/meta-data"}, "url"), ({"url": "http://[::ffff:169.254.169.254]"}, "url"),
    ({"colour": "red"}, "colour"),
], ids=range(23))
def test_a_bad_probe_names_its_field_and_stores_nothing(daemon, body, field):
    one = daemon()
    status, answer = send(one, "PUT", SHOP, body)
    assert status == 400 and answer["error"]["message"].startswith(field + ":"), answer
    assert send(one, "GET", PROBES)[1] == []


@pytest.mark.parametrize("body", [b'{"interval_s":NaN}', b'{"interval_s":1,"interval_s":2}', b'{"path":"\xff"}', b"[]"])
def test_what_is_no_json_stores_nothing(daemon, body):
    one = daemon()
    assert send(one, "PUT", SHOP, body)[0] == 400
    assert send(one, "PUT", f"{PROBES}/-x", {})[0] == 400
    assert send(one, "PUT", f"{PROBES}/a/b", {})[0] == 400
    assert send(one, "PUT", SHOP, {}, token=None)[0] == 401
    assert send(one, "POST", f"{SHOP}/run", token=None)[0] == 401
    assert send(one, "GET", f"{SHOP}/run")[0] == 405
    assert send(one, "POST", SHOP)[0] == 405
    assert send(one, "POST", f"{SHOP}/run")[0] == 404
    assert send(one, "GET", PROBES)[1] == []


def test_what_is_refused_is_told_in_utf8(daemon):
    one = daemon()
    status, answer = send(one, "PUT", SHOP, {"a" + "\u00e4" * 40: 1})
    assert status == 400 and "there is no such member" in answer["error"]["message"]


def test_a_target_goes_down_and_up_and_each_is_told_once_everywhere(daemon, target, stream):
    one, shop = daemon(LOOPBACK), target()
    reader = stream(one)
    put(one, path="/healthz?deep=1", url=shop.url, interval_s=1, failures=2, successes=2)
    wait_for(lambda: flips(one) == ["probe_up"], 15, "it is up")
    assert shop.requests[0][1] == "/healthz?deep=1"
    assert shop.requests[0][2]["User-Agent"].startswith("virtwatch/")
    shop.status = 503
    wait_for(lambda: flips(one) == ["probe_up", "probe_down"], 15, "it is down")
    probe = send(one, "GET", SHOP)[1]
    assert probe["last_http_status"] == 503 and probe["last_status"] == "down" and probe["consecutive_failures"] >= 2
    assert probe["last_error"] == "status 503 where 200 is expected" and probe["status"] == "down"
    shop.status = 200
    wait_for(lambda: flips(one) == ["probe_up", "probe_down", "probe_up"], 15, "it is up again")
    time.sleep(2.5)
    assert flips(one) == ["probe_up", "probe_down", "probe_up"]
    for action in ("probe_up", "probe_down", "probe_up"):
        told = next(event for event in iter(reader.next, None) if event["kind"] == "probe")  # a busy machine has others
        assert (told["kind"], told["action"], told["slug"], told["name"]) == ("probe", action, "shop", "shop")
    rows = send(one, "GET", "/api/app-gateway/events/shop?kind=probe_down")[1]["events"]
    assert len(rows) == 1 and rows[0]["severity"] == "warning" and rows[0]["metadata"]["http_status"] == 503
    turns = [request[0] for request in shop.requests]
    gaps = [later - before for before, later in zip(turns, turns[1:])]
    assert all(0.7 < gap < 1.3 for gap in gaps), gaps


def test_the_apps_host_is_asked_where_there_is_no_url(daemon, target):
    one, shop = daemon(LOOPBACK), target()
    put(one, path="/healthz")
    status, answer = send(one, "POST", f"{SHOP}/run")
    assert status == 404 and answer["error"]["code"] == "no_target"
    send(one, "PUT", "/api/app-gateway/apps/shop", {"hosts": [f"127.0.0.1:{shop.port}"]})
    assert run(one)["last_status"] == "up"
    assert shop.requests[0][1] == "/healthz"


def test_metrics_have_the_usual_names(daemon, target):
    one, shop = daemon(LOOPBACK), target()
    put(one, url=shop.url)
    put(one, slug="off", url=shop.url, enabled=False)
    run(one)
    run(one, "off")
    text = one.get("/metrics")[1]
    assert 'probe_success{slug="shop"} 1\n' in text and 'probe_http_status_code{slug="shop"} 200\n' in text
    assert re.search(r'^probe_duration_seconds\{slug="shop"\} 0\.\d+$', text, re.M)
    for phase in ("resolve", "connect", "tls", "processing", "transfer"):
        assert f'probe_http_duration_seconds{{slug="shop",phase="{phase}"}} 0' in text
    assert "probe_ssl_earliest_cert_expiry" not in text and '"off"' not in text
    shop.status = 404
    assert run(one)["last_status"] == "down"
    text = one.get("/metrics")[1]
    assert 'probe_success{slug="shop"} 0\n' in text and 'probe_http_status_code{slug="shop"} 404\n' in text
    assert 'virtwatch_probe_runs_total{result="failure"} 1\n' in text


# ---- certificates ----

def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA, and what it has signed for 127.0.0.1: for 40 days, and one that has ended."""
    folder = tmp_path_factory.mktemp("tls")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-days", "90",
            "-subj", "/CN=test CA", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign")
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    (folder / "other").write_text("subjectAltName=DNS:other.example\n")
    for name, san, days in (("good", "san", 40), ("other", "other", 40), ("ended", "san", -1)):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial",
                "-days", days, "-extfile", folder / san, "-out", folder / f"{name}.pem")
    return folder


def context(folder, name):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return tls


def test_https_is_verified_and_its_end_is_told(daemon, target, certificates):
    one = daemon({**LOOPBACK, "probes.ca_file": certificates / "ca.pem"})
    shop = target(tls=context(certificates, "good"))
    put(one, url=shop.url)
    probe = run(one)
    assert probe["last_status"] == "up", probe
    assert probe["last_phases_ms"]["tls"] > 0
    text = subprocess.check_output(["openssl", "x509", "-in", certificates / "good.pem", "-noout", "-enddate"], text=True)
    ends = calendar.timegm(time.strptime(text.strip().split("=")[1], "%b %d %H:%M:%S %Y %Z"))
    assert f'probe_ssl_earliest_cert_expiry{{slug="shop"}} {ends}\n' in one.get("/metrics")[1]
    assert "virtwatch_probe_up{" not in one.get("/metrics")[1]  # one success is not enough to tell
    run(one)
    assert 'virtwatch_probe_up{slug="shop"} 1\n' in one.get("/metrics")[1]
    assert calendar.timegm(time.strptime(probe["certificate_expires_at"], "%Y-%m-%dT%H:%M:%SZ")) == ends


@pytest.mark.parametrize("name, ca, words", [("good", False, "certificate"), ("other", True, "certificate"), ("ended", True, "expired")],
                         ids=["unknown-ca", "other-name", "ended"])
def test_a_bad_certificate_is_a_failure_unless_any_will_do(daemon, target, certificates, name, ca, words):
    one = daemon({**LOOPBACK, **({"probes.ca_file": certificates / "ca.pem"} if ca else {})})
    shop = target(tls=context(certificates, name))
    put(one, url=shop.url)
    probe = run(one)
    assert probe["last_status"] == "down" and words in probe["last_error"].lower(), probe
    assert shop.requests == []
    put(one, url=shop.url, insecure=True)
    assert run(one)["last_status"] == "up"
    assert 'probe_ssl_earliest_cert_expiry{slug="shop"} ' in one.get("/metrics")[1]


# ---- targets that behave badly ----

def hang(handler):
    time.sleep(30)


def drip(handler):
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.2)


def endless_headers(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X: " + b"y" * 1000 + b"\r\n")


def garbage(handler):
    handler.wfile.write(b"\x1b[31m\xff\xfe not http\r\n\r\n" * 10)


def closes(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("behave", [hang, drip, endless_headers, garbage, closes])
def test_a_target_that_behaves_badly_is_down_in_words(daemon, target, behave):
    one, shop = daemon(LOOPBACK), target()
    shop.behave = behave
    put(one, url=shop.url, timeout_s=2)
    begin = time.monotonic()
    probe = run(one)
    assert time.monotonic() - begin < 4
    assert probe["last_status"] == "down" and probe["last_error"].isprintable(), probe
    if behave in (hang, drip):
        assert probe["last_error"] == "no answer within 2 s"
    put(one, slug="fine", url=target().url)
    assert run(one, "fine")["last_status"] == "up"


def test_a_large_body_is_cut_and_the_status_counts(daemon, target):
    one, shop = daemon(LOOPBACK), target()
    sent = []

    def large(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1000):
            sent.append(handler.wfile.write(b"x" * 65536))

    shop.behave = large
    put(one, url=shop.url)
    probe = run(one)
    assert probe["last_status"] == "up" and probe["last_http_status"] == 200
    wait_for(lambda: len(sent) < 1000, 1, "it was not read to its end")


def test_targets_that_hang_delay_no_other(daemon, target):
    one, bad, good = daemon(LOOPBACK), target(), target()
    bad.behave = hang
    for i in range(60):
        put(one, slug=f"bad-{i}", url=bad.url, interval_s=1, timeout_s=10)
    put(one, slug="good", url=good.url, interval_s=1, timeout_s=2)
    wait_for(lambda: len(bad.requests) == 60, 20, "all of the bad are under way")
    before = len(good.requests)
    time.sleep(5)
    turns = [request[0] for request in good.requests[before:]]
    assert len(turns) in (4, 5, 6)
    assert all(0.8 < later - first < 1.2 for first, later in zip(turns, turns[1:])), turns
    assert len(bad.requests) == 60  # none was asked again while it was being asked
    assert flips(one, "good") == ["probe_up"]


def test_whom_to_ask_is_found_without_a_walk_each_time(daemon, target, tmp_path):
    """1,000 containers of many labels, 100 of which are asked each second: a walk through all of them, to find one, is a millisecond or more."""
    shop, engine = target(), Engine(tmp_path / "engine.sock")
    for i in range(1000):
        one = engine.add(f"c{i}", labels={"virtwatch.slug": f"a-{i}", **{f"label.{k}": f"value {k}" for k in range(20)}})
        engine.containers[one]["NetworkSettings"] = {"Networks": {"n": {"IPAddress": "127.0.0.1"}}}
    try:
        one = daemon({**LOOPBACK, "sources.docker.enabled": "true", "sources.docker.socket": engine.path})
        one.up("docker")
        wait_for(lambda: sum("addresses" in one.json(f"/api/v1/workloads/c{i}") for i in (0, 999)) == 2, 60, "their addresses")
        send(one, "PUT", "/api/app-gateway/apps/other", {"labels": {"label.1": "another"}})
        for i in range(900, 1000):
            put(one, slug=f"a-{i}", target="vm", port=shop.port, interval_s=1)
        wait_for(lambda: len(shop.requests) >= 200, 20, "each was asked")

        def cpu():
            fields = pathlib.Path(f"/proc/{one.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        runs, before, begin = len(shop.requests), cpu(), time.monotonic()
        time.sleep(4)
        took = time.monotonic() - begin
        assert len(shop.requests) - runs > 80 * took
        assert cpu() - before < 0.2 * took
    finally:
        engine.stop()


def test_redirects_are_followed_only_where_they_may(daemon, target):
    one, shop, other = daemon(LOOPBACK), target(), target()
    shop.status, shop.headers = 302, {"Location": f"{other.url}/there"}
    put(one, url=shop.url)
    assert run(one)["last_error"] == "status 302 where 200 is expected"
    assert other.requests == []
    put(one, url=shop.url, expected_status=302)
    assert run(one)["last_status"] == "up"
    put(one, url=shop.url, follow_redirects=True)
    assert run(one)["last_status"] == "up"
    assert other.requests[0][1] == "/there"
    shop.headers = {"Location": "/again"}
    assert run(one)["last_error"] == "more than 5 redirects"
    for location in (f"http://127.0.0.2:{other.port}/", f"http://[::ffff:127.0.0.2]:{other.port}/", "http://169.254.169.254/latest",
                     f"http://127.0.0.1:{one.port()}/health", "http://0/"):
        shop.headers = {"Location": location}
        assert "is not to be asked" in run(one)["last_error"], location
    for location in ("file:///etc/passwd", f"gopher://127.0.0.1:{other.port}/x", f"ftp://127.0.0.1:{other.port}/x"):
        shop.headers = {"Location": location}
        assert run(one)["last_error"] == "redirected to what is neither http nor https", location
    assert len(other.requests) == 1


def test_loopback_and_a_proxy_from_the_environment_are_not_asked(daemon, target, monkeypatch):
    proxy, shop = target(), target()
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    one = daemon()
    assert send(one, "PUT", SHOP, {"url": shop.url})[0] == 400
    put(one, url=f"http://localhost:{shop.port}")
    assert "is not to be asked" in run(one)["last_error"]
    send(one, "PUT", "/api/app-gateway/apps/shop", {"hosts": [f"127.0.0.1:{shop.port}"]})
    put(one)
    assert run(one)["last_error"] == "127.0.0.1 is not to be asked: it is a loopback address"
    assert shop.requests == [] and proxy.requests == []


def test_a_name_that_moves_to_loopback_is_not_followed_there():
    """In a network namespace of its own, with a name server of the test's."""
    script = pathlib.Path(__file__).parent / "rebinding.py"
    done = subprocess.run(["unshare", "-n", "-m", sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 names, 0 connections to loopback" in done.stdout


# ---- what lasts ----

def restart(one, kill=True):
    one.kill() if kill else one.stop()
    (one.folder / "http.sock").unlink(missing_ok=True)
    one.start()


@pytest.mark.parametrize("kill", [True, False], ids=["kill", "stop"])
def test_the_state_survives_a_restart_and_no_flip_is_told_twice(daemon, target, kill):
    one, shop = daemon(LOOPBACK), target()
    shop.status = 500
    put(one, url=shop.url, failures=2, interval_s=3600)
    run(one)
    run(one)
    before = run(one)
    assert before["consecutive_failures"] == 3
    wait_for(lambda: flips(one) == ["probe_down"], 5, "it is durable")
    restart(one, kill)
    probe = send(one, "GET", SHOP)[1]
    assert probe["status"] == "down" and probe["last_status"] == "down" and probe["last_http_status"] == 500
    assert probe["since"] == before["since"] and probe["last_error"] == before["last_error"]
    if not kill:
        assert probe == before
    run(one)
    assert flips(one) == ["probe_down"]
    shop.status = 200
    run(one)
    run(one)
    wait_for(lambda: len(flips(one)) == 2, 5, "it is durable")
    restart(one, kill)
    run(one)
    assert flips(one) == ["probe_down", "probe_up"]


def test_flips_come_once_each_in_a_storm_of_kills(daemon, target):
    """Whatever the moment of the kill, ups and downs alternate: an event and the state that it tells are stored together."""
    one, shop = daemon(LOOPBACK), target()
    names = [f"p-{i}" for i in range(20)]
    for name in names:
        put(one, slug=name, url=shop.url, failures=1, successes=1, interval_s=1)
    for i in range(12):
        shop.status = 200 if i % 2 else 500
        time.sleep(0.9 + 0.05 * i)
        restart(one)
    shop.status = 200
    wait_for(lambda: all(send(one, "GET", f"{PROBES}/{name}")[1].get("status") == "up" for name in names), 20, "all are up")
    for name in names:
        told = flips(one, name)
        assert told and told[-1] == "probe_up"
        assert all(a != b for a, b in zip(told, told[1:])), (name, told)


def test_switched_off_they_are_kept_and_not_run(daemon, target):
    shop = target()
    one = daemon({**LOOPBACK, "probes.enabled": "false"})
    put(one, url=shop.url, interval_s=1)
    assert send(one, "POST", f"{SHOP}/run")[0] == 409
    time.sleep(2.5)
    assert shop.requests == []


def test_a_denied_range_is_closed(daemon, target):
    one, shop = daemon({**LOOPBACK, "probes.deny": "127.0.0.0/8"}), target()
    assert "its range is denied" in send(one, "PUT", SHOP, {"url": shop.url})[1]["error"]["message"]


# ---- the client ----

def virtwatch(one, *args, code=0):
    done = subprocess.run([BUILD / "src/virtwatch", "--host", f"unix:{one.folder}/http.sock", *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_client_sets_shows_runs_and_removes(daemon, target):
    one, shop = daemon(LOOPBACK), target()
    assert "shop" in virtwatch(one, "probe", "set", "shop", f"url={shop.url}/healthz", "interval_s=3600", "failures=1")
    assert send(one, "GET", SHOP)[1]["config"] == {"path": "/healthz", "interval_s": 3600, "expected_status": 200, "timeout_s": 5,
                                                   "enabled": True, "failures": 1, "url": shop.url}
    virtwatch(one, "probe", "set", "shop", "timeout_s=2", "enabled=false")
    assert send(one, "GET", SHOP)[1]["config"] == {"path": "/healthz", "interval_s": 3600, "expected_status": 200, "timeout_s": 2,
                                                   "enabled": False, "failures": 1, "url": shop.url}
    assert " off " in virtwatch(one, "probe") and " never " in virtwatch(one, "probe")
    virtwatch(one, "probe", "set", "shop", "enabled=true", f"url={shop.url}/other")
    assert shop.requests == []
    assert " 200 " in virtwatch(one, "probe", "run", "shop")
    assert shop.requests[0][1] == "/other"
    shop.status = 500
    assert "status 500 where 200 is expected" in virtwatch(one, "probe", "run", "shop", code=1)
    assert " down " in virtwatch(one, "probe", "show", "shop")
    assert json.loads(virtwatch(one, "probe", "show", "-o", "json"))[0]["slug"] == "shop"
    assert "interval_s: is a whole number" in virtwatch(one, "probe", "set", "shop", "interval_s=0", code=2)
    assert "wants KEY=VALUE" in virtwatch(one, "probe", "set", "shop", "interval_s", code=2)
    assert "probe set SLUG KEY=VALUE" in virtwatch(one, "probe", "set", "shop", code=2)
    assert "probe set SLUG" in virtwatch(one, "probe", "paint", code=2)
    virtwatch(one, "probe", "rm", "shop")
    assert "there is no probe" in virtwatch(one, "probe", "rm", "shop", code=2)
    assert "there is no probe" in virtwatch(one, "probe", "show", "shop", code=2)


@pytest.mark.parametrize("args, code, told", [
    (("apps",), 0, "there is no app yet"), (("probe",), 0, "there is no probe yet"), (("token",), 0, "there is no token yet"),
    (("timeline", "shop"), 0, "nothing has happened to shop yet"), (("analytics", "shop", "--days=3"), 0, "no requests to shop in these 3 days"),
    (("apps", "shop"), 2, "apps takes no 'shop'"), (("analytics", "shop", "web"), 2, "analytics takes no 'web'"),
    (("timeline", "Bad Slug"), 2, "1 to 63 of a-z, 0-9 and -"), (("analytics", "-x"), 2, ""), (("analytics", "Bad"), 2, "1 to 63 of a-z, 0-9 and -")])
def test_the_client_says_that_there_is_nothing_and_what_it_does_not_take(daemon, args, code, told):
    one = daemon()
    assert told in virtwatch(one, *args, code=code)
    if code == 0:
        plain = subprocess.run([BUILD / "src/virtwatch", "--host", f"unix:{one.folder}/http.sock", *args, "-o", "json"], capture_output=True,
                               text=True, timeout=60)
        assert plain.returncode == 0 and plain.stderr == "" and all(json.loads(line) is not None for line in plain.stdout.splitlines())
