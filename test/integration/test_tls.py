"""TLS and listeners: certificates of our own making and of others, who is let in, and what bad or slow clients cost."""

import base64
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from conftest import BUILD, TOKEN, end, spawn, wait_for

# AddressSanitizer keeps freed memory for a while.
MIB = (1 << 20) * (160 if b"__asan_init" in (BUILD / "src/virtwatchd").read_bytes() else 1)
GET = "GET {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + TOKEN + "\r\n\r\n"


def settings(folder, *listeners, **more):
    names = {key.replace("__", "."): value for key, value in more.items()}
    return {"http.listen": ",".join(["127.0.0.1:0", *listeners, f"unix:{folder}/http.sock"]), **names}


def ports(one):
    """Of the TCP listeners, in the configuration's order."""
    return [int(item["address"].rsplit(":", 1)[1]) for item in one.json("/api/v1/listeners")
            if not item["address"].startswith("unix:")]


def trusted(one):
    pem = json.loads(one.get("/api/v1/ca", token=None)[1])["pem"]
    return ssl.create_default_context(cadata=pem)


def ask(port, path, context, headers=None, host="127.0.0.1"):
    """(status, text)"""
    request = urllib.request.Request(f"https://{host}:{port}{path}", headers=headers or {"Authorization": f"Bearer {TOKEN}"})
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def connect(port, context, host="127.0.0.1"):
    return context.wrap_socket(socket.create_connection((host, port), timeout=20), server_hostname=host)


def serial(port, context):
    with connect(port, context) as client:
        return client.getpeercert()["serialNumber"]


def read_until(client, wanted, seconds=20):
    end_at, got = time.monotonic() + seconds, b""
    while wanted not in got and time.monotonic() < end_at:
        piece = client.recv(65536)
        if not piece:
            break
        got += piece
    assert wanted in got, got[-500:]
    return got


def rss(one):
    text = pathlib.Path(f"/proc/{one.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) * 1024


def openssl(*args, stdin=b"", check=True):
    return subprocess.run(["openssl", *map(str, args)], input=stdin, capture_output=True, timeout=30, check=check)


def make_authority(folder, name):
    key, pem = folder / f"{name}.key", folder / f"{name}.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", pem,
            "-days", "5", "-subj", f"/CN={name}")
    return key, pem


def make_certificate(folder, authority, name, usage="serverAuth", san="IP:127.0.0.1", days=5):
    key, pem, request, extra = (folder / f"{name}.{end_}" for end_ in ("key", "pem", "csr", "ext"))
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request,
            "-subj", f"/CN={name}")
    extra.write_text(f"extendedKeyUsage={usage}\nsubjectAltName={san}\nbasicConstraints=CA:FALSE\n")
    openssl("x509", "-req", "-in", request, "-CA", authority[1], "-CAkey", authority[0], "-CAcreateserial", "-out", pem,
            "-days", days, "-extfile", extra)
    key.chmod(0o600)
    return key, pem


def crypt(password, cost=5):
    """bcrypt, by the library that Apache's and everybody's tools have it from."""
    import ctypes
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return library.crypt(password.encode(), f"$2y${cost:02}$abcdefghijklmnopqrstuu".encode()).decode()


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


# ---- certificates of our own ----

def test_the_authority_is_made_once_and_vouches_for_this_host(daemon, tmp_path):
    one = daemon(settings(tmp_path, "127.0.0.1:0 tls=on"))
    folder = tmp_path / "state/tls"
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "ca.key": 0o600, "ca.pem": 0o644, "server.pem": 0o600}
    port, context = ports(one)[1], trusted(one)
    for host in ("127.0.0.1", "localhost"):
        assert ask(port, "/health", context, host=host)[0] == 200
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(port, "/health", ssl.create_default_context())
    with connect(port, context) as client:
        names = dict(client.getpeercert())["subjectAltName"]
        assert {("DNS", "testnode"), ("DNS", socket.gethostname()), ("IP Address", "127.0.0.1")} <= set(names)
    before = (folder / "ca.pem").read_bytes(), serial(port, context)
    text = openssl("x509", "-in", folder / "ca.pem", "-noout", "-text").stdout
    assert b"prime256v1" in text and b"CA:TRUE, pathlen:0" in text
    one.stop()
    one.start()
    assert ((folder / "ca.pem").read_bytes(), serial(ports(one)[1], context)) == before
    assert openssl("verify", "-x509_strict", "-CAfile", folder / "ca.pem", folder / "server.pem").returncode == 0


