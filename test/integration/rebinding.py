"""Within a network namespace: names that resolve to a public place first and to loopback then, or to both at once."""

import http.server
import pathlib
import socket
import struct
import subprocess
import tempfile
import threading
import time

from conftest import Daemon
from test_apps import send

PUBLIC, LOOPBACK = "10.99.0.1", "127.0.0.1"
PORT = 8080


def run(*args):
    subprocess.run(args, check=True)


def serve_names(asked):
    """A for moves.test: public, from the second question on loopback; both.test: both; mapped.test: AAAA ::ffff:127.0.0.1; nothing for silent.test."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((LOOPBACK, 53))
    while True:
        packet, peer = server.recvfrom(512)
        labels, at = [], 12
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode().lower())
            at += packet[at] + 1
        name, kind = ".".join(labels), struct.unpack(">H", packet[at + 1:at + 3])[0]
        answers = []
        if name == "silent.test":
            continue
        if kind == 1 and name == "moves.test":
            asked.append(name)
            answers = [socket.inet_aton(PUBLIC if len(asked) == 1 else LOOPBACK)]
        elif kind == 1 and name == "both.test":
            answers = [socket.inet_aton("10.99.0.2"), socket.inet_aton(LOOPBACK)]
        elif kind == 28 and name == "mapped.test":
            answers = [b"\0" * 10 + b"\xff\xff" + socket.inet_aton(LOOPBACK)]
        head = packet[:2] + b"\x81\x80\0\1" + struct.pack(">H", len(answers)) + b"\0\0\0\0"
        body = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(data)) + data for data in answers)
        server.sendto(head + packet[12:at + 5] + body, peer)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def serve(address):
    server = http.server.ThreadingHTTPServer((address, PORT), Handler)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def probe(daemon, name, timeout_s=5):
    status, answer = send(daemon, "PUT", "/api/app-gateway/probes/shop", {"url": f"http://{name}:{PORT}", "timeout_s": timeout_s})
    assert status in (200, 201), answer
    status, answer = send(daemon, "POST", "/api/app-gateway/probes/shop/run")
    assert status == 200, answer
    return answer


def main():
    run("mount", "--make-rprivate", "/")
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{PUBLIC}/32", "dev", "lo")
    with tempfile.TemporaryDirectory(prefix="vwt") as folder:
        folder = pathlib.Path(folder)
        (folder / "resolv.conf").write_text(f"nameserver {LOOPBACK}\noptions timeout:5 attempts:2\n")
        (folder / "nsswitch.conf").write_text("hosts: dns\n")
        run("mount", "--bind", folder / "resolv.conf", "/etc/resolv.conf")
        run("mount", "--bind", folder / "nsswitch.conf", "/etc/nsswitch.conf")
        asked = []
        threading.Thread(target=serve_names, args=(asked,), daemon=True).start()
        public, loopback = serve(PUBLIC), serve(LOOPBACK)
        daemon = Daemon(folder, {})
        try:
            first = probe(daemon, "moves.test")
            assert first["last_status"] == "up" and public.seen == ["/"], first
            for name in ("moves.test", "both.test", "mapped.test"):
                answer = probe(daemon, name)
                assert answer["last_status"] == "down" and "is not to be asked: it is a loopback address" in answer["last_error"], (name, answer)
            assert len(asked) >= 2
            assert loopback.seen == []
            # a name server that hangs holds up neither the run's end nor the loop
            begin = time.monotonic()
            answer = probe(daemon, "silent.test", 1)
            assert answer["last_error"] == "no answer within 1 s", answer
            assert send(daemon, "GET", "/api/app-gateway/probes")[0] == 200
            assert time.monotonic() - begin < 3
        finally:
            daemon.stop()
        run("umount", "/etc/resolv.conf")
        run("umount", "/etc/nsswitch.conf")
    print(f"3 names, {len(loopback.seen)} connections to loopback")


main()
