#!/usr/bin/python3
"""New TLS handshakes a second on one core, beside Debian's nginx with the same certificate on the same core.

Usage: tls.py [--seconds N]. Each server is held to one core, `openssl s_time -new` to the others; two of them keep the server
busy. Told are handshakes a second of the wall clock and of the server's own CPU time. The bound: 500 a second of its CPU time."""

import argparse
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time

from common import Daemon, cpu_seconds, end, need, resident_mib, wait_for

CLIENTS = 2


def shake(name, port, pid, seconds, version):
    """Connections a second, of the clock and of the server's CPU."""
    begin, used = time.monotonic(), cpu_seconds(pid)
    others = sorted(os.sched_getaffinity(0))[1:] or [0]
    clients = [subprocess.Popen(["taskset", "-c", ",".join(map(str, others)), "openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-new",
                                 "-time", str(seconds), version], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
               for _ in range(CLIENTS)]
    made = sum(int(re.search(r"(\d+) connections in \d+ real", client.communicate()[0])[1]) for client in clients)
    used, took = cpu_seconds(pid) - used, time.monotonic() - begin
    print(f"{name:12} {version:8} {made / took:8.0f} /s  {made / used:8.0f} /s of CPU  {resident_mib(pid):6.1f} MiB", flush=True)
    return made / used


def start_nginx(folder, pem):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; error_log {folder}/nginx.log; pid {folder}/nginx.pid;\nevents {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;\n"
        f"uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {pem}; ssl_certificate_key {pem};\n"
        "ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets on; return 200; } }\n")
    log = open(folder / "nginx.out", "ab")
    process = subprocess.Popen(["taskset", "-c", "0", need("nginx"), "-c", config, "-p", folder], stdout=log, stderr=log)

    def listens():
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            return False
    wait_for(listens, 10, "nginx")
    return process, port


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=5)
    seconds = parser.parse_args().seconds
    need("openssl")
    with tempfile.TemporaryDirectory(prefix="vwb") as name:
        folder = pathlib.Path(name)
        daemon = Daemon(folder, {"http.listen": f"127.0.0.1:0,127.0.0.1:0 tls=on,unix:{folder}/http.sock", "logging.level": "info"})
        nginx = None
        try:
            os.sched_setaffinity(daemon.process.pid, {0})
            port = int(daemon.json("/api/v1/listeners")[1]["address"].rsplit(":", 1)[1])
            nginx, other = start_nginx(folder, folder / "state/tls/server.pem")
            slowest = min(shake("virtwatchd", port, daemon.process.pid, seconds, version) for version in ("-tls1_3", "-tls1_2"))
            for version in ("-tls1_3", "-tls1_2"):
                shake("nginx", other, nginx.pid, seconds, version)
        finally:
            if nginx:
                end(nginx)
            daemon.stop()
    print(f"the bound of 500 a second is {'kept' if slowest >= 500 else 'MISSED'}")
    raise SystemExit(0 if slowest >= 500 else 1)


if __name__ == "__main__":
    main()
