#!/usr/bin/python3
"""What traces and lines of requests cost: instructions for each request, counted by callgrind, switched off and on.

Off, `http_log_begun`, `http_log_ended` and `curl_glue_watch`'s branch are all that is left; bound: 1 per mille of a request."""

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


def measure(settings, count, collector):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vwb"))
    daemon = Counted(folder, settings, environment={"OTEL_EXPORTER_OTLP_ENDPOINT": collector})
    try:
        ask(daemon.port(), 50)
        for switch in ("on", "off"):
            subprocess.run(["callgrind_control", "-i", switch, str(daemon.process.pid)], check=True, capture_output=True)
            if switch == "on":
                ask(daemon.port(), count)
        daemon.stop()
        text = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--auto=no", "--threshold=100", folder / "out"], check=True, capture_output=True,
                              text=True).stdout
    finally:
        if daemon.process.poll() is None:
            daemon.kill()
        shutil.rmtree(folder)
    total = int(re.search(r"^ *([0-9,]+) .*PROGRAM TOTALS", text, re.M)[1].replace(",", ""))
    ours = sum(int(line.split()[0].replace(",", "")) for line in text.splitlines() if any(f":{name} " in line for name in OURS))
    return total / count, ours / count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=300)
    count = parser.parse_args().requests
    need("valgrind")
    sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{sink.server_address[1]}"
    off = None
    for name, settings in (("both off", {"logging.requests": "off"}), ("lines", {"logging.requests": "info"}),
                           ("traces", {"logging.requests": "off", "logging.tracing": "OpenTelemetry"})):
        total, ours = measure(dict({"logging.level": "info"}, **settings), count, address)
        off = off or (total, ours)
        print(f"{name:10} {total:10.0f} instructions a request, {ours:8.0f} of them in {' and '.join(OURS)}", flush=True)
    sink.shutdown()
    return 0 if off[1] <= off[0] / 1000 else 1


if __name__ == "__main__":
    sys.exit(main())
