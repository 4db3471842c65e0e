#!/usr/bin/python3
"""What watching a quiet host costs: libvirt's test driver with 100 domains, CPU and resident memory over a while.

Usage: idle.py [--domains N] [--seconds N]. The bound is 1 % of a core and 25 MiB. The driver runs in a libvirtd, for in our
own process its made-up domains would be counted as ours, once for each connection. Beside it, on the same domains and for as
long: libvirt's own Prometheus exporter (Debian's prometheus-libvirt-exporter), scraped every 5 s as virtwatchd is in the
second line, and `virsh event --all --loop`."""

import argparse
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

from common import Daemon, Libvirt, Stream, cpu_seconds, end, resident_mib, test_driver_node, wait_for

SCRAPE_S = 5


def measure(name, pid, seconds, scrape=None):
    begin, cpu, worst = time.monotonic(), cpu_seconds(pid), 0
    while time.monotonic() - begin < seconds:
        if scrape:
            scrape()
        time.sleep(min(SCRAPE_S, seconds))
        worst = max(worst, resident_mib(pid))
    percent = (cpu_seconds(pid) - cpu) * 100 / (time.monotonic() - begin)
    print(f"{name:52} {percent:6.2f} % of a core {worst:6.1f} MiB", flush=True)
    return percent, worst


def peer_exporter(uri, seconds):
    program = shutil.which("prometheus-libvirt-exporter")
    if not program:
        print("prometheus-libvirt-exporter is not installed")
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([program, f"--web.listen-address=127.0.0.1:{port}", f"--libvirt.uri={uri}"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)

    def scrape():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            return answer.read()

    try:
        def answers():
            try:
                return scrape()
            except OSError:
                return None
        wait_for(answers, 20, "the exporter answers")
        measure("prometheus-libvirt-exporter, scraped", process.pid, seconds, scrape)
    finally:
        end(process)


def peer_virsh(uri, seconds):
    process = subprocess.Popen(["virsh", "-q", "-c", uri, "event", "--all", "--loop"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        measure("virsh event --all --loop", process.pid, seconds)
    finally:
        end(process)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--domains", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vwb") as folder:
        server = Libvirt(pathlib.Path(folder) / "l")
        server.start()
        uri = f"test+unix://{test_driver_node(pathlib.Path(folder), options.domains)}?socket={server.socket}"
        daemon = Daemon(pathlib.Path(folder), {"sources.libvirt.enabled": "true", "sources.libvirt.uris": uri, "logging.level": "info"})
        stream = None
        try:
            wait_for(lambda: len(daemon.json("/api/v1/workloads")) == options.domains, 30, "all domains are known")
            time.sleep(2)
            alone = measure(f"virtwatchd, {options.domains} domains", daemon.process.pid, options.seconds)
            stream = Stream(daemon)
            read = measure("virtwatchd, with a reader and scraped", daemon.process.pid, options.seconds, lambda: daemon.get("/metrics"))
        finally:
            if stream:
                stream.close()
            daemon.stop()
        peer_exporter(uri, options.seconds)
        peer_virsh(uri, options.seconds)
        server.stop()
    return all(percent < 1 and mib < 25 for percent, mib in (alone, read))


raise SystemExit(not main())
