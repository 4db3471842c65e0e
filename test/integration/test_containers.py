"""docker and podman, for real: every way a container ends, and what is said of it."""

import json
import os
import signal
import subprocess
import time

import pytest

from conftest import BUILD, wait_for

OOM = ("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")


@pytest.fixture
def watched(daemon, docker):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket})
    one.up("docker")
    return one


def test_exit_codes_are_told_as_they_are(watched, docker):
    docker.run("zero", "true")
    docker.run("three", "sh", "-c", "exit 3")
    assert watched.wait_event(name="zero", action="stopped")["reason"] == "completed"
    died = watched.wait_event(name="three", action="died")
    assert died["exit_code"] == 3 and died["reason"] == "exit-code" and died["kind"] == "container"


def test_a_memory_limit_kill_is_confirmed_by_the_kernel(watched, docker):
    docker.run("oomed", *OOM, options=("-m", "16m"))
    killed = watched.wait_event(name="oomed", action="OOMKilled")
    assert killed["exit_code"] == 137 and killed["confidence"] == "confirmed" and killed["oom_scope"] == "self"
    assert "kernel" in killed["evidence"]


def test_an_operators_kill_keeps_the_contract_and_says_what_it_was(watched, docker):
    docker.run("killed", "sleep", "100", options=("-d",))
    docker("kill", "-s", "KILL", "killed")
    killed = watched.wait_event(name="killed", action="OOMKilled")
    assert killed["confidence"] == "contradicted" and killed["reason"] == "killed"


def test_the_evidence_rule_lets_a_kill_be_a_death(daemon, docker):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket,
                  "events.oom_rule": "evidence"})
    one.up("docker")
    docker.run("killed2", "sleep", "100", options=("-d",))
    docker("kill", "-s", "KILL", "killed2")
    assert one.wait_event(name="killed2", action="died")["reason"] == "killed"
    docker.run("slow", "sleep", "100", options=("-d",))
    docker("stop", "-t", "1", "slow")
    assert one.wait_event(name="slow", action="died")["reason"] == "stop-timeout"


def test_the_counter_of_a_running_container_tells_without_the_kernel_log(daemon, podman):
    """podman 4 never says OOM, the log is not read: what is left is the kernel's notice of the control group."""
    one = daemon({"sources.podman.enabled": "true", "sources.podman.socket": podman.socket, "sources.kernel.enabled": "false"})
    one.up("podman")
    podman.run("counted", "sh", "-c", f"sleep 3; {' '.join(OOM)}; sleep 100", options=("-d", "-m", "16m"))
    try:
        told = one.wait_event(name="counted", action="oom", seconds=30)
        assert told["severity"] == "warning"
        assert one.json("/api/v1/workloads/counted")["state"] == "running"
    finally:
        podman("rm", "-f", "-t", "0", "counted")


def test_a_child_that_is_oom_killed_is_no_exit(watched, docker):
    docker.run("parent", "sh", "-c", "dd if=/dev/zero of=/dev/null bs=64M count=1; sleep 4; exit 0", options=("-m", "16m"))
    assert watched.wait_event(name="parent", action="oom")
    assert watched.wait_event(name="parent", action="stopped")["exit_code"] == 0
    assert not [e for e in watched.events(name="parent") if e["action"] == "OOMKilled"]


def test_a_container_does_not_choose_how_its_end_is_told(watched, docker):
    """docker's events have a container's labels, and those of its image, over what they say themselves."""
    docker.run("feigns", "sh", "-c", "exit 3", options=("--label", "exitCode=0"))
    died = watched.wait_event(name="feigns", action="died")
    assert "exit_code" not in died and died["confidence"] == "assumed", died
    docker.run("feigns2", "sh", "-c", "exit 3", options=("--label", "signal=15"))
    died = watched.wait_event(name="feigns2", action="died")
    assert died["exit_code"] == 3 and died["reason"] == "exit-code"
    docker.run("feigns3", "sleep", "100", options=("-d", "--label", "signal=15"))
    docker("kill", "feigns3")
    killed = watched.wait_event(name="feigns3", exit_code=137)
    assert killed["reason"] == "sigkill-unknown", killed  # by its label it was stopped


def test_a_command_that_does_not_exist_is_a_failed_start(watched, docker):
    docker.run("noexec", "/no/such/command")
    failed = watched.wait_event(name="noexec", action="died")
    assert failed["reason"] == "start-failed" and failed["exit_code"] == 127
    assert "/no/such/command" in failed["error"] and failed["evidence"] == ["runtime", "exit-code"]
    assert failed["message"] == f"could not be started (exit code 127): {failed['error']}"


