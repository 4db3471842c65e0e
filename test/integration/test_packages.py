"""The packages: built, checked by lintian and rpmlint, and installed into a Debian that boots under systemd-nspawn, where the service is
started, called on its bus, upgraded, removed and purged for real."""

import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from conftest import BUILD, ROOT, guest_groups_gone, guest_leader, wait_for

NAMES = ["virtwatch", "virtwatch-client", "virtwatch-dev", "virtwatch-mixin"]
# What the host's other programs write, also on a machine where nothing is installed.
VOLATILE = re.compile(r"/(dev|proc|sys|run|tmp|x)(/|$)|/var/(log|cache|lib/(dpkg|apt|systemd/(timers|random-seed|timesync|deb-systemd-helper-masked)))(/|$)"
                      r"|/etc/(passwd|group|shadow|gshadow|subuid|subgid)-$|/etc/\.pwd\.lock$")


def run(*args, **options):
    done = subprocess.run(list(map(str, args)), capture_output=True, text=True, timeout=options.pop("timeout", 600), **options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def debs(scratch):
    """VIRTWATCH_DEBS: a folder that has them already."""
    folder = pathlib.Path(os.environ.get("VIRTWATCH_DEBS", scratch / "deb"))
    if "VIRTWATCH_DEBS" not in os.environ:
        run(ROOT / "packaging/build-deb", folder)
    return folder


@pytest.fixture(scope="module")
def rpms(scratch):
    run(ROOT / "packaging/build-rpm", scratch / "rpm")
    return scratch / "rpm"


def deb(folder, name):
    found = list(folder.glob(f"{name}_*.deb"))
    assert len(found) == 1, found
    return found[0]


def files_of(package):
    listed = run("dpkg-deb", "-c", package).splitlines()
    return {line.split(maxsplit=5)[5].removeprefix(".") for line in listed if not line.startswith("d")}


def test_lintian_finds_nothing(debs):
    changes = list(debs.glob("*.changes"))
    assert len(changes) == 1
    done = subprocess.run(["lintian", "--allow-root", "--fail-on=error,warning", changes[0]], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and not done.stdout, done.stdout


def test_each_package_has_its_own(debs):
    files = {name: files_of(deb(debs, name)) for name in NAMES}
    interfaces = {f"/usr/share/dbus-1/interfaces/{p.name}" for p in (ROOT / "packaging/dbus").glob("*.xml")}
    drop_ins = {f"/usr/share/virtwatch/units/{p.name}" for p in (ROOT / "units").iterdir() if p.suffix in (".conf", ".rules")}
    assert len(interfaces) > 3 and len(drop_ins) > 3
    assert files["virtwatch"] >= interfaces | drop_ins | {
        "/usr/sbin/virtwatchd", "/lib/systemd/system/virtwatchd.service", "/usr/sbin/virtwatch-kmsg",
        "/lib/systemd/system/virtwatch-kmsg.service", "/lib/systemd/system/virtwatch-kmsg.socket", "/usr/lib/sysusers.d/virtwatch.conf",
        "/usr/lib/tmpfiles.d/virtwatch.conf", "/usr/share/dbus-1/system.d/org.virtwatch1.conf",
        "/usr/share/dbus-1/system-services/org.virtwatch1.service", "/usr/share/polkit-1/actions/org.virtwatch1.policy",
        "/etc/apparmor.d/virtwatchd", "/etc/apparmor.d/virtwatch-kmsg", "/usr/share/man/man8/virtwatch-kmsg.8.gz",
        "/etc/virtwatch/virtwatch.yaml", "/usr/share/man/man8/virtwatchd.8.gz",
        "/usr/share/man/man5/virtwatch.yaml.5.gz", "/usr/share/man/man5/org.virtwatch1.5.gz",
        "/usr/share/man/man7/virtwatch-http.7.gz"}
    assert files["virtwatch-client"] >= {
        "/usr/bin/virtwatch", "/usr/share/man/man1/virtwatch.1.gz", "/usr/share/bash-completion/completions/virtwatch",
        "/usr/share/zsh/vendor-completions/_virtwatch", "/usr/share/fish/vendor_completions.d/virtwatch.fish"}
    mixin = ROOT / "packaging/mixin"
    assert files["virtwatch-mixin"] >= {f"/usr/share/virtwatch/mixin/{p.relative_to(mixin)}"
                                        for p in [mixin / "alerts.yaml", mixin / "recording.yaml", *mixin.glob("dashboards/*")]}
    assert files["virtwatch-dev"] >= {f"/usr/include/virtwatch/{p.name}" for p in (ROOT / "include/virtwatch").iterdir()}
    everything = [path for name in NAMES for path in files[name]]
    assert len(everything) == len(set(everything)) and not [p for p in everything if "/test" in p]


def test_what_is_installed_is_well_formed(debs, tmp_path):
    for name in NAMES:
        run("dpkg-deb", "-x", deb(debs, name), tmp_path)
    for name in ("virtwatchd", "virtwatch-kmsg"):
        run("apparmor_parser", "-Q", "--skip-kernel-load", tmp_path / "etc/apparmor.d" / name)
    run("systemd-sysusers", "--dry-run", tmp_path / "usr/lib/sysusers.d/virtwatch.conf")
    for path in [*tmp_path.rglob("*.policy"), *tmp_path.rglob("*.xml"), tmp_path / "usr/share/dbus-1/system.d/org.virtwatch1.conf"]:
        run("/usr/bin/python3", "-c", "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])", path)
    run(tmp_path / "usr/sbin/virtwatchd", "--check-config", "--config", tmp_path / "etc/virtwatch/virtwatch.yaml")
    version = re.search(r"project\(virtwatch VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())[1]
    assert run(tmp_path / "usr/sbin/virtwatchd", "--version").split() == ["virtwatchd", version]
    assert run("dpkg-deb", "-f", deb(debs, "virtwatch"), "Version").strip() == version
    (tmp_path / "x.c").write_text('#include <virtwatch/virtwatch.h>\nconst char *name = VW_BUS_NAME;\n')
    run("gcc", "-Wall", "-Werror", "-I", tmp_path / "usr/include", "-c", tmp_path / "x.c", "-o", tmp_path / "x.o")


RPM_ONLY = re.compile(r"^/usr/(lib/\.build-id|share/licenses)(/|$)")
DEB_ONLY = re.compile(r"^/usr/share/doc(/|$)")


def test_rpmlint_finds_no_errors(rpms):
    packages = sorted(rpms.glob("*.rpm"))
    assert [re.sub(r"-[\d.]+-\d.*", "", p.name) for p in packages] == ["virtwatch", "virtwatch-client", "virtwatch-devel", "virtwatch-mixin"]
    done = subprocess.run(["rpmlint", "-r", ROOT / "packaging/rpm/virtwatch.rpmlintrc", *packages, ROOT / "packaging/rpm/virtwatch.spec"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "4 packages and 1 specfiles checked; 0 errors" in done.stdout, done.stdout


def test_rpms_have_what_debs_have_and_come_and_go(rpms, debs, tmp_path):
    packages = sorted(rpms.glob("*.rpm"))
    mine = {p for p in run("rpm", "-qpl", *packages).split() if not RPM_ONLY.match(p) and not DEB_ONLY.match(p)}
    theirs = {re.sub("^/lib/", "/usr/lib/", p).replace("zsh/vendor-completions", "zsh/site-functions")
              for name in NAMES for p in files_of(deb(debs, name)) if not DEB_ONLY.match(p)}
    assert theirs <= mine and not [p for p in mine - theirs if not any(t.startswith(f"{p}/") for t in theirs) and p != "/etc/virtwatch/conf.d"]

    rpm = ["rpm", "--root", tmp_path, "--nodeps", "--noscripts"]
    run(*rpm, "-i", *packages)
    run(tmp_path / "usr/sbin/virtwatchd", "--check-config", "--config", tmp_path / "etc/virtwatch/virtwatch.yaml")
    assert (tmp_path / "etc/virtwatch/virtwatch.yaml").stat().st_mode & 0o777 == 0o640
    unit = (tmp_path / "usr/lib/systemd/system/virtwatchd.service").read_text()
    assert "\nExecStart=/usr/sbin/virtwatchd\n" in unit
    run(*rpm, "-e", *run("rpm", "-qp", "--qf", "%{NAME}\n", *packages).split())
    assert [p for p in tmp_path.rglob("*virtwatch*") if "/var/" not in str(p)] == []
    for part in ("prein", "postin", "preun", "postun"):
        script = run("rpm", "-qp", "--qf", f"%{{{part.upper()}}}", [p for p in packages if re.match(r"virtwatch-[\d]", p.name)][0])
        assert "virtwatch" in script or "systemctl" in script
        run("sh", "-n", "-c", script)


def test_what_cmake_looks_for_is_asked_for_by_each_kind_of_package():
    modules = set(re.findall(r"pkg_check_modules\(\w+ REQUIRED IMPORTED_TARGET ([a-z0-9.-]+?)(?:>=|\))", (ROOT / "CMakeLists.txt").read_text()))
    assert "libvirt" in modules and len(modules) > 5
    assert modules <= set(re.findall(r"pkgconfig\((.+?)\)", (ROOT / "packaging/rpm/virtwatch.spec").read_text()))
    always = re.search(r'^packages="(.*?)"', (ROOT / "packaging/install-deps").read_text(), re.M | re.S)[1].split()
    control = (ROOT / "packaging/debian/control").read_text()
    needed = set(re.findall(r"([a-z0-9.+-]+)(?::any)?(?: \([^)]*\))?,?\n", control.split("Build-Depends:")[1].split("Standards-Version")[0]))
    assert {p for p in always if p.startswith("lib")} - {"libcmocka-dev"} <= needed


def test_every_action_asks_for_an_administrator():
    import xml.etree.ElementTree as tree
    actions = tree.parse(ROOT / "packaging/polkit/org.virtwatch1.policy").getroot().findall("action")
    assert {a.get("id").removeprefix("org.virtwatch1.") for a in actions} == {
        "reload", "add-event", "manage-apps", "manage-probes", "manage-tokens", "act-on-workloads"}
    for action in actions:
        assert action.findtext("description") and action.findtext("message")
        assert {d.text for d in action.find("defaults")} <= {"auth_admin", "auth_admin_keep"}


def test_a_state_folder_that_is_a_file_system_is_emptied_by_a_purge(tmp_path):
    """On an /etc, a /var/lib and a /run of its own."""
    script = (ROOT / "packaging/debian/virtwatch.postrm").read_text().replace("#DEBHELPER#", "")
    (tmp_path / "postrm").write_text(script)
    purge = """for folder in /etc /run /var/lib; do mount -t tmpfs t $folder; done
        mkdir -p /etc/virtwatch/conf.d /run/virtwatch /var/lib/virtwatch
        mount -t tmpfs t /var/lib/virtwatch
        mkdir /var/lib/virtwatch/tls
        touch /var/lib/virtwatch/events.db /var/lib/virtwatch/tls/ca.key /etc/virtwatch/virtwatch.yaml
        sh "$0" purge
        find /etc /run/virtwatch /var/lib -mindepth 1 2> /dev/null || true"""
    done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-ec", purge, tmp_path / "postrm"], capture_output=True, text=True,
                          timeout=20)
    assert done.returncode == 0 and done.stdout == "/var/lib/virtwatch\n", done


# ---- installed ----

def depends(debs):
    """The first of each alternative of what the packages need, ours left out."""
    found = set()
    for name in NAMES:
        for clause in run("dpkg-deb", "-f", deb(debs, name), "Depends").split(","):
            word = re.match(r"\s*([a-z0-9.+-]+)", clause)
            if word and word[1] not in NAMES:
                found.add(word[1])
    return found


def make_root(debs, folder):
    """Debian's minimal system with what the packages need and none of them; made once for each list of names."""
    include = ",".join(sorted(depends(debs) | {"systemd-sysv", "dbus", "polkitd"}))
    cached = BUILD / f"root-{hashlib.sha256(include.encode()).hexdigest()[:12]}.tar"
    if not cached.exists():
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={include}", "bookworm", f"{cached}.new.tar")
        os.rename(f"{cached}.new.tar", cached)
    folder.mkdir()
    run("tar", "-C", folder, "--exclude=./dev/*", "-xpf", cached)


class Machine:
    def __init__(self, folder, debs):
        self.folder = folder
        self.root = folder / "root"
        (folder / "x").mkdir(parents=True)
        make_root(debs, self.root)

    def start(self):
        self.log = open(self.folder / "console.log", "ab")
        self.process = subprocess.Popen(
            ["systemd-nspawn", "-q", "--boot", "-D", self.root, "-M", f"vwp{os.getpid()}", "--register=no", "--keep-unit",
             "--private-network", f"--bind={self.folder}/x:/x", "--console=read-only"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True,
            env=dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1"))
        self.leader = wait_for(lambda: guest_leader(self.process), 20, "the machine's PID 1")
        wait_for(lambda: self("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded"), 60, "a booted machine")

    def __call__(self, *args, check=True, timeout=120):
        done = subprocess.run(["nsenter", "-t", str(self.leader), "-m", "-p", "-n", "-u", "-i", "-C", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                               "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", *map(str, args)],
                              capture_output=True, text=True, timeout=timeout)
        assert not check or done.returncode == 0, done.stdout + done.stderr + self("journalctl", "-u", "virtwatchd", "-n", "40", check=False).stdout
        return done

    def files(self):
        return {f"/{line}" for line in self("find", "/", "-xdev", "-printf", "%P\\n").stdout.splitlines() if not VOLATILE.search(f"/{line}")}

    def main_pid(self):
        return int(self("systemctl", "show", "-P", "MainPID", "virtwatchd").stdout)

    def stop(self):
        os.kill(self.leader, signal.SIGRTMIN + 4)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.kill(self.leader, signal.SIGKILL)
            self.process.wait(10)
        self.log.close()
        wait_for(guest_groups_gone, 10, "an end of all that ran in it")


@pytest.fixture(scope="module")
def machine(scratch, debs):
    one = Machine(scratch / "m", debs)
    one.start()
    yield one
    one.stop()


def newer(package, folder):
    """The same package, a version later, with another default configuration."""
    version = run("dpkg-deb", "-f", package, "Version").strip()
    tree = folder / package.stem
    run("dpkg-deb", "-R", package, tree)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {version}\n", f"Version: {version}+1\n"))
    run("dpkg-deb", "--root-owner-group", "-b", tree, folder / package.name)
    run("rm", "-r", tree)


def test_install_start_upgrade_remove_purge(machine, debs):
    before, users = machine.files(), machine("getent", "passwd").stdout + machine("getent", "group").stdout
    for name in NAMES:
        run("cp", deb(debs, name), machine.folder / "x")
    machine("sh", "-c", "dpkg -i /x/*.deb")

    # It runs, by itself, as its own user, and answers on its socket and its bus.
    wait_for(lambda: machine("systemctl", "is-active", "virtwatchd", check=False).stdout.strip() == "active", 20, "a running service")
    pid = machine.main_pid()
    assert machine("stat", "-c", "%U", f"/proc/{pid}").stdout.strip() == "virtwatch"
    assert machine("stat", "-c", "%a %U:%G", "/etc/virtwatch/virtwatch.yaml", "/var/lib/virtwatch").stdout.split("\n")[:2] == [
        "640 root:virtwatch", "700 virtwatch:virtwatch"]
    # journald keeps the kernel's log: nobody needs its other reader, which would be there at once.
    assert machine("systemctl", "is-enabled", "virtwatch-kmsg.socket").stdout == "enabled\n"
    assert machine("systemctl", "is-active", "virtwatch-kmsg.service", check=False).stdout == "inactive\n"
    wait_for(lambda: re.search(r"Ready +yes", machine("virtwatch", "status", check=False).stdout), 20, "a daemon that is ready")
    print(machine("virtwatch", "status").stdout)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    busctl = ["busctl", "--json=short", "call", "org.virtwatch1", "/org/virtwatch1", "org.virtwatch1.Manager"]
    described = json.loads(json.loads(machine(*nobody, *busctl, "Describe").stdout)["data"][0])
    assert described
    assert machine(*nobody, *busctl, "Reload", check=False).returncode != 0
    machine(*busctl, "Reload")
    assert "org.virtwatch1.manage-tokens" in machine("pkaction").stdout
    assert "virtwatchd" in machine("systemd-analyze", "security", "--no-pager", check=False).stdout

    # An event, and a configuration, that upgrades have to keep.
    machine(*busctl, "AddEvent", "ssssa{sv}", "shop", "deploy_succeeded", "info", "kept", "0")
    machine("sh", "-c", "printf 'events:\\n  oom_rule: evidence\\n' > /etc/virtwatch/conf.d/mine.yaml; echo '# mine' >> /etc/virtwatch/virtwatch.yaml")
    for path in (machine.folder / "x").glob("*.deb"):
        newer(path, machine.folder / "x")
    machine("sh", "-c", "dpkg -i /x/*.deb")
    wait_for(lambda: machine.main_pid() not in (0, pid), 20, "a new process")
    wait_for(lambda: "kept" in machine("virtwatch", "timeline", "shop", check=False).stdout, 20, "the event before the upgrade")
    assert machine("tail", "-n1", "/etc/virtwatch/virtwatch.yaml").stdout == "# mine\n"
    assert machine("stat", "-c", "%a %U:%G", "/etc/virtwatch/virtwatch.yaml").stdout.strip() == "640 root:virtwatch"

    # The bus starts it for who calls, but not once it is disabled.
    machine("systemctl", "stop", "virtwatchd")
    machine(*nobody, *busctl, "Describe")
    assert machine.main_pid() > 0
    machine("systemctl", "disable", "--now", "virtwatchd")
    assert machine(*nobody, *busctl, "Describe", check=False).returncode != 0
    assert machine.main_pid() == 0
    machine("systemctl", "enable", "--now", "virtwatchd")

    # Remove keeps settings and events; purge keeps nothing.
    machine("dpkg", "-r", *NAMES)
    assert machine("systemctl", "is-active", "virtwatchd", check=False).stdout.strip() != "active"
    machine("test", "-e", "/etc/virtwatch/virtwatch.yaml", "-a", "-e", "/etc/virtwatch/conf.d/mine.yaml")
    machine("sh", "-c", "ls /var/lib/virtwatch/*")
    machine("dpkg", "-P", *NAMES)
    after = machine.files()
    assert after - before == set() and before - after == set()
    assert machine("getent", "passwd").stdout + machine("getent", "group").stdout == users
    assert not machine("sh", "-c", "ls -d /run/virtwatch /run/systemd/units/*virtwatch* 2>/dev/null", check=False).stdout


def test_the_drop_ins_grant_what_they_name(machine, debs):
    machine("sh", "-c", "rm -f /x/*.deb")
    for name in NAMES:
        run("cp", deb(debs, name), machine.folder / "x")
    machine("sh", "-c", "dpkg -i /x/*.deb && rm /x/*.deb && groupadd -r docker && groupadd -r libvirt")
    folder = "/etc/systemd/system/virtwatchd.service.d"
    machine("sh", "-c", f"mkdir {folder} && cd /usr/share/virtwatch/units && cp docker.conf podman.conf containerd.conf guest-agent.conf {folder}")
    machine("sh", "-c", "mkdir /etc/systemd/system/podman.socket.d && cp /usr/share/virtwatch/units/podman.socket.conf /etc/systemd/system/podman.socket.d")
    # As podman's own, whose folder is made for root alone.
    machine("sh", "-c", "mkdir -m 700 /run/podman; printf '[Socket]\\nListenStream=/run/podman/podman.sock\\nSocketMode=0660\\n' > /run/systemd/system/podman.socket; "
            "printf '[Service]\\nExecStart=/bin/sleep 100\\n' > /run/systemd/system/podman.service")
    machine("systemctl", "daemon-reload")
    machine("systemctl", "restart", "virtwatchd")
    status = machine("cat", f"/proc/{machine.main_pid()}/status").stdout
    groups = set(re.search(r"^Groups:\s*(.*)$", status, re.M)[1].split())
    for name in ("docker", "libvirt", "systemd-journal"):
        assert machine("getent", "group", name).stdout.split(":")[2] in groups
    assert re.search(r"^CapEff:\s*0+$", status, re.M) and re.search(r"^NoNewPrivs:\s*1$", status, re.M)
    assert "VIRTWATCH_SOURCES__LIBVIRT__WRITE=true" in machine("cat", f"/proc/{machine.main_pid()}/environ").stdout
    assert machine("stat", "-c", "%a %U:%G", "/run/podman/podman.sock").stdout.strip() == "660 root:virtwatch"
    may_write = ["--clear-groups", "test", "-w", "/run/podman/podman.sock"]
    machine("setpriv", "--reuid=virtwatch", "--regid=virtwatch", *may_write)
    assert machine("setpriv", "--reuid=65534", "--regid=65534", *may_write, check=False).returncode != 0

    machine("systemctl", "stop", "virtwatchd", "podman.socket")
    machine("sh", "-c", f"rm -r {folder} /etc/systemd/system/podman.socket.d /run/podman /run/systemd/system/podman.*; "
            "groupdel docker; groupdel libvirt; systemctl daemon-reload; dpkg -P " + " ".join(NAMES))
