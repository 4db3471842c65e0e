"""containerd, for real, driven with its own client: what is said of each way a task ends."""

import json
import os
import signal
import subprocess
import time

import pytest

from conftest import wait_for

OOM = ("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
LIMIT = ("--memory-limit", str(16 << 20))


@pytest.fixture
def watch(daemon, containerd):
    def start(**settings):
        one = daemon({"sources.containerd.enabled": "true", "sources.containerd.socket": containerd.socket, **settings})
        one.up("containerd")
        return one
    return start


@pytest.fixture
def watched(watch):
    return watch()


def actions(daemon, name):
    return [e["action"] for e in daemon.events(name=name)]


def state(daemon, name):
    return {w["name"]: w["state"] for w in daemon.json("/api/v1/workloads")}.get(name)


def remove(containerd, name, namespace="default"):
    containerd("task", "rm", "-f", name, namespace=namespace, check=False)
    containerd("container", "rm", name, namespace=namespace)


def test_exit_codes_are_told_as_they_are(watched, containerd):
    containerd.run("czero", "true", options=("--rm",))
    containerd.run("cthree", "sh", "-c", "exit 3", options=("--rm",))
    assert watched.wait_event(name="czero", action="stopped")["reason"] == "completed"
    died = watched.wait_event(name="cthree", action="died")
    assert died["exit_code"] == 3 and died["reason"] == "exit-code" and died["kind"] == "container"
    assert died["id"] == "default/cthree" and died["runtime"] == "containerd" and died["image"] == "localhost/bb:1"
    watched.wait_event(name="cthree", action="removed")
    assert actions(watched, "cthree") == ["created", "started", "died", "removed"]


def test_a_memory_limit_kill_is_confirmed_by_the_kernel(watched, containerd):
    containerd.run("coom", "sh", "-c", f"sleep 0.5; exec {' '.join(OOM)}", options=("--rm", *LIMIT))
    killed = watched.wait_event(name="coom", action="OOMKilled")
    assert killed["exit_code"] == 137 and killed["confidence"] == "confirmed" and killed["oom_scope"] == "self"
    assert "kernel" in killed["evidence"]  # its group may be gone before anybody can read it
    watched.wait_event(name="coom", action="removed")
    assert actions(watched, "coom") == ["created", "started", "OOMKilled", "removed"]


def test_a_child_that_is_oom_killed_is_no_exit(watched, containerd):
    containerd.run("cparent", "sh", "-c", "dd if=/dev/zero of=/dev/null bs=64M count=1; sleep 4; exit 0", options=("--rm", *LIMIT))
    watched.wait_event(name="cparent", action="removed")
    assert actions(watched, "cparent") == ["created", "started", "oom", "stopped", "removed"]


def test_an_operators_kill_is_no_oom_by_the_evidence(watch, containerd):
    one = watch(**{"events.oom_rule": "evidence"})
    containerd.start_task("ckilled", "sleep", "100")
    one.wait_event(name="ckilled", action="started")
    containerd("task", "kill", "-s", "SIGKILL", "ckilled")
    died = one.wait_event(name="ckilled", action="died")
    assert died["exit_code"] == 137 and died["reason"] == "sigkill-unknown" and died["evidence"] == ["exit-code"]
    remove(containerd, "ckilled")
    one.wait_event(name="ckilled", action="removed")
    assert actions(one, "ckilled") == ["created", "started", "died", "removed"]


def test_an_operators_kill_keeps_the_contract_and_is_contradicted(watched, containerd):
    containerd.start_task("ckilled2", "sleep", "100")
    containerd("task", "kill", "-s", "SIGKILL", "ckilled2")
    killed = watched.wait_event(name="ckilled2", action="OOMKilled")
    assert killed["confidence"] == "contradicted" and killed["reason"] == "sigkill-unknown"
    remove(containerd, "ckilled2")


def test_pause_and_an_execs_end_are_not_the_containers_end(watched, containerd):
    containerd.start_task("cpaused", "sleep", "100")
    containerd("task", "exec", "--exec-id", "e1", "cpaused", "sh", "-c", "exit 5", check=False)
    containerd("task", "exec", "--exec-id", "e2", "cpaused", "sh", "-c", "kill -9 $$", check=False)
    containerd("task", "pause", "cpaused")
    watched.wait_event(name="cpaused", action="paused")
    assert state(watched, "cpaused") == "paused"
    containerd("task", "resume", "cpaused")
    watched.wait_event(name="cpaused", action="resumed")
    assert state(watched, "cpaused") == "running"
    containerd("container", "label", "cpaused", "nerdctl/name=renamed")
    updated = wait_for(lambda: [e for e in watched.events() if e["id"] == "default/cpaused" and e["action"] == "updated"], 10, "updated")
    wait_for(lambda: state(watched, "renamed") == "running", 10, "the name of the label")
    remove(containerd, "cpaused")
    watched.wait_event(name="renamed", action="removed")
    assert len(updated) == 1
    assert [e["action"] for e in watched.events() if e["id"] == "default/cpaused"] == [
        "created", "started", "paused", "resumed", "updated", "OOMKilled", "removed"]


def test_a_second_life_of_the_same_container_is_told_apart(watched, containerd):
    containerd("container", "create", "localhost/bb:1", "ctwice", "false")
    assert watched.wait_event(name="ctwice", action="created")
    assert state(watched, "ctwice") == "created"
    for n in (1, 2):
        containerd("task", "start", "ctwice", check=False)
        try:
            wait_for(lambda: len(actions(watched, "ctwice")) == 1 + 2 * n, 10, "its end")
        except AssertionError:
            raise AssertionError(json.dumps(watched.events(name="ctwice"), indent=1)) from None
        containerd("task", "rm", "-f", "ctwice", check=False)
    remove(containerd, "ctwice")
    watched.wait_event(name="ctwice", action="removed")
    assert actions(watched, "ctwice") == ["created", "started", "died", "started", "died", "removed"]


def test_namespaces_are_chosen_and_dockers_is_left_out(watched, containerd):
    for namespace in ("moby", "other"):
        containerd.run("cns", "true", options=("--rm",), namespace=namespace)
    removed = watched.wait_event(name="cns", action="removed")
    assert removed["id"] == "other/cns"
    assert {e["id"] for e in watched.events(name="cns")} == {"other/cns"}


def test_namespaces_may_be_named_by_globs(watch, containerd):
    one = watch(**{"sources.containerd.namespaces": "mo*,none"})
    for namespace in ("other", "moby"):
        containerd.run("cns2", "true", options=("--rm",), namespace=namespace)
    one.wait_event(name="cns2", action="removed")
    assert {e["id"] for e in one.events(name="cns2")} == {"moby/cns2"}


def test_what_happens_while_containerd_is_dead_is_made_up_for(watched, containerd):
    for name in ("cdies", "clives", "cgoes"):
        containerd.start_task(name, "sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done")
        watched.wait_event(name=name, action="started")
    dies = containerd.task_pid("cdies")
    containerd.kill()
    watched.wait_event(name="containerd", action="source_down")
    assert state(watched, "cdies") == "unknown" and state(watched, "clives") == "unknown"
    os.kill(dies, signal.SIGTERM)
    time.sleep(1)
    containerd.start()
    watched.up("containerd")
    died = watched.wait_event(name="cdies", action="died")
    assert died["exit_code"] == 7 and died["synthetic"] is True
    assert state(watched, "clives") == "running"
    time.sleep(4)  # the second listing, and the shim's own late word
    assert actions(watched, "cdies") == ["created", "started", "died"]
    assert actions(watched, "clives") == ["created", "started"]
    for name in ("cdies", "clives", "cgoes"):
        remove(containerd, name)


def test_what_happens_while_the_daemon_is_away_is_made_up_for(watched, containerd):
    containerd.start_task("caway", "sh", "-c", "trap 'exit 8' TERM; while :; do sleep 0.1; done")
    containerd.start_task("cstays", "sleep", "100")
    containerd.start_task("cagain", "sleep", "100")
    for name in ("caway", "cstays", "cagain"):
        watched.wait_event(name=name, action="started")
    time.sleep(2.5)  # lives that begin closer together than 2 s are taken for one
    watched.kill()
    containerd("task", "rm", "-f", "cagain", check=False)
    containerd("task", "start", "-d", "cagain")
    containerd("task", "kill", "-s", "SIGTERM", "caway")
    containerd.start_task("cnew", "sleep", "100")
    containerd.run("cpassed", "true", options=("--rm",))
    (watched.folder / "http.sock").unlink(missing_ok=True)
    watched.start()
    watched.up("containerd")
    assert watched.wait_event(name="caway", action="died")["exit_code"] == 8
    started = watched.wait_event(name="cnew", action="started")
    assert started["synthetic"] is True
    remove(containerd, "cnew")
    watched.wait_event(name="cnew", action="removed")
    assert actions(watched, "cstays") == ["created", "started"]
    assert actions(watched, "cagain") == ["created", "started", "vanished", "started"]
    assert actions(watched, "cpassed") == []  # containerd keeps no events
    numbers = [e["seq"] for e in watched.events()]
    assert numbers == list(range(1, len(numbers) + 1))
    for name in ("caway", "cstays", "cagain"):
        remove(containerd, name)


def test_a_stopped_containerd_is_found_out_and_delays_nothing(watched, containerd):
    containerd.start_task("csteady", "sleep", "100")
    watched.wait_event(name="csteady", action="started")
    slowest = 0
    os.kill(containerd.server_pid(), signal.SIGSTOP)
    try:
        end = time.monotonic() + 30
        while "source_down" not in actions(watched, "containerd"):
            begin = time.monotonic()
            assert watched.get("/health")[0] == 200
            slowest = max(slowest, time.monotonic() - begin)
            assert begin < end, "not found out"
            time.sleep(0.1)
        assert state(watched, "csteady") == "unknown"
    finally:
        os.kill(containerd.server_pid(), signal.SIGCONT)
    print(f"slowest /health: {slowest * 1000:.1f} ms")
    assert slowest < 0.5
    watched.up("containerd")
    assert state(watched, "csteady") == "running"
    assert actions(watched, "csteady") == ["created", "started"]
    remove(containerd, "csteady")


def test_a_crowd_is_told_once_each(watched, containerd):
    names = [f"ccrowd{i}" for i in range(12)]
    running = [subprocess.Popen(["ctr", "-a", containerd.socket, "run", "--rm", "localhost/bb:1", name, "sh", "-c", "exit 2"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for name in names]
    for one in running:
        one.wait(120)
    for name in names:
        watched.wait_event(name=name, action="removed")
    for name in names:
        assert actions(watched, name) == ["created", "started", "died", "removed"], json.dumps(watched.events(name=name), indent=1)


def test_kills_of_the_daemon_amid_starts_and_ends_tell_each_once(watched, containerd):
    """Each task stays until it is removed, so that a listing can tell what no event told."""
    def restart():
        watched.kill()
        (watched.folder / "http.sock").unlink(missing_ok=True)
        watched.start()

    def at_once(commands):
        return [subprocess.Popen(["ctr", "-a", containerd.socket, *command], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL) for command in commands]

    # Only what differs from something known is news: a source of which nothing is known is taken as it is found.
    containerd.start_task("cbefore", "sleep", "100")
    watched.wait_event(name="cbefore", action="started")
    names = [f"cstorm{i}" for i in range(9)]
    for round_ in range(3):
        batch = names[3 * round_:3 * round_ + 3]
        running = at_once(["run", "-d", "localhost/bb:1", name, "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.1; done"]
                          for name in batch)
        time.sleep(0.1 + 0.1 * round_)
        restart()
        assert [one.wait(60) for one in running] == [0, 0, 0]
        for name in batch:
            watched.wait_event(name=name, action="started")
        running = at_once(["task", "kill", "-s", "SIGTERM", name] for name in batch)
        time.sleep(0.03 + 0.06 * round_)
        restart()
        for one in running:
            one.wait(60)
        for name in batch:
            assert watched.wait_event(name=name, action="died")["exit_code"] == 5
    time.sleep(4)  # the listing that follows the first
    for name in names:
        told = actions(watched, name)
        assert [a for a in told if a != "created"] == ["started", "died"] and told.count("created") <= 1, \
            json.dumps(watched.events(name=name), indent=1)
        remove(containerd, name)
    assert actions(watched, "cbefore") == ["created", "started"]
    remove(containerd, "cbefore")
    numbers = [e["seq"] for e in watched.events()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_docker_beside_it_keeps_answering(daemon, docker, containerd):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket,
                  "sources.containerd.enabled": "true", "sources.containerd.socket": containerd.socket})
    one.up("docker")
    one.up("containerd")
    time.sleep(12) # two pings, or one that is waited for
    assert not one.events(action="source_down")