def test_why_a_start_failed_is_shown_whatever_is_in_it(watched, docker):
    """The error quotes the command: escape sequences, and much of it."""
    docker.run("noexec-hostile", "/no\x1b[31m\u202e/such\r\n" + "x" * 6000)
    failed = watched.wait_event(name="noexec-hostile", action="died")
    assert failed["reason"] == "start-failed" and 100 < len(failed["error"].encode()) <= 2048
    assert len(failed["message"].encode()) <= 1024
    client = [BUILD / "src/virtwatch", "events", "--filter", "name=noexec-hostile", "--host", f"unix:{watched.folder}/http.sock"]
    shown = subprocess.run(client, capture_output=True, text=True, timeout=20).stdout
    assert [line.split()[5] for line in shown.splitlines()] == ["created", "died"], shown
    assert "\x1b" not in shown and "\r" not in shown and "\u202e" not in shown
    assert f"could not be started (exit code {failed['exit_code']}): " in shown and "such" in shown


def test_a_failed_start_is_told_of_a_container_that_is_removed_at_once(watched, docker):
    """docker run --rm, as most people call it: there may be nothing left to look at."""
    for i in range(5):
        name = f"noexec-rm{i}"
        docker.run(name, "/no/such/command", options=("--rm",))
        watched.wait_event(name=name, action="removed")
        events = watched.events(name=name)
        assert [e["action"] for e in events] == ["created", "died", "removed"], events
        assert events[1]["reason"] == "start-failed" and events[1].get("exit_code", 127) == 127, events
    docker.run("noexec-rm-away", "/no/such/command", options=("--rm",))
    watched.kill()
    docker.run("noexec-rm-later", "/no/such/command", options=("--rm",))
    watched.start()
    watched.up("docker")
    watched.wait_event(name="noexec-rm-later", action="removed")
    for name in ("noexec-rm0", "noexec-rm4", "noexec-rm-away", "noexec-rm-later"):  # told again by docker, and not by us
        assert [e["action"] for e in watched.events(name=name)] == ["created", "died", "removed"], watched.events(name=name)


def test_a_start_that_fails_after_others_is_told(watched, docker, tmp_path):
    """docker tells a network that comes and goes, and keeps the error: of one that ran well, and of one that never has."""
    program = tmp_path / "bin/true"
    program.parent.mkdir()
    subprocess.run(["cp", "/bin/busybox", program], check=True)
    docker("run", "--network=none", "--name", "again", "-v", f"{program.parent}:/m", "bb:1", "/m/true")
    docker.run("never", "/no/such/command")
    watched.wait_event(name="again", action="stopped")
    watched.wait_event(name="never", action="died")
    program.rename(tmp_path / "away")
    assert docker("start", "again", check=False).returncode and docker("start", "never", check=False).returncode
    failed = watched.wait_event(name="again", action="died")
    assert failed["reason"] == "start-failed" and failed["exit_code"] == 127 and "lifetime_ms" not in failed, failed
    assert failed["message"].startswith("could not be started (exit code 127): ") and "/m/true" in failed["message"]
    assert watched.json("/api/v1/workloads/again")["last_exit"]["reason"] == "start-failed"
    wait_for(lambda: [e["action"] for e in watched.events(name="never")] == ["created", "died", "died"], 20, "the second failure")
    watched.kill()
    docker("start", "again", check=False)  # nobody listens
    (tmp_path / "away").rename(program)
    watched.start()
    watched.up("docker")
    docker("start", "-a", "again")
    wait_for(lambda: [e["action"] for e in watched.events(name="again")][-2:] == ["started", "stopped"], 20, "a good start")
    told = [e["action"] for e in watched.events(name="again")]
    assert told == ["created", "started", "stopped", "died", "died", "started", "stopped"], told
    docker("rm", "again", "never")
    watched.wait_event(name="again", action="removed")
    assert [e["action"] for e in watched.events(name="again")] == [*told, "removed"]


def test_a_network_more_or_less_is_no_start(watched, docker):
    for network in ("vw-one", "vw-two"):
        docker("network", "create", network)
    docker("run", "--network=vw-one", "--name", "linked", "-d", "bb:1", "sleep", "100")
    for verb in ("connect", "disconnect", "connect"):
        docker("network", verb, "vw-two", "linked")
    docker("rm", "-f", "linked")
    watched.wait_event(name="linked", action="removed")
    told = [e["action"] for e in watched.events(name="linked")]
    assert told == ["created", "started", "OOMKilled", "removed"], told
    docker("network", "rm", "vw-one", "vw-two")


def test_a_container_that_was_never_started_did_not_fail(watched, docker):
    docker("create", "--network", "none", "--name", "never", "bb:1", "true")
    docker("network", "disconnect", "none", "never", check=False)
    watched.wait_event(name="never", action="created")
    time.sleep(1)  # it is looked at, and found not to have been tried
    docker("rm", "never")
    watched.wait_event(name="never", action="removed")
    assert [e["action"] for e in watched.events(name="never")] == ["created", "removed"]


