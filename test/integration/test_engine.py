"""What a real engine would not do on demand: be unable to say how one of its containers is."""

import re
import time

import pytest

from conftest import wait_for
from dbus_peers import Engine


@pytest.fixture
def engine(tmp_path):
    one = Engine(tmp_path / "engine.sock")
    yield one
    one.stop()


def states(watched):
    return {one["name"]: one["state"] for one in watched.json("/api/v1/workloads")}


def test_a_container_that_cannot_be_looked_at_is_not_gone(daemon, engine):
    hung, gone, well = engine.add("hung"), engine.add("gone"), engine.add("well")
    watched = daemon({"sources.docker.enabled": "true", "sources.docker.socket": engine.path})
    watched.up("docker")
    wait_for(lambda: states(watched) == {"hung": "running", "gone": "running", "well": "running"}, 10, "all of them")

    engine.stop()
    watched.wait_event(name="docker", action="source_down")
    engine.paths.clear()
    engine.statuses = {hung: 500, gone: 404}
    engine.start()
    watched.up("docker")
    assert {f"/containers/{one}/json" for one in (hung, gone, well)} <= set(engine.paths)
    watched.wait_event(name="gone", action="removed")
    assert [e["action"] for e in watched.events(name="hung")] == []
    assert states(watched) == {"hung": "unknown", "well": "running"}

    engine.tell(hung, "die", exitCode="3")
    assert watched.wait_event(name="hung", action="died")["exit_code"] == 3
    assert states(watched)["hung"] == "failed"


def test_events_of_a_clock_that_was_ahead_do_not_hide_the_past(daemon, engine):
    """What is missed later is asked for from now on, not from a time that has not come."""
    one = engine.add("ahead")
    watched = daemon({"sources.docker.enabled": "true", "sources.docker.socket": engine.path})
    watched.up("docker")
    engine.nano = time.time_ns() + 86400 * 10**9
    engine.tell(one, "pause")
    watched.wait_event(name="ahead", action="paused")
    watched.kill()
    (watched.folder / "http.sock").unlink(missing_ok=True)
    engine.paths.clear()
    watched.start()
    watched.up("docker")
    since = [float(match[1]) for match in (re.search(r"since=([0-9.]+)", path) for path in engine.paths) if match]
    assert since and max(since) < time.time() + 1, since
