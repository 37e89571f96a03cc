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


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack(">H", len(data)) + data


def packet(first, body=b""):
    return bytes([first]) + length(len(body)) + body


def connect(client="", level=MQTT_3_1_1, clean=True, keep_alive=60, will=None, login=None, properties=b""):
    """A CONNECT; will is (topic, payload), login is (user name, password)."""
    flags = 0x02 if clean else 0
    payload = string(client)
    if will:
        flags |= 0x04
        payload += (b"\0" if level == MQTT_5 else b"") + string(will[0]) + string(will[1])
    if login:
        flags |= 0xC0
        payload += string(login[0]) + string(login[1])
    head = string("MQIsdp" if level == MQTT_3_1 else "MQTT") + bytes([level, flags]) + struct.pack(">H", keep_alive)
    if level == MQTT_5:
        head += length(len(properties)) + properties
    return packet(CONNECT, head + payload)


def publish(topic, payload=b"", qos=0, retain=False, identifier=1, level=MQTT_3_1_1):
    body = string(topic)
    if qos:
        body += struct.pack(">H", identifier)
    if level == MQTT_5:
        body += b"\0"
    return packet(PUBLISH | qos << 1 | retain, body + payload)


def subscribe(*filters, qos=0, identifier=1, level=MQTT_3_1_1):
    body = struct.pack(">H", identifier) + (b"\0" if level == MQTT_5 else b"")
    return packet(SUBSCRIBE | 0x02, body + b"".join(string(one) + bytes([qos]) for one in filters))


class Connection:
    """A TCP connection to the broker on which anything can be said."""

    def __init__(self, port, *said, host="127.0.0.1", seconds=20):
        self.socket = socket.create_connection((host, port), timeout=seconds)
        self.ahead = b""
        for data in said:
            self.send(data)

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
                return first[0], self._take(size)

    def expect(self, first):
        """The body of the next packet, which has to be of this kind."""
        received = self.receive()
        assert received and received[0] & 0xF0 == first & 0xF0, f"expected {first:#x}, received {received}"
        return received[1]

    def until_closed(self):
        """Everything the broker still says before it closes the connection, which it must do in time."""
        rest = self.ahead
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
        taken, self.ahead = self.ahead[:count], self.ahead[count:]
        return taken


def connected(port, client="", level=MQTT_3_1_1, host="127.0.0.1", **options):
    """A connection that the broker has accepted."""
    connection = Connection(port, connect(client, level, **options), host=host)
    body = connection.expect(CONNACK)
    assert body[1] == 0, f"refused with {body[1]:#x}"
    return connection
