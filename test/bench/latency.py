#!/usr/bin/python3
"""From docker's own event to the byte on our stream: the time between `docker events` and SSE seeing the same death.

Usage: latency.py DOCKER_SOCKET VIRTWATCH_URL TOKEN [COUNT]. Prints median and p99 in milliseconds; negative: SSE was first."""
import json
import subprocess
import sys
import threading
import time
import urllib.request

docker_socket, url, token, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 30
docker = ["/usr/bin/docker", "-H", f"unix://{docker_socket}"]
theirs, ours = {}, {}


def read_docker(process):
    for line in process.stdout:
        event = json.loads(line)
        theirs[event["Actor"]["Attributes"]["name"]] = time.monotonic()


def read_sse():
    request = urllib.request.Request(url + "/api/v1/events?kind=container", headers={
        "Authorization": f"Bearer {token}", "Accept": "text/event-stream"})
    for line in urllib.request.urlopen(request):
        if line.startswith(b"data: ") and b'"died"' in line:
            ours[json.loads(line[6:])["name"]] = time.monotonic()


events = subprocess.Popen([*docker, "events", "--filter", "event=die", "--format", "{{json .}}"], stdout=subprocess.PIPE)
threading.Thread(target=read_docker, args=(events,), daemon=True).start()
threading.Thread(target=read_sse, daemon=True).start()
time.sleep(1)
for i in range(count):
    subprocess.run([*docker, "run", "--rm", "--network=none", "--name", f"latency-{i}", "bb:1", "sh", "-c", "exit 3"],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
time.sleep(1)
events.terminate()
lags = sorted((ours[n] - theirs[n]) * 1000 for n in ours if n in theirs)
print(f"{len(lags)} of {count} deaths seen by both; SSE after `docker events`: median {lags[len(lags) // 2]:.2f} ms, "
      f"p99 {lags[min(len(lags) - 1, int(len(lags) * 0.99))]:.2f} ms, max {lags[-1]:.2f} ms")