def test_a_key_that_does_not_fit_is_told_and_nothing_overwritten(daemon, tmp_path):
    one = daemon(settings(tmp_path, "127.0.0.1:0 tls=on"))
    one.stop()
    folder = tmp_path / "state/tls"
    key, _ = make_authority(tmp_path, "other")
    (folder / "ca.key").write_bytes(key.read_bytes())
    pem = (folder / "ca.pem").read_bytes()
    log = tmp_path / "virtwatchd.log"
    with pytest.raises(AssertionError):
        one.start()
    assert "do not belong together" in log.read_text()
    assert (folder / "ca.pem").read_bytes() == pem
    one.log.close()


def test_other_addresses_have_tls_by_default_and_loopback_has_not(daemon, tmp_path):
    one = daemon(settings(tmp_path, "0.0.0.0:0", "0.0.0.0:0 tls=off", "[::1]:0"))
    assert [item["tls"] for item in one.json("/api/v1/listeners")] == [False, True, False, False, False]
    assert ask(ports(one)[1], "/health", trusted(one))[0] == 200


def test_a_certificate_is_renewed_without_ending_streams(daemon, tmp_path):
    one = daemon(settings(tmp_path, "127.0.0.1:0 tls=on", http__tls__lifetime="10s"))
    port, context = ports(one)[1], trusted(one)
    first = serial(port, context)
    stream = connect(port, context)
    stream.sendall(GET.format("/api/v1/events").replace("\r\n\r\n", "\r\nAccept: text/event-stream\r\n\r\n").encode())
    read_until(stream, b"text/event-stream")
    wait_for(lambda: serial(port, context) != first, 20, "another certificate")
    pem = (tmp_path / "state/tls/ca.pem").read_text()
    assert json.loads(one.get("/api/v1/ca")[1])["pem"] == pem
    read_until(stream, b"\n:")  # a heartbeat, which comes every 15 s
    stream.close()
    assert one.process.poll() is None


# ---- certificates of others ----

def test_own_certificates_are_read_anew_when_they_change(daemon, tmp_path):
    authority = make_authority(tmp_path, "corp")
    key, pem = make_certificate(tmp_path, authority, "server")
    one = daemon(settings(tmp_path, "127.0.0.1:0 tls=on", http__tls__certificate=pem, http__tls__key=key))
    port, context = ports(one)[1], ssl.create_default_context(cafile=authority[1])
    assert one.get("/api/v1/ca")[0] == 404
    first = serial(port, context)
    stream = connect(port, context)
    stream.sendall(GET.format("/api/v1/events").replace("\r\n\r\n", "\r\nAccept: text/event-stream\r\n\r\n").encode())
    read_until(stream, b"text/event-stream")

    # a half of it: the old one stays, until the other half is there
    (tmp_path / "next").mkdir()
    new_key, new_pem = make_certificate(tmp_path / "next", authority, "server")
    os.replace(new_pem, pem)
    log = tmp_path / "virtwatchd.log"
    wait_for(lambda: "the old ones stay" in log.read_text(), 10, "complaint")
    assert serial(port, context) == first
    os.replace(new_key, key)
    wait_for(lambda: serial(port, context) != first, 10, "another certificate")
    read_until(stream, b"\n:")
    stream.close()

    # a reload with a file that is none keeps it too
    second = serial(port, context)
    pem.write_text("nothing")
    one.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "Configuration not reloaded" in log.read_text(), 10, "refusal")
    assert serial(port, context) == second


@pytest.mark.parametrize("mode, said", [(0o644, "others may read it"), (0o602, "others may write it")])
def test_a_key_that_all_may_read_or_write_is_refused(daemon, tmp_path, mode, said):
    key, pem = make_certificate(tmp_path, make_authority(tmp_path, "corp"), "server")
    key.chmod(mode)
    with pytest.raises(AssertionError, match=said):
        daemon(settings(tmp_path, "127.0.0.1:0 tls=on", http__tls__certificate=pem, http__tls__key=key))


