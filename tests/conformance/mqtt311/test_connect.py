"""CONNECT (section 3.1)."""

import time

import pytest

import wire
from conformance.broker import Broker
from conformance.client import Client
from conformance.mqtt311.raw import raw_connect
from conformance.statements import covers
from wire import (CONNACK, DISCONNECT, MQTT_3_1_1, PING, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, packet, string)


@pytest.mark.parametrize("data", [
    wire.publish("x", "x"), wire.publish("x", "x", qos=1), packet(PUBACK, b"\0\1"), packet(PUBREC, b"\0\1"),
    packet(PUBREL | 2, b"\0\1"), packet(PUBCOMP, b"\0\1"), wire.subscribe("x"), wire.unsubscribe("x"), PING,
    packet(DISCONNECT), packet(CONNACK, b"\0\0")])
def test_mqtt_3_1_0_1_another_packet_first_closes_the_connection(dial, data):
    client = dial()
    client.send(data)
    client.expect_closed()


def test_mqtt_3_1_0_2_a_second_connect_closes_the_connection(connect, heir, topic):
    """Its client has broken the protocol, so this is no farewell either."""
    client = connect(will=(topic, "gone"))
    client.send_connect()
    client.expect_closed()
    heir.message(payload=b"gone")


@pytest.mark.parametrize("protocol", [
    "", "mqtt", "MQTX", "MQTTX", "MQT", "MQIsdp", "MQISDP", "HTTP", b"MQTT\0", b"\xff\xff"])
def test_mqtt_3_1_2_1_another_protocol_name_closes_the_connection(dial, protocol):
    """To say first that this protocol is not spoken here is no processing of the CONNECT."""
    client = dial()
    client.send(raw_connect(name=protocol) + PING)
    if packet := client.receive_packet():
        assert (packet.kind, packet.reason) == (CONNACK, 1), packet
    client.expect_closed()


@pytest.mark.parametrize("number", [0, 1, 2, 3, 6, 7, 127, 128, 255])
@covers("3.2.2-5")
def test_mqtt_3_1_2_2_a_level_that_is_none(dial, number):
    client = dial()
    client.send(raw_connect(level=number))
    client.expect_refused(1)


def test_mqtt_3_1_2_3_the_reserved_flag_closes_the_connection(dial):
    client = dial()
    client.send(raw_connect(flags=0x03))
    client.expect_closed()


@pytest.mark.parametrize("loss", ["disconnect", "lose", "cut"])
@covers("3.2.2-2", "3.2.2-3", "4.1.0-1")
def test_mqtt_3_1_2_4_without_clean_session_the_session_is_kept(connect, name, topic, loss):
    identifier = name()
    client = connect(identifier, clean=False)
    assert not client.connack.session_present
    client.subscribe(topic, qos=1)
    client.send_publish("x", "x", qos=2, identifier=9)
    client.expect(PUBREC)
    getattr(client, loss)()
    again = connect(identifier, clean=False)
    assert again.connack.session_present
    # The subscription is there, and the message of which nobody said that it may be forgotten.
    connect().publish(topic, "1", qos=1)
    again.message(payload=b"1", qos=1)
    again.release(9)


@pytest.mark.parametrize("qos", [1, 2])
def test_mqtt_3_1_2_5_messages_are_kept_for_who_is_away(connect, name, topic, qos):
    identifier = name()
    client = connect(identifier, clean=False)
    client.subscribe(topic, qos=2)
    client.disconnect()
    publisher = connect()
    sent = [f"{number}".encode() for number in range(50)]
    for payload in sent:
        publisher.publish(topic, payload, qos=qos)
    again = connect(identifier, clean=False)
    received = again.messages()
    assert [packet.payload for packet in received] == sent
    assert {packet.qos for packet in received} == {qos}


@covers("3.2.2-1", "3.1.4-3")
def test_mqtt_3_1_2_6_a_clean_session_forgets_and_is_forgotten(connect, name, topic):
    identifier, publisher = name(), connect()
    old = connect(identifier, clean=False)
    old.subscribe(topic, qos=1)
    old.disconnect()
    publisher.publish(topic, "for the old session", qos=1)
    clean = connect(identifier, clean=True)
    assert not clean.connack.session_present
    publisher.publish(topic, "for nobody", qos=1)
    assert clean.messages() == []
    clean.subscribe(topic, qos=1)
    publisher.publish(topic, "not acknowledged", qos=1)
    clean.expect(PUBLISH)
    clean.lose()
    publisher.publish(topic, "for nobody either", qos=1)
    last = connect(identifier, clean=False)
    assert not last.connack.session_present
    publisher.publish(topic, "nor this", qos=1)
    assert last.messages() == []


@pytest.mark.parametrize("clean", [True, False])
def test_mqtt_3_1_2_7_retained_messages_outlive_the_session(connect, name, topic, clean):
    identifier = name()
    publisher = connect(identifier, clean=clean)
    publisher.publish(topic, "kept", qos=1, retain=True)
    publisher.disconnect()
    connect(identifier, clean=True).disconnect()
    late = connect()
    late.subscribe(topic)
    late.message(payload=b"kept", retain=True)


def keep_silent(client):
    """Its Keep Alive is a second."""
    client.expect_closed()


def break_the_protocol(client):
    client.send(wire.publish("a/#", "x"))
    client.expect_closed()


