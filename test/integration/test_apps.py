"""Apps: what is bound to a slug, and its timeline."""

import http.client
import json
import subprocess
import threading
import time

import pytest

from conftest import BUILD, TOKEN, wait_for
from dbus_peers import Engine


def send(daemon, method, path, body=None, token=TOKEN, **headers):
    client = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=20)
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
        body = body if isinstance(body, (bytes, str)) else json.dumps(body)
    client.request(method, path, body=body, headers=headers)
    answer = client.getresponse()
    text = answer.read().decode()
    client.close()
    return answer.status, json.loads(text) if text else None


APP = "/api/app-gateway/apps/shop"
EVENTS = "/api/app-gateway/events/shop"


def test_an_app_is_bound_changed_listed_and_unbound(daemon):
    one = daemon()
    assert send(one, "GET", APP)[0] == 404
    status, app = send(one, "PUT", APP, {"vm_name": "web-1", "containers": ["db"], "hosts": ["shop.example:8443"]})
    assert status == 201 and app == {"slug": "shop", "vm_names": ["web-1"], "containers": ["db"], "labels": {},
                                     "hosts": ["shop.example:8443"], "origin": "api", "workloads": []}
    assert send(one, "PUT", APP, {"vm_names": ["web-2"]})[0] == 200
    assert send(one, "GET", APP)[1]["vm_names"] == ["web-2"]
    one.kill()
    (one.folder / "http.sock").unlink(missing_ok=True)
    one.start()
    assert [app["slug"] for app in send(one, "GET", "/api/app-gateway/apps")[1]] == ["shop"]
    assert send(one, "GET", APP)[1]["vm_names"] == ["web-2"]
    assert "virtwatch_deployments_total 1\n" in one.get("/metrics")[1]
    assert send(one, "DELETE", APP) == (204, None)
    assert "virtwatch_deployments_total 0\n" in one.get("/metrics")[1]
    assert send(one, "DELETE", APP)[0] == 404
    assert send(one, "GET", "/api/app-gateway/apps")[1] == []


@pytest.mark.parametrize("slug, body, field", [
    ("-shop", {}, "slug"), ("Shop", {}, "slug"), ("x" * 64, {}, "slug"),
    ("shop", {"vm_name": 5}, "vm_name"), ("shop", {"vm_name": ""}, "vm_name"), ("shop", {"vm_names": "x"}, "vm_names"),
    ("shop", {"vm_names": ["x"] * 65}, "vm_names"), ("shop", {"vm_name": "a\u0000b"}, "vm_name"),
    ("shop", {"vm_name": "x" * 513}, "vm_name"), ("shop", {"containers": [{}]}, "containers"),
    ("shop", {"hosts": ["a b"]}, "hosts"), ("shop", {"hosts": ["a:65536"]}, "hosts"), ("shop", {"hosts": [""]}, "hosts"),
    ("shop", {"labels": []}, "labels"), ("shop", {"labels": {"": "x"}}, "labels"), ("shop", {"colour": "red"}, "colour"),
    ("shop", {"slug": "other"}, "slug"),
], ids=range(17))
def test_a_bad_binding_names_its_field_and_binds_nothing(daemon, slug, body, field):
    one = daemon()
    status, answer = send(one, "PUT", f"/api/app-gateway/apps/{slug}", body)
    assert status == 400 and answer["error"]["message"].startswith(field + ":"), answer
    assert send(one, "GET", "/api/app-gateway/apps")[1] == []


def test_a_target_with_a_nul_is_refused(daemon):
    """What stands behind it would not be seen: it would be another app."""
    one = daemon()
    assert send(one, "PUT", APP, {"vm_name": "web-1"})[0] == 201
    for method, path, body in (("PUT", APP + "%00x", {}), ("DELETE", APP + "%00", None), ("GET", EVENTS + "?severity=info%00x", None),
                               ("GET", APP + "?a%00=b", None)):
        status, answer = send(one, method, path, body)
        assert status == 400 and "NUL" in answer["error"]["message"], (method, path, answer)
    assert send(one, "GET", APP)[1]["vm_names"] == ["web-1"]


