"""CONNECT (section 3.1) and what the broker does with it (3.1.4)."""

import struct

import pytest

import wire
from conformance.statements import covers
from properties import properties
from wire import (CONNACK, CONNECT, DISCONNECT, MQTT_5, PINGRESP, PUBLISH, length, packet, string)

KEPT = {"session_expiry_interval": 300}


def raw(flags=0x02, name="MQTT", version=MQTT_5, known=b"", payload=None, identifier="c"):
    """A CONNECT of parts that may not fit."""
    head = string(name) + bytes([version, flags]) + b"\0\x3c" + length(len(known)) + known
    return packet(CONNECT, head + (string(identifier) if payload is None else payload))


def rejects(dial, said, *reasons):
    client = dial()
    client.send(said)
    client.expect_rejected(*reasons)


@pytest.mark.parametrize("said", [
    pytest.param(wire.publish("t", b"x", level=MQTT_5), id="PUBLISH"),
    pytest.param(wire.subscribe("t", level=MQTT_5), id="SUBSCRIBE"), pytest.param(wire.PING, id="PINGREQ"),
    pytest.param(packet(DISCONNECT), id="DISCONNECT"), pytest.param(packet(wire.AUTH), id="AUTH"),
    pytest.param(packet(CONNACK, b"\0\0\0"), id="CONNACK"),
    pytest.param(bytes.fromhex("16030100c8010000c40303") + bytes(192), id="TLS"),
    pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="SSH"), pytest.param(bytes(64), id="zeros"),
    pytest.param(b"\xff" * 64, id="ones"),
])
@covers("3.14.0-1")
def test_mqtt_3_1_0_1_something_else_first(dial, said):
    """Closed, without a DISCONNECT."""
    client = dial()
    client.send(said)
    assert client.until_closed() == b""


@covers("3.2.0-2")
def test_mqtt_3_1_0_2_connect_twice(connect):
    client = connect()
    client.send_connect()
    client.expect_closed(0x82)


@pytest.mark.parametrize("protocol", ["mqtt", "MQTX", "MQT", "MQTTT", "", "MQIsdp"])
def test_mqtt_3_1_2_1_protocol_name(dial, protocol):
    client = dial()
    client.send(raw(name=protocol))
    assert client.until_closed() in (b"", REFUSED_AS_5, REFUSED_AS_3)


# How a Protocol Version can be refused: as 5.0 says it, and as the versions do that came before it.
REFUSED_AS_5, REFUSED_AS_3 = packet(CONNACK, b"\0\x84\0"), packet(CONNACK, b"\0\1")


@pytest.mark.parametrize("version", [0, 1, 2, 6, 7, 127, 0x84, 0x85, 255])
def test_mqtt_3_1_2_2_protocol_version(dial, version):
    """Which form of CONNACK a client of a version to come can read, nobody knows yet."""
    client = dial()
    client.send(raw(version=version))
    assert client.until_closed() in (REFUSED_AS_5, REFUSED_AS_3)


@covers("3.1.4-1")
def test_mqtt_3_1_2_3_reserved_connect_flag(dial):
    for flags in (0x03, 0x01):
        rejects(dial, raw(flags), 0x81)


@covers("3.1.4-4", "3.2.2-2")
def test_mqtt_3_1_2_4_clean_start(connect, topic, name):
    """Subscriptions, what waited, what was under way: all goes."""
    identifier, publisher = name(), connect()
    client = connect(identifier, **KEPT)
    client.subscribe(topic, qos=2)
    publisher.publish(topic, "under way", qos=1)
    client.expect(PUBLISH)
    client.lose()
    publisher.publish(topic, "waiting", qos=1)
    client = connect(identifier, clean=True, **KEPT)
    assert client.connack.session_present is False
    assert client.rest() == []
    publisher.publish(topic, "new", qos=1)
    assert client.rest() == []


@covers("3.2.2-3", "3.1.2-23", "3.1.3-2", "3.1.4-4")
def test_mqtt_3_1_2_5_resume(connect, topic, name):
    identifier, publisher = name(), connect()
    connect(identifier, **KEPT).subscribe(topic, qos=1)
    client = connect(identifier, clean=False, **KEPT)
    assert client.connack.session_present is True
    publisher.publish(topic, "1", qos=1)
    assert client.payloads() == [b"1"]
    client.lose()
    publisher.publish(topic, "2", qos=1)
    other = connect(name(), clean=False)
    assert other.connack.session_present is False and other.rest() == [], "the Session is of another name"
    client = connect(identifier, clean=False)
    assert client.connack.session_present is True
    assert client.payloads() == [b"2"]


@covers("3.2.2-3")
def test_mqtt_3_1_2_6_no_session_to_resume(connect, topic):
    client = connect(clean=False)
    assert client.connack.session_present is False
    client.subscribe(topic)
    client.publish(topic, "x")
    client.expect(PUBLISH, payload=b"x")


