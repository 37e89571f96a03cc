"""MQTT over WebSocket, on the port that plain clients use."""

import http.client
import os
import socket
import struct
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

import wire
from browser import Browser
from frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Answer, WebSocket, close, connected, frame, request
from router import Router
from test_paho import VERSIONS, Client
from waiting import until
from wire import MQTT_3_1, MQTT_3_1_1, MQTT_5

pytestmark = pytest.mark.usefixtures("unharmed")

BROWSER = {"User_Agent": "Mozilla/5.0"}


@pytest.fixture
def topic():
    return f"test/{uuid.uuid4().hex}"


def code_of(control):
    opcode, payload = control
    assert opcode == CLOSE
    return struct.unpack(">H", payload[:2])[0]


def ended_with(connection):
    """The code of the Close frame with which the broker ends the connection."""
    connection.until_closed()
    return code_of(connection.controls[-1])


# --- well-behaved clients


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", VERSIONS)
def test_paho_both_ways(router, topic, version, qos):
    payloads = [f"{number}".encode() for number in range(300)] + [bytes(900_000), b""]
    with Client(router.port, version, transport="websockets") as web, Client(router.port, version) as plain:
        web.subscribe(f"{topic}/web", qos)
        plain.subscribe(f"{topic}/plain", qos)
        for payload in payloads:
            web.paho.publish(f"{topic}/plain", payload, qos)
            plain.paho.publish(f"{topic}/web", payload, qos)
        for client in (web, plain):
            assert [client.next().payload for _ in payloads] == payloads


@pytest.mark.parametrize("version", VERSIONS)
def test_paho_says_farewell(router, topic, version):
    with Client(router.port, version) as heir:
        heir.subscribe(topic, 1)
        with Client(router.port, version, will=(topic, "will", 1), transport="websockets"):
            pass
        heir.publish(topic, "no will", 1)
        assert heir.next().payload == b"no will"


@pytest.mark.parametrize("level", [MQTT_3_1, MQTT_3_1_1, MQTT_5])
@pytest.mark.parametrize("offered, chosen", [
    ("mqtt", "mqtt"), ("mqttv3.1", "mqttv3.1"), ("mqttv3.1, mqtt", "mqtt"), (["chat", "mqtt"], "mqtt")])
def test_the_sub_protocol(router, level, offered, chosen):
    """[MQTT-6.0.0-4]; it says nothing of the version that CONNECT asks for."""
    with WebSocket(router.port, wire.connect("sub-protocol", level), Sec_WebSocket_Protocol=offered) as connection:
        assert connection.answer.fields["Sec-WebSocket-Protocol"] == chosen
        assert connection.expect(wire.CONNACK)[1] == 0


@pytest.mark.parametrize("path", ["/", "/mqtt", "/any?thing=else"])
def test_any_path(router, path):
    with WebSocket(router.port, wire.connect("path"), path=path) as connection:
        assert connection.expect(wire.CONNACK)[1] == 0


def conversation(topic):
    return wire.connect("pieces") + wire.subscribe(topic, qos=1) + wire.publish(topic, b"x" * 300, qos=1) + wire.PING


def cut(data, size):
    return [data[start:start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 7, 100, 1000])
@pytest.mark.parametrize("fragmented", [False, True], ids=["frames", "fragments"])
def test_packets_and_frames_need_not_align(router, topic, size, fragmented):
    """[MQTT-6.0.0-2]; Pings may come in the middle of a message."""
    pieces = cut(conversation(topic), size)
    said = b""
    for number, piece in enumerate(pieces):
        final = not fragmented or number == len(pieces) - 1
        opcode = BINARY if number == 0 or not fragmented else CONTINUATION
        said += frame(piece, opcode, final) + frame(b"in between", PING)
    for cuts in ([said], cut(said, 3)):
        with WebSocket(router.port) as connection:
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for part in cuts:
                connection.send_raw(part)
            kinds = [connection.receive()[0] & 0xF0 for _ in range(5)]
            assert sorted(kinds) == sorted([wire.CONNACK, wire.SUBACK, wire.PUBLISH, wire.PUBACK, wire.PINGRESP])
            assert connection.control() == (PONG, b"in between")


def test_a_request_in_pieces_and_with_frames_behind_it(router, topic):
    said = request() + frame(conversation(topic))
    for cuts in ([said], cut(said, 1)):
        with wire.Connection(router.port) as connection:
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for part in cuts:
                connection.send(part)
            assert Answer(connection).status == 101
            until(lambda: connection.ahead or connection.socket.recv(1), "frames follow")