@pytest.mark.parametrize("body, status", [
    (b"", 400), (b"{", 400), (b"[]", 400), (b'{"a":1,"a":2}', 400), (b'{"kind":NaN}', 400), (b'{"kind":"\xff"}', 400),
    (b'{"x":' + b"[" * 1000 + b"]" * 1000 + b"}", 400), (b"{}{}", 400), (b'{"kind":"x"} x', 400),
    (b'{"message":"' + b"x" * (1 << 20) + b'"}', 413),
], ids=["empty", "cut", "array", "twice", "nan", "not-utf8", "deep", "two", "rest", "large"])
def test_a_body_that_is_no_json_object_stores_nothing(daemon, body, status):
    one = daemon()
    assert send(one, "POST", EVENTS, body)[0] == status
    assert send(one, "GET", EVENTS)[1] == {"slug": "shop", "events": []}


def test_only_json_is_taken_and_only_from_who_may(daemon):
    one = daemon()
    assert send(one, "POST", EVENTS, b'{"kind":"x"}', Content_Type="text/plain")[0] == 415
    assert send(one, "POST", EVENTS, {"kind": "x"}, token=None)[0] == 401
    assert send(one, "PUT", EVENTS, {"kind": "x"})[0] == 405
    for method in ("PATCH", "DELETE"):
        assert send(one, method, EVENTS)[0] == 405
    assert send(one, "GET", EVENTS)[1]["events"] == []


@pytest.mark.parametrize("body, field", [
    ({}, "kind"), ({"kind": ""}, "kind"), ({"kind": "Upper"}, "kind"), ({"kind": "1st"}, "kind"), ({"kind": "x" * 65}, "kind"),
    ({"kind": "x", "severity": "warn"}, "severity"), ({"kind": "x", "severity": 1}, "severity"),
    ({"kind": "x", "message": "x" * 1001}, "message"), ({"kind": "x", "message": None}, "message"),
    ({"kind": "x", "metadata": []}, "metadata"), ({"kind": "x", "metadata": {"a": "x" * 8192}}, "metadata"),
    ({"kind": "x", "colour": "red"}, "colour"), ({"kind": "x", "metadata": {"a": [1, {"b": 1 << 64}]}}, "metadata"),
    ({"kind": "x", "metadata": {"a": -(1 << 63) - 1}}, "metadata"), ({"kind": "x", "metadata": {"a": 10 ** 400}}, "metadata"),
], ids=range(15))
def test_a_bad_event_names_its_field(daemon, body, field):
    one = daemon()
    status, answer = send(one, "POST", EVENTS, body)
    assert status == 400 and answer["error"]["message"].startswith(field + ":"), answer
    assert send(one, "GET", EVENTS)[1]["events"] == []


def test_posted_events_are_on_every_face_and_newest_first(daemon, stream):
    one = daemon()
    reader = stream(one)
    posted = []
    for kind, severity in (("deploy_started", "info"), ("deploy_failed", "error"), ("x" * 64, "warning")):
        status, event = send(one, "POST", EVENTS, {"kind": kind, "severity": severity, "message": "m" * 1000,
                                                   "metadata": {"commit": "a58e5a0", "deep": {"a": [1]}}})
        assert status == 201
        posted.append(event)
    assert [e["kind"] for e in send(one, "GET", EVENTS)[1]["events"]] == ["x" * 64, "deploy_failed", "deploy_started"]
    assert send(one, "GET", EVENTS)[1]["events"] == posted[::-1]
    assert 'virtwatch_deployment_ops_total{op="deploy"} 1\n' in one.get("/metrics")[1]
    event = posted[0]
    assert event["event_id"].startswith("evt-") and len(event["event_id"]) == 16
    assert event["slug"] == "shop" and event["severity"] == "info" and event["metadata"]["commit"] == "a58e5a0"
    told = next(event for event in iter(reader.next, None) if event["kind"] != "source")  # one may come up late
    assert (told["seq"], told["kind"], told["action"], told["slug"]) == (event["seq"], "app", "deploy_started", "shop")
    assert [e["kind"] for e in send(one, "GET", EVENTS + "?limit=1")[1]["events"]] == ["x" * 64]
    assert [e["kind"] for e in send(one, "GET", EVENTS + "?severity=error")[1]["events"]] == ["deploy_failed"]
    assert [e["kind"] for e in send(one, "GET", EVENTS + "?kind=deploy_started")[1]["events"]] == ["deploy_started"]
    assert [e["kind"] for e in send(one, "GET", EVENTS + f"?before={posted[1]['event_id']}")[1]["events"]] == ["deploy_started"]
    for query in ("limit=0", "limit=1001", "limit=x", "severity=warn", "before=0", "before=evt-xyz",
                  "before=evt--00000000001", "before=evt-%2000000000001", "before=evt-0x0000000001", "before=evt-00000000000000001", "before=9223372036854775808",
                  "before=evt-8000000000000000"):
        assert send(one, "GET", f"{EVENTS}?{query}")[0] == 400, query
    for query in ("limit=1000", "before=9223372036854775807", "before=evt-7fffffffffffffff"):
        assert len(send(one, "GET", f"{EVENTS}?{query}")[1]["events"]) == 3, query
    assert send(one, "GET", "/api/app-gateway/events/other")[1]["events"] == []


