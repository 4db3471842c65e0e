"""What comes over the wire: bad requests, limits, slow readers, names that want to be code."""

import contextlib
import gzip
import json
import pathlib
import select
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

from conftest import TOKEN, end, spawn, wait_for

GOOD = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\n"
H = b"Host: a\r\n"
G = b"GET /health HTTP/1.1\r\n"
P = b"POST /api/v1/workloads HTTP/1.1\r\n" + GOOD.encode()
CHUNKED = P + b"Transfer-Encoding: chunked\r\n"
HIDDEN = b"GET /api/v1/version HTTP/1.1\r\nHost: b\r\n\r\n"
# What a smuggler sends: each could be read in two ways, or breaks a rule of RFC 9110 or 9112. By name: status, bytes.
BAD = {
    # where a line ends
    "LF only": (400, b"GET /health HTTP/1.1\nHost: a\n\n"),
    "one LF only": (400, G + b"Host: a\nX: 1\r\n\r\n"),
    "bare CR between fields": (400, G + H + b"X: 1\rY: 2\r\n\r\n"),
    "bare CR after the request line": (400, b"GET /health HTTP/1.1\r" + H + b"\r\n"),
    "CR CR LF": (400, G + b"Host: a\r\r\n\r\n"),
    "folded field": (400, G + H + b"X: 1\r\n 2\r\n\r\n"),
    "folded first field": (400, G + b" Host: a\r\n\r\n"),
    "empty line first, then hidden": (400, b"\r\n\r\n" + HIDDEN),
    # fields
    "blank before the colon": (400, G + b"Host : a\r\n\r\n"),
    "tab before the colon": (400, G + H + b"X\t: 1\r\n\r\n"),
    "field without a colon": (400, G + H + b"nonsense\r\n\r\n"),
    "field without a name": (400, G + H + b": 1\r\n\r\n"),
    "blank in a name": (400, G + H + b"X Y: 1\r\n\r\n"),
    "UTF-8 in a name": (400, G + H + "X-\u00e4: 1\r\n\r\n".encode()),
    "NUL in a name": (400, G + H + b"X\0: 1\r\n\r\n"),
    "NUL in a value": (400, G + H + b"X: 1\x002\r\n\r\n"),
    "control byte in a value": (400, G + H + b"X: \x01\r\n\r\n"),
    "no host in 1.1": (400, G + b"\r\n"),
    "host twice": (400, G + H + b"Host: b\r\n\r\n"),
    "host with a path": (400, G + b"Host: a/b\r\n\r\n"),
    "host with a user": (400, G + b"Host: u@a\r\n\r\n"),
    "two tokens": (400, G + f"{GOOD}Authorization: Bearer x\r\n\r\n".encode()),
    "an expectation nobody knows": (417, G + H + b"Expect: 200-ok\r\n\r\n"),
    "101 fields": (431, G + H + b"".join(b"X%d: 1\r\n" % i for i in range(101)) + b"\r\n"),
    "64 KiB of fields": (431, G + H + b"X: " + b"a" * 65536 + b"\r\n\r\n"),
    # the request line
    "target of 64 KiB": (414, b"GET /" + b"a" * 65536 + b" HTTP/1.1\r\n" + H + b"\r\n"),
    "raw utf-8 in the target": (400, "GET /h\u00e9alth HTTP/1.1\r\nHost: a\r\n\r\n".encode()),
    "control byte in the target": (400, b"GET /hea\x01lth HTTP/1.1\r\n" + H + b"\r\n"),
    "NUL in the target": (400, b"GET /hea\0lth HTTP/1.1\r\n" + H + b"\r\n"),
    "blank in the target": (400, b"GET /hea lth HTTP/1.1\r\n" + H + b"\r\n"),
    "fragment in the target": (400, b"GET /health#x HTTP/1.1\r\n" + H + b"\r\n"),
    "target without a slash": (400, b"GET health HTTP/1.1\r\n" + H + b"\r\n"),
    "two blanks": (400, b"GET  /health HTTP/1.1\r\n" + H + b"\r\n"),
    "tab for a blank": (400, b"GET\t/health HTTP/1.1\r\n" + H + b"\r\n"),
    "unknown method": (501, b"BREW /health HTTP/1.1\r\n" + H + b"\r\n"),
    "lower-case method": (501, b"get /health HTTP/1.1\r\n" + H + b"\r\n"),
    "TRACE": (501, b"TRACE /health HTTP/1.1\r\n" + H + b"\r\n"),
    "CONNECT": (400, b"CONNECT a:80 HTTP/1.1\r\n" + H + b"\r\n"),
    "no version": (400, b"GET /health\r\n" + H + b"\r\n"),
    "version of the future": (505, b"GET /health HTTP/9.9\r\n" + H + b"\r\n"),
    "HTTP/2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "lower-case http": (400, b"GET /health http/1.1\r\n" + H + b"\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n" + bytes(64) + b"\n"),
    "binary": (400, bytes(range(256)) * 4 + b"\r\n\r\n"),
    # where the body ends
    "length twice": (400, P + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + HIDDEN),
    "same length twice": (400, P + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
    "list of lengths": (400, P + b"Content-Length: 2, 2\r\n\r\n{}"),
    "length and chunked": (400, CHUNKED + b"Content-Length: 3\r\n\r\n0\r\n\r\n" + HIDDEN),
    "negative length": (400, P + b"Content-Length: -1\r\n\r\n"),
    "length with a sign": (400, P + b"Content-Length: +1\r\n\r\nx"),
    "length in hex": (400, P + b"Content-Length: 0x1\r\n\r\nx"),
    "empty length": (400, P + b"Content-Length: \r\n\r\nx"),
    "length past 64 bits": (413, P + b"Content-Length: 18446744073709551617\r\n\r\nx"),
    "body over the limit": (413, P + b"Content-Length: 1048577\r\n\r\n"),
    "chunk size past 64 bits": (411, CHUNKED + b"\r\nfffffffffffffffff\r\n"),
    "chunk size of no digits": (411, CHUNKED + b"\r\nxyz\r\n"),
    "chunked twice": (400, CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunked, chunked": (501, P + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "xchunked": (501, P + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "chunked in 1.0": (400, b"POST /health HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "vertical tab before chunked": (400, P + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    "request hidden in a GET's body": (400, G + H + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN),
}
assert len(BAD) >= 53


@pytest.fixture
def server(daemon):
    return daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": "test:///default"})


def send(server, data, seconds=5):
    with socket.create_connection(("127.0.0.1", server.port()), timeout=seconds) as connection:
        connection.sendall(data)
        try:
            return connection.recv(65536)
        except (ConnectionResetError, TimeoutError):
            return b""


def whole_answer(server, data, seconds=5):
    """All bytes until the server closes; it must."""
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port()), timeout=seconds) as connection:
        connection.sendall(data)
        while part := connection.recv(65536):
            answer += part
    return answer


def test_bad_requests_are_refused_and_the_rest_is_served(server):
    wrong, waits = {}, []
    for name, (status, data) in BAD.items():
        answer = whole_answer(server, data)
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 %d " % status) or answer.count(b"Content-Type: ") != 1 or b"Connection: close" not in head:
            wrong[name] = answer[:200]
        elif "message" not in json.loads(body)["error"]:
            wrong[name] = body
        begin = time.monotonic()
        assert server.get("/health")[0] == 200
        waits.append(time.monotonic() - begin)
    assert not wrong, wrong
    assert max(waits) < 1
    counted = [line for line in server.get("/metrics")[1].splitlines() if 'status="501"' in line and "requests_total" in line]
    assert counted == ['virtwatch_http_requests_total{method="_other",path="_other",status="501"} 3',
                       'virtwatch_http_requests_total{method="POST",path="_other",status="501"} 2']


def test_a_second_request_behind_the_first_is_never_read(server):
    """One request a connection: what stands behind it may have been put there by somebody else."""
    answer = whole_answer(server, G + H + b"\r\n" + HIDDEN)
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.count(b"HTTP/1.1 ") == 1 and b"Connection: close" in answer
    answer = whole_answer(server, P + b"Content-Length: 2\r\n\r\n{}" + HIDDEN)
    assert answer.startswith(b"HTTP/1.1 405 ") and answer.count(b"HTTP/1.1 ") == 1


def test_rights_and_errors_have_their_status(server):
    assert server.get("/api/v1/workloads", token=None)[0] == 401
    assert server.get("/api/v1/workloads", token=TOKEN[:-1])[0] == 401
    assert server.get("/api/v1/workloads", token=TOKEN + "x")[0] == 401
    assert server.get("/api/v1/nothing")[0] == 404
    assert server.get("/api/v1/workloads/nothing")[0] == 404
    for query in ("limit=0", "limit=1001", "limit=x", "after=-1", "kind=nothing", "severity=warn", "since=never"):
        status, text = server.get(f"/api/v1/events?{query}")
        assert status == 400 and query.split("=")[0] in json.loads(text)["error"]["message"]
    assert server.get("/api/v1/events?limit=1000")[0] == 200
    for path in ("/health", "/healthz", "/ready", "/metrics", "/v1/metrics", "/api/v1/version"):
        assert server.get(path, token=None)[0] == 200
    answer = send(server, f"POST /api/v1/events HTTP/1.1\r\n{GOOD}Content-Length: 2\r\n\r\n{{}}".encode())
    assert answer.startswith(b"HTTP/1.1 405") and b"Allow: GET, HEAD" in answer


@pytest.mark.parametrize("limit", [4096, 16384])
def test_ten_thousand_idle_connections_keep_nobody_out(daemon, limit):
    """Below the limit they all stay, above it the oldest make room; half of them hold a head that never ends."""
    server = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": "test:///default", "http.connections_max": limit})
    idle, waits = [], []
    try:
        for i in range(10000):
            idle.append(socket.create_connection(("127.0.0.1", server.port()), timeout=10))
            if i % 2:
                idle[-1].sendall(b"GET /health HTTP/1.1\r\nX: ")
            if i % 500 == 0:
                begin = time.monotonic()
                assert server.get("/health")[0] == 200
                assert server.get("/api/v1/workloads")[0] == 200
                waits.append(time.monotonic() - begin)
        open_ = len(list(pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir()))
        assert limit * 0.9 < open_ < limit + 100 if limit < 10000 else open_ > 9500
        assert max(waits) < 1
        idle[-1].sendall(b"y\r\nHost: x\r\n\r\n")
        assert idle[-1].recv(65536).startswith(b"HTTP/1.1 200 ")  # slow, but in time
    finally:
        for connection in idle:
            connection.close()
    wait_for(lambda: len(list(pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir())) < 200, 20, "descriptors given back")
    assert server.get("/health")[0] == 200


@pytest.mark.parametrize("where", ["tcp", "unix"])
def test_bodies_that_do_not_come_keep_nobody_out(daemon, where):
    one = daemon({"http.connections_max": 16})

    def connect():
        client = socket.socket(socket.AF_UNIX if where == "unix" else socket.AF_INET)
        client.settimeout(20)
        client.connect(str(one.folder / "http.sock") if where == "unix" else ("127.0.0.1", one.port()))
        return client

    slow = []
    for _ in range(40):  # anybody may: whose body it is shows when it has come
        slow.append(connect())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # one too many, turned away already
            slow[-1].sendall(b"POST /api/app-gateway/events/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    time.sleep(1.5)
    for _ in range(5):
        with connect() as client:
            client.sendall(b"GET /api/v1/version HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200"), answer
    for client in slow:
        client.close()


def test_one_address_does_not_take_all_connections_where_other_hosts_connect(daemon, tmp_path):
    """Of two addresses that loopback has; what waits for a head, holds a stream or sends its body slowly counts alike."""
    limit = 12
    one = daemon({"http.listen": f"127.0.0.1:0,0.0.0.0:0 tls=off,unix:{tmp_path}/http.sock", "http.connections_per_address": limit})
    port = next(int(item["address"].rsplit(":", 1)[1]) for item in one.json("/api/v1/listeners") if item["address"].startswith("0.0.0.0:"))
    heads = (b"", b"GET /health HTTP/1.1\r\n", f"GET /api/v1/events HTTP/1.1\r\n{GOOD}Accept: text/event-stream\r\n\r\n".encode(),
             f"POST /api/app-gateway/events/shop HTTP/1.1\r\n{GOOD}Content-Length: 100\r\n\r\n{{".encode())

    def connect(source, to=port):
        client = socket.create_connection(("127.0.0.1", to), timeout=20, source_address=(source, 0))
        held.append(client)
        return client

    def ask(source, to=port):
        with connect(source, to) as client:
            held.remove(client)
            if not select.select([client], [], [], 0.2)[0]:  # not turned away
                client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            return client.recv(65536)

    held = []
    try:
        for i in range(limit - 1):
            connect("127.0.0.2").sendall(heads[i % len(heads)])
        for client in held[2::len(heads)]:
            assert client.recv(65536).startswith(b"HTTP/1.1 200")  # the streams are open
        assert ask("127.0.0.2").startswith(b"HTTP/1.1 200")  # the last one it may have
        connect("127.0.0.2")
        answers = [ask("127.0.0.2") for _ in range(3)]
        assert all(answer.startswith(b"HTTP/1.1 503") and b"your address has too many connections" in answer for answer in answers), answers
        assert ask("127.0.0.1").startswith(b"HTTP/1.1 200")
        for _ in range(2 * limit):
            connect("127.0.0.1", one.port())
        assert ask("127.0.0.1", one.port()).startswith(b"HTTP/1.1 200")  # loopback: everybody has that address
        for client in held:
            client.close()
        wait_for(lambda: ask("127.0.0.2").startswith(b"HTTP/1.1 200"), 20, "room again")
    finally:
        for client in held:
            client.close()


def test_a_reader_that_never_reads_costs_others_nothing(server, stream):
    idle = []
    for _ in range(50):
        connection = socket.create_connection(("127.0.0.1", server.port()))
        connection.sendall(f"GET /api/v1/events HTTP/1.1\r\n{GOOD}Accept: text/event-stream\r\n\r\n".encode())
        idle.append(connection)
    reader = stream(server, last_id=0)
    assert reader.next()["action"] == "source_up"
    for connection in idle:
        connection.close()


def test_a_stream_resumes_after_its_last_event_id(server, stream):
    total = wait_for(lambda: len(server.events()) >= 3 and len(server.events()), 10, "three events")
    first = stream(server, last_id=0)
    numbers = [first.next()["seq"] for _ in range(total)]
    assert numbers == list(range(1, total + 1))
    assert stream(server, last_id=1).next()["seq"] == 2


OPENMETRICS = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


def ask(server, path, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{server.port()}{path}", headers={k.replace("_", "-"): v for k, v in headers.items()})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers, answer.read()


def test_the_metrics_are_clean(server):
    wait_for(lambda: server.events(action="source_up"), 10, "an event")
    for path in ("/api/v1/workloads", "/api/v1/nothing", "/health"):
        server.get(path)
    headers, text = ask(server, "/metrics")
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'virtwatch_events_total{kind="source",action="source_up"} ' in text
    assert b'virtwatch_http_requests_total{method="GET",path="/api/v1/workloads",status="200"} 1\n' in text
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    # Three gauges have names by published contract that only counters should have.
    complaints = sorted(line for line in checked.stderr.decode().splitlines() if line)
    assert complaints == [f'{name} non-counter metrics should not have "_total" suffix' for name in ("virtwatch_deployments_total", "virtwatch_nodes_total", "virtwatch_pods_total")]


def test_openmetrics_is_what_its_reference_parser_reads(server):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
    from prometheus_client.parser import text_string_to_metric_families as read_plain
    server.get("/api/v1/workloads")
    headers, text = ask(server, "/v1/metrics", Accept=OPENMETRICS)
    assert headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = {family.name: family for family in read_openmetrics(text.decode())}
    assert families["virtwatch_events"].type == "counter"
    assert families["virtwatch_build"].type == "info" and families["virtwatch_journal_bytes"].unit == "bytes"
    assert families["virtwatch_http_request_duration_seconds"].type == "histogram"
    names = {sample.name for family in families.values() for sample in family.samples}
    plain = {sample.name for family in read_plain(ask(server, "/metrics")[1].decode()) for sample in family.samples}
    assert names == plain  # a scraper that changes the dialect keeps its series

    headers, packed = ask(server, "/metrics", Accept=OPENMETRICS, Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip" and len(packed) < len(text) / 3
    assert gzip.decompress(packed).endswith(b"\n# EOF\n")


@pytest.fixture
def prometheus(tmp_path):
    """A real server that scrapes what it is given, and the API to ask it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % free.getsockname()[1]
    log = open(tmp_path / "prometheus.log", "wb")
    started = []

    def start(target):
        (tmp_path / "prometheus.yml").write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [
            {"job_name": "virtwatch", "static_configs": [{"targets": [target]}]}]}))
        started.append(spawn(["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb",
                              f"--web.listen-address={address}"], log))

        def api(path):
            try:
                with urllib.request.urlopen(f"http://{address}/api/v1/{path}", timeout=5) as answer:
                    return json.load(answer)["data"]
            except OSError:
                return None
        return api

    yield start
    for process in started:
        end(process)
    log.close()


def test_a_real_prometheus_scrapes_openmetrics(server, prometheus):
    api = prometheus(f"127.0.0.1:{server.port()}")
    wait_for(lambda: (api("query?query=up") or {}).get("result"), 40, "a scrape")
    target = api("targets")["activeTargets"][0]
    assert target["health"] == "up" and not target["lastError"], target
    found = api("query?query=virtwatch_events_total")["result"]
    assert {"kind": "source", "action": "source_up"}.items() <= found[0]["metric"].items()
    kinds = {name: entries[0] for name, entries in api("metadata").items() if name.startswith("virtwatch_")}
    assert kinds["virtwatch_uptime_seconds"]["unit"] == "seconds"  # only OpenMetrics can say so
    assert kinds["virtwatch_build"]["type"] == "info"
    wait_for(lambda: api("query?query=virtwatch_http_request_duration_seconds_count")["result"], 10, "a histogram")


def test_the_time_from_creation_to_start_is_told(daemon, docker):
    server = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket})
    server.up("docker")
    assert b"virtwatch_schedule_duration_seconds" not in ask(server, "/metrics")[1]
    docker.run("scheduled", "true")
    server.wait_event(name="scheduled", action="stopped")
    text = ask(server, "/metrics")[1].decode()
    assert 'virtwatch_schedule_duration_seconds_count{strategy="docker"} 1' in text
    seconds = float(text.split('virtwatch_schedule_duration_seconds_sum{strategy="docker"} ')[1].split()[0])
    assert 0 < seconds < 30


def test_a_hostile_name_is_escaped_everywhere(daemon, docker):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket})
    one.up("docker")
    docker.run("labelled", "true", options=("--label", "x=</script>\"\n\u202e\x1b[31m"))
    one.wait_event(name="labelled", action="stopped")
    workload = [w for w in one.json("/api/v1/workloads") if w["name"] == "labelled"]
    assert workload
    for line in one.get("/metrics")[1].splitlines():
        assert "\x1b" not in line


def test_the_node_s_name_is_the_same_after_a_reload(server):
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: b"Configuration reloaded" in (server.folder / "virtwatchd.log").read_bytes(), 5, "the reload")
    assert server.json("/api/v1/version")["node"] == "testnode"
