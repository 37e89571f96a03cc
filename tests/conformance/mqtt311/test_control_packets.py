"""Strings, flags and Packet Identifiers (sections 1.5.3 and 2)."""

import pytest

import wire
from conformance.statements import covers
from wire import (CONNACK, CONNECT, DISCONNECT, PING, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL,
                  SUBACK, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE, packet, string)

# A string within a packet, each in a place of its own. The packets of the first dictionary come first of all.
STRINGS_IN_CONNECT = {
    "Client Identifier": lambda text: wire.connect(text),
    "Will Topic": lambda text: wire.connect("", will=(text, b"x")),
    "user name": lambda text: wire.connect("", login=(text, "x")),
}
STRINGS = {
    "Topic Name": lambda text: wire.publish(text, b"x"),
    "Topic Filter": lambda text: wire.subscribe(text),
    "second Topic Filter": lambda text: wire.subscribe("x", text),
    "Topic Filter of UNSUBSCRIBE": lambda text: wire.unsubscribe(text),
}
ILL_FORMED = [b"\xff", b"a\x80", b"\xc0\x80", b"\xc1\xbf", b"\xe2\x82", b"\xed\xa0\x80", b"\xed\xbf\xbf",
              b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80"]
WELL_FORMED = [b"\xc2\xa2", b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf0\xaa\x9b\x94",
               b"\xf4\x8f\xbf\xbd"]


@pytest.fixture
def closes(dial, connect):
    """Whether the broker closes the connection when a string has this text, and says nothing about it."""
    def closes(place, text):
        if place in STRINGS:
            client = connect()
            client.send(STRINGS[place](text) + PING)
        else:
            client = dial()
            client.send(STRINGS_IN_CONNECT[place](text) + PING)
        return client.receive_packet() is None

    return closes


@pytest.mark.parametrize("place", STRINGS_IN_CONNECT | STRINGS)
def test_mqtt_1_5_3_1_ill_formed_utf_8_closes_the_connection(closes, place):
    for text in ILL_FORMED:
        assert closes(place, text), f"{text} is taken as {place}"
    for text in WELL_FORMED:
        assert not closes(place, text), f"{text} is not taken as {place}"


@pytest.mark.parametrize("place", STRINGS_IN_CONNECT | STRINGS)
def test_mqtt_1_5_3_2_u_0000_closes_the_connection(closes, place):
    for text in (b"\0", b"a\0", b"\0a", b"a/\0/b"):
        assert closes(place, text), f"{text} is taken as {place}"


def test_mqtt_1_5_3_3_ef_bb_bf_is_a_character(connect, topic):
    publisher, with_it, without, wild = connect(), connect(), connect(), connect()
    with_it.subscribe(f"\ufeff{topic}")
    without.subscribe(topic)
    wild.subscribe(f"{topic}/+")
    publisher.publish(f"\ufeff{topic}", "x")
    publisher.publish(f"{topic}/\ufeffa\ufeff", "y")
    assert [packet.topic for packet in with_it.messages()] == [f"\ufeff{topic}"]
    assert without.messages() == []
    assert [packet.topic for packet in wild.messages()] == [f"{topic}/\ufeffa\ufeff"]


def test_mqtt_2_2_2_1_reserved_flags_have_their_value(connect, topic):
    """In every packet of the broker's; what tests receive elsewhere is checked as well."""
    client = connect()
    assert client.connack.flags == 0
    assert client.subscribe(topic, qos=2).flags == 0
    heard = {CONNACK: 0, SUBACK: 0}
    for qos in (0, 1, 2):
        client.send_publish(topic, "x", qos=qos, identifier=1)
    client.send(wire.acknowledgement(PUBREL, 1) + PING)
    while PUBCOMP not in heard or PINGRESP not in heard or PUBREL not in heard:
        packet = client.receive_packet()
        heard[packet.kind] = packet.flags if packet.kind != PUBLISH else packet.flags & 0x09
        if packet.kind == PUBLISH and packet.qos == 2:
            client.send_ack(PUBREC, packet.identifier)
    heard[UNSUBACK] = client.unsubscribe(topic).flags
    assert heard == {CONNACK: 0, SUBACK: 0, PUBLISH: 0, PUBACK: 0, PUBREC: 0, PUBREL: 2, PUBCOMP: 0, PINGRESP: 0,
                     UNSUBACK: 0}


# Each with the flags that it must have, and with nothing wrong beside them.
WITH_FLAGS = {
    "PUBACK": packet(PUBACK, b"\0\1"),
    "PUBREC": packet(PUBREC, b"\0\1"),
    "PUBREL": packet(PUBREL | 2, b"\0\1"),
    "PUBCOMP": packet(PUBCOMP, b"\0\1"),
    "SUBSCRIBE": wire.subscribe("flags"),
    "UNSUBSCRIBE": wire.unsubscribe("flags"),
    "PINGREQ": PING,
}


def assert_only_these_flags(connect, data):
    """The broker takes the packet with the flags that it has, and closes the connection for any others."""
    client = connect()
    client.send(data)
    client.rest()
    right = data[0] & 0x0F
    for flags in set(range(16)) - {right}:
        client = connect()
        client.send(bytes([data[0] & 0xF0 | flags]) + data[1:])
        client.expect_closed()


@pytest.mark.parametrize("kind", WITH_FLAGS)
def test_mqtt_2_2_2_2_other_flags_close_the_connection(connect, kind):
    assert_only_these_flags(connect, WITH_FLAGS[kind])


def test_mqtt_2_2_2_2_other_flags_of_connect_close_the_connection(dial):
    for flags in range(1, 16):
        client = dial()
        client.send(bytes([CONNECT | flags]) + wire.connect("flags")[1:])
        client.expect_closed()


def test_mqtt_3_6_1_1_flags_of_pubrel(connect):
    assert_only_these_flags(connect, WITH_FLAGS["PUBREL"])


def test_mqtt_3_8_1_1_flags_of_subscribe(connect):
    assert_only_these_flags(connect, WITH_FLAGS["SUBSCRIBE"])


def test_mqtt_3_10_1_1_flags_of_unsubscribe(connect):
    assert_only_these_flags(connect, WITH_FLAGS["UNSUBSCRIBE"])


def test_mqtt_3_14_1_1_flags_of_disconnect(connect, topic):
    """One with other flags is no DISCONNECT: the Will Message is published."""
    heir = connect()
    heir.subscribe(topic)
    for flags in range(16):
        client = connect(will=(topic, f"{flags}"))
        client.send(packet(DISCONNECT | flags))
        client.expect_closed()
        assert heir.payloads() == ([f"{flags}".encode()] if flags else [])


@pytest.mark.parametrize("data", [
    wire.publish("x", "x", qos=1, identifier=0), wire.publish("x", "x", qos=2, identifier=0),
    wire.subscribe("x", identifier=0), wire.unsubscribe("x", identifier=0)])
@covers("2.3.1-3")
def test_mqtt_2_3_1_1_an_identifier_of_0_closes_the_connection(connect, data):
    client = connect()
    client.send(data)
    client.expect_closed()


def test_mqtt_2_3_1_2_identifiers_that_a_client_uses_twice(connect, topic):
    """It may not; the broker answers each packet by itself all the same."""
    client, subscriber = connect(), connect()
    subscriber.subscribe(topic, qos=2)
    client.send_publish(topic, "1", qos=2, identifier=7)
    client.expect(PUBREC, identifier=7)
    client.send_subscribe("x", identifier=7)
    client.expect(SUBACK, identifier=7)
    client.send_publish(topic, "2", qos=1, identifier=7)
    client.expect(PUBACK, identifier=7)
    client.send(wire.unsubscribe("x", identifier=7))
    client.expect(UNSUBACK, identifier=7)
    client.release(7)
    assert subscriber.payloads() == [b"1", b"2"]


def test_mqtt_2_3_1_4_identifiers_of_what_the_broker_sends(connect, topic):
    """Never 0 and never one in use, whatever the order of the acknowledgements."""
    publisher, subscriber = connect(), connect()
    subscriber.subscribe(topic, qos=2)
    in_use, begun = {}, 0
    for number in range(200):
        publisher.publish(topic, str(number), qos=1 + number % 2)
        for received in subscriber.rest():
            assert received.identifier not in in_use
            in_use[received.identifier] = received
            begun += 1
        if len(in_use) >= 10:
            # Neither the first nor the last.
            identifier = sorted(in_use)[number % len(in_use)]
            subscriber.acknowledge(in_use.pop(identifier))
    while in_use or begun < 200:
        for received in in_use.values():
            subscriber.acknowledge(received)
        in_use = {received.identifier: received for received in subscriber.rest()}
        begun += len(in_use)
    assert begun == 200


def test_mqtt_2_3_1_5_no_identifier_at_qos_0(connect, topic):
    """In both directions: what follows the Topic Name is the payload."""
    publisher, subscriber = connect(), connect()
    subscriber.subscribe(topic, qos=2)
    publisher.send(packet(PUBLISH, string(topic) + b"\x12\x34") + PING)
    publisher.answer(PINGRESP)
    received = subscriber.expect(PUBLISH, qos=0, payload=b"\x12\x34")
    assert received.size == 2 + 2 + len(topic) + 2


def test_mqtt_2_3_1_6_acknowledgements_carry_the_identifier_of_their_publish(connect, topic):
    publisher, subscriber = connect(), connect()
    subscriber.subscribe(topic, qos=2)
    for identifier in (1, 255, 256, 0x1234, 65_535):
        publisher.send_publish(topic, "1", qos=1, identifier=identifier)
        publisher.expect(PUBACK, identifier=identifier)
        publisher.send_publish(topic, "2", qos=2, identifier=identifier)
        publisher.expect(PUBREC, identifier=identifier)
        publisher.send_ack(PUBREL, identifier)
        publisher.expect(PUBCOMP, identifier=identifier)
        subscriber.message(qos=1)
        begun = subscriber.expect(PUBLISH, qos=2)
        subscriber.send_ack(PUBREC, begun.identifier)
        subscriber.expect(PUBREL, identifier=begun.identifier)
        subscriber.send_ack(PUBCOMP, begun.identifier)


@covers("3.8.4-2", "3.10.4-4")
def test_mqtt_2_3_1_7_suback_and_unsuback_carry_the_identifier_of_their_request(connect, topic):
    client = connect()
    for identifier in (1, 255, 256, 0x1234, 65_535):
        client.send_subscribe(topic, identifier=identifier)
        client.expect(SUBACK, identifier=identifier)
        client.send(wire.unsubscribe(topic, identifier=identifier))
        client.expect(UNSUBACK, identifier=identifier)


def test_packets_that_only_a_server_sends(connect):
    for kind, body in ((CONNACK, b"\0\0"), (SUBACK, b"\0\1\0"), (UNSUBACK, b"\0\1"), (PINGRESP, b""), (0, b""),
                       (0xF0, b"")):
        client = connect()
        client.send(packet(kind, body))
        client.expect_closed()


def test_lengths_that_do_not_fit(connect):
    """Packets with a field cut short, or with bytes behind their end."""
    for data in (packet(PUBLISH, b"\0"), packet(PUBLISH, b"\0\5ab"), packet(PUBLISH | 2, string("a") + b"\0"),
                 packet(PUBACK, b"\0"), packet(PUBACK, b"\0\1\0"), packet(PUBREL | 2, b"\0\1\0"),
                 packet(SUBSCRIBE | 2, b"\0"), packet(SUBSCRIBE | 2, b"\0\1" + string("a")),
                 packet(UNSUBSCRIBE | 2, b"\0\1\0\2a"), packet(PINGREQ, b"\0"), packet(DISCONNECT, b"\0"),
                 b"\xc0\xff\xff\xff\xff\x01"):
        client = connect()
        client.send(data)
        client.expect_closed()