def test_metadata_comes_back_as_it_was_posted(daemon):
    one = daemon()
    metadata = {"most": (1 << 64) - 1, "least": -(1 << 63), "0": 0, "minus": -1, "real": 1e308, "text": "\u00e4\n\u2028", "deep": [[[{"": None}]]]}
    row = send(one, "POST", EVENTS, {"kind": "x", "metadata": metadata})[1]
    assert row["metadata"] == metadata
    assert send(one, "GET", EVENTS)[1]["events"] == [row]


def test_a_page_of_one_kind_is_as_long_as_was_asked_for(daemon):
    """Rows of other kinds take no place in it."""
    one = daemon()
    for i in range(3):
        assert send(one, "POST", EVENTS, {"kind": "deploy_failed", "message": str(i)})[0] == 201
        for _ in range(4):
            assert send(one, "POST", EVENTS, {"kind": "deploy_started"})[0] == 201
    page = send(one, "GET", EVENTS + "?kind=deploy_failed&limit=2")[1]
    assert [e["message"] for e in page["events"]] == ["2", "1"] and page["next_before"] == page["events"][1]["seq"]
    page = send(one, "GET", EVENTS + f"?kind=deploy_failed&limit=2&before={page['next_before']}")[1]
    assert [e["message"] for e in page["events"]] == ["0"] and "next_before" not in page
    assert send(one, "GET", EVENTS + "?kind=probe_up") == (200, {"slug": "shop", "events": []})


def test_the_same_key_posts_once_also_across_a_kill(daemon):
    one = daemon()
    body = {"kind": "deploy_started"}
    status, first = send(one, "POST", EVENTS, body, Idempotency_Key="k-1")
    assert status == 201
    assert send(one, "POST", EVENTS, body, Idempotency_Key="k-1") == (200, first)
    assert send(one, "POST", EVENTS, body, Idempotency_Key="k-2")[0] == 201
    assert send(one, "POST", "/api/app-gateway/events/other", body, Idempotency_Key="k-1")[0] == 201
    for key in ("k" * 129, "", "k\xff", "k\t1"):
        status, answer = send(one, "POST", EVENTS, body, Idempotency_Key=key)
        assert status == 400 and answer["error"]["message"].startswith("Idempotency-Key: "), key
    for other in ({"kind": "deploy_failed"}, dict(body, severity="error"), dict(body, message="x"), dict(body, metadata={"a": 1})):
        status, answer = send(one, "POST", EVENTS, other, Idempotency_Key="k-1")
        assert status == 422 and answer["error"]["code"] == "key_reused", other
    one.kill()
    (one.folder / "http.sock").unlink(missing_ok=True)
    one.start()
    assert send(one, "POST", EVENTS, body, Idempotency_Key="k-1") == (200, first)
    assert len(send(one, "GET", EVENTS)[1]["events"]) == 2
    longest = "\u00e4".encode().decode("latin-1") * 64
    assert send(one, "POST", EVENTS, body, Idempotency_Key=longest)[0] == 201
    assert send(one, "POST", EVENTS, body, Idempotency_Key=longest)[0] == 200


def test_a_key_whose_event_is_no_longer_stored_may_come_again(daemon):
    one = daemon({"events.retention_age": "1s"})
    status, first = send(one, "POST", EVENTS, {"kind": "deploy_started"}, Idempotency_Key="k-1")
    assert status == 201
    wait_for(lambda: not send(one, "GET", EVENTS)[1]["events"], 30, "it has gone")
    assert send(one, "POST", EVENTS, {"kind": "deploy_started"}, Idempotency_Key="k-1")[0] == 201


