"""SUBSCRIBE, UNSUBSCRIBE, PINGREQ and DISCONNECT (sections 3.8 to 3.14)."""

import pytest

import wire
from conformance.statements import covers
from wire import (DISCONNECT, MQTT_3_1, MQTT_3_1_1, PING, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL,
                  SUBACK, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE, packet)

REFUSED = 0x80

# What is tested here holds in 3.1 as well.
pytestmark = pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_3_1])


@pytest.fixture
def publisher(connect):
    return connect()


@pytest.fixture
def client(connect):
    return connect()


@pytest.mark.parametrize("bad", [b"\xff", b"a/\xc0\x80", b"\xed\xa0\x80/#", b"a\0b"])
@covers("3.10.3-1")
def test_mqtt_3_8_3_1_topic_filters_are_utf_8(connect, topic, bad):
    for data in (wire.subscribe(bad), wire.subscribe(topic, bad), wire.unsubscribe(bad), wire.unsubscribe(topic, bad)):
        client = connect()
        client.send(data)
        client.expect_closed()
    client = connect()
    assert client.subscribe(f"ä€𐍈/{topic}").reasons == [0]
    client.publish(f"ä€𐍈/{topic}", "x")
    client.message(topic=f"ä€𐍈/{topic}")
    client.unsubscribe(f"ä€𐍈/{topic}")
    client.publish(f"ä€𐍈/{topic}", "x")
    assert client.messages() == []


def test_mqtt_3_8_3_3_subscribe_has_a_filter(client):
    client.send(packet(SUBSCRIBE | 2, b"\0\1"))
    client.expect_closed()


def test_mqtt_3_8_3_4_the_options_are_a_qos(connect, topic):
    for wanted in (3, 4, 8, 0x10, 0x21, 0x42, 0x80, 0xFF):
        client = connect()
        client.send(wire.subscribe((topic, 0), (topic, wanted)))
        client.expect_closed()


def test_mqtt_3_8_4_1_subscribe_is_answered(client, topic):
    """With SUBACK: a code for each filter, before what is said after it is answered."""
    client.send(wire.subscribe(topic, identifier=3) + PING)
    client.expect(SUBACK, identifier=3, reasons=[0])
    client.expect(PINGRESP)


def test_mqtt_3_8_4_3_the_same_filter_replaces(client, publisher, topic):
    """The retained messages come again, the messages come once, at the QoS of the last SUBSCRIBE."""
    publisher.publish(f"{topic}/a", "kept", qos=2, retain=True)
    for qos in (0, 2, 1, 1):
        assert client.subscribe(f"{topic}/+", qos=qos).reasons == [qos]
        client.message(payload=b"kept", retain=True, qos=qos)
        publisher.publish(f"{topic}/b", "live", qos=2)
        assert [(packet.payload, packet.qos) for packet in client.messages()] == [(b"live", qos)]
    client.unsubscribe(f"{topic}/+")
    publisher.publish(f"{topic}/b", "live", qos=2)
    assert client.messages() == []


def test_mqtt_3_8_4_3_nothing_is_lost_meanwhile(client, publisher, topic):
    client.subscribe(topic, qos=1)
    for number in range(100):
        publisher.send_publish(topic, str(number), qos=1, identifier=1 + number)
        if number % 10 == 0:
            client.send_subscribe(topic, qos=1, identifier=1 + number)
    publisher.answer(PUBACK, 100)
    received = []
    while len(received) < 100:
        packet = client.receive_packet()
        if packet.kind == PUBLISH:
            client.acknowledge(packet)
            received.append(packet.payload)
    assert received == [b"%d" % number for number in range(100)]
    assert [packet for packet in client.rest() if packet.kind == PUBLISH] == []


def test_mqtt_3_8_4_4_several_filters_are_like_several_packets(client, publisher, topic):
    publisher.publish(f"{topic}/b", "kept", retain=True)
    assert client.subscribe((f"{topic}/a", 0), (f"{topic}/b", 1), (f"{topic}/c", 2), (f"{topic}/a", 2)).reasons == [
        0, 1, 2, 2]
    client.message(payload=b"kept", retain=True)
    for level, qos in (("a", 2), ("b", 1), ("c", 2)):
        publisher.publish(f"{topic}/{level}", level, qos=2)
        client.message(payload=level.encode(), qos=qos)


@covers("3.9.3-1")
def test_mqtt_3_8_4_5_one_code_a_filter_in_their_order(client, topic):
    deep = "/".join("x" * 300)
    answer = client.subscribe((f"{topic}/a", 2), (deep, 1), (f"{topic}/b", 0), (f"{topic}/c", 1), (f"{deep}/#", 0))
    assert answer.reasons == [2, REFUSED, 0, 1, REFUSED]
    many = [(f"{topic}/{number}", number % 3) for number in range(200)]
    assert client.subscribe(*many).reasons == [qos for _, qos in many]