@pytest.mark.parametrize("mode", ["require", "if-given"])
def test_client_certificates(daemon, tmp_path, mode):
    authority, stranger = make_authority(tmp_path, "clients"), make_authority(tmp_path, "strangers")
    good = make_certificate(tmp_path, authority, "good", "clientAuth")
    wrong_use = make_certificate(tmp_path, authority, "server", "serverAuth")
    wrong = make_certificate(tmp_path, stranger, "wrong", "clientAuth")
    one = daemon(settings(tmp_path, "127.0.0.1:0 tls=on", http__tls__client_ca=authority[1], http__tls__client_auth=mode))
    port = ports(one)[1]

    def status(pair, version):
        context = trusted(one)
        context.maximum_version = version
        if pair:
            context.load_cert_chain(pair[1], pair[0])
        try:
            return ask(port, "/api/v1/version", context)[0]
        except OSError:
            return None

    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert status(good, version) == 200
        assert status(wrong, version) is None
        assert status(wrong_use, version) is None
        assert status(None, version) == (None if mode == "require" else 200)


# ---- the protocol ----

@pytest.fixture
def server(daemon, tmp_path):
    one = daemon(settings(tmp_path, "127.0.0.1:0 tls=on", http__connections_per_address="40"))
    one.tls = ports(one)[1]
    one.context = trusted(one)
    return one


def test_versions_before_1_2_are_refused(server):
    def shake(*options):
        return openssl("s_client", "-connect", f"127.0.0.1:{server.tls}", *options, check=False).returncode == 0

    for old in ("-tls1", "-tls1_1"):
        assert not shake(old, "-cipher", "ALL:@SECLEVEL=0")
    for new in ("-tls1_2", "-tls1_3"):
        assert shake(new)
    for cipher in ("AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES256-GCM-SHA384"):
        assert not shake("-tls1_2", "-cipher", cipher + ":@SECLEVEL=0")


def test_scanners_find_nothing(server):
    text = subprocess.run(["sslscan", "--no-colour", f"127.0.0.1:{server.tls}"], capture_output=True, text=True, timeout=120).stdout
    assert re.search(r"TLSv1.3\s+enabled", text) and re.search(r"TLSv1.2\s+enabled", text)
    for old in ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"):
        assert re.search(rf"{re.escape(old)}\s+disabled", text), text
    assert "Session renegotiation not supported" in text
    assert not re.search(r"(?:Preferred|Accepted)\s+TLSv1\.2.*(?:CBC|RC4|DES|NULL)", text)
    assert "not vulnerable to heartbleed" in text and "vulnerable" not in text.replace("not vulnerable", "")


# What the second scanner may find: why.
ALLOWED = {
    "cert_revocation": "an authority of the host's own publishes no revocations; a certificate lives three months, and another replaces it at once",
    "HSTS": "a browser would apply it to all ports of the host, and those belong to others, too",
    "BREACH": "/metrics is compressed, but has neither a secret nor anything of the request in it",
}


def test_a_second_scanner_finds_only_what_is_meant(server, tmp_path):
    """Of severity LOW or worse; what it could not find out counts as found."""
    subprocess.run(["testssl", "--quiet", "--color=0", "--warnings=off", "--nodns=none", "--openssl-timeout=60", "--connect-timeout=60",
                    "--protocols", "--std", "--pfs", "--server-preference", "--server-defaults", "--headers", "--vulnerable",
                    f"--add-ca={tmp_path}/state/tls/ca.pem", f"--jsonfile={tmp_path}/found.json",
                    f"https://127.0.0.1:{server.tls}/metrics"], capture_output=True, timeout=900, cwd=tmp_path)
    findings = {item["id"]: item for item in json.loads((tmp_path / "found.json").read_text())}
    bad = {name: item for name, item in findings.items() if item["severity"] not in ("OK", "INFO")}
    assert bad.keys() <= ALLOWED.keys(), bad
    assert "BREACH" in bad  # it did look at /metrics
    for name in ("SSLv2", "SSLv3", "TLS1_2", "TLS1_3", "cipherlist_NULL", "cipherlist_EXPORT", "cipherlist_STRONG", "PFS",
                 "cipher_order", "cert_trust", "cert_chain_of_trust", "heartbleed", "CCS", "ticketbleed", "ROBOT", "secure_renego",
                 "secure_client_renego", "CRIME_TLS", "POODLE_SSL", "SWEET32", "FREAK", "DROWN", "LOGJAM", "BEAST", "LUCKY13"):
        assert findings[name]["severity"] == "OK", findings.get(name)