def test_pause_exec_and_removal(watched, docker):
    docker.run("paused", "sleep", "100", options=("-d",))
    docker("pause", "paused")
    docker("unpause", "paused")
    docker("exec", "paused", "sh", "-c", "exit 5", check=False)
    docker("rm", "-f", "paused")
    watched.wait_event(name="paused", action="removed")
    actions = [e["action"] for e in watched.events(name="paused")]
    assert actions == ["created", "started", "paused", "resumed", "OOMKilled", "removed"]


def test_events_reach_a_stream_in_order_without_a_gap(watched, docker, stream):
    reader = stream(watched)
    docker.run("streamed", "true")
    seen = []
    while not seen or seen[-1]["action"] != "stopped":
        event = reader.next()
        if event["name"] == "streamed":
            seen.append(event)
    assert [e["action"] for e in seen] == ["created", "started", "stopped"]
    numbers = [e["seq"] for e in seen]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_a_kill_of_the_daemon_loses_and_doubles_nothing(watched, docker):
    docker.run("before", "true")
    watched.wait_event(name="before", action="stopped")
    docker.run("over", "sleep", "100", options=("-d",))
    watched.wait_event(name="over", action="started")
    watched.kill()
    docker.run("away", "sh", "-c", "exit 4")
    docker("kill", "-s", "TERM", "over", check=False)
    docker("rm", "-f", "over")
    (watched.folder / "http.sock").unlink(missing_ok=True)
    watched.start()
    watched.up("docker")
    assert watched.wait_event(name="away", action="died")["exit_code"] == 4
    watched.wait_event(name="over", action="removed")
    time.sleep(0.5)
    events = watched.events()
    numbers = [e["seq"] for e in events]
    assert numbers == list(range(1, len(numbers) + 1))
    for name, actions in {"before": ["created", "started", "stopped"], "away": ["created", "started", "died"]}.items():
        assert [e["action"] for e in events if e["name"] == name] == actions


def test_a_stopped_engine_makes_workloads_unknown_and_delays_nothing(watched, docker):
    docker.run("steady", "sleep", "100", options=("-d",))
    watched.wait_event(name="steady", action="started")
    os.kill(docker.pid(), signal.SIGSTOP)
    try:
        watched.wait_event(name="docker", action="source_down", seconds=30)
        begin = time.monotonic()
        assert watched.get("/health")[0] == 200
        assert time.monotonic() - begin < 3
        states = {w["name"]: w["state"] for w in watched.json("/api/v1/workloads")}
        assert states["steady"] == "unknown"
    finally:
        os.kill(docker.pid(), signal.SIGCONT)
    watched.up("docker")
    states = {w["name"]: w["state"] for w in watched.json("/api/v1/workloads")}
    assert states["steady"] == "running"
    assert not [e for e in watched.events(name="steady") if e["action"] in ("stopped", "died", "vanished")]


def test_podman_says_the_same(daemon, podman):
    one = daemon({"sources.podman.enabled": "true", "sources.podman.socket": podman.socket})
    one.up("podman")
    podman.run("pthree", "sh", "-c", "exit 3")
    assert one.wait_event(name="pthree", action="died")["exit_code"] == 3
    podman.run("poom", *OOM, options=("-m", "16m"))
    killed = one.wait_event(name="poom", action="OOMKilled")
    assert killed["confidence"] == "confirmed" and "kernel" in killed["evidence"]


def test_the_client_prints_what_the_api_says(watched, docker):
    docker.run("printed", "sh", "-c", "exit 9")
    watched.wait_event(name="printed", action="died")
    host = f"--host=unix:{watched.folder}/http.sock"
    cli = BUILD / "src/virtwatch"
    out = subprocess.check_output([cli, "events", host, "--filter", "name=printed"], text=True)
    assert "died" in out and "exit code 9" in out
    assert "printed" in subprocess.check_output([cli, "workloads", host], text=True)
    assert subprocess.run([cli, "status", host]).returncode == 0
    assert subprocess.run([cli, "status", "--host=unix:/no/such"], stderr=subprocess.DEVNULL).returncode == 2


def test_a_storm_with_kills_of_the_daemon_tells_every_event_once(watched, docker):
    """Each kill comes at another moment of a burst of containers; docker can replay all of it."""
    names = []
    for round_ in range(8):
        batch = [f"storm-{round_}-{i}" for i in range(3)]
        running = [subprocess.Popen(["/usr/bin/docker", "-H", f"unix://{docker.socket}", "run", "--network=none", "--name", name,
                                     "bb:1", "sh", "-c", f"exit {round_ + 1}"], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL) for name in batch]
        names += batch
        time.sleep(0.1 + 0.13 * round_)
        watched.kill()
        (watched.folder / "http.sock").unlink(missing_ok=True)
        watched.start()
        for one in running:
            one.wait(60)
    watched.up("docker")
    for name in names:
        watched.wait_event(name=name, action="died")
    time.sleep(0.5)
    events = watched.events()
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    for name in names:
        mine = [e for e in events if e["name"] == name]
        assert sorted(e["action"] for e in mine) == ["created", "died", "started"], json.dumps(mine, indent=1)
