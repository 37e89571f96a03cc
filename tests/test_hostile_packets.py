"""Bytes that no client should send: each ends its own connection, and nothing else."""

import random
import struct
import uuid

import pytest

import wire
from waiting import until
from wire import MQTT_3_1, MQTT_3_1_1, MQTT_5, Connection, connected, packet, string

pytestmark = pytest.mark.usefixtures("unharmed")

GOOD = wire.connect("hostile")
GOOD_5 = wire.connect("hostile", MQTT_5)


def connect_with(flags=0x02, name="MQTT", level=4, rest=b"\0\7hostile", properties=b""):
    return packet(wire.CONNECT, string(name) + bytes([level, flags]) + b"\0\x3c" + properties + rest)


BEFORE_CONNECT = {
    "a TLS handshake": bytes.fromhex("16030100c8010000c40303") + bytes(192),
    "an SSH greeting": b"SSH-2.0-OpenSSH_9.2\r\n",
    "zeros": bytes(100),
    "ones": b"\xff" * 100,
    "PUBLISH": wire.publish("x", b"x"),
    "SUBSCRIBE": wire.subscribe("#"),
    "PINGREQ": wire.PING,
    "DISCONNECT": packet(wire.DISCONNECT),
    "CONNACK": packet(wire.CONNACK, b"\0\0"),
    "AUTH": packet(wire.AUTH),
    "packet type 0": packet(0),
    "CONNECT with flags in its first byte": bytes([wire.CONNECT | 1]) + GOOD[1:],
    "a remaining length of five bytes": bytes([wire.CONNECT]) + b"\xff\xff\xff\xff\x7f",
    "a remaining length of 256 MB": bytes([wire.CONNECT]) + b"\xff\xff\xff\x7f",
    "an empty CONNECT": packet(wire.CONNECT),
    "a name that is none": connect_with(name="MQTX"),
    "an empty name": connect_with(name=""),
    "a name longer than the packet": packet(wire.CONNECT, b"\xff\xffMQTT"),
    "the reserved flag": connect_with(flags=0x03),
    "a will of QoS 3": connect_with(flags=0x1E, rest=string("x") + string("t") + string("p")),
    "a will's flags without a will": connect_with(flags=0x2A),
    "a will without a topic": connect_with(flags=0x06),
    "a will on a filter": wire.connect("x", will=("a/#", b"x")),
    "a will on the empty topic": wire.connect("x", will=("", b"x")),
    "a password without a user name in 3.1.1": connect_with(flags=0x42, rest=string("x") + string("p")),
    "a user name that is missing": connect_with(flags=0x82),
    "bytes after the end": connect_with(rest=string("x") + b"more"),
    "a client identifier cut short": connect_with(rest=b"\0\x10abc"),
    "a client identifier in Latin-1": connect_with(rest=string(b"\xe4")),
    "a client identifier with NUL": connect_with(rest=string("a\0b")),
    "a client identifier with a control character": connect_with(rest=string("a\x07b")),
    "a client identifier with a surrogate": connect_with(rest=string(b"\xed\xa0\x80")),
    "a client identifier too long for UTF-8": connect_with(rest=string(b"\xc0\x80")),
    "5.0 without properties": connect_with(level=5, rest=b""),
    "5.0 with an unknown property": wire.connect("x", MQTT_5, properties=b"\x7f\0"),
    "5.0 with a property twice": wire.connect("x", MQTT_5, properties=b"\x11\0\0\0\1\x11\0\0\0\1"),
    "5.0 with a property that belongs elsewhere": wire.connect("x", MQTT_5, properties=b"\x23\0\1"),
    "5.0 with a property cut short": wire.connect("x", MQTT_5, properties=b"\x11\0"),
    "5.0 with Receive Maximum 0": wire.connect("x", MQTT_5, properties=b"\x21\0\0"),
    "5.0 with Maximum Packet Size 0": wire.connect("x", MQTT_5, properties=b"\x27\0\0\0\0"),
    "5.0 with authentication data but no method": wire.connect("x", MQTT_5, properties=b"\x16\0\1x"),
    "5.0 with a property length beyond the packet": connect_with(
        level=5, properties=b"\xff\xff\x7f", rest=string("x")),
    "the length byte that is not minimal": bytes([wire.CONNECT, 0x80, 0x80, 0x80, 0x80, 0x01]),
}

AFTER_CONNECT = {
    "CONNECT again": GOOD,
    "CONNACK": packet(wire.CONNACK, b"\0\0"),
    "SUBACK": packet(wire.SUBACK, b"\0\1\0"),
    "UNSUBACK": packet(wire.UNSUBACK, b"\0\1"),
    "PINGRESP": packet(wire.PINGRESP),
    "AUTH": packet(wire.AUTH),
    "packet type 0": packet(0),
    "PUBLISH of QoS 3": packet(wire.PUBLISH | 6, string("x") + b"\0\1"),
    "PUBLISH with DUP and QoS 0": packet(wire.PUBLISH | 8, string("x")),
    "PUBLISH without a topic": packet(wire.PUBLISH),
    "PUBLISH to the empty topic": wire.publish("", b"x"),
    "PUBLISH with a topic beyond the packet": packet(wire.PUBLISH, b"\xff\xffx"),
    "PUBLISH without an identifier": packet(wire.PUBLISH | 2, string("x")),
    "PUBLISH with identifier 0": wire.publish("x", qos=1, identifier=0),
    "PUBLISH to a/#": wire.publish("a/#", b"x"),
    "PUBLISH to +": wire.publish("+", b"x"),
    "PUBLISH to a+b": wire.publish("a+b", b"x"),
    "PUBLISH to bad UTF-8": wire.publish(b"a\xff", b"x"),
    "PUBLISH to a topic with NUL": wire.publish("a\0b", b"x"),
    "PUBLISH of 2 MB": wire.publish("x", bytes(2 << 20)),
    "the announcement of 256 MB": bytes([wire.PUBLISH]) + b"\xff\xff\xff\x7f",
    "a remaining length of five bytes": bytes([wire.PUBLISH]) + b"\x80\x80\x80\x80\x01",
    "SUBSCRIBE to nothing": packet(wire.SUBSCRIBE | 2, b"\0\1"),
    "SUBSCRIBE with identifier 0": wire.subscribe("x", identifier=0),
    "SUBSCRIBE with QoS 3": wire.subscribe("x", qos=3),
    "SUBSCRIBE to the empty filter": wire.subscribe(""),
    "SUBSCRIBE to a#": wire.subscribe("a#"),
    "SUBSCRIBE to a/#/b": wire.subscribe("a/#/b"),
    "SUBSCRIBE to a+": wire.subscribe("a+"),
    "SUBSCRIBE to bad UTF-8": wire.subscribe(b"\xff"),
    "SUBSCRIBE cut short": packet(wire.SUBSCRIBE | 2, b"\0\1\0\5ab"),
    "UNSUBSCRIBE from nothing": packet(wire.UNSUBSCRIBE | 2, b"\0\1"),
    "PUBACK cut short": packet(wire.PUBACK, b"\0"),
    "PINGREQ with a body": packet(wire.PINGREQ, b"x"),
    "DISCONNECT with a body": packet(wire.DISCONNECT, b"\0"),
}

# MQTT 3.1 has no use for these flags, and no rule against them.
AFTER_CONNECT_3_1_1 = {
    "SUBSCRIBE with wrong flags": bytes([wire.SUBSCRIBE]) + wire.subscribe("x")[1:],
    "UNSUBSCRIBE with wrong flags": packet(wire.UNSUBSCRIBE, b"\0\1" + string("x")),
    "PUBREL with wrong flags": packet(wire.PUBREL, b"\0\1"),
    "PINGREQ with flags": packet(wire.PINGREQ | 1),
}

AFTER_CONNECT_5 = {
    "an alias of 0": packet(wire.PUBLISH, string("x") + b"\3\x23\0\0"),
    "an alias above the maximum": packet(wire.PUBLISH, string("x") + b"\3\x23\xff\xff"),
    "an alias that is not known": packet(wire.PUBLISH, string("") + b"\3\x23\0\5"),
    "a subscription identifier from a client": packet(wire.PUBLISH, string("x") + b"\2\x0b\1"),
    "a subscription identifier of 0": packet(wire.SUBSCRIBE | 2, b"\0\1\2\x0b\0" + string("x") + b"\0"),
    "reserved subscription options": packet(wire.SUBSCRIBE | 2, b"\0\1\0" + string("x") + b"\xc0"),
    "retain handling 3": packet(wire.SUBSCRIBE | 2, b"\0\1\0" + string("x") + b"\x30"),
    "no local on a shared subscription": packet(wire.SUBSCRIBE | 2, b"\0\1\0" + string("$share/g/x") + b"\x04"),
    "a share without a name": packet(wire.SUBSCRIBE | 2, b"\0\1\0" + string("$share//x") + b"\0"),
    "a share without a filter": packet(wire.SUBSCRIBE | 2, b"\0\1\0" + string("$share/g") + b"\0"),
    "a response topic with a wildcard": packet(wire.PUBLISH, string("x") + b"\4\x08\0\1#"),
    "a property twice": packet(wire.PUBLISH, string("x") + b"\4\1\0\1\0"),
    "a payload format of 2": packet(wire.PUBLISH, string("x") + b"\2\1\2"),
    "a property of CONNECT": packet(wire.PUBLISH, string("x") + b"\3\x21\0\1"),
    "a user property with a control character": packet(
        wire.PUBLISH, string("x") + b"\7\x26" + string("a") + string("\n")),
    "a user property cut short": packet(wire.PUBLISH, string("x") + b"\4\x26\0\1a"),
    "a session that would last although it did not": packet(wire.DISCONNECT, b"\0\5\x11\0\0\0\1"),
    "AUTH without a method": packet(wire.AUTH, b"\x18\0"),
    "an unknown reason": packet(wire.DISCONNECT, b"\x55"),
}


def is_refusal(said, level):
    """Nothing, a CONNACK that refuses, or a DISCONNECT with a reason (5.0)."""
    if not said:
        return True
    kind, code = said[0], said[3 if said[0] == wire.CONNACK else 2]
    return kind == wire.CONNACK and code != 0 or level == MQTT_5 and kind == wire.DISCONNECT and code >= 0x80


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in BEFORE_CONNECT.items()])
def test_before_connect(router, data):
    with Connection(router.port, data) as connection:
        assert is_refusal(connection.until_closed(), MQTT_5)


@pytest.mark.parametrize("level", [0, 1, 2, 6, 127, 0x84, 0xFF])
def test_versions_that_are_none(router, level):
    """Return code 1 is what clients of old understand [MQTT-3.1.2-2]; 0x84 is its name in 5.0."""
    for name in ("MQTT", "MQIsdp"):
        with Connection(router.port, connect_with(level=level, name=name)) as connection:
            said = connection.until_closed()
            assert said == b"" or said[0] == wire.CONNACK and said[3] in (0x01, 0x84), said


def cases(table, level):
    return [pytest.param(level, data, id=f"{name}-{level}") for name, data in table.items()]


@pytest.mark.parametrize("level, data", [
    *cases(AFTER_CONNECT, MQTT_3_1), *cases(AFTER_CONNECT, MQTT_3_1_1), *cases(AFTER_CONNECT_3_1_1, MQTT_3_1_1)])
def test_after_connect(router, level, data):
    with connected(router.port, "hostile", level) as connection:
        connection.try_to_send(data)
        assert connection.until_closed() == b""


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in AFTER_CONNECT_5.items()])
def test_after_connect_in_5(router, data):
    with connected(router.port, "hostile", MQTT_5) as connection:
        connection.send(data)
        said = connection.until_closed()
        assert not said or said[0] & 0xF0 in (wire.DISCONNECT, wire.SUBACK, wire.PUBACK), said


