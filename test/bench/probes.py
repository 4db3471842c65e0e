#!/usr/bin/python3
"""What 5,000 probes at 60 s cost, and how late they are.

Usage: probes.py [--probes N] [--interval S] [--hang N] [--tls] [--seconds S]. The bounds are 10 % of a core, and 100 ms of schedule
error at p99. The error is measured at the target: when the request arrives there, against the turn that follows from the probe's
name (model/probe.c). With --hang, as many more probes have a target that never answers: the error of the others must not grow. No
peer: Debian has no prober of its own kind. With --tls, what a run costs is told beside what a full handshake costs in OpenSSL alone
(bench_handshake), made as often on the same target right after."""

import argparse
import concurrent.futures
import multiprocessing
import pathlib
import socket
import ssl
import subprocess
import tempfile
import threading
import time

from common import BUILD, Daemon, cpu_seconds, resident_mib, run, wait_for
from test_apps import send

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def turn_offset(slug, interval_us):
    mask, h = (1 << 64) - 1, 0xcbf29ce484222325
    for byte in slug.encode():
        h = (h ^ byte) * 0x100000001b3 & mask
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9 & mask
    h = (h ^ (h >> 27)) * 0x94d049bb133111eb & mask
    return (h ^ (h >> 31)) % interval_us


class Target:
    """A process that answers each request at once and notes when it was there; or, as a hole, never answers."""

    def __init__(self, log, tls=None, is_hole=False):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.socket.getsockname()[1]
        self.log, self.tls = log, tls
        self.process = multiprocessing.Process(target=self.hold if is_hole else self.serve, daemon=True)
        self.process.start()
        self.socket.close()

    def hold(self):
        held = []
        while True:
            held = held[-8192:] + [self.socket.accept()[0]]

    def serve(self):
        self.out = open(self.log, "a", buffering=1)
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            while True:
                peer = self.socket.accept()[0]
                at = time.monotonic()
                if self.tls:
                    pool.submit(self.answer, peer, at)
                else:
                    self.answer(peer, at)

    def answer(self, peer, at):
        try:
            peer.settimeout(5)
            if self.tls:
                peer = self.tls.wrap_socket(peer, server_side=True)
            name = peer.recv(4096).split(b" ", 2)[1][1:].decode()
            peer.sendall(ANSWER)
            self.out.write(f"{name} {at}\n")
        except (OSError, IndexError):
            pass
        peer.close()

    def arrivals(self, since=0):
        rows = (line.split() for line in self.log.read_text().splitlines())
        return [(name, float(at)) for name, at in rows if float(at) >= since]


def certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key", "-out", folder / "ca.pem", "-days", "9",
                    "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "ca.pem", folder / "key")
    return tls


def put_all(daemon, names, url, options):
    def put(part):
        for name in part:
            status, answer = send(daemon, "PUT", f"/api/app-gateway/probes/{name}",
                                  {"url": url, "path": f"/{name}", "interval_s": options.interval, "timeout_s": 20})
            assert status in (200, 201), answer

    workers = [threading.Thread(target=put, args=(names[i::8],)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def handshake_us(port, ca_file, options):
    rate = max(2, options.probes // options.interval)
    return int(run(BUILD / "test/bench_handshake", "-p", port, "-c", ca_file, "-n", 10 * rate, "-r", rate))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--probes", type=int, default=5000)
    parser.add_argument("--interval", type=int, default=60)
    parser.add_argument("--hang", type=int, default=0)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--seconds", type=int, default=120)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vwb") as folder:
        folder = pathlib.Path(folder)
        tls = certificate(folder) if options.tls else None
        target = Target(folder / "arrivals", tls)
        daemon = Daemon(folder, {"probes.allow": "127.0.0.1", "probes.ca_file": folder / "ca.pem" if tls else "", "logging.level": "info"})
        try:
            names = [f"app-{i}" for i in range(options.probes)]
            put_all(daemon, names, f"http{'s' if tls else ''}://127.0.0.1:{target.port}", options)
            if options.hang:
                put_all(daemon, [f"hole-{i}" for i in range(options.hang)], f"http://127.0.0.1:{Target(None, is_hole=True).port}", options)
            # the first runs come sooner than the interval says
            time.sleep(15)
            wait_for(lambda: len({name for name, _ in target.arrivals()}) == options.probes, 60, "each has run once")
            time.sleep(options.interval / 10)
            begin, cpu = time.monotonic(), cpu_seconds(daemon.process.pid)
            time.sleep(options.seconds)
            arrivals = target.arrivals(since=begin)
            percent = (cpu_seconds(daemon.process.pid) - cpu) * 100 / (time.monotonic() - begin)
            mib = resident_mib(daemon.process.pid)
            alone_us = handshake_us(target.port, folder / "ca.pem", options) if tls else None
            text = daemon.get("/metrics")[1]
        finally:
            daemon.stop()
    interval_us = options.interval * 1000000
    late = sorted(((at * 1e6 - turn_offset(name, interval_us)) % interval_us) / 1e3 for name, at in arrivals)
    p50, p99, worst = (late[min(len(late) - 1, int(len(late) * q))] for q in (0.5, 0.99, 1))
    wanted = options.probes * options.seconds / options.interval
    print(f"{len(arrivals)} runs of about {wanted:.0f} wanted; {percent:.1f} % of a core, {mib:.0f} MiB; "
          f"late by {p50:.1f} ms median, {p99:.1f} ms p99, {worst:.1f} ms at worst")
    if tls:
        run_us = percent * 1e4 * options.seconds / len(arrivals)
        print(f"{run_us:.0f} us of CPU for a run; a handshake of OpenSSL alone, its context shared, takes {alone_us} us")
    for line in text.splitlines():
        if line.startswith(("virtwatch_probe_runs_total", "virtwatch_probes_running", "virtwatch_probe_overlapped")):
            print(line)
    return percent < 10 and p99 < 100 and abs(len(arrivals) - wanted) < 0.02 * wanted


raise SystemExit(not main())