def test_what_speaks_plainly_is_told_so(server):
    with socket.create_connection(("127.0.0.1", server.tls), timeout=10) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_until(client, b"speaks HTTPS").startswith(b"HTTP/1.1 400 ")


def test_checks_hold_behind_tls_too(server, tmp_path):
    """The gate's, and the address that tries are counted for."""
    with connect(server.tls, server.context) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    with connect(server.tls, server.context) as client:
        client.sendall(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n")
        assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 414 ")
    codes = [ask(server.tls, "/api/v1/nodes", server.context, {"Authorization": "Bearer wrong"})[0] for _ in range(25)]
    assert codes[0] == 401 and codes[-1] == 429
    told = subprocess.run([BUILD / "src/virtwatch", "--host", f"unix:{tmp_path}/http.sock", "--json", "--filter=kind=source", "events"],
                          capture_output=True, text=True, timeout=20).stdout
    assert any("access_refused" in line and "127.0.0.1" in line for line in told.splitlines()), told


def test_bodies_and_answers_come_through_whole(server):
    head = (f"PUT /api/app-gateway/apps/big HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n")
    body = json.dumps({"hosts": ["big.example"], "note": "x" * 900_000}).encode()
    with connect(server.tls, server.context) as client:
        client.sendall(head.format(len(body)).encode())
        for i in range(0, len(body), 7777):
            client.sendall(body[i:i + 7777])
        assert read_until(client, b"note:").startswith(b"HTTP/1.1 400 ")
    plain = server.get("/metrics")[1]
    status, text = ask(server.tls, "/metrics", server.context)
    assert status == 200 and abs(len(text) - len(plain)) < 4000 and text.splitlines()[0] == plain.splitlines()[0]


@pytest.mark.parametrize("says_so", [True, False])
def test_a_client_may_end_its_half(server, says_so):
    """With a close_notify the other half goes on; cut off it is an attack, or a crash."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = server.context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.create_connection(("127.0.0.1", server.tls), timeout=10) as client:
        def until(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    if outgoing.pending:
                        client.sendall(outgoing.read())
                    piece = client.recv(65536)
                    if not piece:
                        return b""
                    incoming.write(piece)

        until(session.do_handshake)
        session.write(b"GET /health HTTP/1.1\r\nHost: x\r\n")
        client.sendall(outgoing.read())
        if says_so:
            session.write(b"\r\n")
            with pytest.raises(ssl.SSLWantReadError):
                session.unwrap()
            client.sendall(outgoing.read())
        client.shutdown(socket.SHUT_WR)
        got = until(lambda: session.read(65536))
        assert got.startswith(b"HTTP/1.1 200 ") if says_so else got == b""


def test_sessions_are_resumed(server):
    server.context.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(server.tls, server.context) as first:
        session = first.session
    with server.context.wrap_socket(socket.create_connection(("127.0.0.1", server.tls)), server_hostname="127.0.0.1",
                                    session=session) as second:
        assert second.session_reused
        second.sendall(GET.format("/health").encode())
        read_until(second, b'"status":"ok"')


def test_a_renegotiation_ends_the_connection(server):
    process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{server.tls}", "-tls1_2"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    time.sleep(0.5)
    output, _ = process.communicate(b"R\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n", timeout=20)
    assert b"RENEGOTIATING" in output and b'"status":"ok"' not in output
    assert ask(server.tls, "/health", server.context)[0] == 200


def hello(port):
    """A ClientHello of this machine's library."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


def test_ten_thousand_bad_handshakes_leave_memory_flat(server):
    good = hello(server.tls)
    kinds = [b"\x16\x03\x01" + os.urandom(200), good[:40], good[:-7], good + os.urandom(400), good[:60] + os.urandom(len(good) - 60),
             b"\x15" + os.urandom(63), b"", b"GET / HTTP/1.1\r\n\r\n", good + b"\x15\x03\x03\x00\x02\x02\x28", good + b"\x14\x03\x03\x00\x01\x01" * 50]

    def bad(n):
        for i in range(n):
            try:
                with socket.create_connection(("127.0.0.1", server.tls), timeout=10) as client:
                    client.sendall(kinds[i % len(kinds)])
                    if i % 3:
                        client.shutdown(socket.SHUT_WR)
                        client.recv(4096)
            except OSError:
                pass

    bad(1000)
    descriptors = len(os.listdir(f"/proc/{server.process.pid}/fd"))
    before = rss(server)
    bad(10_000)
    wait_for(lambda: len(os.listdir(f"/proc/{server.process.pid}/fd")) <= descriptors + 2, 20, "descriptors back")
    assert rss(server) - before < 2 * MIB
    assert ask(server.tls, "/health", server.context)[0] == 200
    counts = dict(re.findall(r'virtwatch_tls_handshakes_total\{result="(\w+)"\} (\d+)', server.get("/metrics")[1]))
    assert int(counts["failed"]) > 5000 and int(counts["plain"]) > 500


def test_an_address_has_so_many_connections_and_no_more(server):
    held = [socket.create_connection(("127.0.0.1", server.tls), timeout=15) for _ in range(60)]
    begin = time.monotonic()
    refused = 0
    for client in held:
        client.settimeout(0.2)
        try:
            refused += client.recv(1) == b""
        except TimeoutError:
            pass
        except ConnectionResetError:
            refused += 1
    assert refused == 20
    # another address is served meanwhile
    with socket.create_connection(("127.0.0.1", server.tls), timeout=10, source_address=("127.0.0.2", 0)) as other:
        with server.context.wrap_socket(other, server_hostname="127.0.0.1") as client:
            client.sendall(GET.format("/health").encode())
            read_until(client, b'"status":"ok"')
    # and those that say nothing are closed after ten seconds
    for client in held:
        client.settimeout(15)
        try:
            assert client.recv(1) == b""
        except ConnectionResetError:
            pass
        client.close()
    assert 8 < time.monotonic() - begin < 25
    wait_for(lambda: ask(server.tls, "/health", server.context)[0] == 200, 5, "served again")


def test_a_handshake_has_ten_seconds_however_it_is_spent(server):
    """One that is through before that is served, and then has as long for its request."""
    whole = hello(server.tls)
    begin = time.monotonic()
    ends = {}

    def open_():
        return socket.create_connection(("127.0.0.1", server.tls), timeout=30)

    def until_closed(name, client):
        try:
            while client.recv(65536):
                pass
        except OSError:
            pass
        ends[name] = time.monotonic() - begin

    def half():  # the server's flight stays unanswered
        with open_() as client:
            client.sendall(whole)
            until_closed("half", client)

    def drip():
        with open_() as client:
            threading.Thread(target=until_closed, args=("drip", client)).start()
            try:
                for byte in whole:
                    client.sendall(bytes([byte]))
                    time.sleep(0.1)
            except OSError:
                pass

    def late():
        with open_() as client:
            time.sleep(8)
            with server.context.wrap_socket(client, server_hostname="127.0.0.1") as session:
                time.sleep(6)
                session.sendall(GET.format("/health").encode())
                read_until(session, b'"status":"ok"')
                ends["late"] = time.monotonic() - begin

    def mute():  # hands are shaken, and no request comes
        with connect(server.tls, server.context) as session:
            until_closed("mute", session)

    threads = [threading.Thread(target=step) for step in (half, drip, late, mute)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: len(ends) == 4, 5, "all of them")
    assert 14 <= ends.pop("late") < 20
    assert all(9.5 < end_ < 14 for end_ in ends.values()), ends
    counts = dict(re.findall(r'virtwatch_tls_handshakes_total\{result="(\w+)"\} (\d+)', server.get("/metrics")[1]))
    assert counts["timeout"] == "2" and counts["ok"] == "2", counts


def test_a_client_that_never_reads_costs_no_more_than_buffers(server):
    clients = []
    for _ in range(30):
        client = connect(server.tls, server.context)
        client.sendall(GET.format("/api/v1/events").replace("\r\n\r\n", "\r\nAccept: text/event-stream\r\n\r\n").encode())
        clients.append(client)
    time.sleep(0.5)
    before = rss(server)
    stop = threading.Event()

    def post():
        while not stop.is_set():
            request = urllib.request.Request(f"http://127.0.0.1:{server.port()}/api/app-gateway/events/shop", method="POST",
                                             data=json.dumps({"kind": "deploy_started", "message": "x" * 900}).encode(),
                                             headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
            urllib.request.urlopen(request, timeout=10).read()

    thread = threading.Thread(target=post)
    thread.start()
    slowest = 0
    for _ in range(20):
        begin = time.monotonic()
        assert ask(server.tls, "/health", server.context)[0] == 200
        slowest = max(slowest, time.monotonic() - begin)
        time.sleep(0.2)
    stop.set()
    thread.join()
    assert slowest < 1
    assert rss(server) - before < 40 * MIB
    for client in clients:
        client.close()


# ---- what is served where ----

def test_a_listener_serves_what_it_names(daemon, tmp_path):
    one = daemon(settings(tmp_path, "127.0.0.1:0 serves=metrics+health", "127.0.0.1:0 serves=api tls=on"))
    _, small, api = ports(one)

    def get(port, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    assert [get(small, path) for path in ("/metrics", "/health", "/ready", "/api/v1/version", "/api/v1/ca")] == [200, 200, 200, 404, 404]
    context = trusted(one)
    assert [ask(api, path, context)[0] for path in ("/metrics", "/health", "/api/v1/version")] == [404, 404, 200]
    text = subprocess.run([BUILD / "src/virtwatch", "--host", f"unix:{tmp_path}/http.sock", "status"], capture_output=True,
                          text=True, timeout=20).stdout
    assert f"127.0.0.1:{small}  metrics, health\n" in text
    assert re.search(rf"127\.0\.0\.1:{api}  api; TLS, certificate until 20\d\d-", text), text


def test_a_reload_changes_what_a_listener_is(daemon, tmp_path):
    config = tmp_path / "virtwatch.yaml"
    config.write_text("http:\n  listen: []\n")
    probe = socket.create_server(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    probe.close()
    listen = '["127.0.0.1:0", "unix:%s/http.sock", "127.0.0.1:%d%s"]'
    config.write_text("http:\n  listen: " + listen % (tmp_path, port, "") + "\n")
    more = {"--config": config}
    wanted = {**settings(tmp_path), **more}
    del wanted["http.listen"]

    # the fixture's own --set would win over the file
    from conftest import Daemon
    class Bare(Daemon):
        def start(self):
            self.settings.pop("http.listen", None)
            super().start()
    one = Bare(tmp_path, wanted)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
            assert answer.status == 200
        stream = socket.create_connection(("127.0.0.1", port), timeout=20)
        stream.sendall(GET.format("/api/v1/events").replace("\r\n\r\n", "\r\nAccept: text/event-stream\r\n\r\n").encode())
        read_until(stream, b"text/event-stream")
        config.write_text("http:\n  listen: " + listen % (tmp_path, port, " tls=on serves=health") + "\n")
        one.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "Configuration reloaded" in (tmp_path / "virtwatchd.log").read_text(), 10, "reload")
        assert ask(port, "/health", trusted(one))[0] == 200
        assert ask(port, "/metrics", trusted(one))[0] == 404
        read_until(stream, b"\n:")  # what was open goes on
        stream.close()
    finally:
        one.stop()


@pytest.mark.parametrize("listen, complaint", [
    ("127.0.0.1:0 serves=everything", "serves= takes api, metrics and health"),
    ("127.0.0.1:0 tls=maybe", "there may be"),
    ("unix:/tmp/x tls=on", "a local socket has no TLS"),
    ("127.0.0.1:9,127.0.0.1:9 tls=on", "twice"),
])
def test_what_makes_no_listener_is_told(tmp_path, listen, complaint):
    result = subprocess.run([BUILD / "src/virtwatchd", "--check-config", "--set", f"http.listen={listen}"], capture_output=True,
                            text=True, timeout=20)
    assert result.returncode != 0 and complaint in result.stderr


def test_the_client_trusts_whom_it_is_told_to(server, tmp_path):
    ca, token = tmp_path / "state/tls/ca.pem", tmp_path / "token"
    token.write_text(TOKEN + "\n")
    run = [BUILD / "src/virtwatch", "--host", f"https://127.0.0.1:{server.tls}", "--token-file", token]
    good = subprocess.run([*run, "--ca", ca, "nodes"], capture_output=True, text=True, timeout=20)
    assert good.returncode == 0 and "testnode" in good.stdout, good.stderr
    bad = subprocess.run([*run, "nodes"], capture_output=True, text=True, timeout=20)
    assert bad.returncode != 0 and "--ca FILE" in bad.stderr
    watching = subprocess.Popen([*run, "--ca", ca, "events", "-f", "--json"], stdout=subprocess.PIPE, text=True)
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{server.port()}/api/app-gateway/events/shop", method="POST",
                                         data=b'{"kind":"deploy_started","message":"over TLS"}',
                                         headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
        time.sleep(0.5)
        urllib.request.urlopen(request, timeout=10).read()
        for line in watching.stdout:
            if "over TLS" in line:
                break
    finally:
        watching.terminate()
        watching.wait(10)


# ---- the web configuration ----

def write_web(folder, authority=None, client_ca=None, users=None):
    key, pem = make_certificate(folder, authority or make_authority(folder, "web-ca"), "web")
    lines = ["tls_server_config:", f"  cert_file: {pem.name}", f"  key_file: {key.name}", "  min_version: TLS12"]
    if client_ca:
        lines += ["  client_auth_type: RequireAndVerifyClientCert", f"  client_ca_file: {client_ca}",
                  "  client_allowed_sans: [scraper.example]"]
    if users:
        lines += ["basic_auth_users:"] + [f"  {name}: {crypt(password)}" for name, password in users.items()]
    lines += ["http_server_config:", "  headers:", "    X-Frame-Options: deny"]
    path = folder / "web.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def inline(name, path):
    return [f"  {name}: |"] + ["    " + line for line in path.read_text().splitlines()]


def test_certificates_may_be_in_the_web_configuration_itself(daemon, tmp_path):
    authority, clients = make_authority(tmp_path, "web-ca"), make_authority(tmp_path, "clients")
    good = make_certificate(tmp_path, clients, "scraper", "clientAuth")
    key, pem = make_certificate(tmp_path, authority, "web")
    web, log = tmp_path / "web.yaml", tmp_path / "virtwatchd.log"

    def write(key, pem, mode=0o600):
        new = tmp_path / "web.yaml.new"
        new.write_text("\n".join(["tls_server_config:", *inline("cert", pem), *inline("key", key), *inline("client_ca", clients[1]),
                                  "  client_auth_type: RequireAndVerifyClientCert"]) + "\n")
        new.chmod(mode)
        os.replace(new, web)

    write(key, pem)
    one = daemon(settings(tmp_path, "127.0.0.1:0 serves=metrics", metrics__web_config=web))
    port, context = ports(one)[1], ssl.create_default_context(cafile=authority[1])
    context.load_cert_chain(good[1], good[0])
    assert ask(port, "/metrics", context, {})[0] == 200
    with pytest.raises(OSError):
        ask(port, "/metrics", ssl.create_default_context(cafile=authority[1]), {})
    first = serial(port, context)

    # a key of another: told with its place, and the old ones stay
    new_key, new_pem = make_certificate(tmp_path, authority, "next")
    write(new_key, pem)
    line = 3 + len(pem.read_text().splitlines())
    wait_for(lambda: f"the old ones stay: {web}:{line}:8: the key is not usable" in log.read_text(), 10, "complaint")
    assert serial(port, context) == first
    write(new_key, new_pem)
    wait_for(lambda: serial(port, context) != first, 10, "another certificate")

    # with a key in it, it is a secret
    one.stop()
    write(new_key, new_pem, 0o644)
    with pytest.raises(AssertionError, match="others may read it"):
        one.start()
    one.log.close()


def test_prometheus_scrapes_with_a_password_over_tls(daemon, tmp_path):
    web = write_web(tmp_path, users={"prom": "secret"})
    one = daemon(settings(tmp_path, "127.0.0.1:0 serves=metrics", metrics__web_config=web))
    port = ports(one)[1]
    context = ssl.create_default_context(cafile=tmp_path / "web-ca.pem")
    assert ask(port, "/metrics", context, {})[0] == 401
    assert ask(port, "/metrics", context, basic("prom", "wrong"))[0] == 401
    assert ask(port, "/metrics", context, basic("nobody", "secret"))[0] == 401
    assert ask(port, "/metrics", context, basic("prom", "secret"))[0] == 200
    assert one.get("/metrics", token=None)[0] == 200  # the other listener is not meant

    folder = tmp_path / "prometheus"
    folder.mkdir()
    (folder / "p.yml").write_text(
        "global: {scrape_interval: 1s}\nscrape_configs:\n"
        "- {job_name: good, scheme: https, static_configs: [{targets: ['127.0.0.1:%d']}], tls_config: {ca_file: %s/web-ca.pem},\n"
        "   basic_auth: {username: prom, password: secret}}\n"
        "- {job_name: bad, scheme: https, static_configs: [{targets: ['127.0.0.1:%d']}], tls_config: {ca_file: %s/web-ca.pem},\n"
        "   basic_auth: {username: prom, password: wrong}}\n" % (port, tmp_path, port, tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        own = probe.getsockname()[1]
    with open(folder / "log", "ab") as log:
        process = spawn(["prometheus", f"--config.file={folder}/p.yml", f"--storage.tsdb.path={folder}/data",
                         f"--web.listen-address=127.0.0.1:{own}"], log)
        try:
            def up():
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{own}/api/v1/query?query=up", timeout=5) as answer:
                        result = json.load(answer)["data"]["result"]
                except OSError:
                    return None
                found = {item["metric"]["job"]: item["value"][1] for item in result}
                return len(found) == 2 and found.get("good") == "1" and found.get("bad") == "0"
            wait_for(up, 40, "scrapes")
        finally:
            end(process)


def test_wrong_passwords_are_limited_and_the_right_one_still_passes(daemon, tmp_path):
    web = write_web(tmp_path, users={"prom": "secret"})
    one = daemon(settings(tmp_path, "127.0.0.1:0 serves=metrics", metrics__web_config=web))
    port, context = ports(one)[1], ssl.create_default_context(cafile=tmp_path / "web-ca.pem")
    assert ask(port, "/metrics", context, basic("prom", "secret"))[0] == 200
    codes = [ask(port, "/metrics", context, basic("prom", f"guess{i}"))[0] for i in range(30)]
    assert codes[0] == 401 and codes[-1] == 429
    assert ask(port, "/metrics", context, basic("prom", "secret"))[0] == 200
    assert ask(port, "/metrics", context, {"Authorization": "Basic %%%"})[0] in (401, 429)


def test_clients_of_the_web_configuration_need_the_right_name(daemon, tmp_path):
    authority = make_authority(tmp_path, "clients")
    good = make_certificate(tmp_path, authority, "scraper", "clientAuth", "DNS:scraper.example")
    other = make_certificate(tmp_path, authority, "other", "clientAuth", "DNS:other.example")
    web = write_web(tmp_path, client_ca=authority[1])
    one = daemon(settings(tmp_path, "127.0.0.1:0 serves=metrics", metrics__web_config=web))
    port = ports(one)[1]

    def status(pair):
        context = ssl.create_default_context(cafile=tmp_path / "web-ca.pem")
        if pair:
            context.load_cert_chain(pair[1], pair[0])
        try:
            return ask(port, "/metrics", context, {})[0]
        except OSError:
            return None

    assert [status(pair) for pair in (good, other, None)] == [200, None, None]


def test_a_changed_web_configuration_is_taken_over_and_a_bad_one_is_not(daemon, tmp_path):
    web = write_web(tmp_path, users={"prom": "secret"})
    one = daemon(settings(tmp_path, "127.0.0.1:0 serves=metrics", metrics__web_config=web))
    port, context = ports(one)[1], ssl.create_default_context(cafile=tmp_path / "web-ca.pem")
    assert ask(port, "/metrics", context, basic("prom", "secret"))[0] == 200
    good = web.read_text()
    web.write_text(good + "basic_auth_user:\n")
    wait_for(lambda: f"{web}:{len(good.splitlines()) + 1}:1: there is no key 'basic_auth_user'" in (tmp_path / "virtwatchd.log").read_text(), 10, "complaint")
    assert ask(port, "/metrics", context, basic("prom", "secret"))[0] == 200
    web.write_text(good.replace(crypt("secret"), crypt("changed")))
    wait_for(lambda: ask(port, "/metrics", context, basic("prom", "changed"))[0] == 200, 10, "the new password")
    assert ask(port, "/metrics", context, basic("prom", "secret"))[0] == 401