def test_many_packets_go_in_one_frame(router, topic):
    """One write, one frame, not one per packet; and a large message in frames that others can get between."""
    with connected(router.port, "reader") as reader, wire.connected(router.port, "writer") as writer:
        reader.send(wire.subscribe(topic))
        reader.expect(wire.SUBACK)
        reader.sizes.clear()
        writer.send(b"".join(wire.publish(topic, f"{number}".encode()) for number in range(500)))
        for number in range(500):
            assert reader.expect(wire.PUBLISH).endswith(f"{number}".encode())
        assert len(reader.sizes) < 50, reader.sizes
        reader.sizes.clear()
        writer.send(wire.publish(topic, bytes(900_000)))
        assert len(reader.expect(wire.PUBLISH)) > 900_000
        assert max(reader.sizes) == 65_535


def test_who_reads_late_misses_nothing(router, topic):
    """A frame that was cut by a full socket goes on where it was cut."""
    count = 300
    payloads = [struct.pack(">I", number) * (1 + number * 50 % 1700) for number in range(count)]
    with connected(router.port, "late") as late, wire.connected(router.port, "early") as early:
        late.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        late.send(wire.subscribe(topic, qos=1))
        late.expect(wire.SUBACK)
        for number, payload in enumerate(payloads):
            early.send(wire.publish(topic, payload, 1, identifier=1 + number))
            late.send_raw(frame(b"are you there?", PING))
        for payload in payloads:
            body = late.expect(wire.PUBLISH)
            at = 2 + len(topic)
            assert body[at + 2:] == payload
            late.send(wire.packet(wire.PUBACK, body[at:at + 2]))
        # The last Ping is answered, whatever became of the others.
        late.send_raw(frame(b"last", PING))
        while late.control() != (PONG, b"last"):
            pass


# --- how it ends


@pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_5])
def test_close_is_answered_and_the_will_published(router, topic, level):
    with wire.connected(router.port, "heir") as heir:
        heir.send(wire.subscribe(topic))
        heir.expect(wire.SUBACK)
        with connected(router.port, "testator", level, will=(topic, b"gone")) as testator:
            testator.send_raw(close(1001))
            assert ended_with(testator) == 1001
        assert heir.expect(wire.PUBLISH).endswith(b"gone")
        with connected(router.port, "polite", level, will=(topic, b"gone")) as polite:
            polite.send_raw(frame(wire.packet(wire.DISCONNECT)) + close())
            assert ended_with(polite) == 1000
        heir.send(wire.publish(topic, b"no will"))
        assert heir.expect(wire.PUBLISH).endswith(b"no will")


def test_what_came_before_close_counts_though_it_waits(router):
    """A publisher that is held back has said all it had, farewell and Close included: nothing of it is lost."""
    topic = uuid.uuid4().hex[:8]
    payloads = [struct.pack(">I", number) for number in range(700)]
    with wire.connected(router.port, "slow") as slow:
        slow.send(wire.subscribe(topic, qos=1))
        slow.expect(wire.SUBACK)
        with connected(router.port, "fast", will=(topic, b"gone")) as fast:
            # Small enough to be read at once. While nothing is acknowledged, 20 are on their way, 500 may wait.
            said = [wire.publish(topic, payload, 1, identifier=1 + number) for number, payload in enumerate(payloads)]
            fast.send_raw(frame(b"".join(said)) + frame(wire.packet(wire.DISCONNECT)) + close())
            for payload in payloads:
                body = slow.expect(wire.PUBLISH)
                at = 2 + len(topic)
                assert body[at + 2:] == payload
                slow.send(wire.packet(wire.PUBACK, body[at:at + 2]))
            fast.until_closed()
        slow.send(wire.publish(topic, b"no will"))
        assert slow.expect(wire.PUBLISH).endswith(b"no will")


