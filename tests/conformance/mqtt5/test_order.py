"""Order of messages (section 4.6)."""

import pytest

import wire
from conformance.statements import covers
from wire import MQTT_5, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL

KEPT = {"session_expiry_interval": 300}


def published(connect, topic, qos, many, subscriber):
    """The numbers that a subscriber got, and in which order."""
    publisher = connect()
    for start in range(0, many, 15):
        numbers = range(start, min(start + 15, many))
        publisher.send(b"".join(wire.publish(topic, str(number), qos, identifier=number + 1, level=MQTT_5)
                                for number in numbers))
        if qos == 2:
            for number in numbers:
                publisher.answer(PUBREC, number + 1)
                publisher.release(number + 1)
    publisher.rest()
    return [int(message.payload) for message in subscriber.messages()]


@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("qos", [0, 1, 2])
@covers("4.6.0-6")
def test_mqtt_4_6_0_5_in_order(connect, topic, qos, granted):
    """Many more than Receive Maximum, for one who acknowledges as they come."""
    subscriber = connect(receive_maximum=7)
    subscriber.subscribe(f"{topic}/#", qos=granted)
    assert published(connect, f"{topic}/a", qos, 150, subscriber) == [*range(150)]


@pytest.mark.parametrize("qos", [1, 2])
@covers("4.6.0-6")
def test_mqtt_4_6_0_5_for_one_who_was_away(connect, topic, qos):
    client = connect(**KEPT)
    client.subscribe(topic, qos=qos)
    client.lose()
    publisher = connect()
    for number in range(100):
        publisher.publish(topic, str(number), qos)
    client = connect(client.identifier, clean=False, receive_maximum=5)
    assert client.payloads() == [str(number).encode() for number in range(100)]


@pytest.mark.parametrize("qos", [1, 2])
@covers("4.6.0-5")
def test_mqtt_4_6_0_1_again_in_order(connect, topic, qos):
    """What was sent, then what waited, then what comes; however many connections there were before."""
    client, publisher = connect(**KEPT, receive_maximum=10), connect()
    client.subscribe(topic, qos=qos)
    for number in range(30):
        publisher.publish(topic, str(number), qos)
    for _ in range(3):
        sent = client.rest()
        assert [int(one.payload) for one in sent] == [*range(10)]
        client.lose()
        client = connect(client.identifier, clean=False, **KEPT, receive_maximum=10)
    publisher.publish(topic, "30", qos)
    assert [int(one) for one in client.payloads()] == [*range(31)]


def test_mqtt_4_6_0_1_a_smaller_receive_maximum(connect, topic):
    """Messages sent before go again a few at a time, still in order and before all others."""
    client, publisher = connect(**KEPT), connect()
    client.subscribe(topic, qos=1)
    for number in range(12):
        publisher.publish(topic, str(number), qos=1)
    sent = client.rest()
    client.lose()
    client = connect(client.identifier, clean=False, **KEPT, receive_maximum=2)
    publisher.publish(topic, "12", qos=1)
    found = []
    while batch := client.rest():
        assert len(batch) <= 2
        found += batch
        for message in batch:
            client.acknowledge(message)
    assert [int(one.payload) for one in found] == [*range(13)]
    assert [one.identifier for one in found[:12]] == [one.identifier for one in sent]
    assert [one.dup for one in found] == [True] * 12 + [False]


def test_pubrel_in_the_order_of_pubrec(connect, topic):
    """Of the broker as a sender of QoS 2, like [MQTT-4.6.0-4] of a Client."""
    client, publisher = connect(), connect()
    client.subscribe(topic, qos=2)
    for number in range(10):
        publisher.publish(topic, str(number), qos=2)
    identifiers = [one.identifier for one in client.rest()]
    mixed = identifiers[1::2] + identifiers[::2]
    for identifier in mixed:
        client.send_ack(PUBREC, identifier)
    assert [(one.kind, one.identifier) for one in client.rest()] == [(PUBREL, identifier) for identifier in mixed]
    for identifier in mixed:
        client.send_ack(PUBCOMP, identifier)
    publisher.publish(topic, "more", qos=2)
    client.message(payload=b"more")


def test_acknowledgements_in_the_order_of_publish(connect, topic):
    """Of the broker as a receiver, like [MQTT-4.6.0-2] and [MQTT-4.6.0-3] of a Client."""
    client = connect()
    numbers = [9, 3, 200, 1, 65535, 77]
    for qos, kind in ((1, PUBACK), (2, PUBREC)):
        client.send(b"".join(wire.publish(topic, b"x", qos, identifier=number, level=MQTT_5) for number in numbers))
        for number in numbers:
            client.expect(kind, identifier=number)
    for number in numbers:
        client.send_ack(PUBREL, number)
    for number in numbers:
        client.expect(PUBCOMP, identifier=number)


def test_acknowledgements_out_of_order(connect, topic):
    """A Client that does not keep to the order (section 4.6) loses and doubles nothing."""
    client, publisher = connect(**KEPT, receive_maximum=5), connect()
    client.subscribe(topic, qos=1)
    for number in range(25):
        publisher.publish(topic, str(number), qos=1)
    found = []
    while batch := client.rest():
        found += [int(one.payload) for one in batch]
        for message in reversed(batch):
            client.acknowledge(message)
    assert found == [*range(25)]


def test_several_publishers(connect, topic):
    """The messages of each are in order, whatever the mixture."""
    subscriber, publishers = connect(), [connect() for _ in range(4)]
    subscriber.subscribe(f"{topic}/+", qos=1)
    for number in range(40):
        for who, publisher in enumerate(publishers):
            publisher.send_publish(f"{topic}/{who}", str(number), qos=1, identifier=number + 1)
    for publisher in publishers:
        assert [one.identifier for one in publisher.rest()] == [*range(1, 41)]
    messages = subscriber.messages()
    for who in range(4):
        assert [int(one.payload) for one in messages if one.topic == f"{topic}/{who}"] == [*range(40)]


def test_order_of_what_is_for_several_subscriptions(connect, topic):
    """Overlapping ones change nothing."""
    client = connect(receive_maximum=3)
    client.subscribe(f"{topic}/#", (f"{topic}/a", 2), (f"{topic}/+", 1))
    for number in range(30):
        client.publish(f"{topic}/a", str(number), qos=1)
    packets = [packet for packet in client.messages() if packet.kind == PUBLISH]
    assert [int(packet.payload) for packet in packets] == [*range(30)]
