#!/usr/bin/python3
"""What traces and lines of requests cost, in instructions counted by callgrind, switched off and on: of a request over HTTP, of a call
on the bus, and of a round of the sampler with 10 workloads (`bench_day`, its readings among it).

Off, `http_log_begun` and `http_log_ended` are all that a request has left of them, and `dbus_serve` beside the method all that a call has;
a round, a call to a peer and a transaction have a branch each. Bound: 1 per mille of a request. What else there may be shows in the totals
of two builds: VIRTWATCH_BUILD names the other."""

import argparse
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import http.server

from common import BUILD, TOKEN, Daemon, need, wait_for
from dbus_peers import NAME, Bus, Client

OURS = ("http_log_begun", "http_log_ended")


class Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args):
        pass


class Counted(Daemon):
    """The daemon under callgrind, which counts between two calls of callgrind_control."""

    def start(self):
        wrapper = self.folder / "virtwatchd.sh"
        # valgrind 3.19 cannot read what clang writes for debuggers; names of functions are enough
        subprocess.run(["objcopy", "--strip-debug", BUILD / "src/virtwatchd", self.folder / "virtwatchd"], check=True)
        wrapper.write_text(f"#!/bin/sh\nexec valgrind --tool=callgrind --instr-atstart=no --callgrind-out-file={self.folder}/out "
                           f'{self.folder}/virtwatchd "$@"\n')
        wrapper.chmod(0o755)
        self.log = open(self.folder / "virtwatchd.log", "ab")
        self.begin = self.log.tell()
        args = [wrapper]
        for key, value in self.settings.items():
            args += ["--set", f"{key}={value}"]
        self.process = subprocess.Popen(list(map(str, args)), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.environment)
        wait_for(lambda: self.process.poll() is not None or self.port(), 60, "virtwatchd listens")


def ask(port, count):
    head = f"GET /api/v1/workloads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(head)
            data = b""
            while piece := client.recv(65536):
                data += piece
            assert b" 200 " in data[:20], data[:200]


def requests(daemon, bus, count):
    ask(daemon.port(), count)
    return count


def calls(daemon, bus, count):
    client = Client(bus.address)
    for _ in range(count):
        client.manager("ListWorkloads")
    client.close()
    return count


def measure(settings, work, count, collector):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vwb"))
    bus = Bus(folder)
    daemon = Counted(folder, {"dbus.address": bus.address, "sampler.interval": "1h", "sampler.ring": "1h", **settings},
                     environment={"OTEL_EXPORTER_OTLP_ENDPOINT": collector})
    try:
        client = Client(bus.address)
        wait_for(lambda: client.bus("NameHasOwner", "s", NAME)[0], 60, "the name")
        client.close()
        work(daemon, bus, 40)
        for switch in ("on", "off"):
            subprocess.run(["callgrind_control", "-i", switch, str(daemon.process.pid)], check=True, capture_output=True)
            if switch == "on":
                done = work(daemon, bus, count)
        daemon.stop()
        text = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--auto=no", "--threshold=100", folder / "out"], check=True, capture_output=True,
                              text=True).stdout
    finally:
        if daemon.process.poll() is None:
            daemon.kill()
        bus.stop()
        shutil.rmtree(folder)
    total = int(re.search(r"^ *([0-9,]+) .*PROGRAM TOTALS", text, re.M)[1].replace(",", ""))
    ours = sum(int(line.split()[0].replace(",", "")) for line in text.splitlines() if any(f":{name} " in line for name in OURS))
    return total / done, ours / done


def measure_round(options, seconds):
    """A part of bench_day's first hour: what is counted in on_tick, for each time that it asks for readings."""
    with tempfile.TemporaryDirectory(prefix="vwb") as folder:
        program, out = pathlib.Path(folder) / "bench_day", pathlib.Path(folder) / "out"
        subprocess.run(["objcopy", "--strip-debug", BUILD / "test/bench_day", program], check=True)
        subprocess.run(["timeout", str(seconds), "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--toggle-collect=on_tick", program,
                        "-d", folder, "-n", "10", "-h", "1", *options], capture_output=True)
        names, called, rounds = {}, None, 0
        text = out.read_text()
        for line in text.splitlines():
            if found := re.match(r"c?fn=\((\d+)\)(?: (.*))?", line):
                names.setdefault(found[1], found[2])
                called = names[found[1]] if line.startswith("cfn") else None
            elif line.startswith("calls=") and called == "on_read":
                rounds += int(line[6:].split()[0])
        return int(re.search(r"^(?:totals|summary): (\d+)", text, re.M)[1]) / rounds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=300, help="and calls")
    count = parser.parse_args().requests
    need("valgrind")
    sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{sink.server_address[1]}"
    off = None
    off_settings, traces = {"logging.requests": "off"}, {"logging.requests": "off", "logging.tracing": "OpenTelemetry"}
    for name, work, settings in (("request, both off", requests, off_settings), ("request, lines", requests, {"logging.requests": "info"}),
                                 ("request, traces", requests, traces), ("call, traces off", calls, off_settings), ("call, traces", calls, traces)):
        total, ours = measure(dict({"logging.level": "info"}, **settings), work, count, address)
        off = off or (total, ours)
        told = f", {ours:8.0f} of them in {' and '.join(OURS)}" if work is requests else ""
        print(f"{name:18} {total:10.0f} instructions{told}", flush=True)
    for name, options in (("round, traces off", []), ("round, traces", ["-t"])):
        print(f"{name:18} {measure_round(options, 60):10.0f} instructions", flush=True)
    sink.shutdown()
    return 0 if off[1] <= off[0] / 1000 else 1


if __name__ == "__main__":
    sys.exit(main())
