#!/usr/bin/python3
"""From the runtime's own event to the byte on our stream, each told of the same death by the same daemon.

Usage: latency.py [docker|podman|libvirt ...] [--count N]. Starts what it needs, isolated. The peers are `docker events`,
`podman events` and `virsh event`; negative: SSE was first. The bound is 5 ms (median) and 20 ms (p99). Podman's readers
each look into its event file every 250 ms, at moments of their own: that much is added to its p99."""

import argparse
import json
import os
import pathlib
import pty
import re
import subprocess
import tempfile
import threading
import time
import urllib.request

from common import TOKEN, Daemon, Docker, Libvirt, Podman, end, make_image, wait_for


def read_docker(engine, seen):
    process = subprocess.Popen(["/usr/bin/docker", "-H", f"unix://{engine.socket}", "events", "--filter", "event=die", "--format",
                                "{{json .}}"], stdout=subprocess.PIPE)
    return process, lambda: [seen.setdefault(json.loads(line)["Actor"]["Attributes"]["name"], time.monotonic()) for line in process.stdout]


def read_podman(engine, seen):
    process = subprocess.Popen(["podman", "events", "--filter", "event=died", "--format", "json"], stdout=subprocess.PIPE,
                               env=engine.environment, cwd=engine.folder)
    return process, lambda: [seen.setdefault(json.loads(line)["Name"], time.monotonic()) for line in process.stdout]


def read_virsh(engine, seen):
    """Through a terminal: into a pipe virsh writes in blocks."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(["virsh", "-q", "-c", engine.uri, "event", "--event", "lifecycle", "--loop"], stdin=subprocess.DEVNULL,
                               stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)

    def read():
        with open(ours, "rb", 0) as lines:
            try:
                for line in iter(lines.readline, b""):
                    if match := re.search(rb"domain '?([^':\s]+)'?: Stopped", line):
                        seen.setdefault(match[1].decode(), time.monotonic())
            except OSError:
                pass  # the terminal's other end is closed
    return process, read


def read_sse(daemon, seen):
    request = urllib.request.Request(f"http://127.0.0.1:{daemon.port()}/api/v1/events", headers={
        "Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream"})
    with urllib.request.urlopen(request) as stream:
        for line in stream:
            if line.startswith(b"data: ") and b'"confidence"' in line:
                seen.setdefault(json.loads(line[6:])["name"], time.monotonic())


def measure(name, engine, settings, reader, die, folder, count):
    theirs, ours = {}, {}
    daemon = Daemon(folder, settings)
    process, read = reader(engine, theirs)
    try:
        wait_for(lambda: '"up"' in daemon.get("/ready")[1], 60, f"{name} is up")
        threading.Thread(target=read, daemon=True).start()
        threading.Thread(target=read_sse, args=(daemon, ours), daemon=True).start()
        time.sleep(1.5)
        for i in range(count):
            die(f"latency-{i}")
        time.sleep(1.5)
    finally:
        end(process)
        daemon.stop()
    lags = sorted((ours[key] - theirs[key]) * 1000 for key in ours if key in theirs)
    if not lags:
        print(f"{name}: no death seen by both ({len(theirs)} there, {len(ours)} here)")
        return False
    median, late = lags[len(lags) // 2], lags[min(len(lags) - 1, int(len(lags) * 0.99))]
    print(f"{name:8} {len(lags)} of {count} deaths seen by both; SSE behind the runtime's own client: median {median:.2f} ms,"
          f" p99 {late:.2f} ms, first {lags[0]:.2f} ms, last {lags[-1]:.2f} ms", flush=True)
    return len(lags) == count and median <= 5 and late <= 20 + (250 if name == "podman" else 0)


def docker(folder, count):
    engine = Docker(folder, None)
    engine.start()
    try:
        engine("import", make_image(folder), "bb:1")
        return measure("docker", engine, {"sources.docker.enabled": "true", "sources.docker.socket": engine.socket}, read_docker,
                       lambda name: engine.run(name, "sh", "-c", "exit 3", options=("--rm",)), folder, count)
    finally:
        engine.stop()


def podman(folder, count):
    engine = Podman(folder)
    engine("import", "-q", make_image(folder), "localhost/bb:1")
    engine.start()
    try:
        return measure("podman", engine, {"sources.podman.enabled": "true", "sources.podman.socket": engine.socket}, read_podman,
                       lambda name: engine.run(name, "sh", "-c", "exit 3", options=("--rm",)), folder, count)
    finally:
        engine("rm", "-f", "-t", "0", "-a", check=False)
        end(engine.process)
        subprocess.run(["umount", "-l", folder / "root/overlay"], stderr=subprocess.DEVNULL)


def libvirt(folder, count):
    engine = Libvirt(folder / "l")
    engine.start()

    def die(name):
        engine.define(name)
        engine("start", name)
        engine("destroy", name)
        engine("undefine", name)

    try:
        return measure("libvirt", engine, {"sources.libvirt.enabled": "true", "sources.libvirt.uris": engine.uri}, read_virsh, die,
                       folder, count)
    finally:
        engine.stop()


parser = argparse.ArgumentParser()
parser.add_argument("runtimes", nargs="*", default=["docker", "podman", "libvirt"])
parser.add_argument("--count", type=int, default=40)
options = parser.parse_args()
good = True
for runtime in options.runtimes:
    with tempfile.TemporaryDirectory(prefix="vwb", ignore_cleanup_errors=True) as folder:
        good &= {"docker": docker, "podman": podman, "libvirt": libvirt}[runtime](pathlib.Path(folder), options.count)
raise SystemExit(not good)
