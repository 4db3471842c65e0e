"""A browser's way to follow a timeline: the EventSource of npm's package `eventsource`, which reconnects by itself."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading

import pytest

from conftest import TOKEN, end, wait_for
from test_analytics import free_port
from test_apps import send

HERE = pathlib.Path(__file__).parent / "eventsource"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The package, as the lock names it, outside of the source tree."""
    folder = tmp_path_factory.mktemp("eventsource")
    for name in ("package.json", "package-lock.json", "client.mjs"):
        shutil.copy(HERE / name, folder)
    made = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", f"--cache={folder}/cache"], cwd=folder,
                          capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder


class Page:
    def __init__(self, package, url, token=TOKEN):
        self.process = subprocess.Popen(["node", package / "client.mjs", url, token], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, text=True)
        self.lines, self.events = [], []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            line = json.loads(line)
            self.lines.append(line)
            if "data" in line:
                self.events.append(line)

    def saw(self, message, seconds=20):
        try:
            wait_for(lambda: any(event["data"].get("message") == message for event in self.events), seconds, f"{message} on the page")
        except AssertionError:
            raise AssertionError(f"{message} is not on the page: {self.lines[-8:]}") from None

    def messages(self):
        return [event["data"]["message"] for event in self.events]


@pytest.fixture
def page(package):
    opened = []

    def start(url, **options):
        opened.append(Page(package, url, **options))
        return opened[-1]

    yield start
    for one in opened:
        end(one.process)
        one.process.stdout.close()


def post(one, message, slug="shop"):
    status, event = send(one, "POST", f"/api/app-gateway/events/{slug}", {"kind": "deploy_started", "message": message})
    assert status == 201, event
    return event["seq"]


@pytest.mark.parametrize("query", ["slug=shop", "slug=shop&since=0s", "slug=shop&since=1h"])
def test_a_page_follows_a_timeline_through_restarts_and_misses_nothing(daemon, page, tmp_path, query):
    port = free_port()
    one = daemon({"http.listen": f"127.0.0.1:{port},unix:{tmp_path}/http.sock"})
    before = {post(one, "before the page"): "before the page"}
    posted = before if query.endswith("1h") else {}
    page = page(f"http://127.0.0.1:{port}/api/v1/events?{query}")
    wait_for(lambda: {"open": True} in page.lines, 20, "the stream")
    opens = 1
    for round_, how in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGKILL)):
        for n in range(20):
            message = f"{round_}-{n}"
            posted[post(one, message)] = message
            post(one, "of another", slug="other")
        if round_ != 1:
            page.saw(message)  # the second time it dies while events are on their way
        os.kill(one.process.pid, how)
        one.process.wait(20)
        one.log.close()
        (one.folder / "http.sock").unlink(missing_ok=True)
        one.start()
        for n in range(20):  # the page waits before it comes again: these are there by then
            message = f"{round_}-away-{n}"
            posted[post(one, message)] = message
        page.saw(message, 30)
        wait_for(lambda: page.lines.count({"open": True}) > opens, 20, "it is open again")
        opens = page.lines.count({"open": True})
    posted[post(one, "the last")] = "the last"
    page.saw("the last")

    ids = [int(event["id"]) for event in page.events]
    assert [(event["data"]["seq"], event["data"]["message"]) for event in page.events] == sorted(posted.items())
    assert ids == [event["data"]["seq"] for event in page.events]
    assert all(event["data"]["slug"] == "shop" for event in page.events)
    assert not any("warning" in event["data"] for event in page.events)
    asked = [line["connect"] for line in page.lines if "connect" in line]
    assert asked[0] is None and all(asked[i] is not None for i in range(1, len(asked))) and len(asked) >= 4
    assert not any(line.get("closed") for line in page.lines)


def test_a_page_that_may_not_is_told_once(daemon, page):
    one = daemon()
    refused = page(f"http://127.0.0.1:{one.port()}/api/v1/events?slug=shop", token="wrong")
    assert refused.process.wait(20) == 3
    wait_for(lambda: [line for line in refused.lines if "error" in line], 5, "the error")
    assert [(line["code"], line["closed"]) for line in refused.lines if "error" in line] == [(401, True)]
