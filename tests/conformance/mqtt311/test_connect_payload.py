"""The payload of CONNECT, and its answer (sections 3.1.3 to 3.2)."""

import string as letters

import pytest

import wire
from conformance.broker import Broker
from conformance.client import Client
from conformance.mqtt311.raw import raw_connect
from conformance.statements import covers
from wire import CONNACK, CONNECT, MQTT_3_1_1, PING, PINGRESP, PUBACK, PUBLISH, SUBACK, packet, string

REFUSED_IDENTIFIER = 2


def test_mqtt_3_1_3_1_the_fields_of_the_payload_have_an_order(connect, heir, topic):
    """Client Identifier, Will Topic, Will Message, user name, password: none is taken for another."""
    connect(will=(topic, b"\0\1message"), login=("user", b"\xff\0password")).lose()
    heir.message(payload=b"\0\1message", topic=topic)


def test_mqtt_3_1_3_2_the_client_identifier_names_the_session(connect, name, topic):
    one, other = name(), name()
    for identifier in (one, other):
        client = connect(identifier, clean=False)
        client.subscribe(f"{topic}/{identifier}", qos=1)
        client.disconnect()
    publisher = connect()
    for identifier in (one, other):
        publisher.publish(f"{topic}/{identifier}", identifier, qos=1)
    for identifier in (other, one):
        client = connect(identifier, clean=False)
        assert client.payloads() == [identifier.encode()]
    assert not connect(one.swapcase(), clean=False).connack.session_present


def test_mqtt_3_1_3_3_a_client_identifier_must_be_there(dial):
    for payload in (b"", b"\0", b"\0\5raw"):
        client = dial()
        client.send(raw_connect(payload=payload))
        client.expect_closed()


def test_mqtt_3_1_3_4_a_client_identifier_is_utf_8(dial, connect, name):
    client = dial()
    client.send(wire.connect(b"\xc3\x28"))
    client.expect_closed()
    identifier = "ä€𐍈" + name()
    connect(identifier, clean=False).disconnect()
    assert connect(identifier, clean=False).connack.session_present


def test_mqtt_3_1_3_5_letters_and_digits(connect):
    """In every length from 1 to 23; longer ones and other characters are taken too."""
    characters = letters.digits + letters.ascii_letters
    assert len(characters) == 62
    for size in range(1, 24):
        connect((characters * 2)[size * 2:size * 3]).disconnect()
    for start in range(0, 62, 20):
        connect(characters[start:start + 23]).disconnect()
    for identifier in ("x" * 24, "x" * 65_535, "a b/c+d#e$%&!\"'\\", "übergröße"):
        connect(identifier).disconnect()


def test_mqtt_3_1_3_6_an_empty_identifier_gets_one_of_its_own(connect, topic):
    clients = [connect("") for _ in range(10)]
    for client in clients:
        client.subscribe(topic)
    clients[0].publish(topic, "x")
    for client in clients:
        client.message(payload=b"x")


@covers("3.1.3-7", "3.2.2-4", "3.2.2-5")
def test_mqtt_3_1_3_8_an_empty_identifier_has_no_session_to_keep(dial):
    client = dial("")
    client.send_connect(clean=False)
    client.expect_refused(REFUSED_IDENTIFIER)


def test_mqtt_3_1_3_9_an_identifier_that_is_refused(program):
    """Where the settings want clients to bring one."""
    with Broker(program, ALLOW_EMPTY_CLIENT_ID=0) as broker, Client(broker.port, MQTT_3_1_1) as client:
        client.send_connect(clean=True)
        client.expect_refused(REFUSED_IDENTIFIER)
        with Client(broker.port, MQTT_3_1_1, "named") as named:
            named.connect()


def test_mqtt_3_1_3_10_a_will_topic_is_utf_8(dial, connect, topic):
    for text in (b"\xc3\x28", b"\xed\xa0\x80", b"a\0"):
        client = dial()
        client.send_connect(will=(text, "x"))
        client.expect_closed()
    heir = connect()
    heir.subscribe(f"{topic}/ä€𐍈")
    connect(will=(f"{topic}/ä€𐍈", "gone")).lose()
    heir.message(payload=b"gone", topic=f"{topic}/ä€𐍈")


def test_mqtt_3_1_3_11_a_user_name_is_utf_8(dial, connect):
    for text in (b"\xc3\x28", b"\xed\xa0\x80", b"a\0"):
        client = dial()
        client.send_connect(login=(text, "x"))
        client.expect_closed()
    connect(login=("ä€𐍈", b"\xff\0"))
    connect(login=("", ""))


@pytest.mark.parametrize("data", [
    packet(CONNECT), packet(CONNECT, b"\0\4MQ"), packet(CONNECT, string("MQTT")),
    packet(CONNECT, string("MQTT") + b"\4"), packet(CONNECT, string("MQTT") + b"\4\2\0"),
    raw_connect(payload=b""), raw_connect(payload=string("raw") + b"x"),
    raw_connect(flags=0x03), raw_connect(flags=0x06), wire.connect("a\0b"), wire.connect("x", will=("a/+", b"x")),
    wire.connect("x", will=("", b"x")), b"\x10\xff\xff\xff\xff\x7f"])
@covers("3.2.2-6")
def test_mqtt_3_1_4_1_a_connect_that_is_none_has_no_answer(dial, data):
    client = dial()
    client.send(data)
    client.expect_closed()


@pytest.mark.parametrize("clean", [True, False])
def test_mqtt_3_1_4_2_another_connection_with_the_identifier_closes_the_first(connect, name, clean):
    identifier = name()
    first = connect(identifier, clean=clean)
    second = connect(identifier, clean=clean)
    first.expect_closed()
    assert second.connack.session_present != clean
    assert second.rest() == []


@covers("3.2.0-1")
def test_mqtt_3_1_4_4_connack_comes_first(connect, dial, name, topic):
    """With code 0, before whatever waits in the session, and before the answers to what came with CONNECT."""
    identifier = name()
    client = connect(identifier, clean=False)
    client.subscribe(topic, qos=1)
    client.disconnect()
    connect().publish(topic, "waits", qos=1)
    client = dial(identifier)
    client.send(wire.connect(identifier, clean=False) + wire.subscribe("x") + wire.publish("x", "x", qos=1) + PING)
    client.expect(CONNACK, reason=0, session_present=True)
    client.answer(PINGRESP)
    assert sorted(packet.kind for packet in client.inbox) == [PUBLISH, PUBLISH, PUBACK, SUBACK]


@covers("3.2.2-5")
def test_mqtt_3_1_4_5_after_a_refusal_nothing_is_processed(dial, connect, topic):
    listener = connect()
    listener.subscribe(topic)
    client = dial("")
    client.send(wire.connect("", clean=False) + wire.publish(topic, "x", retain=True) + wire.subscribe("x") + PING)
    client.expect_refused(REFUSED_IDENTIFIER)
    assert listener.rest() == []
    late = connect()
    late.subscribe(topic)
    assert late.rest() == []
