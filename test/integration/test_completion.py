"""Completion in real shells, of the real client, with a daemon, without one and with one that is stuck; and manual pages that name
each command and option that --help does."""

import http.server
import json
import os
import pathlib
import pty
import re
import select
import socket
import subprocess
import threading
import time
import xml.etree.ElementTree as tree

import pytest

from conftest import BUILD, ROOT, wait_for
from test_apps import APP, send

SCRIPTS = ROOT / "packaging/completion"
SLUGS = ["shop", "shop-2"]


def environment(home, host):
    return {"PATH": f"{BUILD}/src:/usr/bin:/bin", "HOME": str(home), "VIRTWATCH_HOST": host, "LC_ALL": "C.UTF-8", "TERM": "dumb"}


def bash(line, env):
    """What COMPREPLY is, as readline would have it asked for."""
    script = f"source {SCRIPTS}/virtwatch.bash; COMP_LINE=$1; COMP_POINT=${{#1}}; compopt() {{ :; }}; _virtwatch virtwatch '' '' && printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "--norc", "-c", script, "bash", line], env=env, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


def fish(line, env):
    done = subprocess.run(["fish", "--no-config", "-c", f"source {SCRIPTS}/virtwatch.fish; complete -C $argv[1]", line], env=env,
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return [candidate.split("\t")[0] for candidate in done.stdout.splitlines()]


def zsh(line, env):
    """In a terminal, as completion there needs its line editor: what each compadd was given that fits."""
    setup = f"""fpath=({SCRIPTS} $fpath); autoload -U compinit; compinit -u -D; PS1='READY>'
compadd() {{ local -a found; builtin compadd -O found "$@"; print -rl -- "WORD:"$^found > /dev/tty; builtin compadd "$@"; }}
"""
    home = pathlib.Path(env["HOME"])
    (home / ".zshrc").write_text(setup)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve("/usr/bin/zsh", ["zsh", "-d", "-i"], env | {"ZDOTDIR": str(home)})
    text = b""

    def read_until(wanted, seconds=15):
        nonlocal text
        end = time.monotonic() + seconds
        while not re.search(wanted, text) and time.monotonic() < end:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    text += os.read(terminal, 65536)
                except OSError:
                    break
        return bool(re.search(wanted, text))

    try:
        assert read_until(b"READY>"), text
        text = b""
        os.write(terminal, line.encode() + b"\t\x15print END''OF\r")
        assert read_until(b"ENDOF"), text
    finally:
        os.write(terminal, b"\x15exit\r")
        os.close(terminal)
        os.waitpid(pid, 0)
    return re.findall(r"WORD:(\S+)", text.decode(errors="replace"))


@pytest.fixture(params=[bash, fish, zsh], ids=["bash", "fish", "zsh"])
def complete(request, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return lambda line, host: request.param(line, environment(home, host))


def help_of(program):
    return subprocess.run([BUILD / "src" / program, "--help"], check=True, capture_output=True, text=True).stdout


def commands():
    found = re.findall(r"^  ([a-z]+)", help_of("virtwatch"), re.M)
    assert len(found) > 5
    return set(found)


def options(program):
    found = set()
    for line in help_of(program).splitlines():
        if re.match(r" +[a-z-]", line):
            found |= set(re.findall(r"(?:^|[ \[])(-\w|--[a-z-]+)(?![a-z-])", re.split(r"\s{2,}", line.strip())[0]))
    assert "--help" in found and "-h" in found
    return found


def test_each_command_and_option_is_completed(complete, tmp_path):
    nowhere = f"unix:{tmp_path}/nowhere"
    assert set(complete("virtwatch ", nowhere)) == commands()
    assert set(complete("virtwatch probe ", nowhere)) == {"show", "set", "run", "rm"}
    offered = {option for command in commands() for option in complete(f"virtwatch {command} --", nowhere)}
    assert {option for option in options("virtwatch") if option.startswith("--")} == offered
    assert set(complete("virtwatch top --sort ", nowhere)) == {"cpu", "mem", "disk", "name", "state"}


def test_slugs_and_ids_come_from_the_daemon(complete, daemon):
    one = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": "test:///default"})
    host = f"unix:{one.folder}/http.sock"
    for slug in SLUGS:
        assert send(one, "PUT", f"/api/app-gateway/apps/{slug}", {"vm_name": slug})[0] in (200, 201)
    ids = wait_for(lambda: [w["id"] for w in json.loads(one.get("/api/v1/workloads")[1])], what="a workload")
    assert set(complete("virtwatch timeline sh", host)) == set(SLUGS)
    assert set(complete("virtwatch probe run ", host)) == set(SLUGS)
    assert complete("virtwatch analytics x", host) == []
    assert set(complete("virtwatch events --filter workload=", host)) in (set(ids), {f"workload={i}" for i in ids})


def test_no_daemon_and_a_stuck_one_fail_quietly(complete, tmp_path):
    assert complete("virtwatch timeline ", f"unix:{tmp_path}/nowhere") == []
    path = f"{tmp_path}/stuck"
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.bind(path)
        stuck.listen(16)
        begin = time.monotonic()
        assert complete("virtwatch timeline ", f"unix:{path}") == []
        assert time.monotonic() - begin < 10


class Liar(http.server.BaseHTTPRequestHandler):
    """A server that is not ours, whose apps are called as a shell's command is written."""

    def do_GET(self):
        body = json.dumps([{"slug": "$(id)"}, {"slug": "a;id"}, {"slug": "shop"}]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_what_a_server_calls_things_is_no_command(tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        offered = bash("virtwatch timeline ", environment(tmp_path, f"http://127.0.0.1:{server.server_port}"))
        server.shutdown()
    assert offered == [r"\$\(id\)", r"a\;id", "shop"]


def page(name):
    return re.sub(r"\\", "", (ROOT / f"packaging/man/{name}.scd").read_text())


@pytest.mark.parametrize("program, name", [("virtwatch", "virtwatch.1"), ("virtwatchd", "virtwatchd.8")])
def test_the_manual_page_has_each_option_and_no_other(program, name):
    terms = "\n".join(line for line in page(name).splitlines() if line.startswith("*-"))
    assert set(re.findall(r"(?:^|, )\*(-\w|--[a-z-]+)\*", terms, re.M)) == options(program)


def test_the_manual_page_has_each_command_and_no_other():
    text = page("virtwatch.1").split("# COMMANDS")[1].split("# OPTIONS")[0]
    assert set(re.findall(r"^\*([a-z]+)", text, re.M)) == commands()


def test_the_manual_page_of_the_bus_has_each_member(tmp_path):
    built = (BUILD / "packaging/man/org.virtwatch1.5").read_text()
    shown = subprocess.run(["man", "-l", "-"], input=built, check=True, capture_output=True, text=True,
                           env=dict(os.environ, MANWIDTH="500", LC_ALL="C.UTF-8")).stdout
    n = 0
    for path in sorted((ROOT / "packaging/dbus").glob("*.xml")):
        for interface in tree.parse(path).getroot():
            about = shown.split(f"\n{interface.get('name')}\n")[1]
            for member in interface:
                assert re.search(rf"^ +{member.get('name')} ?\(", about, re.M), member.get("name")
                n += 1
    assert n > 50


def test_the_manual_pages_are_well_formed():
    pages = sorted((BUILD / "packaging/man").glob("*.[1-8]"))
    assert [page.name for page in pages] == ["org.virtwatch1.5", "virtwatch-http.7", "virtwatch-kmsg.8", "virtwatch.1", "virtwatch.yaml.5", "virtwatchd.8"]
    for path in pages:
        done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", path], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done.stderr