@pytest.mark.parametrize("sent", [0, 1, 2])
@pytest.mark.parametrize("asked", [0, 1, 2])
def test_mqtt_3_8_4_6_the_lower_qos_counts(client, publisher, topic, sent, asked):
    client.subscribe(topic, qos=asked)
    publisher.publish(topic, "x", qos=sent)
    assert [packet.qos for packet in client.messages()] == [min(sent, asked)]


def test_mqtt_3_9_3_2_refused_is_0x80(client, publisher, topic):
    """Of all that 5.0 has to say about it nothing else is left; a refused filter gets nothing."""
    deep = "/".join("x" * 300)
    assert client.subscribe(deep).reasons == [REFUSED]
    for topic_filter in (topic, "#", "$SYS/#", f"$share/{topic}/{topic}"):
        assert client.subscribe(topic_filter, qos=1).reasons[0] in (0, 1, 2, REFUSED)


def test_mqtt_3_10_3_2_unsubscribe_has_a_filter(client):
    client.send(packet(UNSUBSCRIBE | 2, b"\0\1"))
    client.expect_closed()


@covers("3.10.4-2")
def test_mqtt_3_10_4_1_an_equal_filter_is_deleted(client, publisher, topic):
    """Byte by byte, wildcards included: none stands for another, and the others stay."""
    filters = [f"{topic}/a", f"{topic}/+", f"{topic}/#"]
    for topic_filter in filters:
        client.subscribe(topic_filter)
    for other in (f"{topic}/b", f"{topic}/A", f"{topic}", f"{topic}/a/", f"{topic}/a/#", "#", "+/a", "+/#"):
        client.unsubscribe(other)
    publisher.publish(f"{topic}/a", "all there")
    client.message(payload=b"all there")
    client.unsubscribe(filters[2])
    publisher.publish(f"{topic}/a/b", "not this")
    publisher.publish(f"{topic}/b", "by the second")
    client.message(payload=b"by the second")
    client.unsubscribe(filters[1])
    publisher.publish(f"{topic}/b", "nor this")
    publisher.publish(f"{topic}/a", "by the first")
    client.message(payload=b"by the first")
    client.unsubscribe(filters[0])
    publisher.publish(f"{topic}/a", "nobody's")
    assert client.messages() == []


@covers("4.1.0-1")
def test_mqtt_3_10_4_3_deliveries_that_have_begun_are_completed(connect, publisher, name, topic):
    """On this connection, and on the next one of the session."""
    identifier = name()
    client = connect(identifier, clean=False)
    client.subscribe(topic, qos=2)
    publisher.publish(topic, "1", qos=1)
    publisher.publish(topic, "2", qos=2)
    publisher.publish(topic, "3", qos=2)
    one, two, three = (client.expect(PUBLISH) for _ in range(3))
    client.unsubscribe(topic)
    client.send_ack(PUBREC, two.identifier)
    client.expect(PUBREL, identifier=two.identifier)
    client.lose()
    again = connect(identifier, clean=False)
    again.expect(PUBLISH, identifier=one.identifier, payload=b"1", dup=True)
    again.expect(PUBREL, identifier=two.identifier)
    again.expect(PUBLISH, identifier=three.identifier, payload=b"3", dup=True)
    again.send_ack(PUBACK, one.identifier)
    again.send_ack(PUBCOMP, two.identifier)
    again.acknowledge(three)
    again.lose()
    assert connect(identifier, clean=False).messages() == []


def test_mqtt_3_10_4_5_unsuback_although_nothing_was_deleted(client, topic):
    client.send(wire.unsubscribe(topic, "#", identifier=8) + PING)
    client.expect(UNSUBACK, identifier=8)
    client.expect(PINGRESP)


def test_mqtt_3_10_4_6_several_filters_are_like_several_packets(client, publisher, topic):
    client.subscribe(*(f"{topic}/{level}" for level in "abcd"))
    client.unsubscribe(f"{topic}/a", f"{topic}/none", f"{topic}/c", f"{topic}/a")
    for level in "abcd":
        publisher.publish(f"{topic}/{level}", level)
    assert client.payloads() == [b"b", b"d"]


def test_mqtt_3_12_4_1_pingreq_is_answered(client):
    for _ in range(3):
        client.send(packet(PINGREQ))
        client.expect(PINGRESP)
    client.send(PING * 100)
    for _ in range(100):
        client.expect(PINGRESP)


def test_mqtt_3_14_4_1_who_does_not_close_after_disconnect_is_closed(client):
    client.send(packet(DISCONNECT))
    client.expect_closed()


@covers("3.14.4-3")
def test_mqtt_3_14_4_2_nothing_counts_after_disconnect(connect, publisher, topic):
    heir = connect()
    heir.subscribe(topic)
    client = connect(will=(topic, "gone"))
    client.send(packet(DISCONNECT) + wire.publish(topic, "too late", retain=True) + wire.subscribe(topic) + PING)
    client.expect_closed()
    assert heir.rest() == []
    late = connect()
    late.subscribe(topic)
    assert late.rest() == []