@pytest.mark.parametrize("payload", [
    pytest.param(string("c"), id="no properties"), pytest.param(string("c") + b"\0", id="no topic"),
    pytest.param(string("c") + b"\0" + string("t"), id="no payload"),
    pytest.param(string("c") + b"\0" + string("t") + b"\0\5ab", id="payload cut short"),
    pytest.param(string("c") + b"\0" + string("t") + string("p") + b"x", id="more than the payload"),
])
@covers("3.1.4-1")
def test_mqtt_3_1_2_9_will_flag_without_will(dial, payload):
    rejects(dial, raw(0x06, payload=payload), 0x81)


@pytest.mark.parametrize("flags", [0x0A, 0x12, 0x1A])
def test_mqtt_3_1_2_11_will_qos_without_will(dial, flags):
    rejects(dial, raw(flags), 0x81)


def test_mqtt_3_1_2_12_will_qos_3(dial):
    rejects(dial, raw(0x1E, payload=string("c") + b"\0" + string("t") + string("p")), 0x81)


def test_mqtt_3_1_2_13_will_retain_without_will(dial):
    rejects(dial, raw(0x22), 0x81)


def test_mqtt_3_1_2_16_user_name_without_its_flag(dial):
    rejects(dial, raw(payload=string("c") + string("user")), 0x81)


def test_mqtt_3_1_2_17_no_user_name_for_its_flag(dial):
    rejects(dial, raw(0x82), 0x81)


def test_mqtt_3_1_2_18_password_without_its_flag(dial):
    rejects(dial, raw(0x82, payload=string("c") + string("user") + string("secret")), 0x81)


def test_mqtt_3_1_2_19_no_password_for_its_flag(dial):
    rejects(dial, raw(0xC2, payload=string("c") + string("user")), 0x81)


@pytest.mark.parametrize("login", [("user", None), (None, "secret"), ("user", "secret"), ("", ""), ("user", b"\0\xff")])
def test_user_name_and_password_as_5_allows_them(connect, login):
    """A password needs no user name, and is binary."""
    connect(login=login)


@covers("3.1.3-3")
def test_mqtt_3_1_3_1_payload_in_another_order(dial):
    """User name before the will: what stands in the place of the will is not one."""
    payload = string("c") + string("user") + b"\0" + string("t") + string("p")
    rejects(dial, raw(0x86, payload=payload), 0x81, 0x82)


def test_mqtt_3_1_3_3_no_client_identifier(dial):
    rejects(dial, raw(payload=b""), 0x81)


