"""MQTT 3.1, the version before: what is different. What it shares with 3.1.1 is tested in both versions in the files of
publishing, subscribing and operation."""

import pytest

import wire
from conformance.client import Client
from conformance.mqtt311.raw import raw_connect
from wire import (CONNACK, MQTT_3_1, MQTT_3_1_1, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, SUBSCRIBE,
                  UNSUBACK, UNSUBSCRIBE, packet, string)

DUP = 0x08
QOS_1 = 0x02


@pytest.fixture(scope="session")
def level():
    return MQTT_3_1


def connect_3_1(flags, payload, name="MQIsdp", level=MQTT_3_1):
    return raw_connect(flags, payload, name, level)


def test_name_and_level_of_3_1(dial):
    client = dial()
    client.send(connect_3_1(0x02, string("a")))
    client.expect(CONNACK, reason=0)
    for name, number in (("MQTT", 3), ("MQIsdp", 4), ("MQIsdp", 5), ("MQIsdp", 2)):
        client = dial()
        client.send(connect_3_1(0x02, string("a"), name, number))
        client.expect_refused(1)


def test_connack_says_nothing_of_the_session(connect, name):
    """Its first byte is reserved in 3.1, whether or not there is a session."""
    identifier = name()
    connect(identifier, clean=False).disconnect()
    assert not connect(identifier, clean=False).connack.session_present


@pytest.mark.parametrize("clean", [True, False])
def test_an_empty_identifier_is_refused(dial, clean):
    """With code 2: 3.1 wants 1 to 23 characters."""
    client = dial("")
    client.send_connect(clean=clean)
    client.expect_refused(2)


@pytest.mark.parametrize("size", [1, 23, 24, 36, 1000, 65_535])
def test_an_identifier_longer_than_23_is_accepted(connect, name, size):
    """3.1 would have it refused; Mosquitto takes it, and so clients rely on it. All of it counts."""
    identifier = (name() * 4000)[:size]
    connect(identifier, clean=False).publish(identifier[:10], "x", qos=1)
    first = connect(identifier)
    connect(identifier[:-1] + "-")
    first.rest()


def test_a_refused_subscription_is_0x80(connect):
    """SUBACK of 3.1 knows no failure; 0x80, as 3.1.1 has it, is told all the same, as Mosquitto does."""
    client = connect()
    assert client.subscribe(("/".join("x" * 300), 1), ("x", 2)).reasons == [0x80, 2]


def test_names_that_the_flags_promise_may_be_missing(dial):
    """The end of the packet overrules the flags for user name and password (3.1, "User name and password flags")."""
    for flags, payload in ((0x82, b""), (0xC2, b""), (0xC2, string("user"))):
        client = dial()
        client.send(connect_3_1(flags, string("a") + payload))
        client.expect(CONNACK, reason=0)


def test_a_password_without_a_user_name_closes_the_connection(dial):
    client = dial()
    client.send(connect_3_1(0x42, string("a") + string("password")))
    client.expect_closed()


def test_flags_that_are_not_used_are_not_looked_at(dial):
    """The reserved flag, and those of a Will that is not there."""
    for flags in (0x03, 0x0A, 0x12, 0x22):
        client = dial()
        client.send(connect_3_1(flags, string("a")))
        client.expect(CONNACK, reason=0)


def test_dup_in_packets_that_are_sent_again(connect, topic):
    """3.1 sets DUP in PUBREL, SUBSCRIBE and UNSUBSCRIBE too."""
    client = connect()
    client.send(bytes([SUBSCRIBE | QOS_1 | DUP]) + wire.subscribe(topic, qos=2, identifier=5)[1:])
    client.expect(SUBACK, identifier=5, reasons=[2])
    client.send_publish(topic, "x", qos=2, identifier=6)
    client.answer(PUBREC, 6)
    client.message(payload=b"x")
    for _ in range(2):
        client.send(packet(PUBREL | QOS_1 | DUP, b"\0\6"))
        client.answer(PUBCOMP, 6)
    client.send(bytes([UNSUBSCRIBE | QOS_1 | DUP]) + wire.unsubscribe(topic, identifier=7)[1:])
    client.expect(UNSUBACK, identifier=7)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_versions_understand_each_other(connect, broker, name, topic, qos):
    """And a session of one version goes on in the other."""
    identifier = name()
    subscriber = connect(identifier, clean=False)
    subscriber.subscribe(topic, qos=2)
    with Client(broker.port, MQTT_3_1_1, name()) as publisher:
        publisher.connect().publish(topic, "1", qos=qos)
        subscriber.message(payload=b"1", qos=qos)
        publisher.publish(topic, "2", qos=2)
        begun = subscriber.expect(PUBLISH, payload=b"2")
        subscriber.disconnect()
        with Client(broker.port, MQTT_3_1_1, identifier) as again:
            assert again.connect(clean=False).connack.session_present
            again.message(payload=b"2", identifier=begun.identifier, dup=True)


def test_acknowledgements_have_no_more_than_their_identifier(connect):
    for kind in (PUBACK, PUBREC, PUBREL | 2, PUBCOMP):
        client = connect()
        client.send(packet(kind, b"\0\1\0"))
        client.expect_closed()
