"""The ground that the conformance tests stand on: what is decoded, and that nothing comes late."""

import pytest

import wire
from conformance.packet import decode
from properties import TABLE, properties
from wire import CONNACK, DISCONNECT, MQTT_3_1_1, MQTT_5, PUBACK, PUBLISH, PUBREL, SUBACK, UNSUBACK, string

ROUNDS = 100


@pytest.fixture(params=[MQTT_3_1_1, MQTT_5])
def level(request):
    """The tests below hold in every version."""
    return request.param


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_is_published_is_there(connect, topic, qos):
    """When the publisher has its answer, the message comes before the answer to the subscriber's next PINGREQ."""
    publisher, subscriber = connect(), connect()
    subscriber.subscribe(topic, qos=qos)
    for number in range(ROUNDS):
        publisher.publish(topic, str(number), qos)
        rest = subscriber.rest()
        assert [packet.payload for packet in rest] == [str(number).encode()]
        subscriber.acknowledge(rest[0])


def test_a_loss_is_noticed(connect, topic):
    """After `lose` the broker has done what it does at the end of a connection: the Will Message is there."""
    subscriber = connect()
    subscriber.subscribe(topic)
    for number in range(ROUNDS):
        connect(will=(topic, str(number))).lose()
        assert subscriber.payloads() == [str(number).encode()]


def test_what_is_awaited_elsewhere_stays(connect, topic):
    client = connect()
    client.subscribe(topic, qos=1)
    client.publish(topic, "1", qos=1)
    client.publish(topic, "2", qos=1)
    assert client.payloads() == [b"1", b"2"]
    assert client.rest() == []


def test_good_packets_are_read():
    many = properties(session_expiry_interval=7, user_property=[("a", "b"), ("a", "c")], reason_string="ä")
    packet = decode(CONNACK, b"\1\0" + wire.length(len(many)) + many, MQTT_5)
    assert packet.session_present and packet.reason == 0 and packet.size == 2 + 3 + len(many)
    assert packet.properties == {"session_expiry_interval": 7, "user_property": [("a", "b"), ("a", "c")],
                                 "reason_string": "ä"}
    packet = decode(PUBLISH | 0x0D, string("t") + b"\x01\x02" + b"\0" + b"load", MQTT_5)
    assert (packet.dup, packet.qos, packet.retain) == (True, 2, True)
    assert (packet.topic, packet.identifier, packet.payload) == ("t", 0x102, b"load")
    assert decode(PUBLISH, string("t") + b"load", MQTT_3_1_1).payload == b"load"
    assert decode(SUBACK, b"\0\1\0\2\x80", MQTT_3_1_1).reasons == [0, 2, 0x80]
    assert decode(PUBACK, b"\0\1\x10", MQTT_5).reason == 0x10
    assert decode(PUBACK, b"\0\1", MQTT_5).reason == 0
    assert decode(UNSUBACK, b"\0\1", MQTT_3_1_1).reasons is None


def test_every_property_is_written_and_read():
    values = {"b": 1, "h": 2, "i": 3, "v": 300, "s": "s", "d": b"d", "p": ("a", "b")}
    for name, (_, form, kinds) in TABLE.items():
        for kind in kinds:
            encoded = properties(**{name: values[form]})
            body = {PUBLISH: string("t"), CONNACK: b"\0\0", SUBACK: b"\0\1", UNSUBACK: b"\0\1", DISCONNECT: b"\0",
                    wire.AUTH: b"\0"}.get(kind, b"\0\1\0") + wire.length(len(encoded)) + encoded
            body += b"\0" if kind in (SUBACK, UNSUBACK) else b""
            found = decode(kind | (2 if kind == PUBREL else 0), body, MQTT_5).properties[name]
            assert found in (values[form], [values[form]])


@pytest.mark.parametrize("level, first, body", [
    (MQTT_5, CONNACK | 1, b"\0\0\0"), (MQTT_5, CONNACK, b"\2\0\0"), (MQTT_5, CONNACK, b"\1\x80\0"),
    (MQTT_5, CONNACK, b"\0\1\0"), (MQTT_3_1_1, CONNACK, b"\0\6"), (MQTT_5, CONNACK, b"\0\0\0x"),
    (MQTT_5, CONNACK, b"\0\0\x80\0"), (MQTT_5, CONNACK, b"\0\0\6\x22\0\1\x22\0\1"),
    (MQTT_5, CONNACK, b"\0\0\3\x23\0\1"),
    (MQTT_5, PUBLISH | 6, string("t") + b"\0\1\0"), (MQTT_5, PUBLISH | 8, string("t") + b"\0"),
    (MQTT_5, PUBLISH, string("a/#") + b"\0"), (MQTT_5, PUBLISH, string("") + b"\0"),
    (MQTT_5, PUBLISH, string("a\0") + b"\0"), (MQTT_5, PUBLISH | 2, string("t") + b"\0\0\0"),
    (MQTT_5, PUBACK, b"\0\1\1"), (MQTT_5, PUBREL, b"\0\1"), (MQTT_5, SUBACK, b"\0\1\0\x10"),
    (MQTT_3_1_1, SUBACK, b"\0\1\x87"), (MQTT_3_1_1, PUBACK, b"\0\1\0"), (MQTT_3_1_1, DISCONNECT, b""),
    (MQTT_5, DISCONNECT, b"\4"), (MQTT_5, wire.SUBSCRIBE | 2, b"\0\1\0" + string("t") + b"\0"),
])
def test_bad_packets_are_not(level, first, body):
    with pytest.raises(AssertionError):
        decode(first, body, level)


def test_nor_bad_strings():
    for data in (b"\xff", b"\xed\xa0\x80", b"\xc0\x80"):
        with pytest.raises(UnicodeDecodeError):
            decode(PUBLISH, string(data) + b"x", MQTT_3_1_1)
