#!/usr/bin/python3
"""Reading access logs: lines for each second of CPU, beside Debian's goaccess on the same file, with the same totals; and a long
history in constant memory.

Usage: access_log.py [--lines N] [--history GIB]. The bounds are twice goaccess's speed and, with --history, that what is resident
at the end is no more than 16 MiB above what it was in the first fifth. Lines are those of the recorded log
(test/fixtures/caddy262-access.jsonl), their times moved to the last days, their hosts made forty."""

import argparse
import contextlib
import gzip
import json
import pathlib
import random
import sqlite3
import subprocess
import tempfile
import time

from common import Daemon, cpu_seconds, need, resident_mib

FIXTURE = pathlib.Path(__file__).resolve().parents[1] / "fixtures/caddy262-access.jsonl"


def make_log(path, count, seed=1):
    """Return the lines' total size. What goaccess does not count is left out: status 0, and lines past its 4 KiB."""
    templates = [json.loads(line) for line in FIXTURE.read_text().splitlines()]
    templates = [one for one in templates if one["status"] and len(one["request"]["uri"]) < 1000]
    parts = []
    for one in templates:
        one["ts"] = "@TS@"
        one["request"]["host"] = "@HOST@"
        parts.append(json.dumps(one, separators=(",", ":"), ensure_ascii=False).replace('"@TS@"', "@TS@"))
    chance, now = random.Random(seed), time.time()
    with open(path, "w") as out:
        for i in range(count):
            at = now - 3 * 86400 * (count - i) / count
            out.write(parts[chance.randrange(len(parts))].replace("@TS@", f"{at:.7f}").replace("@HOST@", f"site{chance.randrange(40)}.test", 1) + "\n")
    return path.stat().st_size


def stored(folder):
    with contextlib.closing(sqlite3.connect(folder / "state/analytics.db")) as db:
        return db.execute("SELECT sum(requests), sum(bytes_out), sum(status_2xx), sum(status_4xx), sum(status_5xx) FROM rollups").fetchone()


def importing(folder, log, count):
    """Import, and return CPU seconds, wall seconds, resident MiB at most in the first fifth (of 5 GiB: one) and at most afterwards."""
    daemon = Daemon(folder, {"analytics.files": log, "logging.level": "info"})
    begin, early, most = time.monotonic(), 0.0, 0.0
    done = 0
    try:
        while done < count:
            time.sleep(0.1)
            done = stored(folder)[0] or 0
            resident = resident_mib(daemon.process.pid)
            if done < count / 5:
                early = max(early, resident)
            else:
                most = max(most, resident)
        wall, cpu = time.monotonic() - begin, cpu_seconds(daemon.process.pid)
    finally:
        daemon.stop()
    assert stored(folder)[0] == count, stored(folder)
    return cpu, wall, early, most


def goaccess(folder, log):
    command = [need("goaccess"), str(log), "--log-format=CADDY", "--no-global-config", "--no-progress", "-o", str(folder / "report.json")]
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cpu, resident = 0.0, 0.0
    while process.poll() is None:
        with contextlib.suppress(OSError, IndexError):
            cpu, resident = max(cpu, cpu_seconds(process.pid)), max(resident, resident_mib(process.pid))
        time.sleep(0.05)
    return cpu, time.monotonic() - begin, resident, json.loads((folder / "report.json").read_text(errors="replace"))


def against_goaccess(folder, lines):
    log = folder / "access.log"
    size = make_log(log, lines)
    cpu, wall, _, most = importing(folder, log, lines)
    ours = lines / cpu
    print(f"virtwatchd: {lines} lines, {size >> 20} MiB: {ours:9.0f} lines for each second of CPU ({lines / wall:.0f} a second), {most:.1f} MiB", flush=True)
    cpu, wall, most, report = goaccess(folder, log)
    theirs = lines / cpu
    print(f"goaccess:   {lines} lines, {size >> 20} MiB: {theirs:9.0f} lines for each second of CPU ({lines / wall:.0f} a second), {most:.1f} MiB", flush=True)
    classes = {c: sum(row["hits"]["count"] for row in report["status_codes"]["data"] if row["data"].startswith(c)) for c in "245"}
    same = stored(folder) == (report["general"]["valid_requests"], report["general"]["bandwidth"], classes["2"], classes["4"], classes["5"])
    print(f"totals: {'the same' if same else stored(folder)}; {ours / theirs:.1f} times as fast", flush=True)
    return same and ours >= 2 * theirs


def history(folder, gib):
    """Copies of one file under new first lines, half of them compressed."""
    lines = 100000
    size = make_log(folder / "piece", lines, seed=2)
    count = max(2, int(gib * (1 << 30) / size))
    body = (folder / "piece").read_bytes()
    template = body[: body.index(b"\n") + 1]
    for i in range(count):
        head = template.replace(b'"remote_port":"', b'"remote_port":"%d' % i, 1)
        name = folder / f"history.log.{i}"
        if i % 2:
            with gzip.open(f"{name}.gz", "wb", compresslevel=1) as out:
                out.write(head + body)
        else:
            name.write_bytes(head + body)
    (folder / "piece").unlink()
    (folder / "history.log").touch()
    total = count * (lines + 1)
    cpu, wall, early, most = importing(folder, folder / "history.log", total)
    print(f"history: {count} files, {count * size / (1 << 30):.1f} GiB, {total} lines in {wall:.0f} s ({total / cpu:.0f} lines for each second of CPU);"
          f" resident at most {early:.1f} MiB in the first {gib / 5:.1f} GiB, {most:.1f} MiB in the rest", flush=True)
    return most <= early + 16


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=200000)
    parser.add_argument("--history", type=float, default=0)
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory(prefix="vwb", dir="/var/tmp") as folder:
        good = against_goaccess(pathlib.Path(folder), options.lines) and good
    if options.history:
        with tempfile.TemporaryDirectory(prefix="vwb", dir="/var/tmp") as folder:
            good = history(pathlib.Path(folder), options.history) and good
    return good


raise SystemExit(not main())
