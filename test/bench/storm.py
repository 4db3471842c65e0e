#!/usr/bin/python3
"""kill -9 of virtwatchd, 200 times, in a storm of containers: every event that docker can replay must arrive exactly once.

Usage: storm.py [--kills N] [--batch N] [--seed N]. The peer is the truth: what `docker events` says of the same containers,
read by a client that nobody kills. Prints what differs; the seed makes a run's moments repeatable."""

import argparse
import collections
import json
import pathlib
import random
import subprocess
import tempfile
import threading
import time

from common import Daemon, Docker, make_image, wait_for

WORDS = {"create": "created", "start": "started", "die": "died"}


def read_docker(engine, seen):
    process = subprocess.Popen(["/usr/bin/docker", "-H", f"unix://{engine.socket}", "events", "--filter", "type=container", "--format",
                                "{{json .}}"], stdout=subprocess.PIPE)

    def read():
        for line in process.stdout:
            event = json.loads(line)
            if event["Action"] in WORDS:
                seen[event["Actor"]["Attributes"]["name"]].append(WORDS[event["Action"]])
    threading.Thread(target=read, daemon=True).start()
    return process


def storm(engine, folder, options):
    moments = random.Random(options.seed)
    truth = collections.defaultdict(list)
    daemon = Daemon(folder, {"sources.docker.enabled": "true", "sources.docker.socket": engine.socket})
    docker_events = read_docker(engine, truth)
    begin, names = time.monotonic(), []
    try:
        daemon.up("docker")
        for kill in range(options.kills):
            batch = [f"storm-{kill}-{i}" for i in range(options.batch)]
            names += batch
            running = [subprocess.Popen(["/usr/bin/docker", "-H", f"unix://{engine.socket}", "run", "--network=none", "--name", name, "bb:1",
                                         "sh", "-c", f"exit {kill % 100 + 1}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                       for name in batch]
            time.sleep(moments.uniform(0, 0.3 + 0.3 * options.batch))
            daemon.kill()
            (folder / "http.sock").unlink(missing_ok=True)
            time.sleep(moments.choice((0, 0, 0.2)))
            daemon.start()
            for one in running:
                one.wait(120)
            if kill % 20 == 19:
                print(f"{kill + 1} kills, {len(names)} containers, {time.monotonic() - begin:.0f} s", flush=True)
                engine("rm", "-f", *names[:-options.batch * 5], check=False)
        daemon.up("docker")
        wait_for(lambda: len(daemon.events(action="died")) >= len(names), 30, "all deaths")
    except AssertionError as fault:
        print(fault)
    finally:
        time.sleep(1)
        events = daemon.events() if daemon.process.poll() is None else []
        docker_events.terminate()
        daemon.stop()
    return judge(names, truth, events)


def judge(names, truth, events):
    ours = collections.defaultdict(list)
    for event in events:
        ours[event["name"]].append(event)
    gaps = [e["seq"] for i, e in enumerate(events) if e["seq"] != i + 1]
    counts = collections.Counter()
    for name in names:
        wanted = collections.Counter(truth[name])
        got = collections.Counter(event["action"] for event in ours[name] if event["action"] in WORDS.values())
        lost, doubled = sum((wanted - got).values()), sum((got - wanted).values())
        counts += collections.Counter(lost=lost, doubled=doubled, told=sum(got.values()), synthetic=sum(bool(e.get("synthetic")) for e in ours[name]))
        if lost or doubled:
            print(f"{name}: docker told {truth[name]}, we {json.dumps(ours[name], indent=1)}")
    print(f"docker events: {sum(map(len, truth.values()))} events of {len(names)} containers\n"
          f"virtwatch:     {counts['told']} told ({counts['synthetic']} made up from listings), {counts['lost']} lost, {counts['doubled']} doubled,"
          f" {len(gaps)} numbers out of order")
    return not (counts["lost"] or counts["doubled"] or gaps) and counts["told"] > 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--batch", type=int, default=3)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1000000)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="vwb", ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        engine = Docker(folder, None)
        engine.start()
        try:
            engine("import", make_image(folder), "bb:1")
            return storm(engine, folder, options)
        finally:
            ids = engine("ps", "-aq", check=False).stdout.split()
            if ids:
                engine("rm", "-f", *ids, check=False)
            engine.stop()


raise SystemExit(not main())
