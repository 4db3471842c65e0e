#!/usr/bin/python3
"""kill -9 and power cuts of virtwatchd while it takes in events: whatever was acknowledged must be there afterwards, once.

Usage: torture.py [--kills N] [--cuts N] [--seed N] [--lie]. Writers post events and bind apps over the local socket until the daemon is gone;
at each restart every acknowledged one is looked for and the databases are checked. A power cut is a kill after which the files are made into
what the disk would have (powercut.py). --lie has the disk lie about syncs: the run must then find losses, or it proves nothing."""

import argparse
import http.client
import json
import pathlib
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from conftest import BUILD, TOKEN, Daemon, wait_for  # noqa: E402
from powercut import Disk  # noqa: E402

WRITERS = 8
SLUGS = 40


class Local(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


def send(path, method, target, body):
    connection = Local(path)
    try:
        connection.request(method, target, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


class Cut(Daemon):
    """A daemon whose disk is recorded."""

    def start(self):
        self.record = self.folder / "disk.log"
        self.record.unlink(missing_ok=True)
        state = self.folder / "state"
        state.mkdir(exist_ok=True)
        self.disk = Disk(state)
        super().start()


class Torture:
    def __init__(self, folder, options):
        self.folder, self.options = folder, options
        self.moments = random.Random(options.seed)
        self.posted, self.bound = [], {}
        self.lost, self.faults, self.in_flight, self.unsynced, self.corrupt = 0, [], 0, 0, 0
        self.started_s = []
        self.daemon = None

    def start(self, recorded):
        environment = {}
        if recorded:
            environment = {"LD_PRELOAD": str(BUILD / "test/libpowercut.so"), "POWERCUT_DIR": str(self.folder / "state"),
                           "POWERCUT_LOG": str(self.folder / "disk.log")}
            if self.options.lie:
                environment["POWERCUT_LIE"] = "1"
        begin = time.monotonic()
        settings = {"logging.level": "info", "events.retention_age": "0"}
        (self.folder / "http.sock").unlink(missing_ok=True)
        self.daemon = Cut(self.folder, settings, environment=environment)
        self.started_s.append(time.monotonic() - begin)

    def write(self, worker, round_):
        n = 0
        while True:
            key = f"{round_}-{worker}-{n}"
            try:
                if n % 10 == 9:
                    slug = f"app-{worker}-{n % SLUGS}"
                    self.in_question[slug] = key
                    if send(self.folder / "http.sock", "PUT", f"/api/app-gateway/apps/{slug}", {"vm_name": key}) in (200, 201):
                        self.bound[slug] = key
                        del self.in_question[slug]
                elif send(self.folder / "http.sock", "POST", "/api/app-gateway/events/shop",
                          {"kind": "deploy_started", "message": key}) == 201:
                    self.posted.append(key)
            except (OSError, http.client.HTTPException):
                return
            n += 1

    def storm(self, round_):
        self.in_question = {}
        before = len(self.posted)
        writers = [threading.Thread(target=self.write, args=(i, round_)) for i in range(WRITERS)]
        for writer in writers:
            writer.start()
        wait_for(lambda: len(self.posted) > before, 20, "an answer")
        time.sleep(self.moments.uniform(0.001, 0.3))
        self.daemon.process.kill()
        self.daemon.process.wait()
        for writer in writers:
            writer.join()
        self.daemon.log.close()

    def cut(self):
        state, after = self.folder / "state", self.folder / "after"
        self.daemon.disk.replay((self.folder / "disk.log").read_bytes())
        self.unsynced += self.daemon.disk.unsynced
        after.mkdir()
        self.daemon.disk.after_cut(self.moments, after)
        shutil.rmtree(state)
        after.rename(state)

    def check(self, round_):
        """Each acknowledged one is there once; beside them only what was under way."""
        for path in (self.folder / "state").glob("*.db"):
            database = sqlite3.connect(path)
            if database.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                self.faults.append(f"round {round_}: {path.name} is corrupt")
            database.close()
        if list((self.folder / "state").glob("*.corrupt-*")):
            self.faults.append(f"round {round_}: a database was set aside")
        stored = [event["message"] for event in self.daemon.events(slug="shop") if event["action"] == "deploy_started"]
        if len(stored) != len(set(stored)):
            self.faults.append(f"round {round_}: {len(stored) - len(set(stored))} events are there twice")
        missing = set(self.posted) - set(stored)
        self.lost += len(missing)
        if missing:
            self.faults.append(f"round {round_}: acknowledged and lost: {sorted(missing)[:5]}")
        self.in_flight += len(stored) - len(self.posted) + len(missing)
        if len(stored) - len(self.posted) > WRITERS * (round_ + 1):
            self.faults.append(f"round {round_}: {len(stored)} events stored, {len(self.posted)} acknowledged")
        self.posted = stored
        apps = {app["slug"]: app["vm_names"][0] for app in self.daemon.json("/api/app-gateway/apps")}
        for slug, key in self.bound.items():
            if apps.get(slug) not in (key, self.in_question.get(slug)):
                self.lost += 1
                self.faults.append(f"round {round_}: {slug} is bound to {apps.get(slug)}, not {key}")
        self.bound = {slug: apps[slug] for slug in self.bound if slug in apps}

    def run(self):
        rounds = [False] * self.options.kills + [True] * self.options.cuts
        acknowledged, begin = 0, time.monotonic()
        for round_, is_cut in enumerate(rounds):
            self.start(is_cut)
            if round_ > 0:
                self.check(round_)
            before = len(self.posted)
            self.storm(round_)
            acknowledged += len(self.posted) - before
            if is_cut:
                self.cut()
            if len(self.posted) > 20000:  # a listing of all is made each round
                shutil.rmtree(self.folder / "state")
                self.posted, self.bound = [], {}
            if round_ % 100 == 99:
                print(f"{round_ + 1} rounds, {acknowledged} acknowledged, {self.lost} lost, {time.monotonic() - begin:.0f} s", flush=True)
        self.start(False)
        self.check(len(rounds))
        self.daemon.kill()
        starts = sorted(self.started_s)
        print(f"{self.options.kills} kills, {self.options.cuts} power cuts (seed {self.options.seed}): {acknowledged} acknowledged, {self.lost} lost, "
              f"{self.in_flight} in flight were there all the same; {self.unsynced} writes were not synced at a cut; "
              f"ready again after {starts[len(starts) // 2] * 1000:.0f} ms (median), {starts[-1] * 1000:.0f} ms (longest)")
        return self.faults


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lie", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vwt") as folder:
        faults = Torture(pathlib.Path(folder), options).run()
    print("\n".join(faults[:20]))
    if options.lie:
        return 0 if faults else "a disk that lies was not found out"
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
