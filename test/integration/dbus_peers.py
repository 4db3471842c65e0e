"""What the D-Bus tests talk to: a bus that can be stopped, a client that can misbehave, and an engine whose containers say
anything, which a real one would not let them."""

import http.server
import json
import os
import pathlib
import signal
import socket
import socketserver
import subprocess
import threading
import time

import jeepney
from jeepney.io.blocking import DBusConnection, prep_socket

from conftest import end, spawn, wait_for

NAME = "org.virtwatch1"
MANAGER = ("/org/virtwatch1", "org.virtwatch1.Manager")
LOG = ("/org/freedesktop/LogControl1", "org.freedesktop.LogControl1")
PROPERTIES = "org.freedesktop.DBus.Properties"

LAX_POLICY = """<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/><allow receive_type="signal"/>
<allow receive_type="method_return"/><allow receive_type="error"/></policy>"""


class Bus:
    """A dbus-daemon of its own, at an address that any user reaches."""

    def __init__(self, folder, policy=LAX_POLICY):
        self.folder = folder
        self.name = f"vwt-{os.getpid()}-{time.monotonic_ns()}"
        self.address = f"unix:abstract={self.name}"
        self.config = folder / "own-bus.conf"
        self.config.write_text(f"<busconfig><type>system</type><listen>{self.address}</listen><auth>EXTERNAL</auth>{policy}"
                               "</busconfig>")
        self.start()

    def start(self):
        self.log = open(self.folder / "own-bus.log", "ab")
        self.process = subprocess.Popen(["dbus-daemon", f"--config-file={self.config}", "--nofork", "--nopidfile", "--nosyslog"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_for(self.answers, 10, "the bus")

    def answers(self):
        try:
            Client(self.address).close()
            return True
        except OSError:
            return False

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def stop(self):
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.kill()


class Error(Exception):
    def __init__(self, name, text):
        super().__init__(f"{name}: {text}")
        self.name, self.text = name, text


class Client:
    """One connection. Keeps every signal that comes."""

    def __init__(self, address):
        path = address.split("=", 1)[1]
        where = b"\0" + path.encode() if address.startswith("unix:abstract=") else path
        self.connection = DBusConnection(prep_socket(where))
        self.unique_name = self.connection.unique_name
        self.signals = []

    def close(self):
        self.connection.close()

    def message(self, path, interface, member, signature=None, *body, destination=NAME):
        return jeepney.new_method_call(jeepney.DBusAddress(path, destination, interface), member, signature, body)

    def keep(self, message):
        if message.header.message_type == jeepney.MessageType.signal:
            self.signals.append(message)

    def call(self, path, interface, member, signature=None, *body, destination=NAME, seconds=20):
        serial = next(self.connection.outgoing_serial)
        self.connection.send(self.message(path, interface, member, signature, *body, destination=destination), serial)
        limit = time.monotonic() + seconds
        while True:
            message = self.connection.receive(timeout=max(0, limit - time.monotonic()))
            fields = message.header.fields
            if fields.get(jeepney.HeaderFields.reply_serial) != serial:
                self.keep(message)
            elif message.header.message_type == jeepney.MessageType.error:
                raise Error(fields[jeepney.HeaderFields.error_name], message.body[0] if message.body else "")
            else:
                return message.body

    def manager(self, member, signature=None, *body):
        return self.call(*MANAGER, member, signature, *body)

    def property(self, path, interface, name):
        return self.call(path, PROPERTIES, "Get", "ss", interface, name)[0][1]

    def properties(self, path, interface):
        return {name: value[1] for name, value in self.call(path, PROPERTIES, "GetAll", "s", interface)[0].items()}

    def bus(self, member, signature=None, *body):
        return self.call("/org/freedesktop/DBus", "org.freedesktop.DBus", member, signature, *body,
                         destination="org.freedesktop.DBus")

    def listen(self, rule="type='signal'"):
        self.bus("AddMatch", "s", rule)
        return self

    def receive(self, seconds):
        """Take in what comes for so long."""
        limit = time.monotonic() + seconds
        try:
            while True:
                self.keep(self.connection.receive(timeout=max(0, limit - time.monotonic())))
        except TimeoutError:
            return self

    def found(self, member, path=None, begin=0):
        """(path, body) of the signals of that name."""
        fields = [(one.header.fields, one.body) for one in self.signals[begin:]]
        return [(f[jeepney.HeaderFields.path], body) for f, body in fields
                if f[jeepney.HeaderFields.member] == member and path in (None, f[jeepney.HeaderFields.path])]

    def wait(self, member, test=lambda body: True, seconds=20, path=None):
        """The first signal of that name, and path, that passes."""
        limit, seen = time.monotonic() + seconds, 0
        while True:
            for _, body in self.found(member, path, seen):
                if test(body):
                    return body
            seen = len(self.signals)
            assert time.monotonic() < limit, f"no {member} among {[s.header.fields[3] for s in self.signals][-30:]}"
            try:
                self.keep(self.connection.receive(timeout=max(0, limit - time.monotonic())))
            except TimeoutError:
                pass

    def changes(self, path=None):
        """(interface, {property: value}) in order, from PropertiesChanged."""
        return [(body[0], {name: value[1] for name, value in body[1].items()})
                for _, body in self.found("PropertiesChanged", path)]


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        engine, path = self.server.engine, self.path
        engine.paths.append(path)
        if path.startswith("/_ping"):
            self.give(b"OK")
        elif path.startswith("/containers/json"):
            self.give(json.dumps([{"Id": one} for one in list(engine.containers)]).encode())
        elif path.startswith("/containers/"):
            name = path.split("/")[2]
            one = engine.containers.get(name)
            self.give(json.dumps(one).encode() if one else b"{}", engine.statuses.get(name, 200 if one else 404))
        elif "until=" in path:
            self.give(b"")
        else:
            self.stream()

    def give(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        self.server.engine.streams.append(self.connection)
        self.server.engine.ended.wait()
        self.close_connection = True

    def log_message(self, *args):
        pass


class Engine:
    """Speaks enough of docker's API; its containers are what the test says."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.containers, self.streams, self.nano = {}, [], time.time_ns()
        self.statuses, self.paths = {}, []  # what a look at a container is answered with, if not with it; all that was asked
        self.ended = None
        self.start()

    def start(self):
        self.path.unlink(missing_ok=True)
        self.streams, self.ended = [], threading.Event()
        self.server = type("Server", (socketserver.ThreadingMixIn, socketserver.UnixStreamServer), 
                           {"daemon_threads": True, "request_queue_size": 512})(
            str(self.path), Answer)
        self.server.engine = self
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.ended.set()
        for one in self.streams:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.server.shutdown()
        self.server.server_close()
        self.path.unlink(missing_ok=True)

    def add(self, name, one=None, state="running", **config):
        one = one or f"{len(self.containers) + 1:064x}"
        self.containers[one] = {
            "Id": one, "Name": "/" + name, "Created": "2026-01-01T00:00:00Z", "RestartCount": 0,
            "Config": {"Image": config.get("image", "bb:1"), "Labels": config.get("labels", {})},
            "State": {"Status": state, "StartedAt": "2026-01-01T00:00:01Z", "FinishedAt": "0001-01-01T00:00:00Z",
                      "Pid": 0, "ExitCode": 0}}
        return one

    def tell(self, one, *actions, attributes=None, **more):
        """Send events of that container to whoever listens."""
        lines = b""
        for action in actions:
            self.nano = max(self.nano + 1000, time.time_ns())
            actor = {"name": self.containers.get(one, {}).get("Name", "/gone")[1:], **(attributes or {}), **more}
            lines += json.dumps({"Type": "container", "Action": action, "timeNano": self.nano,
                                 "Actor": {"ID": one, "Attributes": actor}}).encode() + b"\n"
        for stream in self.streams:
            stream.sendall(f"{len(lines):x}\r\n".encode() + lines + b"\r\n")
