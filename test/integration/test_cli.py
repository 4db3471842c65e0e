"""The client as people use it: what it refuses, what it says then, and that it never shows something else than was asked for."""

import http.server
import json
import os
import signal
import subprocess
import threading

import pytest

from conftest import BUILD, TOKEN, wait_for

CLI = BUILD / "src/virtwatch"


@pytest.fixture
def one(daemon):
    server = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": "test:///default"})
    server.up("libvirt:test:///default")
    return server


def run(server, *args, stdout=subprocess.PIPE, **environment):
    return subprocess.run([CLI, *args, "--host", f"unix:{server.folder}/http.sock"], stdout=stdout, stderr=subprocess.PIPE, text=True,
                          timeout=20, env=dict(os.environ, **environment))


@pytest.mark.parametrize("args, said", [
    (["events", "--filter", "state=running"], "events cannot be filtered by state"),
    (["events", "--filter", "source=docker"], "events cannot be filtered by source"),
    (["timeline", "shop", "--filter", "slug=other"], "timeline cannot be filtered by slug"),
    (["workloads", "--filter", "severity=error"], "workloads cannot be filtered by severity"),
    (["workloads", "-f"], "workloads takes no --follow"),
    (["events", "--sort", "cpu"], "events takes no --sort"),
    (["nodes", "--filter", "name=x"], "nodes takes no --filter"),
    (["status", "-n", "4"], "status takes no --lines"),
    (["apps", "--since", "5m"], "apps takes no --since"),
    (["analytics", "shop", "--origin"], "analytics takes no --origin"),
    (["workload", "stop", "x", "--workload", "y"], "workload takes no --workload")])