def test_what_was_acknowledged_survives_kills(daemon):
    """Writers post until the daemon is gone; whatever was answered 201 is there afterwards, once."""
    one = daemon()
    acknowledged = []
    for round_ in range(5):
        stop = threading.Event()

        def post(worker):
            n = 0
            while not stop.is_set():
                key = f"{round_}-{worker}-{n}"
                try:
                    if send(one, "POST", EVENTS, {"kind": "deploy_started", "message": key}, Idempotency_Key=key)[0] == 201:
                        acknowledged.append(key)
                except (OSError, http.client.HTTPException, TypeError):
                    return
                n += 1

        before = len(acknowledged)
        workers = [threading.Thread(target=post, args=(i,)) for i in range(8)]
        for worker in workers:
            worker.start()
        wait_for(lambda: len(acknowledged) > before + 20, 20, "some answers")
        one.process.kill()
        one.process.wait()
        stop.set()
        for worker in workers:
            worker.join()
        one.log.close()
        (one.folder / "http.sock").unlink(missing_ok=True)
        one.start()
    stored = [event["message"] for event in one.events(slug="shop")]
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)
    assert len(stored) - len(acknowledged) <= 5 * 8  # in flight at a kill


def test_exits_of_an_apps_workloads_are_on_its_timeline(daemon, docker):
    one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": docker.socket})
    one.up("docker")
    send(one, "PUT", APP, {"containers": ["bound"]})
    docker.run("bound", "sh", "-c", "exit 3")
    docker.run("tagged", "sh", "-c", "exit 4", options=("--label", "virtwatch.slug=blog"))
    docker.run("composed", "true", options=("--label", "com.docker.compose.project=stack"))
    docker.run("hostile", "true", options=("--label", "virtwatch.slug=../x"))
    try:
        rows = wait_for(lambda: [e for e in send(one, "GET", EVENTS)[1]["events"] if e["kind"] == "died"], 20, "its exit")
        assert rows[0]["metadata"]["exit_code"] == 3 and rows[0]["metadata"]["name"] == "bound"
        wait_for(lambda: [e for e in send(one, "GET", "/api/app-gateway/events/blog")[1]["events"] if e["kind"] == "died"], 20, "by label")
        wait_for(lambda: send(one, "GET", "/api/app-gateway/events/stack")[1]["events"], 20, "by project")
        one.wait_event(name="hostile", action="stopped")
        apps = {app["slug"]: app for app in send(one, "GET", "/api/app-gateway/apps")[1]}
        assert set(apps) >= {"shop", "blog", "stack"} and apps["blog"]["origin"] == "label"
        assert set(apps["blog"]) == set(apps["shop"])  # the same members, whoever bound it
        assert not any("x" == slug or "." in slug for slug in apps)
        assert send(one, "GET", "/api/v1/workloads/bound")[1]["slug"] == "shop"
    finally:
        docker("rm", "-f", "bound", "tagged", "composed", "hostile")


def test_a_thousand_apps_are_listed_in_one_walk(daemon, tmp_path):
    engine = Engine(tmp_path / "engine.sock")
    for i in range(1000):
        engine.add(f"c{i}", labels={"virtwatch.slug": f"a-{i % 999}", **{f"label.{k}": f"value {k}" for k in range(20)}})
    try:
        one = daemon({"sources.docker.enabled": "true", "sources.docker.socket": engine.path})
        one.up("docker")
        wait_for(lambda: sum(w["state"] == "running" for w in one.json("/api/v1/workloads")) == 1000, 60, "they are known")
        send(one, "PUT", "/api/app-gateway/apps/zoo", {"labels": {"label.1": "another"}})
        send(one, "PUT", "/api/app-gateway/apps/a-5", {"containers": ["c7"]})
        begin = time.monotonic()
        apps = send(one, "GET", "/api/app-gateway/apps")[1]
        assert time.monotonic() - begin < 3  # asking each of each took 6 to 13 s, and nobody else was answered meanwhile
        assert [app["slug"] for app in apps[:2]] == ["a-5", "zoo"] and len({app["slug"] for app in apps}) == len(apps) == 999
        by_slug = {app["slug"]: app for app in apps}
        assert "a-7" not in by_slug and len(by_slug["a-0"]["workloads"]) == 2 == len(by_slug["a-5"]["workloads"]) and by_slug["zoo"]["workloads"] == []
        for slug in ("a-0", "a-5", "a-998", "zoo"):
            assert send(one, "GET", f"/api/app-gateway/apps/{slug}")[1] == by_slug[slug]
    finally:
        engine.stop()


