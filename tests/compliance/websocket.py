"""A WebSocket (RFC 6455) at the broker's side of a script."""

import base64
import hashlib
import re
from dataclasses import dataclass

import frames


@dataclass(frozen=True)
class Upgrade:
    """A WebSocket from here on. Noted as the client's words: the line of its request, and the protocol it asks for."""

    due: bytes | re.Pattern = b"GET /mqtt HTTP/1.1 mqtt"
    answer: bytes = b"101 Switching Protocols"

    def play(self, talk):
        request = b""
        while not request.endswith(b"\r\n\r\n") and (more := talk.take(1)):
            request += more
        line, *lines = request.split(b"\r\n")
        fields = dict(one.lower().split(b": ", 1) for one in lines if one)
        talk.expect(self.due, line + b" " + fields.get(b"sec-websocket-protocol", b""))
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)[1]
        accepted = base64.b64encode(hashlib.sha1(key + frames.GUID).digest())
        talk.socket.sendall(b"HTTP/1.1 " + self.answer + b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            b"Sec-WebSocket-Accept: " + accepted + b"\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")
        talk.socket = Framed(talk.socket)


class Framed:
    """A socket whose bytes go in frames."""

    def __init__(self, plain):
        self.plain = plain

    def fileno(self):
        return self.plain.fileno()

    def setsockopt(self, *option):
        self.plain.setsockopt(*option)

    def close(self):
        self.plain.close()

    def sendall(self, data):
        self.plain.sendall(frames.frame(data, masked=False))

    def recv(self, _size):
        """What the next frame brings; nothing once the client has said Close."""
        head = self._take(2)
        if len(head) < 2:
            return b""
        assert head[1] & 0x80, "a client masks"
        size = head[1] & 0x7F
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        mask = self._take(4)
        payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(self._take(size)))
        return b"" if head[0] & 0x0F == frames.CLOSE else payload

    def _take(self, count):
        taken = b""
        while len(taken) < count and (more := self.plain.recv(count - len(taken))):
            taken += more
        return taken
