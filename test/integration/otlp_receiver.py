"""A collector that takes OTLP over HTTP as JSON and is strict about it: every request is checked against the protocol's
words (OTLP, section OTLP/HTTP and JSON Protobuf Encoding); what is wrong is kept in `faults`."""

import http.server
import json
import re
import threading
import time

HEX = re.compile(r"[0-9a-f]+\Z")
SPAN_FIELDS = {"traceId", "spanId", "parentSpanId", "traceState", "flags", "name", "kind", "startTimeUnixNano", "endTimeUnixNano",
               "attributes", "status"}


def check(condition, what):
    if not condition:
        raise ValueError(what)


def keys(value, required, optional=()):
    check(isinstance(value, dict), f"{value!r} is no object")
    check(set(required) <= set(value) <= set(required) | set(optional), f"members {sorted(value)}")


def number(value, top):
    """64-bit integers are text in decimal."""
    check(isinstance(value, str) and re.match(r"-?(0|[1-9][0-9]*)\Z", value) and abs(int(value)) <= top, f"{value!r} is no integer")
    return int(value)


def attributes(items):
    check(isinstance(items, list), "attributes")
    found = {}
    for item in items:
        keys(item, ["key", "value"])
        check(isinstance(item["key"], str) and item["key"] and item["key"] not in found, f"key {item['key']!r}")
        ((kind, value),) = item["value"].items()
        check(kind in ("stringValue", "intValue"), kind)
        if kind == "stringValue":
            check(isinstance(value, str), value)
        found[item["key"]] = value if kind == "stringValue" else number(value, 2**63)
    return found


def identifier(text, size):
    check(isinstance(text, str) and len(text) == size and HEX.match(text) and text.strip("0"), f"{text!r} is no id of {size}")


def span(item):
    keys(item, ["traceId", "spanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes"], SPAN_FIELDS)
    identifier(item["traceId"], 32)
    identifier(item["spanId"], 16)
    if "parentSpanId" in item:
        identifier(item["parentSpanId"], 16)
    check(item["kind"] in (1, 2, 3), f"kind {item['kind']!r}")
    check(item["flags"] & 1, "flags")
    check(isinstance(item["name"], str) and item["name"], "name")
    begin, end = (number(item[key], 2**64) for key in ("startTimeUnixNano", "endTimeUnixNano"))
    check(begin <= end, "it ends before it begins")
    check(abs(end / 1e9 - time.time()) < 60, "it is of another time")
    if "status" in item:
        keys(item["status"], ["code"], ["message"])
        check(item["status"]["code"] in (0, 1, 2), "status")
    return dict(item, attributes=attributes(item["attributes"]), begin=begin, end=end)


def request(body):
    """Return: [(resource, span)]"""
    keys(body, ["resourceSpans"])
    found = []
    for resource_spans in body["resourceSpans"]:
        keys(resource_spans, ["resource", "scopeSpans"], ["schemaUrl"])
        keys(resource_spans["resource"], ["attributes"])
        resource = attributes(resource_spans["resource"]["attributes"])
        check(resource.get("service.name"), "no service.name")
        for scope_spans in resource_spans["scopeSpans"]:
            keys(scope_spans, ["scope", "spans"], ["schemaUrl"])
            keys(scope_spans["scope"], ["name"], ["version"])
            check(scope_spans["spans"], "no spans")
            found += [(resource, span(item)) for item in scope_spans["spans"]]
    return found


class Collector(http.server.ThreadingHTTPServer):
    """`answers`: what the next requests get, (status, headers, body) each; then 200."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults, self.found, self.answers, self.times, self.headers = [], [], [], [], []
        self.wait = 0
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self, **wanted):
        with self.lock:
            return [one for _, one in self.found if all(one["attributes"].get(k.replace("__", ".")) == v for k, v in wanted.items())]

    def close(self):
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        collector = self.server
        text = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(collector.wait)
        with collector.lock:
            collector.times.append(time.monotonic())
            collector.headers.append(dict(self.headers.items()))
            status, headers, body = collector.answers.pop(0) if collector.answers else (200, {}, b"{}")
            try:
                check(self.path == "/v1/traces", self.path)
                check(self.headers["Content-Type"] == "application/json", self.headers["Content-Type"])
                spans = request(json.loads(text))
            except (ValueError, KeyError, TypeError) as error:
                collector.faults.append(f"{error!r}: {text[:2000]!r}")
                status, headers, body = 400, {}, b"{}"
            else:
                if status == 200:
                    collector.found += spans
        self.send_response(status)
        for name, value in dict(headers, **{"Content-Length": str(len(body)), "Content-Type": "application/json"}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass
