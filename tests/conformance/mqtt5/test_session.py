"""Session State (section 4.1): how long it lasts and what is part of it; its end by the clock is in test_time.py."""

import pytest

import wire
from conformance.client import Client
from conformance.statements import covers
from properties import properties
from wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK

KEPT = {"session_expiry_interval": 300}


def again(connect, client, **options):
    """The same Client, back with Clean Start 0."""
    return connect(client.identifier, clean=False, **options)


@pytest.mark.parametrize("asked", [{}, {"session_expiry_interval": 0}])
@covers("3.1.2-23", "4.1.0-2")
def test_mqtt_4_1_0_2_a_session_without_expiry(connect, topic, asked):
    """It ends with its connection, but not before [MQTT-4.1.0-1]."""
    client = connect(**asked)
    client.subscribe(topic, qos=1)
    client.publish(topic, "1", qos=1)
    assert client.payloads() == [b"1"]
    client.lose()
    client = again(connect, client)
    assert client.connack.session_present is False
    client.publish(topic, "2", qos=1)
    assert client.payloads() == []


@pytest.mark.parametrize("interval", [1, 300, 0xFFFFFFFF])
def test_mqtt_3_1_2_23_kept(connect, topic, interval):
    """0xFFFFFFFF is for ever."""
    client = connect(session_expiry_interval=interval)
    client.subscribe(topic, qos=1)
    client.lose()
    connect().publish(topic, "x", qos=1)
    client = again(connect, client)
    assert client.connack.session_present is True
    assert client.payloads() == [b"x"]


def test_mqtt_4_1_0_1_everything_of_it(connect, topic):
    """Subscriptions, messages under way both ways, messages that wait (section 4.1)."""
    client, publisher = connect(**KEPT, receive_maximum=2), connect()
    client.subscribe((topic, wire.options(2, retain_as_published=True)), subscription_identifier=77)
    client.send_publish(topic + "/in", b"in", qos=2, identifier=9)
    client.expect(PUBREC, identifier=9)
    publisher.publish(topic, "published", qos=1)
    publisher.publish(topic, "received", qos=2)
    publisher.publish(topic, "waits", qos=1)
    published, received = client.rest()
    client.send_ack(PUBREC, received.identifier)
    client.expect(PUBREL, identifier=received.identifier)
    client.lose()
    publisher.publish(topic, "came meanwhile", qos=2, retain=True)
    client = again(connect, client, **KEPT)
    client.expect(PUBLISH, payload=b"published", identifier=published.identifier, dup=True, qos=1)
    client.expect(PUBREL, identifier=received.identifier)
    client.message(payload=b"waits", dup=False, qos=1)
    last = client.message(payload=b"came meanwhile", dup=False, qos=2, retain=True)
    assert last.properties["subscription_identifier"] == [77]
    assert last.identifier not in (published.identifier, received.identifier)
    client.send_ack(PUBACK, published.identifier)
    client.send_ack(PUBCOMP, received.identifier)
    client.send_publish(topic + "/in", b"in", qos=2, identifier=9, dup=True)
    client.expect(PUBREC, identifier=9)
    client.send_ack(PUBREL, 9)
    client.expect(PUBCOMP, identifier=9, reason=0)
    assert client.rest() == []


def test_subscriptions_keep_their_options(connect, topic):
    client = connect(**KEPT)
    client.subscribe((topic + "/local", wire.options(1, no_local=True)), (topic + "/plain", wire.options(0)))
    client = again(connect, client, **KEPT)
    client.publish(topic + "/local", "x", qos=1)
    client.publish(topic + "/plain", "y", qos=1)
    client.message(payload=b"y", qos=0)
    assert client.rest() == []


def test_a_connect_sets_the_expiry_anew(connect, topic):
    """Without one in the new CONNECT, the Session ends with the new connection."""
    client = connect(**KEPT)
    client.lose()
    client = again(connect, client)
    assert client.connack.session_present is True
    client.lose()
    assert again(connect, client).connack.session_present is False


@pytest.mark.parametrize("interval, present", [(0, False), (1000, True)])
def test_expiry_at_disconnect(connect, interval, present):
    """DISCONNECT may change it (section 3.14.2.2.2)."""
    client = connect(**KEPT)
    client.disconnect(0, session_expiry_interval=interval)
    assert again(connect, client).connack.session_present is present


def test_expiry_at_disconnect_is_left(connect):
    client = connect(**KEPT)
    client.disconnect()
    assert again(connect, client).connack.session_present is True


@pytest.mark.parametrize("before", [{}, {"session_expiry_interval": 0}])
def test_no_expiry_at_disconnect_after_none(connect, before):
    """It cannot be set where CONNECT said 0: a Protocol Error."""
    client = connect(**before)
    client.send(wire.disconnect(0, wire.MQTT_5, properties(session_expiry_interval=10)))
    client.expect_closed(0x82)
    assert again(connect, client).connack.session_present is False


def test_expiry_0_at_disconnect_after_none(connect):
    """0 where it was 0 changes nothing and is allowed."""
    client = connect()
    client.send(wire.disconnect(0, wire.MQTT_5, properties(session_expiry_interval=0)))
    assert client.expect_closed() is None


def test_qos_0_while_away(connect, topic):
    """May be kept; it is not, here as with Mosquitto."""
    client = connect(**KEPT)
    client.subscribe(topic, qos=2)
    client.lose()
    connect().publish(topic, "x", qos=0)
    assert again(connect, client).rest() == []


def test_retained_messages_are_no_part_of_it(connect, topic):
    client = connect()
    client.publish(topic, "kept", retain=True)
    client.lose()
    other = connect()
    other.subscribe(topic)
    other.expect(PUBLISH, payload=b"kept", retain=True)


@covers("3.1.4-3")
def test_taking_over_a_session_without_expiry(connect, topic):
    """Whether it ends first is open; what CONNACK says of it must be true [MQTT-3.2.2-3]."""
    first = connect()
    first.subscribe(topic, qos=1)
    second = again(connect, first)
    first.expect_closed(0x8E)
    assert second.connack.session_present in (True, False)
    second.publish(topic, "x", qos=1)
    assert bool(second.payloads()) is second.connack.session_present


def test_a_session_of_another_version(connect, broker, topic):
    """The Session is the Client Identifier's, whichever version it speaks."""
    client = connect(**KEPT)
    client.subscribe(topic, qos=1)
    client.lose()
    connect().publish(topic, "x", qos=1)
    old = Client(broker.port, wire.MQTT_3_1_1, client.identifier).connect(clean=False)
    assert old.connack.session_present is True
    assert old.payloads() == [b"x"]
    old.lose()
    client = again(connect, client)
    assert client.connack.session_present is True


def test_the_answer_to_subscribe_after_a_loss(connect, topic):
    """A SUBSCRIBE that was not answered is no part of the state: it is said again, and works."""
    client = connect(**KEPT)
    client.send_subscribe(topic, identifier=5, qos=1)
    client.lose()
    client = again(connect, client)
    client.send_subscribe(topic, identifier=5, qos=1)
    client.expect(SUBACK, identifier=5, reasons=[1])
