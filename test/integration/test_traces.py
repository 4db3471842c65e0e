"""The daemon's own traces at a collector that is strict, slow, overloaded, hung or away; and requests as lines of the log."""

import json
import socket
import time
import urllib.request

import pytest

from conftest import TOKEN, Daemon, wait_for
from otlp_receiver import Collector

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.fixture
def collector():
    one = Collector()
    yield one
    one.close()
    assert one.faults == []


@pytest.fixture
def traced(tmp_path):
    """traced(endpoint, settings, environment) starts a daemon that sends its traces there."""
    started = []

    def start(endpoint, settings=None, **environment):
        one = Daemon(tmp_path, dict({"logging.tracing": "OpenTelemetry"}, **(settings or {})),
                     environment=dict({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, **environment))
        started.append(one)
        return one

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop()


def ask(daemon, path, **headers):
    fields = {"Authorization": f"Bearer {TOKEN}", **headers}
    request = urllib.request.Request(f"http://127.0.0.1:{daemon.port()}{path}", headers=fields)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status


def results(daemon):
    found = {}
    for line in daemon.get("/metrics")[1].splitlines():
        if line.startswith("virtwatch_trace_spans_total{"):
            found[line.split('"')[1]] = int(line.rsplit(" ", 1)[1])
    return found


def lines(daemon):
    return (daemon.folder / "virtwatchd.log").read_text(errors="replace").splitlines()


def test_a_request_is_a_span_of_its_callers_trace(traced, collector):
    daemon = traced(collector.address, OTEL_SERVICE_NAME="mine", OTEL_EXPORTER_OTLP_HEADERS="x-key=a%20b")
    state = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
    ask(daemon, "/api/v1/workloads?kind=vm&x=s3cret", traceparent=f"00-{TRACE}-{PARENT}-01", tracestate=state, **{"User-Agent": "tester"})
    assert daemon.get("/api/v1/workloads/no-such")[0] == 404
    (span,) = wait_for(lambda: collector.spans(http__route="/api/v1/workloads"), what="the span")
    assert (span["traceId"], span["parentSpanId"], span["traceState"]) == (TRACE, PARENT, state)
    assert span["spanId"] != PARENT and span["kind"] == 2 and span["name"] == "GET /api/v1/workloads"
    has = span["attributes"]
    assert has["http.request.method"] == "GET" and has["http.response.status_code"] == 200
    assert has["url.path"] == "/api/v1/workloads" and has["url.scheme"] == "http"
    assert has["network.peer.address"] == "127.0.0.1" and has["user_agent.original"] == "tester"
    assert "s3cret" not in json.dumps(collector.found) and TOKEN not in json.dumps(collector.found)
    assert "s3cret" not in "\n".join(lines(daemon))
    other = wait_for(lambda: collector.spans(http__route="/api/v1/workloads/{id}"))[0]
    assert other["traceId"] != TRACE and "parentSpanId" not in other and other["attributes"]["http.response.status_code"] == 404
    assert "status" not in other  # a client's fault is none of ours
    resource = collector.found[0][0]
    assert resource["service.name"] == "mine" and resource["host.name"] == "testnode" and resource["service.version"]
    assert collector.headers[0]["x-key"] == "a b"
    wait_for(lambda: results(daemon)["exported"] >= 3)
    assert results(daemon)["dropped"] == results(daemon)["failed"] == results(daemon)["rejected"] == 0


def test_a_hostile_parent_begins_a_trace_of_our_own(traced, collector):
    daemon = traced(collector.address)
    bad = [f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{PARENT}-01", f"00-{TRACE.upper()}-{PARENT}-01",
           f"00-{TRACE}-{PARENT}-01-x", f"00-{TRACE}-{PARENT}", "x" * 900, '"}]}', f"00-{TRACE}-{PARENT}-01, 00-{TRACE}-{PARENT}-01"]
    for text in bad:
        ask(daemon, "/api/v1/version", traceparent=text, tracestate="a=1")
    spans = wait_for(lambda: len(found := collector.spans(http__route="/api/v1/version")) == len(bad) and found)
    assert all(span["traceId"] != TRACE and "parentSpanId" not in span and "traceState" not in span for span in spans)
    assert len({span["traceId"] for span in spans}) == len(bad)
    ask(daemon, "/healthz", traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="a" * 600 + "=1")
    (span,) = wait_for(lambda: collector.spans(http__route="/healthz"))
    assert span["traceId"] == TRACE and "traceState" not in span
    raw = b"GET /ready HTTP/1.1\r\nHost: x\r\n" + b"traceparent: %s\r\n" % f"00-{TRACE}-{PARENT}-01".encode() * 2 + b"\r\n"
    with socket.create_connection(("127.0.0.1", daemon.port())) as client:
        client.sendall(raw)
        assert client.recv(64)
    (span,) = wait_for(lambda: collector.spans(http__route="/ready"))
    assert span["traceId"] != TRACE


def test_a_caller_that_is_not_sampled_is_not(traced, collector):
    daemon = traced(collector.address)
    ask(daemon, "/healthz", traceparent=f"00-{TRACE}-{PARENT}-00")
    ask(daemon, "/ready", traceparent=f"00-{TRACE}-{PARENT}-01")
    wait_for(lambda: collector.spans(http__route="/ready"))
    assert collector.spans(http__route="/healthz") == []


def test_a_sampler_takes_its_share(traced, collector):
    daemon = traced(collector.address, OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0.2")
    for _ in range(300):
        ask(daemon, "/healthz")
    ask(daemon, "/ready", traceparent=f"00-{TRACE}-{PARENT}-01")
    wait_for(lambda: collector.spans(http__route="/ready"))
    assert 20 < len(collector.spans(http__route="/healthz")) < 110  # 60 expected, six standard deviations


def test_what_a_source_is_asked_is_a_span(traced, collector, docker):
    daemon = traced(collector.address, {"sources.docker.enabled": "true", "sources.docker.socket": docker.socket, "actions.enabled": "true",
                                        "sources.libvirt.enabled": "true", "sources.libvirt.uris": "test:///default"})
    daemon.up("docker")
    docker("run", "-d", "--network=none", "--name", "traces-one", "bb:1", "sleep", "1000")

    def listed():
        found = collector.spans(network__peer__address=str(docker.socket))
        return found if any(one["attributes"]["url.path"].endswith("/containers/json") for one in found) else None

    asked = wait_for(listed, what="the span of docker's list")  # its ping may have come a batch earlier
    assert all(one["kind"] == 3 and one["name"] in ("GET", "POST") and one["attributes"]["http.response.status_code"] for one in asked)
    assert all("?" not in one["attributes"]["url.path"] for one in asked)
    for word in ("open", "list"):
        span = wait_for(lambda: collector.spans(rpc__system="libvirt", rpc__method=word))[0]  # of the source or of a meter
        assert span["attributes"]["virtwatch.source"] == "test:///default" and "status" not in span
    workload = wait_for(lambda: [one for one in daemon.json("/api/v1/workloads") if one["name"] == "traces-one"])[0]
    request = urllib.request.Request(
        f"http://127.0.0.1:{daemon.port()}/api/v1/workloads/{workload['id']}/destroy", method="POST",
        data=json.dumps({"confirm": "traces-one"}).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", "traceparent": f"00-{TRACE}-{PARENT}-01"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status in (200, 202)
    (served,) = wait_for(lambda: collector.spans(http__route="/api/v1/workloads/{id}/destroy"))
    assert served["traceId"] == TRACE and served["attributes"]["http.request.method"] == "POST"
    asked = wait_for(lambda: [one for one in collector.spans(network__peer__address=str(docker.socket)) if one["traceId"] == TRACE])
    assert all(one["parentSpanId"] == served["spanId"] for one in asked)
    docker("rm", "-f", "traces-one", check=False)


@pytest.mark.parametrize("status", [429, 503])
def test_an_overloaded_collector_is_asked_again_when_it_says(traced, collector, status):
    collector.answers = [(status, {"Retry-After": "3"}, b"{}")]
    daemon = traced(collector.address)
    ask(daemon, "/healthz")
    spans = wait_for(lambda: collector.spans(http__route="/healthz"))
    assert len(spans) == 1
    assert collector.times[1] - collector.times[0] >= 2.9
    wait_for(lambda: results(daemon)["exported"] >= 1)
    assert results(daemon)["failed"] == results(daemon)["rejected"] == 0


def test_what_is_refused_is_counted_and_not_sent_again(traced, collector):
    collector.answers = [(400, {}, b"{}"), (200, {}, b'{"partialSuccess":{"rejectedSpans":"1","errorMessage":"no"}}'), (500, {}, b"what?")]
    daemon = traced(collector.address)
    ask(daemon, "/healthz")
    wait_for(lambda: len(collector.times) >= 1)
    ask(daemon, "/healthz")
    wait_for(lambda: len(collector.times) >= 2)
    ask(daemon, "/healthz")
    wait_for(lambda: len(collector.times) >= 3)
    wait_for(lambda: results(daemon)["rejected"] >= 3)
    assert any("Cannot send traces: the collector answers 400" in line for line in lines(daemon))


def took(daemon, n):
    times = []
    for _ in range(n):
        begin = time.monotonic()
        assert ask(daemon, "/healthz") == 200
        times.append(time.monotonic() - begin)
    return sorted(times)


@pytest.mark.parametrize("kind", ["closed", "never reads", "never answers", "slow"])
def test_a_collector_that_is_away_slows_nobody(traced, collector, kind):
    with socket.socket() as hung:
        hung.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{hung.getsockname()[1]}"
        if kind in ("never reads", "never answers"):
            hung.listen(1 if kind == "never reads" else 100)
        if kind == "slow":
            collector.wait, address = 1, collector.address
        daemon = traced(address, {"logging.requests": "off"}, OTEL_EXPORTER_OTLP_TIMEOUT="2000")
        took(daemon, 200)
        end = time.monotonic() + 3
        times = []
        while time.monotonic() < end:
            times += took(daemon, 100)
        times.sort()
        assert times[len(times) * 99 // 100] < 0.25, times[-20:]
        if kind != "slow":
            wait_for(lambda: len([line for line in lines(daemon) if "Listening" in line]) and results(daemon)["exported"] == 0)
        else:
            wait_for(lambda: results(daemon)["exported"] > 100)
        begin = time.monotonic()
        daemon.stop()
        assert time.monotonic() - begin < 5


def test_a_dead_collector_costs_no_more_than_the_queue(traced):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        daemon = traced(f"http://127.0.0.1:{closed.getsockname()[1]}", {"logging.requests": "off", "logging.level": "info"})

        def resident():
            text = open(f"/proc/{daemon.process.pid}/status").read()
            return int(text.split("VmRSS:")[1].split()[0])

        took(daemon, 500)
        before = resident()
        took(daemon, 6000)
        found = results(daemon)
        assert found["dropped"] > 1000 and found["exported"] == 0, found
        assert resident() - before < 16 * 1024
        waiting = [line for line in daemon.get("/metrics")[1].splitlines() if line.startswith("virtwatch_trace_spans_waiting ")]
        assert 4000 <= int(waiting[0].split()[1]) <= 4096 + 512
        assert len([line for line in lines(daemon) if "Cannot send traces" in line]) <= 1


def test_off_by_default_nothing_is_sent(daemon, collector, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
    one = daemon()
    ask(one, "/healthz", traceparent=f"00-{TRACE}-{PARENT}-01")
    time.sleep(2)
    assert collector.times == [] and not any("trace_id" in line for line in lines(one))


def test_a_reload_switches_it_on_and_off(tmp_path, collector, monkeypatch):
    file = tmp_path / "virtwatch.yaml"
    file.write_text("logging: {tracing: off}\n")
    one = Daemon(tmp_path, {"--config": file}, environment={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.address})
    try:
        ask(one, "/healthz")
        file.write_text("logging: {tracing: OpenTelemetry, requests: debug}\n")
        one.process.send_signal(1)
        wait_for(lambda: any("Configuration reloaded" in line for line in lines(one)))
        ask(one, "/ready")
        wait_for(lambda: collector.spans(http__route="/ready"))
        assert collector.spans(http__route="/healthz") == []
        file.write_text("logging: {tracing: off}\n")
        one.process.send_signal(1)
        wait_for(lambda: sum("Configuration reloaded" in line for line in lines(one)) == 2)
        seen = len(collector.times)
        ask(one, "/v1/metrics")
        time.sleep(1.5)
        assert len(collector.times) == seen
    finally:
        one.stop()


# ---- lines of the log ----

def test_a_request_is_a_line_of_text(traced, collector):
    daemon = traced(collector.address, {"logging.level": "info"})
    ask(daemon, "/api/v1/workloads?kind=vm&x=s3cret", traceparent=f"00-{TRACE}-{PARENT}-01")
    assert daemon.get("/api/v1/%0a%1b[31mevil%ff", token=None)[0] == 404
    assert daemon.get("/healthz")[0] == 200
    line = wait_for(lambda: [one for one in lines(daemon) if "GET /api/v1/workloads" in one])[0]
    head, fields = line.split("virtwatchd::api: GET /api/v1/workloads ")
    assert head.endswith("Z  INFO ")
    fields = dict(one.split("=", 1) for one in fields.split())
    assert fields["status"] == "200" and fields["client"] == "127.0.0.1" and fields["trace_id"] == TRACE
    assert fields["duration"].endswith("ms") and 0 < float(fields["duration"][:-2]) < 5000
    evil = wait_for(lambda: [one for one in lines(daemon) if "evil" in one])
    assert len(evil) == 1 and "GET /api/v1/\\n\\x1b[31mevil\\xff status=404" in evil[0]
    assert not any("/healthz" in one for one in lines(daemon))


def test_a_request_is_a_line_of_json(daemon):
    one = daemon({"logging.format": "json"})
    ask(one, "/api/v1/workloads")
    assert one.get("/healthz")[0] == 200
    found = wait_for(lambda: [line for line in map(json.loads, lines(one)) if line.get("path") == "/api/v1/workloads"])[0]
    assert found.pop("timestamp").endswith("Z") and found.pop("duration_ms") < 5000
    assert found == {"level": "INFO", "target": "virtwatchd::api", "message": "GET /api/v1/workloads", "method": "GET",
                     "path": "/api/v1/workloads", "status": 200, "client": "127.0.0.1"}
    health = wait_for(lambda: [line for line in map(json.loads, lines(one)) if line.get("path") == "/healthz"])[0]
    assert health["level"] == "DEBUG" and type(health["duration_ms"]) is float


def test_requests_are_no_lines_where_nobody_wants_them(daemon):
    one = daemon({"logging.requests": "off"})
    ask(one, "/api/v1/workloads")
    assert one.get("/none")[0] == 404
    ask(one, "/api/v1/version")
    assert not any("virtwatchd::api" in line for line in lines(one))


def test_a_storm_of_requests_is_folded_and_counted(daemon):
    one = daemon({"logging.level": "info"})
    for _ in range(1500):
        assert one.get("/none")[0] == 404
    time.sleep(10)
    one.get("/none")

    def counted():
        written = sum("virtwatchd::api: GET /none" in line for line in lines(one))
        held = sum(int(line.split(" requests are not in the log")[0].split()[-1]) for line in lines(one) if "requests are not in the log" in line)
        return held and written <= 1000 and written + held == 1501
    wait_for(counted, 20, "a line or a count of each")


def test_what_the_gate_refuses_is_a_line_too(daemon):
    one = daemon()
    with socket.create_connection(("127.0.0.1", one.port())) as client:
        client.sendall(b"GET /s3cret HTTP/1.1\nHost: a\n\n")
        assert b" 400 " in client.recv(200)
    line = wait_for(lambda: [text for text in lines(one) if "refused before it was read" in text])[0]
    assert "status=400" in line and "s3cret" not in line
