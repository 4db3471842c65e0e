"""What comes over the wire: bad requests, limits, slow readers, names that want to be code."""

import json
import socket
import time

import pytest

from conftest import TOKEN, wait_for

GOOD = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\n"
# Not here, since libmicrohttpd 0.9.75 drops them unseen: a header without a name, a bare CR between headers.
BAD = {
    "no host in 1.1": b"GET /health HTTP/1.1\r\n\r\n",
    "host twice": b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "length twice": b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n",
    "length and chunked": b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "length with a sign": b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
    "length past 64 bits": b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "length in hex": b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx",
    "chunk size past 64 bits": b"GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "chunk size of no digits": b"GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "raw utf-8 in the target": "GET /h\u00e9alth HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "control byte in the target": b"GET /hea\x01lth HTTP/1.1\r\nHost: a\r\n\r\n",
    "blank before the colon": b"GET /health HTTP/1.1\r\nHost : a\r\n\r\n",
    "unknown method": b"BREW /health HTTP/1.1\r\nHost: a\r\n\r\n",
    "lower-case method": b"get /health HTTP/1.1\r\nHost: a\r\n\r\n",
    "version of the future": b"GET /health HTTP/9.9\r\nHost: a\r\n\r\n",
    "no version": b"GET /health\r\nHost: a\r\n\r\n",
    "header without a colon": b"GET /health HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
    "headers past 32 KiB": b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 65536 + b"\r\n\r\n",
    "target past 32 KiB": b"GET /" + b"a" * 65536 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "binary": bytes(range(256)) * 4 + b"\r\n\r\n",
}


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


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused(server, name):
    answer = send(server, BAD[name])
    assert b" 200 " not in answer.split(b"\r\n")[0], answer
    assert server.get("/health")[0] == 200


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


def test_headers_that_never_end_cost_others_nothing(server):
    slow = [socket.create_connection(("127.0.0.1", server.port())) for _ in range(400)]
    try:
        for connection in slow:
            connection.sendall(b"GET /health HTTP/1.1\r\nX: ")
        begin = time.monotonic()
        assert server.get("/health")[0] == 200
        assert time.monotonic() - begin < 2
    finally:
        for connection in slow:
            connection.close()


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


def test_prometheus_takes_the_metrics(server):
    import subprocess
    server.get("/api/v1/workloads")
    text = server.get("/metrics")[1]
    assert 'virtwatch_events_total{kind="source",action="source_up"}' in text
    assert 'virtwatch_http_requests_total{method="GET",path="/api/v1/workloads",status="200"}' in text
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
    assert "error while linting" not in checked.stderr and "parse" not in checked.stderr, checked.stderr


def test_a_hostile_name_is_escaped_everywhere(daemon, docker):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket})
    one.up("docker")
    docker.run("labelled", "true", options=("--label", "x=</script>\"\n\u202e\x1b[31m"))
    one.wait_event(name="labelled", action="stopped")
    workload = [w for w in one.json("/api/v1/workloads") if w["name"] == "labelled"]
    assert workload
    for line in one.get("/metrics")[1].splitlines():
        assert "\x1b" not in line
