"""Data and packets in general (sections 1.5 and 2): strings, lengths, flags, Packet Identifiers."""

import pytest

import wire
from conformance.statements import covers
from properties import properties
from wire import (AUTH, CONNACK, CONNECT, DISCONNECT, MQTT_5, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC,
                  PUBREL, SUBACK, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE, packet, string)

ILL_FORMED = {"a lone byte": b"a\xff", "a surrogate": b"\xed\xa0\x80",
              "both halves of a pair": b"\xed\xa0\xbd\xed\xb8\x80", "overlong": b"\xc0\xaf", "cut short": b"\xe2\x82",
              "above U+10FFFF": b"\xf4\x90\x80\x80"}


def with_string(bad):
    """A packet of each place that has a string."""
    return {
        "topic": wire.publish(bad, level=MQTT_5),
        "filter": wire.subscribe(bad, level=MQTT_5),
        "filter to unsubscribe": wire.unsubscribe(bad, level=MQTT_5),
        "response topic": wire.publish("t", level=MQTT_5, properties=properties(response_topic=bad)),
        "content type": wire.publish("t", level=MQTT_5, properties=properties(content_type=bad)),
        "name of a user property": wire.publish("t", level=MQTT_5, properties=properties(user_property=(bad, "v"))),
        "value of a user property": wire.publish("t", level=MQTT_5, properties=properties(user_property=("n", bad))),
        "reason string": wire.acknowledgement(PUBACK, 1, 0, MQTT_5, properties(reason_string=bad)),
        "reason string of DISCONNECT": wire.disconnect(0, MQTT_5, properties(reason_string=bad)),
    }


@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in ILL_FORMED.items()])
@pytest.mark.parametrize("place", with_string(b""))
@covers("1.5.7-1", "3.3.2-1", "3.3.2-13", "3.3.2-19", "3.8.3-1", "3.10.3-1")
def test_mqtt_1_5_4_1_ill_formed(connect, place, bad):
    client = connect()
    client.send(with_string(bad)[place])
    client.expect_closed(0x81)


@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in (ILL_FORMED | {"NUL": b"a\0"}).items()])
@covers("3.1.3-4", "3.1.3-11", "3.1.3-12", "1.5.4-1", "1.5.4-2")
def test_mqtt_3_1_4_1_ill_formed_strings_in_connect(dial, bad):
    for said in (wire.connect(bad, MQTT_5), wire.connect("c", MQTT_5, will=(bad, b"")),
                 wire.connect("c", MQTT_5, login=(bad, "p")),
                 wire.connect("c", MQTT_5, properties=properties(user_property=("n", bad))),
                 wire.connect("c", MQTT_5, will=("t", b""), will_properties=properties(content_type=bad))):
        client = dial()
        client.send(said)
        client.expect_rejected(0x81)


@pytest.mark.parametrize("place", with_string(b""))
@covers("4.7.3-2", "1.5.7-1")
def test_mqtt_1_5_4_2_nul(connect, place):
    client = connect()
    client.send(with_string(b"a\0b")[place])
    client.expect_closed(0x81)


def test_mqtt_1_5_4_3_byte_order_mark(connect, topic):
    """It is a character like any other: kept, and compared."""
    marked, text = "\ufeff" + topic, "\ufeffa\ufeff"
    client, other = connect(), connect()
    client.subscribe(marked)
    other.subscribe(topic)
    client.publish(marked, text, content_type=text, user_property=[(text, text)])
    client.expect(PUBLISH, topic=marked, payload=text.encode(), content_type=text, user_property=[(text, text)])
    assert other.rest() == []


@pytest.mark.parametrize("said", [
    pytest.param(bytes([PINGREQ, 0x80, 0x00]), id="remaining length"),
    pytest.param(bytes([PUBLISH, 0x86, 0x80, 0x00]) + string("t") + b"\0" + b"xx", id="remaining length in four"),
    pytest.param(packet(PUBLISH, string("t") + b"\x80\x00"), id="property length"),
    pytest.param(packet(SUBSCRIBE | 2, b"\0\1" + b"\3\x0b\x81\0" + string("t") + b"\0"), id="subscription identifier"),
    pytest.param(bytes([PINGREQ, 0x80, 0x80, 0x80, 0x80, 0x00]), id="five bytes"),
])
def test_mqtt_1_5_5_1_lengths_of_too_many_bytes(connect, said):
    client = connect()
    client.send(said)
    client.expect_closed(0x81)


