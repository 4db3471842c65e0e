#!/usr/bin/python3
"""What virtwatchd holds in memory: with no workload, with more and more domains of libvirt's test driver, and over a day.

Usage: memory.py [--domains N,N,...] [--hours H]. The bounds are 25 MiB and 16 KiB for each workload, and a day (bench_day, a clock in
fast time) at whose end no more is allocated than after its third hour. The domains are sampled each second and scraped now and
then. Beside it, on the same domains: prometheus-libvirt-exporter, scraped as often."""

import argparse
import pathlib
import socket
import subprocess
import tempfile
import time
import urllib.request

from common import BUILD, Daemon, Libvirt, end, need, resident_mib, test_driver_node, wait_for

SETTLE_S = 20
SCRAPES = 5


def settled(pid, scrape):
    """The most that was resident after a while, with some scrapes in it."""
    most = 0
    for _ in range(SCRAPES):
        time.sleep(SETTLE_S / SCRAPES)
        scrape()
        most = max(most, resident_mib(pid))
    return most


def exporter(uri):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([need("prometheus-libvirt-exporter"), f"--web.listen-address=127.0.0.1:{port}", f"--libvirt.uri={uri}"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def scrape():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
                return answer.read()
        except OSError:
            return None

    try:
        wait_for(scrape, 60, "the exporter answers")
        return settled(process.pid, scrape)
    finally:
        end(process)


def with_domains(folder, count):
    folder.mkdir()
    server = Libvirt(folder / "t")
    server.start()
    uri = f"test+unix://{test_driver_node(folder, count)}?socket={server.socket}"
    daemon = Daemon(folder, {"sources.libvirt.enabled": "true", "sources.libvirt.uris": uri, "logging.level": "info"})
    try:
        wait_for(lambda: len(daemon.json("/api/v1/workloads")) == count, 120, "all domains are known")
        ours = settled(daemon.process.pid, lambda: daemon.get("/metrics"))
        daemon.stop()
        theirs = exporter(uri) if count else 0
    finally:
        if daemon.process.poll() is None:
            daemon.stop()
        server.stop()
    bound = 25 + 16 * count / 1024
    print(f"{count} domains: {ours:.1f} MiB ({bound:.1f} allowed); the exporter {theirs:.1f} MiB", flush=True)
    return ours, ours <= bound


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--domains", default="0,1000,5000")
    parser.add_argument("--hours", type=int, default=24)
    options = parser.parse_args()
    good, points = True, []
    with tempfile.TemporaryDirectory(prefix="vwb", ignore_cleanup_errors=True) as folder:
        for count in map(int, options.domains.split(",")):
            ours, fits = with_domains(pathlib.Path(folder) / str(count), count)
            points.append((count, ours))
            good = good and fits
        if len(points) > 1 and points[-1][0] > points[0][0]:
            print(f"{(points[-1][1] - points[0][1]) * 1024 / (points[-1][0] - points[0][0]):.1f} KiB for each workload", flush=True)
        (pathlib.Path(folder) / "day").mkdir()
        day = subprocess.run([BUILD / "test/bench_day", "-d", pathlib.Path(folder) / "day", "-h", str(options.hours)], check=False)
    return good and day.returncode == 0


raise SystemExit(not main())
