#!/usr/bin/python3
"""Timeline events posted on the local socket, each durable before its answer.

Usage: posts.py [--clients N] [--seconds S]. The bound is 10,000 POSTs a second, each of which was answered 201 with a number that is
in the journal afterwards, though virtwatchd is killed (SIGKILL) as soon as the last answer is there. Beside it: XADD of as many bytes
to Debian's redis-server that syncs its file before it answers (appendfsync always), whose clients keep their connections."""

import argparse
import contextlib
import json
import pathlib
import sqlite3
import subprocess
import tempfile
import time

from common import BUILD, Daemon, cpu_seconds, end, need, resident_mib, wait_for


def stored(folder):
    with contextlib.closing(sqlite3.connect(folder / "state/events.db")) as db:
        return {seq for seq, in db.execute("SELECT seq FROM events WHERE slug = 'bench' AND action = 'deploy'")}


def ours(folder, options):
    daemon = Daemon(folder, {"logging.level": "info"})
    begin = cpu_seconds(daemon.process.pid)
    try:
        answer = json.loads(subprocess.run([BUILD / "test/bench_posts", "-p", folder / "http.sock", "-n", str(options.clients), "-s",
                                            str(options.seconds), "-o", folder / "seqs"], check=True, capture_output=True, text=True).stdout)
        cpu, mib = cpu_seconds(daemon.process.pid) - begin, resident_mib(daemon.process.pid)
    finally:
        daemon.kill()
    answered = [int(line) for line in (folder / "seqs").read_text().split()]
    lost = set(answered) - stored(folder)
    rate = answer["stored"] / answer["seconds"]
    print(f"virtwatchd, {options.clients} clients: {rate:,.0f} POSTs/s on {answer['connections']} connections, median {answer['p50_ms']} ms, "
          f"p99 {answer['p99_ms']} ms; {cpu * 1e6 / answer['stored']:.1f} us of CPU for one (the client's {answer['client_cpu'] * 1e6 / answer['stored']:.1f}), "
          f"{mib:.0f} MiB", flush=True)
    print(f"answered {len(answered)}, of those in the journal {len(set(answered)) - len(lost)}, twice {len(answered) - len(set(answered))}", flush=True)
    return rate >= 10000 and not lost and len(set(answered)) == len(answered)


BODY = '{"kind":"deploy","severity":"info","message":"release 100000 is out","metadata":{"commit":"000186a0","by":"ci"}}'


def redis(folder, options, count):
    path = folder / "redis.sock"
    process = subprocess.Popen([need("redis-server"), "--port", "0", "--unixsocket", path, "--dir", folder, "--appendonly", "yes", "--appendfsync",
                                "always", "--save", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(path.exists, 20, "redis listens")
        begin, cpu = time.monotonic(), cpu_seconds(process.pid)
        text = subprocess.run([need("redis-benchmark"), "-s", path, "-c", str(options.clients), "-n", str(count), "--csv", "XADD", "bench", "*",
                               "event", BODY], check=True, capture_output=True, text=True).stdout
        took, cpu = time.monotonic() - begin, cpu_seconds(process.pid) - cpu
        # "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
        p50, p99 = (float(text.splitlines()[-1].rsplit(",", 7)[i].strip('"')) for i in (4, 6))
        print(f"redis-server, {options.clients} clients: {count / took:,.0f} XADDs/s, median {p50:.2f} ms, p99 {p99:.2f} ms; "
              f"{cpu * 1e6 / count:.1f} us of CPU for one, {resident_mib(process.pid):.0f} MiB", flush=True)
    finally:
        end(process)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=256)
    parser.add_argument("--seconds", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vwb") as folder:
        good = ours(pathlib.Path(folder), options)
        redis(pathlib.Path(folder), options, 10000 * options.seconds)
    return good


raise SystemExit(not main())
