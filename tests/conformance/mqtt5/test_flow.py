"""Flow control by Receive Maximum, both ways (sections 3.3.4 and 4.9)."""

import pytest

import wire
from conformance.statements import covers
from wire import MQTT_5, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK

KEPT = {"session_expiry_interval": 300}


@pytest.mark.parametrize("maximum", [1, 2, 7])
@pytest.mark.parametrize("qos", [1, 2])
@covers("4.9.0-1", "4.9.0-2")
def test_mqtt_3_3_4_9_no_more_than_receive_maximum(connect, topic, qos, maximum):
    """And each acknowledgement, of QoS 2 the last one, makes room for one more."""
    client, publisher = connect(receive_maximum=maximum), connect()
    client.subscribe(topic, qos=2)
    for number in range(maximum + 5):
        publisher.publish(topic, str(number), qos)
    under_way = client.rest()
    assert [int(one.payload) for one in under_way] == [*range(maximum)]
    for number in range(maximum, maximum + 5):
        oldest = under_way.pop(0)
        if qos == 2:
            client.send_ack(PUBREC, oldest.identifier)
            client.expect(PUBREL, identifier=oldest.identifier)
            assert client.rest() == []
            client.send_ack(PUBCOMP, oldest.identifier)
        else:
            client.send_ack(PUBACK, oldest.identifier)
        under_way.append(client.expect(PUBLISH, payload=str(number).encode()))
        assert client.rest() == []


@covers("4.9.0-1")
def test_mqtt_3_3_4_9_without_receive_maximum(connect, topic):
    """65,535 would be allowed; the broker keeps to as many as it takes itself."""
    client, publisher = connect(), connect()
    client.subscribe(topic, qos=1)
    for number in range(30):
        publisher.publish(topic, str(number), qos=1)
    assert len(client.rest()) == client.connack.properties["receive_maximum"]


@pytest.mark.parametrize("qos", [1, 2])
@covers("4.9.0-3")
def test_mqtt_3_3_4_10_everything_else_goes_on(connect, topic, qos):
    """At a quota of 0: QoS 0 of other topics, answers of all kinds, flows the other way."""
    client, publisher = connect(receive_maximum=1), connect()
    client.subscribe(topic, qos=2)
    for number in range(3):
        publisher.publish(topic, str(number), qos)
    first = client.expect(PUBLISH, payload=b"0")
    client.send(wire.PING)
    client.expect(PINGRESP)
    client.send_subscribe(f"{topic}/0", identifier=70)
    client.expect(SUBACK, identifier=70)
    publisher.publish(f"{topic}/0", "quality 0")
    client.expect(PUBLISH, payload=b"quality 0", qos=0)
    client.send_publish("elsewhere", "x", qos=1, identifier=71)
    client.expect(PUBACK, identifier=71)
    client.send_publish("elsewhere", "x", qos=2, identifier=72)
    client.expect(PUBREC, identifier=72)
    client.send_ack(PUBREL, 72)
    client.expect(PUBCOMP, identifier=72)
    client.send(wire.unsubscribe(f"{topic}/0", identifier=73, level=MQTT_5))
    client.expect(UNSUBACK, identifier=73)
    if qos == 2:
        client.send_ack(PUBREC, first.identifier)
        client.expect(PUBREL, identifier=first.identifier)
    assert client.rest() == []


def test_one_who_owes_does_not_hold_up_others(connect, topic):
    slow, quick, publisher = connect(receive_maximum=1), connect(), connect()
    for client in (slow, quick):
        client.subscribe(topic, qos=1)
    for number in range(10):
        publisher.publish(topic, str(number), qos=1)
        quick.message(payload=str(number).encode())
    assert len(slow.payloads()) == 10


def test_mqtt_3_3_4_9_on_the_next_connection(connect, topic):
    """The maximum is the connection's: what is sent again counts too."""
    client, publisher = connect(receive_maximum=5, **KEPT), connect()
    client.subscribe(topic, qos=2)
    for number in range(8):
        publisher.publish(topic, str(number), qos=2)
    assert len(client.rest()) == 5
    client.lose()
    client = connect(client.identifier, clean=False, receive_maximum=3, **KEPT)
    assert len(client.rest()) == 3
    client.lose()
    client = connect(client.identifier, clean=False, receive_maximum=100)
    assert [int(one.payload) for one in client.messages()] == [*range(8)]


@covers("3.3.4-7")
def test_mqtt_3_3_4_7_the_clients_side(connect, topic):
    """More unreleased QoS 2 messages than the broker's Receive Maximum."""
    client = connect()
    maximum = client.connack.properties["receive_maximum"]
    client.send(b"".join(wire.publish(topic, b"x", 2, identifier=number + 1, level=MQTT_5)
                         for number in range(maximum + 1)))
    for number in range(maximum):
        client.expect(PUBREC, identifier=number + 1)
    client.expect_closed(0x93)


def test_mqtt_3_3_4_7_duplicates_do_not_count(connect, topic):
    """Those that are sent again are the same messages; a released one makes room for another."""
    client = connect()
    maximum = client.connack.properties["receive_maximum"]
    for dup in (False, True):
        for number in range(maximum):
            client.send_publish(topic, b"x", qos=2, identifier=number + 1, dup=dup)
            client.expect(PUBREC, identifier=number + 1)
    client.send_publish(topic, b"x", qos=1, identifier=200)
    client.expect(PUBACK, identifier=200)
    client.release(1)
    client.send_publish(topic, b"x", qos=2, identifier=300)
    client.expect(PUBREC, identifier=300)
    assert client.rest() == []


def test_many_at_once_from_a_client_that_waits(connect, topic):
    """Publishing in the greatest number allowed, again and again, is never too much."""
    client, subscriber = connect(), connect()
    subscriber.subscribe(topic)
    maximum = client.connack.properties["receive_maximum"]
    for _ in range(10):
        client.send(b"".join(wire.publish(topic, b"x", 2, identifier=number + 1, level=MQTT_5)
                             for number in range(maximum)))
        for number in range(maximum):
            client.expect(PUBREC, identifier=number + 1)
            client.send_ack(PUBREL, number + 1)
        for number in range(maximum):
            client.expect(PUBCOMP, identifier=number + 1)
    assert len(subscriber.rest()) == 10 * maximum


def test_mqtt_3_3_4_10_pubrel_is_not_delayed(connect, topic):
    """All that are owed go again at once, however few messages the Client takes at a time."""
    client, publisher = connect(**KEPT), connect()
    client.subscribe(topic, qos=2)
    for number in range(5):
        publisher.publish(topic, str(number), qos=2)
    identifiers = [message.identifier for message in client.rest()]
    for identifier in identifiers:
        client.send_ack(PUBREC, identifier)
    assert [packet.kind for packet in client.rest()] == [PUBREL] * 5
    client.lose()
    client = connect(client.identifier, clean=False, receive_maximum=2)
    assert [(packet.kind, packet.identifier) for packet in client.rest()] == [(PUBREL, one) for one in identifiers]
