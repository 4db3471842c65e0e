#!/usr/bin/python3
"""Events through journal, feed and SSE to many readers, beside nginx with nchan (Debian's), which keeps them in memory only.

Usage: stream.py [--seconds N] [--quick]. Three loads: 20,000 events/s with 100 readers; the same beside 50 that never read;
2,000 readers. The bound: all that keep up get all, and those that never read cost the others nothing."""

import argparse
import pathlib
import socket
import subprocess
import tempfile
import time

from common import BUILD, cpu_seconds, end, need, resident_mib, wait_for

LOADS = ((20000, 100, 0), (20000, 100, 50), (1000, 2000, 0))


def bench(rate, readers, stalled, seconds, *more):
    command = [BUILD / "test/bench_stream", "-r", rate, "-n", readers, "-x", stalled, "-s", seconds, *more]
    try:
        return subprocess.run(list(map(str, command)), timeout=seconds + 60).returncode == 0
    except subprocess.TimeoutExpired:
        print("           not done in time", flush=True)
        return False


class Nchan:
    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % free.getsockname()[1]
        config = folder / "nginx.conf"
        config.write_text(
            "load_module /usr/lib/nginx/modules/ngx_nchan_module.so;\nuser root;\nworker_processes 1;\nworker_rlimit_nofile 16384;\n"
            f"daemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nevents {{ worker_connections 8192; }}\n"
            f"http {{ access_log off; nchan_shared_memory_size 512M; keepalive_requests 100000000; client_body_temp_path {folder}/body;\n"
            f"server {{ listen {self.address} backlog=4096;\nlocation = /pub {{ nchan_publisher; nchan_channel_id events;"
            " nchan_message_buffer_length 65536; nchan_message_timeout 30s; }\n"
            "location = /sub { nchan_subscriber eventsource; nchan_channel_id events; nchan_subscriber_first_message newest; } } }\n")
        self.process = subprocess.Popen([need("nginx"), "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL)
        wait_for(self.answers, 10, "nginx answers")
        self.worker = int(subprocess.check_output(["pgrep", "-P", str(self.process.pid)], text=True).split()[0])

    def answers(self):
        host, port = self.address.split(":")
        try:
            with socket.create_connection((host, int(port)), timeout=1):
                return True
        except OSError:
            return False


parser = argparse.ArgumentParser()
parser.add_argument("--seconds", type=int, default=10)
parser.add_argument("--quick", action="store_true", help="without the peer")
options = parser.parse_args()
good = True
for load in LOADS:
    print("== %d events/s, %d readers, %d that never read" % load, flush=True)
    good &= bench(*load, options.seconds)
    if options.quick:
        continue
    with tempfile.TemporaryDirectory(prefix="vwb") as folder:
        nchan = Nchan(pathlib.Path(folder))
        try:
            cpu, begin = cpu_seconds(nchan.worker), time.monotonic()
            bench(*load, options.seconds, "-p", nchan.address)
            print(f"           nginx {(cpu_seconds(nchan.worker) - cpu) * 100 / (time.monotonic() - begin):.0f} % of a core,"
                  f" {resident_mib(nchan.worker):.0f} MiB", flush=True)
        finally:
            end(nchan.process)
raise SystemExit(not good)