def test_mqtt_1_5_5_1_lengths_of_the_brokers(connect, topic):
    """Around the sizes at which a length gets another byte, of packets and of properties."""
    client = connect()
    client.subscribe(topic)
    for size in (127, 128, 16383, 16384):
        for less in range(40):
            payload = bytes(size - less)
            client.publish(topic, payload)
            assert client.expect(PUBLISH).payload == payload
    for size in (127, 128, 16383, 16384):
        for less in range(8):
            value = "x" * (size - less)
            client.publish(topic, b"p", user_property=[("n", value)])
            client.expect(PUBLISH, payload=b"p", user_property=[("n", value)])


WRONG_FLAGS = {
    "PUBACK": packet(PUBACK, b"\0\1"), "PUBREC": packet(PUBREC, b"\0\1"), "PUBREL": packet(PUBREL, b"\0\1"),
    "PUBCOMP": packet(PUBCOMP, b"\0\1"), "SUBSCRIBE": wire.subscribe("t", level=MQTT_5),
    "UNSUBSCRIBE": wire.unsubscribe("t", level=MQTT_5), "PINGREQ": wire.PING, "DISCONNECT": packet(DISCONNECT),
    "AUTH": packet(AUTH, b"\x18\0"),
}


@pytest.mark.parametrize("kind", WRONG_FLAGS)
@covers("3.6.1-1", "3.8.1-1", "3.10.1-1", "3.14.1-1", "3.15.1-1")
def test_mqtt_2_1_3_1_reserved_flags(connect, kind):
    said = WRONG_FLAGS[kind]
    right = 2 if said[0] & 0xF0 in (PUBREL, SUBSCRIBE, UNSUBSCRIBE) else 0
    for flags in {*range(16)} - {right}:
        client = connect()
        client.send(bytes([said[0] & 0xF0 | flags]) + said[1:])
        client.expect_closed(0x81)


@covers("3.1.4-1")
def test_mqtt_2_1_3_1_reserved_flags_of_connect(dial):
    said = wire.connect("c", MQTT_5)
    for flags in range(1, 16):
        client = dial()
        client.send(bytes([CONNECT | flags]) + said[1:])
        client.expect_rejected(0x81)


@pytest.mark.parametrize("kind", [0, CONNACK, SUBACK, UNSUBACK, PINGRESP])
def test_packets_that_no_client_sends(connect, kind):
    client = connect()
    body = {CONNACK: b"\0\0\0", SUBACK: b"\0\1\0\0", UNSUBACK: b"\0\1\0\0"}.get(kind, b"")
    client.send(packet(kind, body))
    client.expect_closed(0x81, 0x82)


def test_mqtt_2_2_1_2_no_identifier_at_qos_0(connect, topic):
    """Neither of a message that had one when it came in."""
    publisher, client = connect(), connect()
    client.subscribe(topic, qos=0)
    for qos in (0, 1, 2):
        publisher.publish(topic, b"load", qos)
        assert client.receive() == (PUBLISH, string(topic) + b"\0" + b"load")


@pytest.mark.parametrize("said", [
    pytest.param(wire.publish("t", qos=1, identifier=0, level=MQTT_5), id="PUBLISH of QoS 1"),
    pytest.param(wire.publish("t", qos=2, identifier=0, level=MQTT_5), id="PUBLISH of QoS 2"),
    pytest.param(wire.subscribe("t", identifier=0, level=MQTT_5), id="SUBSCRIBE"),
    pytest.param(wire.unsubscribe("t", identifier=0, level=MQTT_5), id="UNSUBSCRIBE"),
])
def test_mqtt_2_2_1_3_identifier_0(connect, said):
    client = connect()
    client.send(said)
    client.expect_closed(0x81, 0x82)


@pytest.mark.parametrize("qos", [1, 2])
@covers("4.3.2-1", "4.3.3-1")
def test_mqtt_2_2_1_4_identifiers_of_the_brokers(connect, topic, qos):
    """Not 0 (the decoder sees to that), and none that is in use: some are not given back for long."""
    publisher, subscriber = connect(), connect()
    subscriber.subscribe(topic, qos=qos)
    in_use = {}
    for number in range(200):
        publisher.publish(topic, str(number), qos)
        message = subscriber.expect(PUBLISH, qos=qos, payload=str(number).encode())
        assert message.identifier not in in_use
        in_use[message.identifier] = message
        if len(in_use) == 15:
            for one in list(in_use)[3::2]:
                subscriber.acknowledge(in_use.pop(one))


