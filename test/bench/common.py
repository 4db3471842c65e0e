"""What the benches share: the integration tests' servers, without pytest's fixtures."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

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


def start_domains(server, count):
    """Guests that run "cli, hlt, again" from the boot sector of a disk they share."""
    disk = server.folder / "halt.raw"
    disk.write_bytes(b"\xfa\xf4\xeb\xfd".ljust(510, b"\0") + b"\x55\xaa" + bytes((1 << 20) - 512))
    begin = time.monotonic()
    for i in range(count):
        xml = server.folder / f"guest-{i:03}.xml"
        xml.write_text(f"<domain type='qemu'><name>guest-{i:03}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>"
                       "<os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><features><acpi/></features>"
                       "<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>"
                       f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>"
                       "<target dev='vda' bus='virtio'/><readonly/></disk><memballoon model='virtio'/></devices></domain>")
        server("create", xml)
        if i % 25 == 24:
            print(f"{i + 1} domains run, {time.monotonic() - begin:.0f} s", flush=True)


def test_driver_node(folder, count):
    """The test driver's host, with running domains of the usual size."""
    path = folder / "node.xml"
    path.write_text("<node>" + "".join(
        f"<domain type='test'><name>guest-{i:04}</name><uuid>{i:08x}-1111-2222-3333-444444444444</uuid><memory>1048576</memory>"
        f"<vcpu>2</vcpu><os><type arch='x86_64'>hvm</type></os><devices><disk type='file'><source file='/guest-{i}.img'/>"
        "<target dev='vda'/></disk><interface type='network'><source network='default'/></interface></devices></domain>"
        for i in range(count)) + "</node>")
    return path
