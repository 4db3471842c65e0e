#!/usr/bin/python3
"""What one scrape of /metrics costs, beside Debian's prometheus-libvirt-exporter on the same libvirtd in the same run.

Usage: scrape.py [--domains N] [--many N] [--scrapes N]. First N running QEMU domains (TCG, guests that halt), scraped in turns
with the exporter; then one QEMU is stopped (SIGSTOP) and both are asked again, the exporter for as long as 60 s; then many
domains of libvirt's test driver. The bounds: 1/20 of the exporter's median, 10 ms with a hung QEMU, a p99 of 20 ms for the
many, also compressed. A connection is kept from scrape to scrape, as Prometheus does."""

import argparse
import gzip
import http.client
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

from common import TOKEN, Daemon, Libvirt, cpu_seconds, end, need, resident_mib, start_domains, test_driver_node, wait_for

HUNG_S = 60  # what the exporter is given
DOMAIN = b"\nlibvirt_domain_info_virtual_cpus{"  # once a domain, in both


class Target:
    """One server's /metrics, over one connection."""

    def __init__(self, port, packed=False):
        self.client = http.client.HTTPConnection("127.0.0.1", port, timeout=HUNG_S)
        self.headers = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "gzip" if packed else "identity"}

    def scrape(self):
        """Milliseconds to the last byte, and the bytes."""
        begin = time.perf_counter()
        self.client.request("GET", "/metrics", headers=self.headers)
        answer = self.client.getresponse()
        body = answer.read()
        took_ms = (time.perf_counter() - begin) * 1e3
        if answer.status != 200:
            raise SystemExit(f"/metrics answered {answer.status}")
        return took_ms, body


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def told(name, values, size):
    print(f"{name:40} median {quantile(values, 0.5):9.2f} ms  p99 {quantile(values, 0.99):9.2f} ms  {size / 1024:7.1f} KiB", flush=True)


class Exporter:
    def __init__(self, uri):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen([need("prometheus-libvirt-exporter"), f"--web.listen-address=127.0.0.1:{self.port}",
                                         f"--libvirt.uri={uri}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.listens, 20, "the exporter listens")

    def listens(self):
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


def wait_sampled(daemon, target, count):
    """Until each domain has been read at least once."""
    wait_for(lambda: len(daemon.json("/api/v1/workloads")) == count, 120, "all domains are known")
    wait_for(lambda: target.scrape()[1].count(b"\nvirtwatch_workload_cpu_seconds_total{") == count, 120, "all domains are read")


def real_domains(folder, options):
    server = Libvirt(folder / "q")
    server.start()
    daemon = exporter = None
    try:
        start_domains(server, options.domains)
        daemon = Daemon(folder, {"sources.libvirt.enabled": "true", "sources.libvirt.uris": server.uri, "logging.level": "info"})
        ours = Target(daemon.port())
        wait_sampled(daemon, ours, options.domains)
        exporter = Exporter(server.uri)
        theirs = Target(exporter.port)
        theirs.scrape()
        our_ms, their_ms = [], []
        for _ in range(options.scrapes):
            took_ms, our_body = ours.scrape()
            our_ms.append(took_ms)
            took_ms, their_body = theirs.scrape()
            their_ms.append(took_ms)
        if their_body.count(DOMAIN) != options.domains:
            raise SystemExit("the exporter does not tell of all domains")
        told(f"virtwatchd, {options.domains} QEMU domains", our_ms, len(our_body))
        told("prometheus-libvirt-exporter", their_ms, len(their_body))
        ratio = quantile(their_ms, 0.5) / quantile(our_ms, 0.5)
        print(f"{'ratio of the medians':40} {ratio:9.0f}", flush=True)
        return ratio >= 20 and hung(server, ours, theirs, options)
    finally:
        if exporter:
            end(exporter.process)
        if daemon:
            daemon.stop()
        server.stop()


def hung(server, ours, theirs, options):
    """Ours is asked from the first moment on, thus also before the daemon can know."""
    pid = server.qemu_pid("guest-000")
    os.kill(pid, signal.SIGSTOP)
    try:
        our_ms = []
        for _ in range(options.scrapes):
            took_ms, body = ours.scrape()
            our_ms.append(took_ms)
            time.sleep(0.2)
        told("virtwatchd, one QEMU hung", our_ms, len(body))
        begin = time.monotonic()
        try:
            took_ms, body_of_theirs = theirs.scrape()
            print(f"{'prometheus-libvirt-exporter':40} {took_ms:16.2f} ms, and tells of"
                  f" {body_of_theirs.count(DOMAIN)} of {options.domains} domains", flush=True)
        except TimeoutError:
            print(f"{'prometheus-libvirt-exporter':40} no answer in {time.monotonic() - begin:.0f} s", flush=True)
        if b'virtwatch_workload_monitor_hung{kind="vm",name="guest-000"' not in ours.scrape()[1]:
            raise SystemExit("the hung domain is not told of")
        return quantile(our_ms, 0.99) < 10
    finally:
        os.kill(pid, signal.SIGCONT)


def many_domains(folder, options):
    server = Libvirt(folder / "t")
    server.start()
    uri = f"test+unix://{test_driver_node(folder, options.many)}?socket={server.socket}"
    home = folder / "m"
    home.mkdir()
    daemon = Daemon(home, {"sources.libvirt.enabled": "true", "sources.libvirt.uris": uri, "logging.level": "info"})
    try:
        plain, packed = Target(daemon.port()), Target(daemon.port(), packed=True)
        wait_for(lambda: len(daemon.json("/api/v1/workloads")) == options.many, 120, "all domains are known")
        time.sleep(5)
        before_mib = resident_mib(daemon.process.pid)
        wait_sampled(daemon, plain, options.many)
        plain_ms, packed_ms, cpu, begin = [], [], cpu_seconds(daemon.process.pid), time.monotonic()
        for _ in range(options.scrapes):
            took_ms, body = plain.scrape()
            plain_ms.append(took_ms)
        used_ms, spent = (cpu_seconds(daemon.process.pid) - cpu) * 1e3 / options.scrapes, time.monotonic() - begin
        for _ in range(options.scrapes):
            took_ms, small = packed.scrape()
            packed_ms.append(took_ms)
        if gzip.decompress(small).count(b"\nvirtwatch_workload_cpus{") != options.many:
            raise SystemExit("not all domains are told of")
        told(f"virtwatchd, {options.many} domains", plain_ms, len(body))
        print(f"{'its CPU for one, with the sampling beside':40} {used_ms:16.2f} ms (over {spent:.1f} s)", flush=True)
        told("the same as gzip", packed_ms, len(small))
        print(f"{'resident before and after the scrapes':40} {before_mib:.1f} MiB, {resident_mib(daemon.process.pid):.1f} MiB", flush=True)
        return max(quantile(plain_ms, 0.99), quantile(packed_ms, 0.99)) < 20
    finally:
        daemon.stop()
        server.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--domains", type=int, default=100)
    parser.add_argument("--many", type=int, default=1000)
    parser.add_argument("--scrapes", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vwb", ignore_cleanup_errors=True) as folder:
        many = many_domains(pathlib.Path(folder), options) if options.many else True
        real = real_domains(pathlib.Path(folder), options) if options.domains else True
    return many and real


raise SystemExit(not main())