def test_the_broker_says_close(router):
    """After the DISCONNECT that tells a 5.0 client why."""
    with connected(router.port, "malformed", MQTT_5) as connection:
        connection.send(wire.packet(wire.PUBLISH | 6, wire.string("x") + b"\0\1\0"))
        said = connection.until_closed()
        assert said[0] == wire.DISCONNECT and said[2] == 0x81
        assert connection.controls == [(CLOSE, struct.pack(">H", 1000))]
    with connected(router.port, "taken") as first, connected(router.port, "taken"):
        assert ended_with(first) == 1000
    with connected(router.port, "silent", MQTT_5, keep_alive=1) as silent:
        # Pings of WebSocket are no packets [MQTT-3.1.2-22].
        until(lambda: silent.send_raw(frame(b"", PING)) or CLOSE in dict([silent.control()]), "it is ended", 8)
        assert silent.ahead[0] == wire.DISCONNECT and silent.ahead[2] == 0x8D


def test_the_broker_shuts_down(host_package):
    with Router(host_package) as router:
        router.enable()
        with connected(router.port, "till the end", MQTT_5) as connection:
            router.init("stop")
            said = connection.until_closed()
            assert said[0] == wire.DISCONNECT and said[2] == 0x8B, "server shutting down"


HOSTILE = {
    "text": (1003, frame(b"text", TEXT)),
    "the beginning of text": (1003, frame(b"text", TEXT, final=False)),
    "no mask": (1002, frame(wire.PING, masked=False)),
    "a Ping without mask": (1002, frame(b"", PING, masked=False)),
    "an opcode for data that is none": (1002, frame(b"x", 3)),
    "an opcode for control that is none": (1002, frame(b"x", 11)),
    "a compressed message": (1002, frame(wire.PING, reserved=4)),
    "a continuation of nothing": (1002, frame(b"x", CONTINUATION)),
    "a message within a message": (1002, frame(b"", final=False) + frame(wire.PING)),
    "a fragmented Ping": (1002, frame(b"x", PING, final=False)),
    "a Ping of 126 bytes": (1002, frame(bytes(126), PING)),
    "a Ping that claims 2^62 bytes": (1002, frame(b"", PING, size=1 << 62)),
    "a frame that claims 2^63 bytes": (1002, frame(b"", size=1 << 63)),
    "a frame that claims 2^64-1 bytes": (1002, frame(b"", size=(1 << 64) - 1)),
    "a length in too many bytes": (1002, b"\x82\xfe\0\2\0\0\0\0\xc0\0"),
    "a Close of one byte": (1002, frame(b"x", CLOSE)),
    "a Close with a code that is none": (1002, close(1006)),
    "a Close whose words are not UTF-8": (1002, frame(b"\x03\xe8\xff", CLOSE)),
}


@pytest.mark.parametrize("code, data", [pytest.param(*case, id=name) for name, case in HOSTILE.items()])
def test_hostile_frames(router, topic, code, data):
    """[MQTT-6.0.0-1] and RFC 6455: each ends its connection as if the client had vanished, and nothing else."""
    with wire.connected(router.port, "heir") as heir:
        heir.send(wire.subscribe(topic))
        heir.expect(wire.SUBACK)
        with connected(router.port, "hostile", will=(topic, b"gone")) as connection:
            connection.send_raw(data)
            assert ended_with(connection) == code
        assert heir.expect(wire.PUBLISH).endswith(b"gone")
    # Before CONNECT as well, and noted as a refusal.
    with WebSocket(router.port) as connection:
        connection.send_raw(data)
        assert ended_with(connection) == code
    until(lambda: "WebSocket" in router.observe()["refusals"][0]["reason"], "it is noted")


def test_a_frame_may_be_endless(router, topic):
    """Its bytes are taken as they come, and what is no MQTT in it ends the connection."""
    with WebSocket(router.port) as connection:
        connection.send_raw(frame(conversation(topic), size=(1 << 63) - 1))
        kinds = [connection.receive()[0] & 0xF0 for _ in range(5)]
        assert wire.PINGRESP in kinds and wire.PUBLISH in kinds
        # A malformed packet follows soon.
        connection.send_raw(os.urandom(1 << 16))
        assert ended_with(connection) == 1000