def test_the_client_shows_apps_and_their_timelines(daemon):
    one = daemon()
    send(one, "PUT", APP, {"vm_name": "web-1", "hosts": ["shop.example"]})
    send(one, "POST", EVENTS, {"kind": "deploy_started", "message": "commit a58e5a0 \x1b[31m"})
    send(one, "POST", "/api/app-gateway/events/other", {"kind": "deploy_failed"})

    def virtwatch(*args):
        return subprocess.run([BUILD / "src/virtwatch", *args, "--host", f"unix:{one.folder}/http.sock"], capture_output=True, text=True)

    apps = virtwatch("apps").stdout
    assert "shop" in apps and "web-1, shop.example" in apps
    assert json.loads(virtwatch("apps", "-o", "json").stdout)[0]["slug"] == "shop"
    send(one, "PUT", "/api/app-gateway/apps/blog", {"labels": {"tier": "web\x1b", "n": ""}})
    assert "tier=web\\x1b, n=" in virtwatch("apps").stdout
    timeline = virtwatch("timeline", "shop").stdout
    assert "deploy_started" in timeline and "deploy_failed" not in timeline and "\x1b" not in timeline
    missing = virtwatch("timeline")
    assert missing.returncode == 2 and "slug" in missing.stderr


def test_only_pages_of_configured_origins_are_let_in(daemon):
    one = daemon({"http.cors_origins": "https://panel.example,http://localhost:5173"})

    def ask(method, path, **headers):
        client = http.client.HTTPConnection("127.0.0.1", one.port(), timeout=20)
        client.request(method, path, headers={"Authorization": f"Bearer {TOKEN}", **{k.replace("_", "-"): v for k, v in headers.items()}})
        answer = client.getresponse()
        answer.read()
        client.close()
        return answer

    allowed = ask("GET", APP, Origin="https://panel.example")
    assert allowed.status == 404 and allowed.headers["Access-Control-Allow-Origin"] == "https://panel.example"
    for origin in ("https://evil.example", "https://panel.example.evil", "null", "http://panel.example", ""):
        answer = ask("GET", APP, Origin=origin)
        assert answer.headers["Access-Control-Allow-Origin"] is None and "Origin" in answer.headers["Vary"] + str(answer.headers.get_all("Vary"))
    before = ask("OPTIONS", APP, Origin="http://localhost:5173", Access_Control_Request_Method="PUT")
    assert before.status == 204 and "PUT" in before.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in before.headers["Access-Control-Allow-Headers"]
    assert ask("OPTIONS", APP, Origin="https://evil.example", Access_Control_Request_Method="PUT").status == 405


def test_what_the_client_has_already_is_not_sent_again(daemon):
    one = daemon()
    send(one, "PUT", APP, {"vm_name": "web-1"})
    client = http.client.HTTPConnection("127.0.0.1", one.port(), timeout=20)

    def ask(etag=None, method="GET"):
        client.request(method, APP, headers={"Authorization": f"Bearer {TOKEN}", **({"If-None-Match": etag} if etag else {})})
        answer = client.getresponse()
        return answer.status, answer.read(), answer.headers["ETag"]

    status, body, etag = ask()
    assert status == 200 and etag.startswith('W/"')
    assert ask(etag) == (304, b"", etag)
    assert ask(method="HEAD") == (200, b"", etag) and ask(etag, "HEAD") == (304, b"", etag)
    assert ask(f'"x", {etag[2:]}')[0] == 304
    assert ask('W/"0000000000000000"')[:2] == (200, body)
    send(one, "PUT", APP, {"vm_name": "web-2"})
    assert ask(etag)[0] == 200
    client.close()


