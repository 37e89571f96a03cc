"""UNSUBSCRIBE and UNSUBACK (sections 3.10 and 3.11)."""

import pytest

import wire
from conformance.statements import covers
from wire import MQTT_5, PUBCOMP, PUBLISH, PUBREC, PUBREL, UNSUBACK, UNSUBSCRIBE, packet, string


@pytest.mark.parametrize("said", [
    pytest.param(packet(UNSUBSCRIBE | 2), id="nothing"),
    pytest.param(packet(UNSUBSCRIBE | 2, b"\0\1\0\0\5ab"), id="a filter cut short"),
    pytest.param(packet(UNSUBSCRIBE | 2, b"\0\1\0" + string("t") + b"\0"), id="a byte too many"),
])
@covers("4.13.1-1")
def test_mqtt_3_10_3_1_cut_short(connect, said):
    client = connect()
    client.send(said)
    client.expect_closed(0x81)


def test_mqtt_3_10_3_2_no_filter(connect):
    client = connect()
    client.send(wire.unsubscribe(level=MQTT_5))
    client.expect_closed(0x82)


@pytest.mark.parametrize("bad", ["a#", "a/#/b", "a+", "+b"])
@covers("4.7.1-1", "4.7.1-2")
def test_what_is_no_filter(connect, bad):
    client = connect()
    client.send(wire.unsubscribe(bad, level=MQTT_5))
    client.expect_closed(0x81, 0x82, 0x8F)


def test_mqtt_3_10_4_1_byte_for_byte(connect, topic):
    """What only matches, or only looks alike, is another filter."""
    client = connect()
    held = [f"{topic}/ä", f"{topic}/+", f"{topic}/#"]
    client.subscribe(*held)
    others = [f"{topic}/a\u0308", f"{topic}/Ä", f"{topic}/a", f"{topic}", f"{topic}/", f"{topic}/+/#", "#", "+/+",
              f"/{topic}/+", f"$share/group/{topic}/+"]
    for other in others:
        assert client.unsubscribe(other).reasons == [0x11], other
    client.publish(f"{topic}/ä", "x")
    assert client.payloads() == [b"x"]
    for one in held:
        assert client.unsubscribe(one).reasons == [0], one
        assert client.unsubscribe(one).reasons == [0x11], one
    client.publish(f"{topic}/ä", "x")
    assert client.rest() == []


def test_mqtt_3_10_4_1_of_oneself_alone(connect, topic):
    client, other = connect(), connect()
    for one in (client, other):
        one.subscribe(topic)
    assert other.unsubscribe(topic).reasons == [0]
    client.publish(topic, "x")
    assert client.payloads() == [b"x"]
    assert other.rest() == []


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_mqtt_3_10_4_2_nothing_new(connect, topic, qos):
    publisher, client = connect(), connect()
    client.subscribe(topic, qos=qos)
    publisher.publish(topic, "before", qos)
    assert client.unsubscribe(topic).reasons == [0]
    publisher.publish(topic, "after", qos)
    assert client.payloads() == [b"before"]


@covers("4.3.3-5")
def test_mqtt_3_10_4_3_what_has_begun_is_completed(connect, topic):
    """Also on another connection."""
    publisher, client = connect(), connect(session_expiry_interval=300)
    client.subscribe(topic, qos=2)
    publisher.publish(topic, "1", qos=1)
    publisher.publish(topic, "2", qos=2)
    publisher.publish(topic, "3", qos=2)
    first, second, third = client.rest()
    client.send_ack(PUBREC, third.identifier)
    client.expect(PUBREL, identifier=third.identifier)
    client.unsubscribe(topic)
    client.lose()
    client = connect(client.identifier, clean=False)
    client.message(payload=b"1", dup=True, identifier=first.identifier)
    again = client.expect(PUBLISH, payload=b"2", dup=True, identifier=second.identifier)
    client.expect(PUBREL, identifier=third.identifier)
    client.acknowledge(again)
    client.send_ack(PUBCOMP, third.identifier)
    assert client.rest() == []


@covers("3.10.4-5", "3.11.3-2", "3.10.4-1")
def test_mqtt_3_10_4_4_answered(connect, topic):
    client = connect()
    client.subscribe(topic)
    for identifier, reason in ((1000, 0), (1001, 0x11)):
        client.send(wire.unsubscribe(topic, identifier=identifier, level=MQTT_5))
        client.expect(UNSUBACK, identifier=identifier, reasons=[reason])


@covers("3.11.3-1", "3.11.3-2")
def test_mqtt_3_10_4_6_several_filters(connect, topic):
    client = connect()
    client.subscribe(*(f"{topic}/{end}" for end in "abc"))
    unsuback = client.unsubscribe(f"{topic}/a", f"{topic}/x", f"{topic}/c", f"{topic}/a", f"{topic}/y")
    assert unsuback.reasons == [0, 0x11, 0, 0x11, 0x11]
    for end in "abc":
        client.publish(f"{topic}/{end}", end)
    assert client.payloads() == [b"b"]


def test_user_properties_of_unsubscribe(connect, topic):
    client = connect()
    assert client.unsubscribe(topic, user_property=[("a", "b"), ("a", "b")]).reasons == [0x11]


def test_a_retained_message_under_way_to_a_subscription_that_ends(connect, topic):
    """What was sent for SUBSCRIBE may still come; nothing comes later."""
    client = connect()
    client.publish(topic, "x", qos=1, retain=True)
    client.send(wire.subscribe(topic, qos=1, identifier=8, level=MQTT_5)
                + wire.unsubscribe(topic, identifier=9, level=MQTT_5))
    client.answer(wire.SUBACK, 8)
    client.answer(UNSUBACK, 9)
    assert client.payloads() in ([b"x"], [])
    client.publish(topic, "y", qos=1, retain=True)
    assert client.rest() == []
