"""DISCONNECT, AUTH and errors (sections 3.14, 3.15, 4.12 and 4.13)."""

import pytest

import wire
from conformance.statements import covers
from properties import properties
from wire import (AUTH, CONNACK, DISCONNECT, MQTT_5, PINGREQ, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBSCRIBE,
                  UNSUBSCRIBE, packet, string)


@covers("3.1.4-1")
def test_mqtt_3_14_0_1_no_disconnect_before_connack(dial):
    """Whatever is wrong with the first packet."""
    good = wire.connect("c", MQTT_5)
    for said in (b"\xff" * 20, bytes([good[0] | 1]) + good[1:], good[:2] + b"X" + good[3:], packet(wire.CONNECT),
                 wire.PING, packet(DISCONNECT, b"\0\0"), wire.connect("c", MQTT_5, properties=b"\x7f\0"),
                 bytes([wire.CONNECT]) + b"\xff\xff\xff\x7f"):
        client = dial()
        client.send(said)
        assert client.until_closed()[:1] in (b"", bytes([CONNACK]))


@pytest.mark.parametrize("reason", [0x01, 0x05, 0x10, 0x18, 0x55, 0x84, 0x85, 0x86, 0x88, 0x8A, 0x91, 0x92, 0xFF])
def test_mqtt_3_14_2_1_reasons_that_disconnect_has_not(connect, reason):
    client = connect()
    client.send(wire.disconnect(reason, MQTT_5))
    client.expect_closed(0x81, 0x82)


@pytest.mark.parametrize("said", [
    packet(DISCONNECT), packet(DISCONNECT, b"\0"), packet(DISCONNECT, b"\0\0"),
    wire.disconnect(0, MQTT_5, properties(reason_string="bye", user_property=[("a", "b"), ("a", "b")])),
])
@covers("3.14.4-2")
def test_all_forms_of_disconnect(connect, said):
    """Reason and properties may be left out; the broker closes and has nothing to say."""
    client = connect()
    client.send(said)
    assert client.expect_closed() is None


@pytest.mark.parametrize("said, reason", [
    (packet(DISCONNECT, b"\0\x7f"), 0x81), (packet(DISCONNECT, b"\0\0x"), 0x81),
    (wire.disconnect(0, MQTT_5, properties(session_expiry_interval=[0, 0])), 0x82),
    (wire.disconnect(0, MQTT_5, properties(topic_alias=1)), 0x81),
    (wire.disconnect(0, MQTT_5, properties(reason_string=["a", "b"])), 0x82),
])
def test_disconnect_that_is_not_right(connect, said, reason):
    client = connect()
    client.send(said)
    client.expect_closed(reason)


@covers("3.14.4-1", "4.13.2-1")
def test_mqtt_3_14_4_2_nothing_after_the_brokers_disconnect(connect, topic):
    """Whatever was to come: answers, messages (expect_closed looks for more)."""
    client, other = connect(), connect()
    client.subscribe(topic)
    client.send(wire.connect("x", MQTT_5) + wire.PING + wire.publish(topic, b"x", 1, level=MQTT_5))
    other.publish(topic, "y")
    client.expect_closed(0x82)


def test_mqtt_3_14_4_1_nothing_is_taken_after_a_clients_disconnect(connect, topic):
    client, subscriber = connect(), connect()
    subscriber.subscribe(topic)
    client.send(wire.publish(topic, b"before", level=MQTT_5) + packet(DISCONNECT)
                + wire.publish(topic, b"after", level=MQTT_5) + wire.PING)
    assert client.until_closed() == b""
    assert subscriber.payloads() == [b"before"]


@covers("3.14.2-1", "3.14.2-2")
def test_what_the_broker_says_at_an_error(connect):
    """A reason of the list, a Reason String in words, and no Session Expiry Interval."""
    client = connect(session_expiry_interval=300, request_problem_information=1)
    client.send_connect()
    said = client.expect_closed(0x82)
    assert set(said.properties) == {"reason_string"} and len(said.properties["reason_string"].split()) > 2


MALFORMED = {
    "a field beyond the end of PUBLISH": packet(PUBLISH, b"\0\5ab"),
    "no identifier in PUBLISH": packet(PUBLISH | 2, string("t")),
    "a remaining length of five bytes": bytes([PUBLISH, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
    "an empty PUBACK": packet(PUBACK), "half an identifier in PUBREC": packet(PUBREC, b"\0"),
    "an empty PUBREL": packet(PUBREL | 2), "an empty PUBCOMP": packet(PUBCOMP),
    "more than a PUBACK": packet(PUBACK, b"\0\1\0\0x"), "more than a PINGREQ": packet(PINGREQ, b"x"),
    "properties of PUBACK cut short": packet(PUBACK, b"\0\1\0\5"),
    "a property of PUBLISH in PUBACK": packet(PUBACK, b"\0\1\0\3\x23\0\1"),
    "an empty SUBSCRIBE": packet(SUBSCRIBE | 2), "an empty UNSUBSCRIBE": packet(UNSUBSCRIBE | 2),
    "packet type 0": packet(0), "packet type 0 with flags": packet(0x0F),
}


@pytest.mark.parametrize("said", [pytest.param(said, id=name) for name, said in MALFORMED.items()])
def test_mqtt_4_13_1_1_malformed_packets(connect, said):
    client = connect()
    client.send(said)
    client.expect_closed(0x81)


@pytest.mark.parametrize("kind, bad", [(PUBACK, reason) for reason in (0x01, 0x11, 0x92, 0x55)]
                         + [(PUBREC, reason) for reason in (0x01, 0x11, 0x92, 0x55)]
                         + [(PUBREL, reason) for reason in (0x01, 0x10, 0x80, 0x87)]
                         + [(PUBCOMP, reason) for reason in (0x01, 0x10, 0x80, 0x87)])
@covers("3.4.2-1", "3.5.2-1", "3.6.2-1", "3.7.2-1")
def test_mqtt_3_4_2_1_reasons_that_acknowledgements_have_not(connect, kind, bad):
    client = connect()
    client.send_ack(kind, 1, bad)
    client.expect_closed(0x81, 0x82)


@pytest.mark.parametrize("kind", [PUBACK, PUBREC, PUBCOMP])
def test_acknowledgements_with_everything(connect, topic, kind):
    """Reason String and User Properties from a Client are allowed and harm nothing."""
    client = connect()
    client.send_ack(kind, 1, 0, reason_string="why", user_property=[("a", "b"), ("a", "b")])
    assert {packet.kind for packet in client.rest()} <= {PUBREL}


@pytest.mark.parametrize("asked", [{"authentication_method": "SCRAM-SHA-256"},
                                   {"authentication_method": "x", "authentication_data": b"data"},
                                   {"authentication_method": ""}])
@covers("4.12.0-4", "3.2.2-7", "4.13.2-1", "3.1.4-2")
def test_mqtt_4_12_0_1_authentication_methods(dial, asked):
    client = dial()
    client.send_connect(**asked)
    client.expect_refused(0x8C)


def test_mqtt_4_12_0_6_no_method_no_auth(connect):
    client = connect()
    assert not {"authentication_method", "authentication_data"} & set(client.connack.properties)
    assert client.rest() == []


@pytest.mark.parametrize("reason", [0x00, 0x18, 0x19])
@covers("4.12.1-2", "3.15.2-1")
def test_mqtt_4_12_0_7_auth_without_a_method_in_connect(connect, reason):
    client = connect()
    client.send_auth(reason, authentication_method="SCRAM-SHA-256", authentication_data=b"data")
    client.expect_closed(0x82)


@pytest.mark.parametrize("said", [
    packet(AUTH), packet(AUTH, b"\x18\0"), packet(AUTH, b"\x55\0"), packet(AUTH, b"\x18"),
    wire.disconnect(0x18, MQTT_5, properties(authentication_method=["m", "m"]), kind=AUTH)])
@covers("3.15.2-1")
def test_auth_that_is_not_right(connect, said):
    client = connect()
    client.send(said)
    client.expect_closed(0x81, 0x82)


@pytest.mark.parametrize("said", [packet(AUTH, b"\x18\0"), packet(AUTH | 1, b"\x18\0")])
def test_auth_first(dial, said):
    client = dial()
    client.send(said)
    assert client.until_closed() == b""