@covers("3.3.4-1", "4.3.2-4", "4.3.3-8", "4.3.3-11", "3.4.2-1", "3.5.2-1", "3.7.2-1")
def test_mqtt_2_2_1_5_acknowledgements_have_the_identifier(connect, topic):
    client = connect()
    client.subscribe(topic + "/other")
    for identifier in (1, 255, 256, 0x1234, 65535):
        client.send_publish(topic, b"x", qos=1, identifier=identifier)
        client.expect(PUBACK, identifier=identifier)
        client.send_publish(topic, b"x", qos=2, identifier=identifier)
        client.expect(PUBREC, identifier=identifier)
        client.send_ack(PUBREL, identifier)
        client.expect(PUBCOMP, identifier=identifier, reason=0)
    client.send_publish(topic, b"x", qos=0)
    assert client.rest() == [], "QoS 0 is not answered"


@covers("3.8.4-1", "3.8.4-2", "3.10.4-4", "3.10.4-5")
def test_mqtt_2_2_1_6_identifiers_of_subscriptions(connect, topic):
    client = connect()
    for identifier in (1, 255, 256, 0x1234, 65535):
        client.send_subscribe(topic, identifier=identifier)
        client.expect(SUBACK, identifier=identifier)
        client.send(wire.unsubscribe(topic, identifier=identifier, level=MQTT_5))
        client.expect(UNSUBACK, identifier=identifier)


def test_mqtt_2_2_2_1_no_properties(connect, topic):
    """Byte for byte: the length 0 is there."""
    publisher, client = connect(), connect()
    client.send_subscribe(topic, identifier=7)
    assert client.receive() == (SUBACK, b"\0\7\0\0")
    publisher.publish(topic, b"x")
    assert client.receive() == (PUBLISH, string(topic) + b"\0x")
    client.send(wire.unsubscribe(topic, identifier=8, level=MQTT_5))
    assert client.receive() == (UNSUBACK, b"\0\10\0\0")


@pytest.mark.parametrize("said", [
    pytest.param(packet(PUBLISH, string("t")), id="PUBLISH"),
    pytest.param(packet(SUBSCRIBE | 2, b"\0\1"), id="SUBSCRIBE"),
    pytest.param(packet(UNSUBSCRIBE | 2, b"\0\1"), id="UNSUBSCRIBE"),
])
@covers("2.2.2-1")
def test_mqtt_4_13_1_1_no_property_length(connect, said):
    client = connect()
    client.send(said)
    client.expect_closed(0x81)


PROPERTY_ERRORS = {
    # Unknown, elsewhere, cut short: malformed. Twice, or a value that is not allowed: a Protocol Error.
    "unknown": (b"\x7f\0", 0x81), "of CONNECT": (properties(receive_maximum=5), 0x81),
    "of a will": (properties(will_delay_interval=5), 0x81), "of CONNACK": (properties(maximum_qos=1), 0x81),
    "cut short": (b"\x02\0\0\0", 0x81), "a string cut short": (b"\x03\0\5ab", 0x81),
    "payload format twice": (properties(payload_format_indicator=[0, 0]), 0x82),
    "expiry twice": (properties(message_expiry_interval=[9, 9]), 0x82),
    "content type twice": (properties(content_type=["a", "a"]), 0x82),
    "response topic twice": (properties(response_topic=["a", "a"]), 0x82),
    "correlation data twice": (properties(correlation_data=[b"a", b"a"]), 0x82),
    "alias twice": (properties(topic_alias=[1, 1]), 0x82),
    "payload format 2": (properties(payload_format_indicator=2), 0x82),
}


@pytest.mark.parametrize("data, reason", [pytest.param(*case, id=name) for name, case in PROPERTY_ERRORS.items()])
def test_wrong_properties(connect, data, reason):
    """Section 2.2.2.2 and those of the properties."""
    client = connect()
    client.send_publish("t", b"x", properties=data)
    client.expect_closed(reason)


@pytest.mark.parametrize("length", [5, 100])
def test_a_property_length_beyond_the_packet(connect, length):
    client = connect()
    client.send(packet(PUBLISH, string("t") + bytes([length]) + b"\1\0"))
    client.expect_closed(0x81)