def test_requests_of_an_apps_hosts_are_its_analytics(daemon, tmp_path):
    now = int(time.time())

    def line(host, at, status=200, seconds=0.010, size=100):
        return json.dumps({"level": "info", "ts": at + 0.5, "logger": "http.log.access", "msg": "handled request",
                           "request": {"remote_ip": "127.0.0.1", "proto": "HTTP/1.1", "method": "GET", "host": host, "uri": "/"},
                           "duration": seconds, "size": size, "status": status}) + "\n"

    log = tmp_path / "access.log"
    log.write_text("".join(line("shop.example", now - 1, seconds=0.001 * n) for n in range(1, 101))
                   + line("SHOP.example:8443", now - 1, 404) + line("shop.example", now - 1, 503) + line("www.shop.example", now - 1, 301)
                   + line("other.example", now - 1) + line("shop.example", now - 86400, 200, size=7))
    one = daemon({"analytics.files": log})
    path = "/api/app-gateway/analytics/shop"
    assert send(one, "GET", path)[1] == {"slug": "shop", "days": 7, "rollups": []}
    send(one, "PUT", APP, {"hosts": ["shop.example", "www.shop.example"]})
    rows = wait_for(lambda: (lambda r: r if len(r) == 2 and r[1]["requests"] == 103 else None)(send(one, "GET", path)[1]["rollups"]), 20, "its rows")
    yesterday, today = rows
    assert (yesterday["requests"], yesterday["bytes_out"]) == (1, 7)
    assert today["date"] == time.strftime("%Y-%m-%d", time.gmtime(now - 1))
    assert [today[f"status_{c}xx"] for c in (2, 3, 4, 5)] == [100, 1, 1, 1] and today["bytes_out"] == 10300
    assert abs(today["p50_ms"] - 50) < 3 and abs(today["p95_ms"] - 95) < 3
    assert [row["date"] for row in send(one, "GET", path + "?days=1")[1]["rollups"]] == [today["date"]]
    for days in ("0", "367", "x", "-1"):
        assert send(one, "GET", f"{path}?days={days}")[0] == 400
    table = subprocess.run([BUILD / "src/virtwatch", "analytics", "shop", "--days", "2", "--host", f"unix:{one.folder}/http.sock"],
                           capture_output=True, text=True).stdout
    assert today["date"] in table and "103" in table and "10300" in table


def test_a_timeline_is_rows_below_their_day_and_can_be_followed(daemon, tmp_path):
    one = daemon()
    client = [BUILD / "src/virtwatch", "timeline", "shop", "--host", f"unix:{one.folder}/http.sock"]
    empty = subprocess.run(client, capture_output=True, text=True, env={"TZ": "UTC"})
    assert (empty.returncode, empty.stdout) == (0, "") and "nothing has happened to shop yet" in empty.stderr
    for n in range(3):
        send(one, "POST", EVENTS, {"kind": "deploy_started", "message": f"commit {n}"})
    send(one, "POST", EVENTS, {"kind": "deploy_failed", "severity": "error", "message": "it did not start"})
    lines = subprocess.run(client, capture_output=True, text=True, env={"TZ": "UTC"}).stdout.splitlines()
    days = [line for line in lines if line[:1].isalpha()]
    assert lines[0] == days[0] and "(today)" in days[0]
    rows = [line for line in lines if line.startswith("  ")]
    assert [row.split("  ")[-1].strip() for row in rows] == ["it did not start", "commit 2", "commit 1", "commit 0"]
    assert len({row.index(word) for row, word in zip(rows, ["it did", "commit", "commit", "commit"])}) == 1  # aligned
    assert len(subprocess.run([*client, "-n", "2"], capture_output=True, text=True).stdout.splitlines()) == 3

    with open(tmp_path / "followed", "w+") as out:
        follower = subprocess.Popen([*client, "-f"], stdout=out, stderr=subprocess.DEVNULL, env={"TZ": "UTC"})
        try:
            wait_for(lambda: "it did not start" in (tmp_path / "followed").read_text(), 10, "the past")
            send(one, "POST", EVENTS, {"kind": "deploy_succeeded", "message": "at last"})
            send(one, "POST", "/api/app-gateway/events/other", {"kind": "deploy_succeeded", "message": "of another"})
            send(one, "POST", EVENTS, {"kind": "probe_up"})
            text = wait_for(lambda: (lambda t: t if "probe_up" in t else None)((tmp_path / "followed").read_text()), 10, "news")
            told = [line.split()[2] for line in text.splitlines() if line.startswith("  ")]
            assert told == ["deploy_started"] * 3 + ["deploy_failed", "deploy_succeeded", "probe_up"]  # newest last
            assert "of another" not in text
        finally:
            follower.terminate()
            follower.wait()
