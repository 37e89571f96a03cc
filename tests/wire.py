"""MQTT packets by hand, for what no well-behaved client sends."""

import socket
import struct
from contextlib import suppress

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = (number << 4 for number in range(1, 8))
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = (number << 4 for number in range(8, 12))
PINGREQ, PINGRESP, DISCONNECT, AUTH = (number << 4 for number in range(12, 16))
MQTT_3_1, MQTT_3_1_1, MQTT_5 = 3, 4, 5
PING = bytes([PINGREQ, 0])


def length(number):
    """A variable byte integer (MQTT 5.0, 1.5.5)."""
    encoded = bytearray()
    while True:
        number, digit = divmod(number, 128)
        encoded.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(encoded)


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def string(text):
    data = _bytes(text)
    return struct.pack(">H", len(data)) + data


def packet(first, body=b""):
    return bytes([first]) + length(len(body)) + body


def connect(client="", level=MQTT_3_1_1, clean=True, keep_alive=60, will=None, login=None, properties=b"",
            will_qos=0, will_retain=False, will_properties=b""):
    """A CONNECT; will is (topic, payload), login is (user name, password), either of which may be None."""
    flags = 0x02 if clean else 0
    payload = string(client)
    if will:
        flags |= 0x04 | will_qos << 3 | will_retain << 5
        payload += _properties(level, will_properties) + string(will[0]) + string(will[1])
    for flag, word in zip((0x80, 0x40), login or ()):
        if word is not None:
            flags |= flag
            payload += string(word)
    head = string("MQIsdp" if level == MQTT_3_1 else "MQTT") + bytes([level, flags]) + struct.pack(">H", keep_alive)
    return packet(CONNECT, head + _properties(level, properties) + payload)


def publish(topic, payload=b"", qos=0, retain=False, identifier=1, level=MQTT_3_1_1, dup=False, properties=b""):
    body = string(topic)
    if qos:
        body += struct.pack(">H", identifier)
    return packet(PUBLISH | dup << 3 | qos << 1 | retain, body + _properties(level, properties) + _bytes(payload))


def acknowledgement(kind, identifier, reason=None, level=MQTT_3_1_1, properties=b""):
    """PUBACK, PUBREC, PUBREL or PUBCOMP; 5.0 has a reason and properties, which may both be left out."""
    body = struct.pack(">H", identifier)
    if reason is not None:
        body += bytes([reason])
    if properties:
        body += _properties(level, properties)
    return packet(kind | (0x02 if kind == PUBREL else 0), body)


def options(qos=0, no_local=False, retain_as_published=False, retain_handling=0):
    """Subscription Options (MQTT 5.0, 3.8.3.1); in 3.x they are the QoS alone."""
    return qos | no_local << 2 | retain_as_published << 3 | retain_handling << 4


def subscribe(*filters, qos=0, identifier=1, level=MQTT_3_1_1, properties=b""):
    """A SUBSCRIBE; each filter is by itself, for this QoS, or (filter, options)."""
    body = struct.pack(">H", identifier) + _properties(level, properties)
    for one in filters:
        topic_filter, wanted = one if isinstance(one, tuple) else (one, qos)
        body += string(topic_filter) + bytes([wanted])
    return packet(SUBSCRIBE | 0x02, body)


def unsubscribe(*filters, identifier=1, level=MQTT_3_1_1, properties=b""):
    body = struct.pack(">H", identifier) + _properties(level, properties)
    return packet(UNSUBSCRIBE | 0x02, body + b"".join(string(one) for one in filters))


def disconnect(reason=None, level=MQTT_3_1_1, properties=b"", kind=DISCONNECT):
    """A DISCONNECT or, of the same form, AUTH; 5.0 has a reason and properties, which may both be left out."""
    body = b"" if reason is None else bytes([reason])
    return packet(kind, body + (_properties(level, properties) if properties else b""))


def _properties(level, encoded):
    """Properties with their length, where the version has any."""
    return length(len(encoded)) + encoded if level == MQTT_5 else b""


class Connection:
    """A TCP connection to the broker on which anything can be said."""

    def __init__(self, port, *said, host="127.0.0.1", seconds=20):
        self.socket = self._dial(host, port, seconds)
        self.ahead = bytearray()
        for data in said:
            self.send(data)

    def _dial(self, host, port, seconds):
        return socket.create_connection((host, port), timeout=seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def try_to_send(self, data):
        """Says what the broker may not want to hear to the end."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send(data)

    def receive(self):
        """The next packet as (first byte, body), or nothing once the broker has closed the connection."""
        first = self._take(1)
        if not first:
            return None
        size = shift = 0
        while True:
            digit = self._take(1)[0]
            size |= (digit & 0x7F) << shift
            shift += 7
            if digit < 0x80:
                assert digit or shift == 7, "a Remaining Length of more bytes than it needs"
                return first[0], self._take(size)

    def expect(self, first):
        """The body of the next packet, which has to be of this kind."""
        received = self.receive()
        assert received and received[0] & 0xF0 == first & 0xF0, f"expected {first:#x}, received {received}"
        return received[1]

    def until_closed(self):
        """Everything the broker still says before it closes the connection, which it must do in time."""
        rest = bytes(self.ahead)
        with suppress(ConnectionResetError, BrokenPipeError):
            while data := self.socket.recv(65536):
                rest += data
        return rest

    def cut(self):
        """Ends as a client does that loses power: with a reset, no DISCONNECT."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _take(self, count):
        while len(self.ahead) < count:
            try:
                data = self.socket.recv(max(65536, count))
            except ConnectionResetError:
                data = b""
            if not data:
                return b""
            self.ahead += data
        taken = bytes(self.ahead[:count])
        del self.ahead[:count]
        return taken


def connected(port, client="", level=MQTT_3_1_1, host="127.0.0.1", **options):
    """A connection that the broker has accepted."""
    connection = Connection(port, connect(client, level, **options), host=host)
    body = connection.expect(CONNACK)
    assert body[1] == 0, f"refused with {body[1]:#x}"
    return connection