def memory(router):
    """Resident kilobytes of the worker."""
    with open(f"/proc/{router.worker()}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_pings_without_end(router, topic):
    """Who never reads the answers costs one of them, and is ended."""
    flood = frame(bytes(125), PING) * 1000
    with connected(router.port, "pinging", keep_alive=0) as connection, wire.connected(router.port) as writer:
        connection.send(wire.subscribe(topic))
        connection.expect(wire.SUBACK)
        # All that the kernel takes for it.
        for _ in range(20):
            writer.send(wire.publish(topic, bytes(100_000)))
        writer.send(wire.PING)
        writer.expect(wire.PINGRESP)
        before = memory(router)
        deadline = time.monotonic() + 60
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while True:
                connection.send_raw(flood)
                assert time.monotonic() < deadline, "it goes on for ever"
        assert memory(router) < before + 1024, "kilobytes"
    until(lambda: router.logged("pinging", "pings and does not read"), "the log says why")


def test_many_promises_cost_nothing(router):
    """A frame or a packet of a megabyte that is only promised takes no memory."""
    before = memory(router)
    promises = [connected(router.port, f"promise{number}") for number in range(40)]
    for connection in promises:
        beginning = bytes([wire.PUBLISH]) + wire.length((1 << 20) - 8) + wire.string("x")
        connection.send_raw(frame(beginning, size=1 << 40))
    for connection in promises:
        connection.send_raw(b"\0" * 100)
    assert memory(router) < before + 4096, "kilobytes"
    for connection in promises:
        connection.cut()


# --- requests that are refused


REFUSED = {
    "a browser that was pointed here": (426, request(Upgrade=None, Connection="keep-alive")),
    "HTTP/1.0": (426, request(version="HTTP/1.0")),
    "HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "an old version": (426, request(Sec_WebSocket_Version="8")),
    "no version": (426, request(Sec_WebSocket_Version=None)),
    "POST": (405, request(method="POST", Content_Length="5") + b"hello"),
    "OPTIONS": (405, request(method="OPTIONS")),
    "a proxy that keeps Connection to itself": (400, request(Connection="close")),
    "no host": (400, request(Host=None)),
    "two hosts": (400, request(Host=["a", "b"])),
    "no key": (400, request(Sec_WebSocket_Key=None)),
    "a key that is none": (400, request(Sec_WebSocket_Key="AAAA")),
    "two keys": (400, request(Sec_WebSocket_Key=["AAECAwQFBgcICQoLDA0ODw=="] * 2)),
    "no sub-protocol": (400, request(Sec_WebSocket_Protocol=None)),
    "another sub-protocol": (400, request(Sec_WebSocket_Protocol="wamp, chat")),
    "a page of another host": (403, request(Origin="http://evil.example", **BROWSER)),
    "another page of this machine": (403, request(Origin="http://localhost", **BROWSER)),
    "a page without origin": (403, request(Origin="null", **BROWSER)),
    "two origins": (403, request(Origin=["http://127.0.0.1"] * 2, **BROWSER)),
    "a page of a name that leads here": (403, request(Host="evil.example", Origin="http://evil.example", **BROWSER)),
    "many fields": (431, request(X=["x"] * 64)),
    "a long field": (431, request(X="x" * 8192)),
    "a path without end": (431, b"GET /" + b"x" * 9000),
    "a field without a name": (400, b"GET / HTTP/1.1\r\n: x\r\n\r\n"),
    "bytes that are no text": (400, b"GET / HTTP/1.1\r\nX: \0\r\n\r\n"),
}


@pytest.mark.parametrize("status, data", [pytest.param(*case, id=name) for name, case in REFUSED.items()])
def test_refused_requests(router, status, data):
    with wire.Connection(router.port, data) as connection:
        answer = Answer(connection)
        body = connection.until_closed()
    assert answer.status == status
    assert answer.fields["Content-Type"] == "text/plain; charset=utf-8"
    assert int(answer.fields["Content-Length"]) == len(body)
    assert body.startswith(b"This is an MQTT broker. ") and b"evil" not in body and b"<" not in body
    assert "close" in answer.fields["Connection"]
    refusal = router.observe()["refusals"][0]
    assert refusal["address"] == "127.0.0.1" and refusal["seconds_ago"] < 20
    assert any(words in refusal["reason"] for words in ("HTTP request", "WebSocket request", "a web page")), refusal


@pytest.mark.parametrize("method, status", [("GET", 426), ("HEAD", 405), ("PUT", 405), ("DELETE", 405)])
def test_a_client_of_http_understands_the_answer(router, method, status):
    connection = http.client.HTTPConnection("127.0.0.1", router.port, timeout=20)
    connection.request(method, "/")
    answer = connection.getresponse()
    assert answer.status == status
    assert (b"WebSocket" in answer.read()) == (method != "HEAD")
    connection.close()


def test_a_head_must_come_in_time(router):
    """Within the 10 s that CONNECT has; a WebSocket buys no time either."""
    start = time.monotonic()
    with wire.Connection(router.port, request()[:-2]) as half, WebSocket(router.port) as silent:
        assert half.until_closed() == b""
        assert silent.control() is None
    assert 9 < time.monotonic() - start < 20


def test_origins_are_named_in_the_settings(host_package):
    """They count for the next request, without a restart."""
    def status(origin):
        with wire.Connection(router.port, request(Origin=origin, **BROWSER)) as connection:
            return Answer(connection).status

    with Router(host_package) as router:
        router.enable(mqtt_log_level="warning")
        panel, other = "https://panel.example.com", "https://other.example.com"
        assert status(panel) == status(other) == 403
        until(lambda: router.logged("refused 127.0.0.1", panel, "WEBSOCKET_ORIGINS"), "the log says what to do")
        router.configure(WEBSOCKET_ORIGINS=f"http://192.168.1.2:8080 {panel}")
        assert (status(panel), status(panel + ":443"), status(other)) == (101, 101, 403)
        router.configure(WEBSOCKET_ORIGINS=other)
        assert (status(panel), status(other)) == (403, 101)


# --- a real browser


PAGE = """<!doctype html><title>a page of some web site</title><p id="said"></p><script>
const show = text => document.getElementById("said").append(text + "; ");
const text = string => [0, string.length, ...new TextEncoder().encode(string)];
const packet = (first, ...body) => [first, body.length, ...body];
const topic = location.search.slice(1);
const socket = new WebSocket(location.hash.slice(1), "mqtt");
socket.binaryType = "arraybuffer";
socket.onopen = () => {
    show("open " + socket.protocol);
    socket.send(new Uint8Array([
        ...packet(0x10, ...text("MQTT"), 4, 2, 0, 60, 0, 0), ...packet(0x82, 0, 1, ...text(topic), 0)]));
};
socket.onmessage = event => {
    let bytes = [...new Uint8Array(event.data)];
    while (bytes.length) {
        const [first, length] = bytes, body = bytes.slice(2, 2 + length);
        bytes = bytes.slice(2 + length);
        if (first === 0x90) socket.send(new Uint8Array(packet(0x30, ...text(topic), ...text("21 °C").slice(2))));
        if (first === 0x30) {
            show("received " + new TextDecoder().decode(new Uint8Array(body.slice(2 + body[1]))));
            socket.close(1000);
        }
    }
};
socket.onclose = event => show("closed " + event.code + (event.wasClean ? "" : " by force"));
</script>"""


class Page(BaseHTTPRequestHandler):
    """Serves the page, whatever is asked for."""

    def do_GET(self):
        body = PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def web_port():
    """The port of a web server on this machine that is no router's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_in_a_browser(host_package, web_port, topic):
    """A page of the same host may connect, one of another host only if named, and one that made its own name lead here
    may not either."""
    flags = ["--host-resolver-rules=MAP evil.example 127.0.0.1"]
    with Router(host_package) as router, Browser(router, name="websocket", flags=flags) as browser:
        router.enable(mqtt_log_level="info")
        heard = wire.connected(router.port, "heard")
        heard.send(wire.subscribe(topic))
        heard.expect(wire.SUBACK)

        def said(page, broker):
            address = f"ws://{broker}:{router.port}/mqtt"
            browser.driver.get(f"http://{page}:{web_port}/{uuid.uuid4().hex}?{topic}#{address}")
            until(lambda: "closed" in browser.text, "the page is done")
            return browser.text

        open_to_all = "open mqtt; received 21 °C; closed 1000;"
        shut = "closed 1006 by force;"
        assert said("127.0.0.1", "127.0.0.1") == open_to_all
        assert heard.expect(wire.PUBLISH).endswith("21 °C".encode())
        assert browser.complaints() == []
        for page, broker in (("localhost", "127.0.0.1"), ("127.0.0.1", "localhost"), ("evil.example", "evil.example"),
                             ("evil.example", "127.0.0.1")):
            assert said(page, broker) == shut, (page, broker)
            complaints = browser.complaints()
            assert len(complaints) == 1 and "403" in complaints[0], complaints
            reason = router.observe()["refusals"][0]["reason"]
            assert f"http://{page}:{web_port}" in reason, reason
        router.configure(WEBSOCKET_ORIGINS=f"http://localhost:{web_port} http://evil.example:1")
        assert said("localhost", "127.0.0.1") == open_to_all
        assert said("evil.example", "evil.example") == shut
