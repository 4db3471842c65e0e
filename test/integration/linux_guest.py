"""A Linux guest with a guest agent, under a libvirtd of the tests: built once a run, told what to do on its serial console."""

import socket
import subprocess
import time

import pytest

from conftest import ROOT, wait_for


@pytest.fixture(scope="session")
def linux(scratch):
    """The folder with vmlinuz and initrd.img."""
    folder = scratch / "linux"
    subprocess.check_call([ROOT / "test/guest/linux", folder], stdout=subprocess.DEVNULL)
    return folder


class LinuxGuest:
    def __init__(self, libvirt, files, name, *, devices="", memory_mib=192):
        self.libvirt, self.name = libvirt, name
        self.console = libvirt.folder / f"{name}.com1"
        self.file = libvirt.folder / f"{name}.xml"
        self.file.write_text(f"""<domain type='qemu'>
  <name>{name}</name><memory unit='MiB'>{memory_mib}</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{files}/vmlinuz</kernel><initrd>{files}/initrd.img</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 mitigations=off</cmdline></os>
  <features><acpi/></features><cpu mode='custom'><model>qemu64</model></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='virtio'/>
    <serial type='unix'><source mode='bind' path='{self.console}'/><target port='0'/></serial>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    {devices}
  </devices>
</domain>
""")

    def start(self):
        self.gone()
        self.libvirt("define", self.file)
        self.libvirt("start", self.name)
        self.line = socket.socket(socket.AF_UNIX)
        self.line.settimeout(1)
        self.line.connect(str(self.console))
        self.seen = ""
        self.wait("GUEST-READY", 120)
        return self

    def wait(self, text, seconds):
        """Read the console up to @text; return what came before it."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, f"no {text!r} in {seconds} s: {self.seen[-2000:]!r}"
            try:
                self.seen += self.line.recv(4096).decode(errors="replace")
            except TimeoutError:
                pass
        before, self.seen = self.seen.split(text, 1)
        return before

    def run(self, command, seconds=60):
        """Run it in the guest; return what it printed."""
        self.line.sendall(f"{command}\n".encode())
        before = self.wait("RC=", seconds)
        status = self.wait("\n", 5).strip()
        assert status == "0", f"{command}: {status}: {before}"
        return before.replace("\r", "").split("\n", 1)[-1]

    def agent(self):
        """Start its guest agent and wait until libvirt sees it."""
        self.run("agent")
        wait_for(lambda: self.libvirt("qemu-agent-command", self.name, '{"execute":"guest-ping"}', check=False).returncode == 0, 60,
                 "the agent answers")

    def gone(self):
        self.libvirt("destroy", self.name, check=False)
        self.libvirt("undefine", self.name, check=False)
