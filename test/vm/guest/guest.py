"""What the checks share: commands, the daemon's API, waiting, and how a check is told to the host."""

import glob
import http.client
import json
import pathlib
import shutil
import socket
import subprocess
import time
import traceback
import urllib.parse

SERVICE = "virtwatchd.service"
SOCKET = "/run/virtwatch/http.sock"
PAYLOAD = pathlib.Path("/payload")
PATIENCE_S = 240  # an emulated machine beside others that are busy; what does come takes seconds


class Skip(Exception):
    pass


def run(*command, check=True, timeout=300, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def out(*command, **options):
    return run(*command, **options).stdout.strip()


def run_as(user, *command, groups=()):
    return run(*command, check=False, user=user, group=user, extra_groups=list(groups), cwd="/")


def show(unit, what):
    return out("systemctl", "show", "-P", what, unit)


def wait_for(condition, what, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")


def write(path, text, mode=0o644):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


# ---- the daemon ----

class UnixConnection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


def get(path):
    connection = UnixConnection("localhost", timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def events(**filters):
    query, after, found = urllib.parse.urlencode(filters), 0, []
    while True:
        status, page = get(f"/api/v1/events?limit=1000&after={after}&{query}")
        assert status == 200, page
        if not page["events"]:
            return found
        found += page["events"]
        after = page["next_after"]


def event(name, action, **wanted):
    """The event, once it is there."""
    def look():
        for one in events(name=name, action=action):
            if all(one.get(key) == value for key, value in wanted.items()):
                return one
        return None
    return wait_for(look, lambda: f"{name} {action} {wanted}, but {events()[-12:]}")


def source_is(name, state):
    def look():
        try:
            return get("/ready")[1].get("sources", {}).get(name, {}).get("state") == state
        except OSError:
            return False
    wait_for(look, lambda: f"source {name} {state}, but {get('/ready')[1]}")


def workload(name):
    return next((one for one in get("/api/v1/workloads")[1] if one["name"] == name), None)


def start_unit(name, *command, options=()):
    run("systemd-run", "-q", f"--unit={name}", *options, *command)


# ---- what runs in containers ----

def busybox_root(folder):
    folder = pathlib.Path(folder)
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "root", "usr"):
        (folder / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", folder / "bin")
    for applet in ("sh", "sleep", "dd", "true"):
        (folder / "bin" / applet).symlink_to("busybox")
    write(folder / "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    write(folder / "etc/os-release", "")


# ---- reporting ----

class Host:
    def __init__(self):
        run("modprobe", "virtio_console", check=False)
        port = wait_for(self.port, "a virtio port")
        self.file = open(f"/dev/{port}", "w", buffering=1)

    @staticmethod
    def port():
        for name in glob.glob("/sys/class/virtio-ports/*/name"):
            if pathlib.Path(name).read_text().strip() == "virtwatch.told":
                return pathlib.Path(name).parent.name
        return None

    def tell(self, **said):
        self.file.write(json.dumps(said) + "\n")
        self.file.flush()


def what_was_logged():
    log = run("journalctl", "-u", SERVICE, "-n", "25", "--no-pager", "-o", "short-monotonic", check=False).stdout
    kills = run("journalctl", "-k", "-g", "oom-kill:", "-n", "5", "--no-pager", "-o", "short-precise", check=False).stdout
    refused = run("journalctl", "-b", "-g", 'apparmor="DENIED".* profile="virtwatchd', "-n", "10", "--no-pager", "-o", "cat", check=False).stdout
    return f"what virtwatchd logged:\n{log}the kernel's last OOM kills:\n{kills}what AppArmor refused it last:\n{refused}"


def tell_check(host, name, check):
    """Run one. Whether it passed."""
    begin = time.monotonic()
    result, detail = "ok", ""
    try:
        check()
    except Skip as reason:
        result, detail = "skipped", str(reason)
    except Exception:
        result, detail = "failed", traceback.format_exc() + what_was_logged()
    host.tell(check=name, result=result, detail=detail, seconds=time.monotonic() - begin)
    return result != "failed"
