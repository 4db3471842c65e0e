#!/usr/bin/python3
"""Many running QEMU domains, sampled each second, beside one `virsh domstats` a second on the same libvirtd in the same run.

Usage: domains.py [--domains N] [--seconds S]. TCG guests of 16 MiB that halt. The bounds: no domain is without a reading for longer
than the longest `virsh domstats` took and one interval beside it (a slot ends while the next bulk call is under way), and
virtwatchd's CPU time stays below that of virsh. What libvirtd spends for either is told too."""

import argparse
import collections
import json
import pathlib
import resource
import socket
import subprocess
import tempfile
import threading
import time

from common import TOKEN, Daemon, Libvirt, cpu_seconds, resident_mib, start_domains, wait_for


class Samples:
    """Reads every domain's slots: when each was that had a reading."""

    def __init__(self, daemon):
        self.read_at, self.nulls, self.total = collections.defaultdict(list), collections.Counter(), 0
        self.socket = socket.create_connection(("127.0.0.1", daemon.port()))
        self.socket.sendall(f"GET /api/v1/events?stream=samples HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        with self.socket.makefile("rb") as lines:
            for line in lines:
                if not line.startswith(b"data: "):
                    continue
                sample = json.loads(line[6:])
                self.total += 1
                if sample["cpu_pct"] is None:
                    self.nulls[sample["name"]] += 1
                else:
                    self.read_at[sample["name"]].append(time.monotonic())

    def longest_gap(self, begin, end):
        return max(max(b - a for a, b in zip([begin, *times], [*times, end])) for times in self.read_at.values())


def libvirtd_pid(server):
    return int((server.folder / "libvirtd.pid").read_text())


def ours(folder, server, options):
    daemon = Daemon(folder, {"sources.libvirt.enabled": "true", "sources.libvirt.uris": server.uri, "logging.level": "info"})
    try:
        wait_for(lambda: len(daemon.json("/api/v1/workloads")) == options.domains, 120, "all domains are known")
        time.sleep(15)
        samples, pid, libvirtd = Samples(daemon), daemon.process.pid, libvirtd_pid(server)
        begin, cpu, their_cpu = time.monotonic(), cpu_seconds(pid), cpu_seconds(libvirtd)
        time.sleep(options.seconds)
        end = time.monotonic()
        cpu, their_cpu = cpu_seconds(pid) - cpu, cpu_seconds(libvirtd) - their_cpu
        gap, nulls, known = samples.longest_gap(begin, end), sum(samples.nulls.values()), len(samples.read_at)
        print(f"virtwatchd: {known} of {options.domains} domains read, {samples.total} slots, {nulls} of them null; longest without a reading {gap:.1f} s; "
              f"{cpu * 100 / (end - begin):.1f} % of a core, {resident_mib(pid):.1f} MiB; libvirtd for it {their_cpu * 100 / (end - begin):.1f} %", flush=True)
        return cpu / (end - begin), gap, known
    finally:
        daemon.stop()


def virsh(server, options):
    def spent():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    longest, rounds, libvirtd = 0.0, 0, libvirtd_pid(server)
    begin, cpu, their_cpu = time.monotonic(), spent(), cpu_seconds(libvirtd)
    while time.monotonic() - begin < options.seconds:
        at = time.monotonic()
        subprocess.run(["virsh", "-q", "-c", server.uri, "domstats"], check=True, stdout=subprocess.DEVNULL)
        rounds += 1
        longest = max(longest, time.monotonic() - at)
        time.sleep(max(0, 1 - (time.monotonic() - at)))
    took = time.monotonic() - begin
    cpu, their_cpu = spent() - cpu, cpu_seconds(libvirtd) - their_cpu
    print(f"virsh domstats: {rounds} in {took:.0f} s, the longest {longest * 1e3:.0f} ms; {cpu * 100 / took:.1f} % of a core; "
          f"libvirtd for it {their_cpu * 100 / took:.1f} %", flush=True)
    return cpu / took, longest


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--domains", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vwb", ignore_cleanup_errors=True) as folder:
        folder = pathlib.Path(folder)
        server = Libvirt(folder / "q")
        server.start()
        try:
            start_domains(server, options.domains)
            our_cpu, gap, known = ours(folder, server, options)
            their_cpu, longest = virsh(server, options)
        finally:
            server.stop()
    return known == options.domains and gap <= 1 + max(1, longest) + 0.2 and our_cpu < their_cpu


raise SystemExit(not main())