ENDS = {
    "an end of the stream": lambda client: client.lose(),
    "a reset": lambda client: client.cut(),
    "silence": keep_silent,
    "a broken protocol": break_the_protocol,
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("clean", [True, False])
@covers("3.1.2-16")
def test_mqtt_3_1_2_8_the_will_is_published_when_the_connection_just_ends(connect, heir, topic, end, clean):
    client = connect(clean=clean, will=(topic, "gone"), will_qos=1, keep_alive=1)
    assert heir.rest() == []
    ENDS[end](client)
    heir.message(payload=b"gone", qos=1, retain=False)
    late = connect()
    late.subscribe(topic)
    assert late.rest() == [], "it was not to be retained"


def test_mqtt_3_1_2_8_the_will_of_who_is_replaced(connect, heir, name, topic):
    """Another connection with its Client Identifier closes it without a DISCONNECT of its own."""
    identifier = name()
    connect(identifier, will=(topic, "gone"))
    connect(identifier)
    heir.message(payload=b"gone")


def test_mqtt_3_1_2_9_a_will_has_topic_and_message(dial, connect, heir, topic):
    for payload in (string("raw"), string("raw") + string(topic), string("raw") + string(topic) + b"\0\5ab"):
        client = dial()
        client.send(raw_connect(flags=0x06, payload=payload))
        client.expect_closed()
    # The message may be empty.
    client = dial()
    client.send(raw_connect(flags=0x06, payload=string("raw") + string(topic) + string("")))
    client.expect(CONNACK, reason=0)
    client.lose()
    heir.message(payload=b"")


def test_mqtt_3_1_2_10_a_will_is_published_once(connect, heir, name, topic):
    identifier = name()
    connect(identifier, clean=False, will=(topic, "gone")).lose()
    heir.message(payload=b"gone")
    connect(identifier, clean=False).lose()
    assert heir.rest() == []


@covers("3.14.4-3")
def test_mqtt_3_1_2_10_a_will_goes_with_disconnect(connect, heir, name, topic):
    identifier = name()
    connect(identifier, clean=False, will=(topic, "gone")).disconnect()
    connect(identifier, clean=False).lose()
    assert heir.rest() == []


@covers("3.1.2-13", "3.1.2-15")
def test_mqtt_3_1_2_11_the_flags_of_a_will_that_is_not_there(dial):
    """Either is wrong: Will QoS or Will Retain without a Will, and a Will without its flag."""
    for flags in (0x0A, 0x12, 0x1A, 0x22, 0x2A, 0x32):
        client = dial()
        client.send(raw_connect(flags=flags))
        client.expect_closed()
    client = dial()
    client.send(raw_connect(flags=0x02, payload=string("raw") + string("topic") + string("message")))
    client.expect_closed()


def test_mqtt_3_1_2_12_no_will_no_message(program):
    """In a broker where nobody else has a Will, whatever the topic."""
    with Broker(program) as broker, Client(broker.port, MQTT_3_1_1, "heir") as heir:
        heir.connect().subscribe("#")
        for clean in (True, False):
            Client(broker.port, MQTT_3_1_1, "mortal").connect(clean=clean).lose()
        assert heir.rest() == []


def test_mqtt_3_1_2_14_a_will_of_qos_3_closes_the_connection(dial):
    client = dial()
    client.send(raw_connect(flags=0x1E, payload=string("raw") + string("topic") + string("message")))
    client.expect_closed()


def test_mqtt_3_1_2_17_a_will_can_be_retained(connect, heir, topic):
    connect(will=(topic, "gone"), will_retain=True, will_qos=2).lose()
    heir.message(payload=b"gone", retain=False)
    late = connect()
    late.subscribe(topic, qos=2)
    late.message(payload=b"gone", retain=True, qos=2)


def test_mqtt_3_1_2_18_no_flag_no_user_name(dial):
    client = dial()
    client.send(raw_connect(payload=string("raw") + string("user")))
    client.expect_closed()


def test_mqtt_3_1_2_19_the_flag_promises_a_user_name(dial):
    client = dial()
    client.send(raw_connect(flags=0x82))
    client.expect_closed()


def test_mqtt_3_1_2_20_no_flag_no_password(dial):
    client = dial()
    client.send(raw_connect(flags=0x82, payload=string("raw") + string("user") + string("password")))
    client.expect_closed()


def test_mqtt_3_1_2_21_the_flag_promises_a_password(dial):
    client = dial()
    client.send(raw_connect(flags=0xC2, payload=string("raw") + string("user")))
    client.expect_closed()


def test_mqtt_3_1_2_22_no_password_without_a_user_name(dial):
    client = dial()
    client.send(raw_connect(flags=0x42, payload=string("raw") + string("password")))
    client.expect_closed()


@covers("3.1.2-23")
def test_mqtt_3_1_2_24_who_is_silent_is_given_up(connect, heir, topic):
    """After one and a half times Keep Alive, not before; who pings stays, and who has no Keep Alive."""
    start = time.monotonic()
    silent = connect(keep_alive=1, will=(topic, "gone"))
    pinging, for_ever = connect(keep_alive=1), connect(keep_alive=0)
    silent.socket.settimeout(0.5)
    while True:
        try:
            assert silent.receive() is None
            break
        except TimeoutError:
            pinging.rest()
            assert time.monotonic() < start + 10, "it may be silent for ever"
    assert 1.5 <= time.monotonic() - start < 6
    heir.message(payload=b"gone")
    for client in (pinging, for_ever):
        client.rest()