def test_the_reason_is_told_in_5(router):
    """A malformed packet is 0x81, a forbidden one 0x82 (MQTT 5.0, 4.13.1)."""
    for data, reasons in [
        (wire.connect("x", MQTT_5), {0x82}),
        (connect_with(level=7), {0x82}),
        (packet(wire.PUBLISH | 6, string("x") + b"\0\1\0"), {0x81}),
        (wire.publish("a/#", level=MQTT_5), {0x81}),
        (bytes([wire.PUBLISH]) + b"\xff\xff\xff\x7f", {0x95}),
    ]:
        with connected(router.port, "reason", MQTT_5) as connection:
            connection.send(data)
            said = connection.until_closed()
            assert said[0] == wire.DISCONNECT and said[2] in reasons, (data[:20], said)


def test_every_cut_of_good_packets(router):
    """A peer may die after any byte."""
    for whole in (GOOD, GOOD_5):
        for end in range(len(whole)):
            with Connection(router.port, whole[:end]) as connection:
                connection.cut()
    after = wire.publish("x", b"payload", qos=2) + wire.subscribe("y", "z", qos=1)
    for end in range(len(after)):
        with Connection(router.port, GOOD, after[:end]) as connection:
            connection.cut()


def test_random_bytes(router):
    chance = random.Random(20261123)
    for _ in range(300):
        with Connection(router.port) as connection:
            if chance.random() < 0.5:
                connection.try_to_send(wire.connect("", chance.choice([MQTT_3_1_1, MQTT_5])))
            connection.try_to_send(chance.randbytes(chance.randrange(1, 300)))
            connection.cut()


def test_good_packets_with_bytes_changed(router):
    chance = random.Random(7)
    for _ in range(600):
        level = chance.choice([MQTT_3_1_1, MQTT_5])
        packets = [wire.connect("", level, will=("w", b"x"), login=("u", "p")),
                   wire.subscribe("a/+", "b/#", qos=2, level=level), wire.publish("a/b", b"x" * 20, 2, level=level),
                   packet(wire.PUBREL | 2, b"\0\1"), wire.PING]
        changed = bytearray(b"".join(packets))
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        with Connection(router.port) as connection:
            connection.try_to_send(bytes(changed))
            connection.cut()


def test_nobody_waits_for_256_megabytes(router):
    """A length is refused before anything is stored for it: many such promises cost no memory."""
    def memory():
        with open(f"/proc/{router.worker()}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    before = memory()
    promises = [Connection(router.port, wire.connect(f"promise{number}")) for number in range(40)]
    for connection in promises:
        connection.expect(wire.CONNACK)
        # One megabyte less one byte is allowed: promised, and never sent.
        connection.send(bytes([wire.PUBLISH]) + wire.length((1 << 20) - 8) + string("x"))
    assert memory() < before + 4096, "kilobytes"
    for connection in promises:
        connection.cut()


def test_a_flood_of_acknowledgements_for_nothing(router):
    with connected(router.port, "acks") as connection:
        kinds = [(wire.PUBACK, 0), (wire.PUBREC, 0), (wire.PUBREL, 2), (wire.PUBCOMP, 0)]
        flood = b"".join(packet(kind | flags, struct.pack(">H", number)) for number in range(1, 2000)
                         for kind, flags in kinds)
        connection.try_to_send(flood + packet(wire.DISCONNECT))
        connection.until_closed()


def test_who_is_deaf_harms_nobody(router):
    """A subscriber that never reads costs its own messages, not the memory nor the others' time."""
    topic = uuid.uuid4().hex
    deaf = connected(router.port, "deaf")
    deaf.send(wire.subscribe(topic))
    deaf.expect(wire.SUBACK)
    hearing = connected(router.port, "hearing")
    hearing.send(wire.subscribe("end", qos=1))
    hearing.expect(wire.SUBACK)
    sender = connected(router.port, "sender")
    for _ in range(200):
        sender.send(wire.publish(topic, bytes(100_000)))
    sender.send(wire.publish("end", b"end", qos=1))
    assert hearing.expect(wire.PUBLISH).endswith(b"end")
    until(lambda: router.observe()["clients"] >= 2, "the broker answers")
