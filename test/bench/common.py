"""What the benches share: the integration tests' servers, without pytest's fixtures."""

import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.dont_write_bytecode = True

from conftest import BUILD, TOKEN, Daemon, Docker, Libvirt, Podman, Stream, end, make_image, spawn, wait_for  # noqa: E402,F401

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def need(program):
    if not shutil.which(program):
        raise SystemExit(f"{program} is not installed")
    return program


def run(*args):
    return subprocess.run(list(map(str, args)), check=True, capture_output=True, text=True).stdout
