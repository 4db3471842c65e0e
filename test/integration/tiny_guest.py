"""The 64 KiB guest of test/guest under a libvirtd of the tests: built here, told what to do by bytes on COM1."""

import socket
import subprocess
import time

from conftest import ROOT, wait_for


def build(folder):
    """Assemble the ROM; return its path."""
    rom = folder / "tinyrom.bin"
    if not rom.exists():
        subprocess.check_call(["gcc", "-m32", "-c", ROOT / "test/guest/tinyrom.S", "-o", folder / "tinyrom.o"])
        subprocess.check_call(["ld", "-m", "elf_i386", "-Ttext=0", "--oformat=binary", "-e", "_start", "-o", rom, folder / "tinyrom.o"])
        assert rom.stat().st_size == 65536
    return rom


class TinyGuest:
    """One domain with the ROM. Options change its XML; `devices` is more XML among the devices."""

    def __init__(self, libvirt, name, *, devices="", head="", crash="destroy", watchdog="reset", balloon="none"):
        self.libvirt, self.name = libvirt, name
        self.com1 = libvirt.folder / f"{name}.com1"
        self.file = libvirt.folder / f"{name}.xml"
        self.file.write_text(f"""<domain type='qemu'>
  <name>{name}</name><memory unit='KiB'>2048</memory><vcpu>1</vcpu>{head}
  <os><type arch='x86_64' machine='pc'>hvm</type><loader readonly='yes' type='rom'>{build(libvirt.folder)}</loader></os>
  <features><acpi/></features>
  <pm><suspend-to-mem enabled='yes'/><suspend-to-disk enabled='yes'/></pm>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>{crash}</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    {balloon_xml(balloon)}
    <serial type='unix'><source mode='bind' path='{self.com1}'/><target port='0'/></serial>
    <panic model='isa'/>
    <watchdog model='i6300esb' action='{watchdog}'><address type='pci' domain='0x0000' bus='0x00' slot='0x0a' function='0x0'/></watchdog>
    {devices}
  </devices>
</domain>
""")

    def define(self):
        self.gone()
        self.libvirt("define", self.file)
        return self

    def start(self, *options):
        """Define and start it, and wait until the guest answers."""
        self.define()
        self.libvirt("start", self.name, *options)
        self.ready()
        return self

    def create(self):
        """The same, transient."""
        self.gone()
        self.libvirt("create", self.file)
        self.ready()
        return self

    def ready(self):
        """Idle commands are echoed: '?' is one."""
        wait_for(lambda: self.tell("?"), 10, f"the guest of {self.name}")

    def tell(self, byte):
        """Send one command; return whether the guest took it."""
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(1)
                line.connect(str(self.com1))
                line.sendall(byte.encode())
                end = time.monotonic() + 1
                while time.monotonic() < end:
                    answer = line.recv(64)
                    if byte.encode() in answer:
                        return True
                    if not answer:
                        return False
        except OSError:
            pass
        return False

    def gone(self):
        self.libvirt("destroy", self.name, check=False)
        self.libvirt("undefine", self.name, "--managed-save", check=False)

    def pid(self):
        return self.libvirt.qemu_pid(self.name)


def balloon_xml(model):
    if model == "none":
        return "<memballoon model='none'/>"
    return (f"<memballoon model='{model}'><address type='pci' domain='0x0000' bus='0x00' slot='0x0b' function='0x0'/>"
            "</memballoon>")


def qcow2(path, size="1M", **options):
    command = ["qemu-img", "create", "-q", "-f", "qcow2"]
    for key, value in options.items():
        command += ["-o", f"{key}={value}"]
    subprocess.check_call([*command, str(path), size])
    return path


def ide_disk(path, policy="stop"):
    return (f"<disk type='file' device='disk'><driver name='qemu' type='qcow2' error_policy='{policy}'/>"
            f"<source file='{path}'/><target dev='hda' bus='ide'/></disk>")