@pytest.mark.parametrize("identifier", [
    "0", "z", "A", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ0123456"])
def test_mqtt_3_1_3_5_letters_and_digits(connect, identifier):
    client = connect(identifier)
    assert client.rest() == []
    assert "assigned_client_identifier" not in client.connack.properties


@pytest.mark.parametrize("identifier", ["x" * 65535, "a/b+c#", "ä €", " "])
def test_other_client_identifiers(connect, identifier):
    """More than must be allowed is."""
    connect(identifier)


@covers("3.1.3-7", "3.2.2-16")
def test_mqtt_3_1_3_6_assigned_client_identifier(connect, topic):
    """It is the name of the Session from then on."""
    clients = [connect("", **KEPT) for _ in range(5)]
    names = [client.connack.properties["assigned_client_identifier"] for client in clients]
    assert len(set(names)) == len(names) and "" not in names
    clients[0].subscribe(topic, qos=1)
    clients[0].lose()
    connect().publish(topic, "kept", qos=1)
    again = connect(names[0], clean=False)
    assert again.connack.session_present is True
    assert again.payloads() == [b"kept"]


def test_an_empty_client_identifier_without_clean_start(connect):
    """What 3.1.1 refuses is allowed here."""
    client = connect("", clean=False)
    assert client.connack.session_present is False
    assert client.connack.properties["assigned_client_identifier"]


@covers("3.1.4-6", "4.12.0-1", "3.2.2-7")
def test_mqtt_3_1_4_6_nothing_after_a_refusal(connect, dial, topic):
    subscriber = connect()
    subscriber.subscribe(topic)
    client = dial()
    client.send(wire.connect("c", MQTT_5, properties=properties(authentication_method="m"))
                + wire.publish(topic, b"x", level=MQTT_5))
    client.expect_refused(0x8C)
    assert subscriber.rest() == []


@covers("3.1.4-1")
def test_nothing_after_a_malformed_connect(connect, dial, topic):
    subscriber = connect()
    subscriber.subscribe(topic)
    client = dial()
    client.send(raw(0x03) + wire.publish(topic, b"x", level=MQTT_5))
    client.expect_rejected(0x81)
    assert subscriber.rest() == []


@pytest.mark.parametrize("same", [True, False])
def test_mqtt_3_1_4_3_taken_over(connect, topic, name, same):
    """Whether the Session goes on or not."""
    identifier = name()
    first = connect(identifier, **KEPT)
    first.subscribe(topic, qos=1)
    second = connect(identifier, clean=not same, **KEPT)
    first.expect_closed(0x8E)
    assert second.connack.session_present is same
    second.publish(topic, "x", qos=1)
    assert second.payloads() == ([b"x"] if same else [])


def test_a_connection_taken_over_again_and_again(connect, name):
    identifier, clients = name(), []
    for _ in range(10):
        clients.append(connect(identifier))
    for client in clients[:-1]:
        client.expect_closed(0x8E)
    assert clients[-1].rest() == []


@covers("3.2.0-1", "3.2.2-1", "3.2.2-8")
def test_mqtt_3_1_4_5_success(connect):
    client = connect()
    assert client.connack.reason == 0 and client.connack.session_present is False
    assert client.rest() == []


def test_packets_may_follow_connect_at_once(dial, topic):
    """A client need not wait for CONNACK (section 3.1.4)."""
    client = dial()
    client.send(wire.connect("early", MQTT_5) + wire.subscribe(topic, level=MQTT_5)
                + wire.publish(topic, b"x", level=MQTT_5) + wire.PING)
    client.expect(CONNACK, reason=0)
    client.expect(wire.SUBACK)
    client.expect(PUBLISH, payload=b"x")
    client.expect(PINGRESP)


CONNECT_PROPERTY_ERRORS = {
    "unknown": (b"\x7f\0", 0x81), "of PUBLISH": (properties(topic_alias=1), 0x81),
    "of the will": (properties(will_delay_interval=1), 0x81),
    "of CONNACK": (properties(assigned_client_identifier="x"), 0x81),
    "cut short": (b"\x11\0\0", 0x81),
    "session expiry twice": (properties(session_expiry_interval=[1, 1]), 0x82),
    "receive maximum twice": (properties(receive_maximum=[1, 1]), 0x82),
    "receive maximum 0": (properties(receive_maximum=0), 0x82),
    "maximum packet size twice": (properties(maximum_packet_size=[99, 99]), 0x82),
    "maximum packet size 0": (properties(maximum_packet_size=0), 0x82),
    "topic alias maximum twice": (properties(topic_alias_maximum=[1, 1]), 0x82),
    "request response information twice": (properties(request_response_information=[1, 1]), 0x82),
    "request response information 2": (properties(request_response_information=2), 0x82),
    "request problem information twice": (properties(request_problem_information=[1, 1]), 0x82),
    "request problem information 2": (properties(request_problem_information=2), 0x82),
    "authentication method twice": (properties(authentication_method=["m", "m"]), 0x82),
    "authentication data without method": (properties(authentication_data=b"d"), 0x82),
}


@pytest.mark.parametrize("known, reason", [
    pytest.param(*case, id=name) for name, case in CONNECT_PROPERTY_ERRORS.items()])
@covers("3.1.4-1", "4.13.1-1")
def test_wrong_properties_in_connect(dial, known, reason):
    """Section 3.1.2.11."""
    rejects(dial, raw(known=known), reason, 0x8C)


WILL_PROPERTY_ERRORS = {
    "unknown": b"\x7f\0", "of CONNECT": properties(session_expiry_interval=1),
    "delay twice": properties(will_delay_interval=[1, 1]),
    "payload format twice": properties(payload_format_indicator=[1, 1]),
    "payload format 2": properties(payload_format_indicator=2),
    "response topic with a wildcard": properties(response_topic="a/#"),
    "a topic alias": properties(topic_alias=1),
}


@pytest.mark.parametrize("known", [pytest.param(known, id=name) for name, known in WILL_PROPERTY_ERRORS.items()])
def test_wrong_properties_of_the_will(dial, known):
    """Section 3.1.3.2."""
    rejects(dial, wire.connect("c", MQTT_5, will=("t", b"p"), will_properties=known), 0x81, 0x82)


@pytest.mark.parametrize("topic", ["", "a/#", "+", "a/+/b"])
@covers("4.7.0-1", "4.7.3-1")
def test_a_will_topic_that_is_none(dial, topic):
    rejects(dial, wire.connect("c", MQTT_5, will=(topic, b"p")), 0x81, 0x82, 0x90)


def test_every_property_of_connect_at_once(connect):
    client = connect(session_expiry_interval=10, receive_maximum=5, maximum_packet_size=1000, topic_alias_maximum=3,
                     request_response_information=1, request_problem_information=0,
                     user_property=[("a", "1"), ("a", "2")])
    assert client.rest() == []


def test_a_connect_in_single_bytes(dial):
    client = dial()
    for byte in wire.connect("bytes", MQTT_5, properties=properties(user_property=("a", "b"))):
        client.send(bytes([byte]))
    client.expect(CONNACK, reason=0)


def test_keep_alive_0(connect):
    """No Keep Alive is allowed, and no other one is set for it here."""
    client = connect(keep_alive=0)
    assert "server_keep_alive" not in client.connack.properties


def test_the_length_of_a_string_beyond_the_packet(dial):
    body = string("MQTT") + struct.pack(">BBHB", MQTT_5, 0x02, 60, 0) + b"\0\5ab"
    rejects(dial, packet(CONNECT, body), 0x81)
