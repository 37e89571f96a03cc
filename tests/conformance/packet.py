"""What a broker sends, decoded: strictly, so that every test judges every packet it gets."""

from dataclasses import dataclass, field

import wire
from properties import take_properties

SUCCESS = 0x00
ACKNOWLEDGEMENTS = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
RELEASES = {0x00, 0x92}
# The reasons that a server may give in each packet (MQTT 5.0, section 2.4).
REASONS = {
    wire.CONNACK: {0x00, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F},
    wire.PUBACK: ACKNOWLEDGEMENTS,
    wire.PUBREC: ACKNOWLEDGEMENTS,
    wire.PUBREL: RELEASES,
    wire.PUBCOMP: RELEASES,
    wire.SUBACK: {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
    wire.UNSUBACK: {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
    wire.DISCONNECT: {0x00, *range(0x80, 0x84), 0x87, 0x89, 0x8B, *range(0x8D, 0x91), *range(0x93, 0xA3)},
    wire.AUTH: {0x00, 0x18, 0x19},
}
# What 3.1.1 knows instead: of CONNACK and SUBACK.
RETURN_CODES = {wire.CONNACK: set(range(6)), wire.SUBACK: {0x00, 0x01, 0x02, 0x80}}
NAMES = {getattr(wire, name): name for name in (
    "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBACK", "UNSUBACK", "PINGRESP", "DISCONNECT",
    "AUTH")}


@dataclass
class Packet:
    """One packet from the broker. What its kind does not have is None."""

    kind: int
    #: The lower half of the first byte.
    flags: int
    #: In bytes, with the fixed header.
    size: int
    identifier: int | None = None
    #: Reason Code of 5.0, return code of 3.x.
    reason: int | None = None
    #: One for each filter, of SUBACK and UNSUBACK.
    reasons: list | None = None
    session_present: bool | None = None
    topic: str | None = None
    payload: bytes | None = None
    #: By name, see tests/properties.py.
    properties: dict = field(default_factory=dict)

    @property
    def dup(self):
        return bool(self.flags & 8)

    @property
    def qos(self):
        return self.flags >> 1 & 3

    @property
    def retain(self):
        return bool(self.flags & 1)

    def __str__(self):
        shown = {name: value for name, value in vars(self).items()
                 if value not in (None, {}) and name not in ("kind", "size")}
        return f"{NAMES[self.kind]} {shown}"


class Reader:
    """Takes fields off the front of bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        assert count <= self.left(), f"a field of {count} bytes where {self.left()} are left"
        self.at += count
        return self.data[self.at - count:self.at]

    def part(self, count):
        return Reader(self.take(count))

    def byte(self):
        return self.take(1)[0]

    def two_bytes(self):
        return int.from_bytes(self.take(2), "big")

    def four_bytes(self):
        return int.from_bytes(self.take(4), "big")

    def number(self):
        """A variable byte integer, in as few bytes as it needs."""
        start, result = self.at, 0
        for shift in (0, 7, 14, 21):
            digit = self.byte()
            result |= (digit & 0x7F) << shift
            if digit < 0x80:
                assert self.data[start:self.at] == wire.length(result), "bytes that the length does not need"
                return result
        raise AssertionError("a variable byte integer of more than four bytes")

    def data_field(self):
        return self.take(self.two_bytes())

    def string(self):
        text = self.data_field().decode()
        assert "\0" not in text, f"U+0000 in {text!r}"
        return text

    def identifier(self):
        number = self.two_bytes()
        assert number > 0, "a Packet Identifier of 0"
        return number


def decode(first, body, level):
    """A packet of the broker's from its first byte and what follows its length."""
    kind, flags, reader = first & 0xF0, first & 0x0F, Reader(body)
    assert kind in NAMES, f"a server sends no packet of type {kind >> 4}"
    packet = Packet(kind, flags, 1 + len(wire.length(len(body))) + len(body))
    if kind != wire.PUBLISH:
        assert flags == (2 if kind == wire.PUBREL else 0), f"reserved flags in the first byte: {first:#x}"
    FIELDS[kind](packet, reader, level)
    assert not reader.left(), f"{reader.left()} bytes behind the end of {packet}"
    allowed = REASONS.get(kind) if level == wire.MQTT_5 else RETURN_CODES.get(kind)
    if allowed:
        codes = packet.reasons if packet.reasons is not None else [packet.reason]
        assert set(codes) <= allowed, f"a reason that the packet cannot have in {packet}"
    return packet


def _connack(packet, reader, level):
    flags = reader.byte()
    assert flags <= 1, f"reserved flags in CONNACK: {flags:#x}"
    packet.session_present = bool(flags)
    packet.reason = reader.byte()
    assert not (packet.session_present and packet.reason), "a session where there is no success"
    if level == wire.MQTT_5 and reader.left():
        packet.properties = take_properties(reader, packet.kind)


def _publish(packet, reader, level):
    assert packet.qos < 3, "QoS 3"
    assert packet.qos or not packet.dup, "DUP in a PUBLISH of QoS 0"
    packet.topic = reader.string()
    assert not set("+#") & set(packet.topic), f"wildcards in the topic {packet.topic!r}"
    if packet.qos:
        packet.identifier = reader.identifier()
    if level == wire.MQTT_5:
        packet.properties = take_properties(reader, packet.kind)
        assert packet.topic or packet.properties.get("topic_alias"), "neither topic nor alias"
    else:
        assert packet.topic, "an empty topic"
    packet.payload = reader.take(reader.left())


def _acknowledgement(packet, reader, level):
    packet.identifier = reader.identifier()
    if level == wire.MQTT_5:
        packet.reason = reader.byte() if reader.left() else SUCCESS
        if reader.left():
            packet.properties = take_properties(reader, packet.kind)


def _reasons(packet, reader, level):
    packet.identifier = reader.identifier()
    if level == wire.MQTT_5:
        packet.properties = take_properties(reader, packet.kind)
    if packet.kind == wire.SUBACK or level == wire.MQTT_5:
        packet.reasons = list(reader.take(reader.left()))


def _disconnect(packet, reader, level):
    assert level == wire.MQTT_5, f"a server of 3.x sends no {NAMES[packet.kind]}"
    packet.reason = reader.byte() if reader.left() else SUCCESS
    if reader.left():
        packet.properties = take_properties(reader, packet.kind)


FIELDS = {
    wire.CONNACK: _connack,
    wire.PUBLISH: _publish,
    **dict.fromkeys((wire.PUBACK, wire.PUBREC, wire.PUBREL, wire.PUBCOMP), _acknowledgement),
    **dict.fromkeys((wire.SUBACK, wire.UNSUBACK), _reasons),
    wire.PINGRESP: lambda packet, reader, level: None,
    **dict.fromkeys((wire.DISCONNECT, wire.AUTH), _disconnect),
}