def test_an_option_that_would_be_ignored_is_refused(args, said, tmp_path):
    done = subprocess.run([CLI, *args, "--host", f"unix:{tmp_path}/nobody"], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert done.stderr == f"virtwatch: {said}; see --help\n"


def test_filters_filter(one):
    assert [found["name"] for found in json.loads(run(one, "workloads", "--json", "--filter", "name=test").stdout)] == ["test"]
    assert json.loads(run(one, "workloads", "--json", "--filter", "name=other").stdout) == []
    assert json.loads(run(one, "workloads", "--json", "--filter", "name=test", "--filter", "state=failed").stdout) == []
    shown = run(one, "events", "--json", "--filter", "kind=source").stdout.splitlines()
    assert shown and all(json.loads(line)["kind"] == "source" for line in shown)
    assert run(one, "top", "--batch", "--filter", "state=running", "--filter", "severity=info").returncode == 0


@pytest.mark.parametrize("args, said", [
    (["events", "--since", "yesterday"], "since: is a time such as 2026-06-07T12:00:00Z, or a span such as 10m or 2h"),
    (["events", "--filter", "severity=warn"], "severity: is info, warning or error"),
    (["events", "--filter", "kind=pod"], "kind: is vm, container, unit, probe, source or app")])
def test_what_a_query_may_be_is_said(one, args, said):
    done = run(one, *args)
    assert (done.returncode, done.stderr) == (2, f"virtwatch: 400: {said}\n")


@pytest.mark.parametrize("path, said", [
    ("?limit=0", "limit: is a number from 1 to 1000"), ("?after=-1", "after: is a sequence number"),
    ("?before=x", "before: is a sequence number"), ("?name=" + "x" * 513, "name: is at most 512 bytes")])
def test_http_says_it_too(one, path, said):
    status, text = one.get("/api/v1/events" + path)
    assert (status, json.loads(text)["error"]["message"]) == (400, said)


def test_an_answer_that_cannot_be_written_is_a_failure(one):
    with open("/dev/full", "w") as full:
        for command in ("workloads", "events", "status", "nodes"):
            done = run(one, command, stdout=full)
            assert done.returncode == 2 and "cannot write all of the answer: No space left on device" in done.stderr, done
        followed = run(one, "events", "-f", stdout=full)
        assert followed.returncode == 2 and "No space left on device" in followed.stderr, followed


def test_a_token_that_is_wrong_is_not_asked_for(one):
    host = ["--host", f"http://127.0.0.1:{one.port()}"]
    bare = {key: value for key, value in os.environ.items() if key != "VIRTWATCH_TOKEN"}
    wrong = subprocess.run([CLI, "nodes", *host, "--token", "wrong"], capture_output=True, text=True, timeout=20, env=bare)
    assert wrong.returncode == 2 and "does not know that token" in wrong.stderr
    none = subprocess.run([CLI, "nodes", *host], capture_output=True, text=True, timeout=20, env=bare)
    assert none.returncode == 2 and "wants a token: --token, --token-file or VIRTWATCH_TOKEN" in none.stderr


def test_help_is_a_command_too():
    asked, option = (subprocess.run([CLI, word], capture_output=True, text=True, timeout=20) for word in ("help", "--help"))
    assert asked.returncode == 0 and asked.stdout == option.stdout and asked.stdout.startswith("virtwatch COMMAND")


def test_direction_marks_are_shown_and_not_obeyed(one):
    posted = subprocess.run(["curl", "-sf", "--unix-socket", one.folder / "http.sock", "-H", "Content-Type: application/json", "-d",
                             '{"kind":"deploy_started","message":"\u202egpj.exe"}', "http://x/api/app-gateway/events/shop"],
                            capture_output=True, text=True, timeout=20)
    assert json.loads(posted.stdout)["message"] == "\u202egpj.exe"
    for args in (["events", "--filter", "slug=shop"], ["timeline", "shop"], ["events", "--json", "--filter", "slug=shop"]):
        shown = run(one, *args).stdout
        assert "\\u202egpj.exe" in shown and "\u202e" not in shown


def test_all_events_since_a_time_are_shown(one):
    """More than one page of them; what -n or nothing asks for is the newest."""
    bodies = ["-H", "Content-Type: application/json", "-d", '{"kind":"step"}', "-sf", "--unix-socket", str(one.folder / "http.sock")]
    url = "http://x/api/app-gateway/events/many?n=[1-1030]"
    subprocess.run(["curl", *bodies, "-o", "/dev/null", "-Z", "--parallel-max", "16", url], check=True, timeout=120)
    assert len(run(one, "events", "--since", "1h", "--filter", "slug=many").stdout.splitlines()) == 1030
    assert len(run(one, "events", "--since", "1h", "--filter", "slug=many", "-n", "7").stdout.splitlines()) == 7
    assert len(run(one, "events", "--filter", "slug=many").stdout.splitlines()) == 20
    back = [json.loads(line)["seq"] for line in run(one, "timeline", "many", "--since", "1h", "--json").stdout.splitlines()]
    assert len(set(back)) == 1030 and back == sorted(back, reverse=True)
    with subprocess.Popen([CLI, "timeline", "many", "--since", "1h", "-f", "--json", "--host", f"unix:{one.folder}/http.sock"], stdout=subprocess.PIPE) as follow:
        forth = [json.loads(follow.stdout.readline())["seq"] for _ in range(1030)]
        follow.kill()
    assert forth == back[::-1]
    assert run(one, "events", "--since", "2000-01-01T00:00:00Z", "--json").stdout.count('"seq":1,') == 1


HOSTILE = "a\x1b]0;owned\x07\x9b31m\u202e"


class Liar(http.server.BaseHTTPRequestHandler):
    """A server that is not ours, and says what a terminal would obey."""

    def answer(self):
        body = json.dumps({"id": HOSTILE, "name": HOSTILE, "kind": HOSTILE, "token": HOSTILE, "action": HOSTILE, "message": HOSTILE}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("args", [["token", "create", "ci", "--scope", "read"], ["workload", "stop", "web", "--yes-i-mean", "web"],
                                  ["workload", "stop", "web"]])
def test_what_another_server_answers_is_shown_not_obeyed(args):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run([CLI, *args, "--host", f"http://127.0.0.1:{server.server_port}"], input="web\n", capture_output=True,
                              text=True, timeout=20)
        server.shutdown()
    assert done.returncode == 0 and "owned" in done.stdout, done
    assert not set(done.stdout + done.stderr) & set("\x1b\x07\x9b\u202e"), done


@pytest.fixture
def elsewhere():
    """A server, but no virtwatchd."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>It works!</html>")

        do_POST = do_DELETE = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("args", [
    ["events"], ["events", "-f"], ["events", "--since", "1h"], ["workloads"], ["nodes"], ["apps"], ["status"], ["timeline", "shop"],
    ["analytics", "shop"], ["probe"], ["probe", "run", "shop"], ["token"], ["config", "show"], ["top", "--batch"],
    ["workload", "stop", "x", "--yes-i-mean", "x"]])
def test_another_server_is_said_to_be_none_of_ours(elsewhere, args):
    done = subprocess.run([CLI, *args, "--host", elsewhere], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert done.stderr.count(f"virtwatch: {elsewhere} answers 200, and no JSON: is it a virtwatchd?\n") == 1, done


def test_the_status_does_not_count_what_may_not_be_seen(one):
    made = json.loads(run(one, "token", "create", "writer", "--scope", "events:write", "--json").stdout)
    host = ["--host", f"http://127.0.0.1:{one.port()}", "--token", made["token"]]
    done = subprocess.run([CLI, "status", *host], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and "Ready      yes\n" in done.stdout, done
    assert "Workloads  not shown: that needs the scope read, which the token has not\n" in done.stdout
    told = json.loads(subprocess.run([CLI, "status", "--json", *host], capture_output=True, text=True, timeout=20).stdout)
    assert told["ready"] and "workloads" not in told and "running" not in told
    assert "Workloads  1, 1 running\n" in run(one, "status").stdout


def test_the_status_of_a_listener_for_metrics_is_refused(daemon):
    one = daemon({})
    metrics_only = "127.0.0.1:0 serves=metrics"
    one.stop()
    one.settings["http.listen"] = f"unix:{one.folder}/http.sock,{metrics_only}"
    one.start()
    done = subprocess.run([CLI, "status", "--host", f"http://127.0.0.1:{one.port()}", "--token", TOKEN], capture_output=True, text=True,
                          timeout=20)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert done.stderr == "virtwatch: 404: this address does not serve that path; another may\n"


def test_who_follows_is_told_of_a_loss_and_of_its_end(one, tmp_path):
    with open(tmp_path / "said", "w") as said:
        follower = subprocess.Popen([CLI, "events", "-f", "--host", f"unix:{one.folder}/http.sock"], stdout=subprocess.DEVNULL, stderr=said)
        try:
            for times in (1, 2):
                wait_for(lambda: "virtwatch_sse_readers 1\n" in one.get("/metrics")[1], 20, "a stream")
                one.stop()
                wait_for(lambda: (tmp_path / "said").read_text().count("trying again") == times, 20, "a word of it")
                one.start()
                wait_for(lambda: (tmp_path / "said").read_text().count("is back") == times, 30, "a word of its end")
        finally:
            follower.send_signal(signal.SIGTERM)
            follower.wait(10)
    name = f"unix:{one.folder}/http.sock"
    assert (tmp_path / "said").read_text() == 2 * f"virtwatch: lost {name}, trying again\nvirtwatch: {name} is back\n"


def test_variables_that_are_empty_are_not_set(one):
    done = run(one, "nodes", VIRTWATCH_HOST="", VIRTWATCH_TOKEN="", VIRTWATCH_CA="")
    assert (done.returncode, done.stderr) == (0, "") and "testnode" in done.stdout


def test_an_empty_answer_is_said_to_be_one(one):
    assert run(one, "workloads", "--filter", "name=nobody").stderr == "virtwatch: there is no such workload\n"
    for args in (["--filter", "name=nobody"], ["--filter", "name=nobody", "--since", "1h"]):
        assert run(one, "events", *args).stderr == "virtwatch: there is no such event\n"
    assert run(one, "events", "--json", "--filter", "name=nobody").stderr == ""


def test_why_a_socket_cannot_be_reached_is_said(tmp_path):
    for path, why in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Couldn't connect to server")):
        done = subprocess.run([CLI, "events", "--host", f"unix:{path}"], capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and done.stderr.startswith(f"virtwatch: cannot reach unix:{path}: {why}\n"), done


def test_an_address_may_end_as_browsers_end_it(one):
    for host in (f"http://127.0.0.1:{one.port()}/", f"127.0.0.1:{one.port()}"):
        done = subprocess.run([CLI, "nodes", "--host", host, "--token", TOKEN], capture_output=True, text=True, timeout=20)
        assert (done.returncode, done.stderr) == (0, ""), done
