"""WebSocket by hand (RFC 6455), for what no well-behaved client sends."""

import base64
import hashlib
import os
import struct

import wire

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(payload=b"", opcode=BINARY, final=True, masked=True, reserved=0, size=None):
    """A frame; size is the length that it claims to have, if that is not its own."""
    size = len(payload) if size is None else size
    first = (0x80 if final else 0) | reserved << 4 | opcode
    mark = 0x80 if masked else 0
    if size < 126:
        head = bytes([first, mark | size])
    elif size < 1 << 16:
        head = struct.pack(">BBH", first, mark | 126, size)
    else:
        head = struct.pack(">BBQ", first, mark | 127, size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    stretched = (mask * (len(payload) // 4 + 1))[:len(payload)]
    mixed = int.from_bytes(payload) ^ int.from_bytes(stretched)
    return head + mask + mixed.to_bytes(len(payload))


def close(code=1000):
    return frame(struct.pack(">H", code), CLOSE)


def request(path="/mqtt", method="GET", version="HTTP/1.1", **changes):
    """A request for a WebSocket. A field is changed by its name with _ for -, left out by None, repeated by a list."""
    fields = {
        "Host": "127.0.0.1", "Upgrade": "websocket", "Connection": "Upgrade",
        "Sec_WebSocket_Key": base64.b64encode(bytes(range(16))).decode(), "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Protocol": "mqtt"} | changes
    lines = [f"{method} {path} {version}"]
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                lines.append(f"{name.replace('_', '-')}: {one}")
    return "\r\n".join([*lines, "", ""]).encode()


class Answer:
    """The head of an answer, and the bytes that came with it."""

    def __init__(self, connection):
        while b"\r\n\r\n" not in connection.ahead:
            data = connection.socket.recv(65536)
            assert data, f"no answer but {connection.ahead}"
            connection.ahead += data
        head, _, connection.ahead = connection.ahead.partition(b"\r\n\r\n")
        line, *lines = head.decode("ascii").split("\r\n")
        self.status = int(line.split()[1])
        self.fields = dict(one.split(": ", 1) for one in lines)


class WebSocket(wire.Connection):
    """A connection whose packets go in frames. Control frames that come are put aside."""

    def __init__(self, port, *said, host="127.0.0.1", **changes):
        super().__init__(port, host=host)
        self.socket.sendall(request(**changes))
        self.answer = Answer(self)
        assert self.answer.status == 101, (self.answer.status, self.ahead)
        key = request(**changes).split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        accepted = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        assert self.answer.fields["Sec-WebSocket-Accept"] == accepted
        self.raw, self.ahead, self.controls, self.sizes = self.ahead, b"", [], []
        for data in said:
            self.send(data)

    def send(self, data):
        self.send_raw(frame(data))

    def send_raw(self, data):
        self.socket.sendall(data)

    def control(self):
        """The next control frame, as (opcode, payload). Packets that come before it are put aside."""
        while not self.controls and self._read_frame():
            pass
        return self.controls.pop(0) if self.controls else None

    def until_closed(self):
        """The packets that still come. The broker has to say Close, and then to end the connection."""
        while self._read_frame():
            pass
        assert [opcode for opcode, _ in self.controls][-1:] == [CLOSE], self.controls
        return self.ahead

    def _take(self, count):
        while len(self.ahead) < count:
            if not self._read_frame():
                return b""
        taken, self.ahead = self.ahead[:count], self.ahead[count:]
        return taken

    def _read_frame(self):
        head = self._take_raw(2)
        if not head:
            return False
        first, size = head
        assert size < 0x80, "a server does not mask"
        if size >= 126:
            size = int.from_bytes(self._take_raw(2 if size == 126 else 8))
        payload = self._take_raw(size)
        opcode = first & 0x0F
        assert first & 0xF0 == 0x80, "whole messages, nothing reserved"
        if opcode == BINARY:
            assert not any(kind == CLOSE for kind, _ in self.controls), "nothing after Close"
            self.sizes.append(size)
            self.ahead += payload
        else:
            self.controls.append((opcode, payload))
        return True

    def _take_raw(self, count):
        while len(self.raw) < count:
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if not data:
                assert not self.raw, f"cut off within a frame: {self.raw[:20]}"
                return b""
            self.raw += data
        taken, self.raw = self.raw[:count], self.raw[count:]
        return taken


def connected(port, client="", level=wire.MQTT_3_1_1, **options):
    """A WebSocket on which the broker has accepted a client."""
    connection = WebSocket(port, wire.connect(client, level, **options))
    body = connection.expect(wire.CONNACK)
    assert body[1] == 0, f"refused with {body[1]:#x}"
    return connection
