"""What a real engine would not do on demand: be unable to say how one of its containers is."""

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
    engine.looked.clear()
    engine.statuses = {hung: 500, gone: 404}
    engine.start()
    watched.up("docker")
    assert {hung, gone, well} <= set(engine.looked)
    watched.wait_event(name="gone", action="removed")
    assert [e["action"] for e in watched.events(name="hung")] == []
    assert states(watched) == {"hung": "unknown", "well": "running"}

    engine.tell(hung, "die", exitCode="3")
    assert watched.wait_event(name="hung", action="died")["exit_code"] == 3
    assert states(watched)["hung"] == "failed"
