"""Request analytics of a real Caddy's logs: by file through its own rotation, by its net writer, and through kills."""

import contextlib
import gzip
import http.client
import http.server
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

from conftest import BUILD, end, spawn, wait_for
from test_apps import send

CLASSES = ("status_none", "status_1xx", "status_2xx", "status_3xx", "status_4xx", "status_5xx")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Upstream(http.server.ThreadingHTTPServer):
    """The small server behind the proxy."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # head and body in one piece

        def do_GET(self):
            status = int(self.path.split("/")[2])
            body = b"x" * (status % 97)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Caddy:
    def __init__(self, folder, output):
        self.folder = folder
        self.port = free_port()
        self.upstream = Upstream()
        folder.mkdir(exist_ok=True)
        (folder / "Caddyfile").write_text(f"""{{
    admin off
    auto_https off
    skip_install_trust
    default_bind 127.0.0.1
}}
http://:{self.port} {{
    log {{
        output {output}
        format json
    }}
    handle /up/* {{
        reverse_proxy 127.0.0.1:{self.upstream.server_address[1]}
    }}
    handle /dead {{
        reverse_proxy 127.0.0.1:1
    }}
    handle {{
        respond "hello"
    }}
}}
""")
        self.log = open(folder / "caddy.out", "ab")
        environment = dict(os.environ, XDG_DATA_HOME=str(folder), XDG_CONFIG_HOME=str(folder), HOME=str(folder))
        self.process = spawn(["caddy", "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"], self.log, env=environment)
        wait_for(self.answers, 20, "caddy answers")

    def answers(self):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def ask(self, paths, host):
        """One connection, many requests."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        for path in paths:
            connection.request("GET", path, headers={"Host": host, "User-Agent": "test " + "long " * 40})
            connection.getresponse().read()
        connection.close()

    def stop(self):
        end(self.process)
        self.log.close()
        self.upstream.shutdown()
        self.upstream.server_close()


@pytest.fixture
def caddy(tmp_path):
    started = []

    def start(output):
        started.append(Caddy(tmp_path / "caddy", output))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def metric(daemon, name, **labels):
    """The sum of the series that have these labels."""
    found = 0.0
    for text, value in re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", daemon.get("/metrics")[1], re.MULTILINE):
        has = dict(re.findall(r'(\w+)="([^"]*)"', text))
        if all(has.get(key) == wanted for key, wanted in labels.items()):
            found += float(value)
    return found


def rows(daemon):
    """What is stored: {(host, day): {column: number}}; nothing as long as the database is being made."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{daemon.folder}/state/analytics.db?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            return {(row["host"], row["day"]): dict(row) for row in db.execute("SELECT * FROM rollups")}
    except sqlite3.OperationalError:
        return {}


def total(daemon, column="requests"):
    return sum(row[column] for row in rows(daemon).values())


def goaccess(folder, logs):
    """What goaccess makes of the same lines."""
    whole = folder / "whole.log"
    with open(whole, "wb") as out:
        for log in logs:
            with (gzip.open(log) if log.suffix == ".gz" else open(log, "rb")) as part:
                shutil.copyfileobj(part, out)
    subprocess.run(["goaccess", str(whole), "--log-format=CADDY", "--no-global-config", "--no-progress", "-o", str(folder / "report.json")],
                   check=True, capture_output=True, timeout=300)
    return json.loads((folder / "report.json").read_text(errors="replace")), sum(1 for _ in open(whole, "rb"))


def test_totals_are_those_of_goaccess_through_caddys_rotation(daemon, caddy, tmp_path):
    log = tmp_path / "logs/access.log"
    log.parent.mkdir()
    server = caddy(f"file {log} {{\n roll_size 1MiB\n roll_keep 20\n }}")
    one = daemon({"analytics.files": log})
    paths = [f"/up/{status}/{i}" for i in range(220) for status in (200, 201, 301, 404, 500, 503)] + ["/", "/dead"] * 20
    threads = [threading.Thread(target=server.ask, args=(paths, host)) for host in ("Shop.test", "api.test:8443", f"127.0.0.1:{server.port}", "shop.test")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked = 4 * len(paths)
    wait_for(lambda: total(one) >= asked, 30, "all requests are counted")
    wait_for(lambda: len(list(log.parent.glob("access-*.log.gz"))) >= 2 and not list(log.parent.glob("access-*.log")), 20, "caddy has compressed")
    time.sleep(1)

    report, lines = goaccess(tmp_path, log.parent.iterdir())
    assert report["general"]["failed_requests"] == 0
    assert total(one) == lines == asked == report["general"]["valid_requests"]
    assert total(one, "bytes_out") == report["general"]["bandwidth"]
    for found in report["status_codes"]["data"]:
        assert total(one, f"status_{found['data'][0]}xx") == found["hits"]["count"], found["data"]
    hosts = {}
    for found in report["vhosts"]["data"]:
        name = found["data"].lower().split(":")[0]
        hosts[name] = hosts.get(name, 0) + found["hits"]["count"]
    assert {host: row["requests"] for (host, _), row in rows(one).items()} == hosts

    # the same in the metrics: all of it was live
    assert metric(one, "virtwatch_proxy_requests_total") == asked
    assert metric(one, "virtwatch_proxy_requests_total", domain="shop.test", status="404") == 2 * 220
    assert metric(one, "virtwatch_proxy_request_duration_seconds_count", domain="api.test") == len(paths)
    assert metric(one, "virtwatch_proxy_errors_total", error_type="bad_gateway") == 4 * 20
    assert metric(one, "virtwatch_proxy_errors_total", error_type="unavailable") == 4 * 220
    assert metric(one, "virtwatch_access_lines_total", verdict="ok") == asked
    assert metric(one, "virtwatch_access_backlog_bytes") == 0
    checked = subprocess.run(["promtool", "check", "metrics"], input=one.get("/metrics")[1], capture_output=True, text=True)
    assert "proxy" not in checked.stderr and "access" not in checked.stderr and "analytics" not in checked.stderr

    # a second daemon on the same state begins where this one ended
    one.stop()
    one.start()
    server.ask(["/up/200/last"], "shop.test")
    wait_for(lambda: total(one) > asked, 20, "the last one is counted")
    time.sleep(1)
    assert total(one) == asked + 1


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_the_net_writer_is_listened_to(daemon, caddy, tmp_path, kind):
    listen = "127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/access.sock"
    one = daemon({"analytics.listen": listen})
    address = wait_for(lambda: re.search(r"Taking access logs on (\S+)", (tmp_path / "virtwatchd.log").read_text()), 10, "it listens")[1]
    server = caddy(f"net {address if kind == 'tcp' else 'unix/' + address.removeprefix('unix:')}")
    server.ask([f"/up/{status}/{i}" for i in range(100) for status in (200, 404, 502)], "net.test")
    wait_for(lambda: total(one) >= 300, 20, "all requests are counted")
    time.sleep(0.5)
    (row,) = rows(one).values()
    assert (row["host"], row["requests"], row["status_2xx"], row["status_4xx"], row["status_5xx"]) == ("net.test", 300, 100, 100, 100)
    assert metric(one, "virtwatch_access_connections") == 1
    assert metric(one, "virtwatch_proxy_requests_per_second", domain="net.test") == pytest.approx(5, rel=0.01)
    assert 0 < metric(one, "virtwatch_proxy_request_percentile_seconds", domain="net.test", percentile="50") < 1


def line(number, at=None, host="storm.test", status=200, duration="0.001"):
    return json.dumps({"level": "info", "ts": at or time.time(), "logger": "http.log.access.log0", "msg": "handled request",
                       "request": {"remote_ip": "127.0.0.1", "remote_port": str(number), "proto": "HTTP/1.1", "method": "GET", "host": host,
                                   "uri": f"/{number}", "headers": {"User-Agent": ["test"]}},
                       "user_id": "", "size": 10, "status": status, "resp_headers": {}}).replace('"size"', f'"duration": {duration}, "size"') + "\n"


class Writer(threading.Thread):
    """A log that grows, is renamed, copied and truncated, and compressed."""

    def __init__(self, path):
        super().__init__()
        self.path, self.written, self.going, self.bad = path, 0, True, 0

    def rotate(self, turn):
        kept = self.path.parent / f"access.log.{turn}"
        if turn % 2:
            self.path.rename(kept)
        else:
            # The copy of what is open, and nobody writes meanwhile: as logrotate's copytruncate at its luckiest.
            shutil.copy(self.path, kept)
            os.truncate(self.path, 0)
        if turn % 3 == 0:
            with open(kept, "rb") as plain, gzip.open(f"{kept}.new", "wb") as packed:
                shutil.copyfileobj(plain, packed)
            os.rename(f"{kept}.new", f"{kept}.gz")
            kept.unlink()

    def run(self):
        turn = 0
        while self.going:
            turn += 1
            for _ in range(60):
                with open(self.path, "a") as log:
                    for _ in range(40):
                        text = line(self.written)
                        log.write(text[:50])
                        log.flush()
                        log.write(text[50:])
                        self.written += 1
                    if self.written % 200 == 0:
                        log.write(text[:100] + "\n{}\n" + line(0, status='"200"'))
                        self.bad += 3
                time.sleep(0.005)
            self.rotate(turn)


def test_kills_in_a_storm_neither_lose_nor_double_a_line(daemon, tmp_path):
    log = tmp_path / "logs/access.log"
    log.parent.mkdir()
    one = daemon({"analytics.files": log})
    writer = Writer(log)
    writer.start()
    try:
        for i in range(12):
            time.sleep(0.2 + (i * 37 % 11) / 20)
            one.kill()
            one.start()
    finally:
        writer.going = False
        writer.join()
    assert writer.written > 10000
    wait_for(lambda: total(one) >= writer.written, 40, f"all {writer.written} lines are counted, not {total(one)}")
    time.sleep(1.5)
    assert total(one) == writer.written
    assert total(one, "bytes_out") == 10 * writer.written
    one.kill()
    one.start()
    wait_for(lambda: metric(one, "virtwatch_access_files") > 0, 20, "the folder was looked at")
    time.sleep(1)
    assert total(one) == writer.written


def test_bad_lines_are_counted_and_late_ones_go_to_their_own_day(daemon, tmp_path):
    log, now = tmp_path / "access.log", time.time()
    yesterday = now - 86400
    with open(log, "w") as out:
        out.write(line(1) + "x" * (10 << 20) + "\n")
        out.write(line(2)[:70] + "\n" + line(3, status='"200"').replace('"\\"200\\""', '"200"') + line(4, at=now + 3600) + line(5, at=now - 500 * 86400))
        out.write('{"level":"info","ts":1,"msg":"server running"}\n' + line(6, duration='"fast"') + line(7, duration="1500000"))
        out.write(line(8, at=yesterday, status=503, duration='"250ms"') + line(9, at=yesterday, status=0) + line(10, host="<script>"))
    one = daemon({"analytics.files": log})
    wait_for(lambda: total(one) >= 5, 20, "the good ones are counted")
    time.sleep(0.5)
    got = {verdict: metric(one, "virtwatch_access_lines_total", verdict=verdict)
           for verdict in ("ok", "too_long", "not_json", "status", "future", "expired", "other_log", "duration")}
    assert got == {"ok": 5, "too_long": 1, "not_json": 1, "status": 1, "future": 1, "expired": 1, "other_log": 1, "duration": 1}
    assert metric(one, "virtwatch_access_lines_without_duration_total") == 1
    found = rows(one)
    late = found["storm.test", int(yesterday // 86400)]
    assert (late["requests"], late["status_5xx"], late["status_none"]) == (2, 1, 1)
    assert found["storm.test", int(now // 86400)]["requests"] == 2
    assert found["_other", int(now // 86400)]["requests"] == 1
    assert metric(one, "virtwatch_proxy_requests_total", domain="storm.test") == 2  # yesterday is no traffic
    with open(log, "a") as out:
        out.write(line(11))
    wait_for(lambda: total(one) == 6, 20, "the position was kept")


def test_another_hosts_address_is_refused(tmp_path):
    settings = {"analytics.listen": "0.0.0.0:0", "store.path": tmp_path / "state", "http.listen": f"unix:{tmp_path}/http.sock", "dbus.bus": "none",
                "logging.format": "text", **{f"sources.{name}.enabled": "false" for name in ("libvirt", "docker", "podman", "machined", "oomd")}}
    args = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    ended = subprocess.run([BUILD / "src/virtwatchd", *args], capture_output=True, text=True, timeout=20)
    assert ended.returncode != 0 and "loopback addresses and sockets only, not from 0.0.0.0:0" in ended.stderr


def test_an_import_shows_how_far_it_is(daemon, tmp_path):
    line = json.dumps({"level": "info", "ts": time.time() - 3600, "logger": "http.log.access", "msg": "handled request",
                       "request": {"remote_ip": "127.0.0.1", "proto": "HTTP/1.1", "method": "GET", "host": "shop.example", "uri": "/"},
                       "duration": 0.01, "size": 5, "status": 200}) + "\n"
    n = (120 << 20) // len(line)
    with open(tmp_path / "access.log", "w") as log:
        for _ in range(100):
            log.write(line * (n // 100))
    one = daemon({"analytics.files": tmp_path / "access.log"})
    assert send(one, "PUT", "/api/app-gateway/apps/shop", {"hosts": ["shop.example"]})[0] == 201
    seen, shown = [], ""

    def finished():
        nonlocal shown
        answer = one.json("/api/app-gateway/analytics/shop")
        if "import" in answer:
            seen.append(answer["import"])
            if len(seen) == 1:
                shown = subprocess.run([BUILD / "src/virtwatch", "analytics", "shop", "--host", f"unix:{one.folder}/http.sock"],
                                       capture_output=True, text=True).stdout
        return "import" not in answer and sum(row["requests"] for row in answer["rollups"]) == n // 100 * 100

    wait_for(finished, 60, "the import's end")
    assert seen and all(0 <= step["done_bytes"] <= step["total_bytes"] for step in seen)
    done = [step["done_bytes"] for step in seen]
    assert done == sorted(done) and abs(seen[-1]["total_bytes"] - (tmp_path / "access.log").stat().st_size) < 1 << 20
    assert re.match(r"Importing logs: \d+ of \d+ MiB \(\d+ %\); what follows is not all yet\nDATE", shown), shown
