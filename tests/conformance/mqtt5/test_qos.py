"""Quality of Service and delivery again (sections 4.3 and 4.4)."""

import pytest

import wire
from conformance.statements import covers
from wire import MQTT_5, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL

KEPT = {"session_expiry_interval": 300}


def back(connect, client, **options):
    """The same Client, back in its Session."""
    client.lose()
    client = connect(client.identifier, clean=False, **KEPT, **options)
    assert client.connack.session_present is True
    return client


@pytest.fixture
def subscriber(connect, topic):
    client = connect(**KEPT)
    client.subscribe(topic, qos=2)
    return client


@covers("3.3.4-1")
def test_mqtt_4_3_1_1_qos_0(connect, subscriber, topic):
    connect().publish(topic, "x")
    assert subscriber.expect(PUBLISH, qos=0, dup=False, payload=b"x").identifier is None
    assert back(connect, subscriber).rest() == [], "once at most"


def test_mqtt_4_3_2_3_qos_1_until_puback(connect, subscriber, topic):
    """Sent again on each connection until then, and never after."""
    connect().publish(topic, "x", qos=1)
    identifier = subscriber.expect(PUBLISH, dup=False).identifier
    for _ in range(3):
        subscriber = back(connect, subscriber)
        subscriber.expect(PUBLISH, payload=b"x", dup=True, identifier=identifier)
    subscriber.send_ack(PUBACK, identifier)
    assert subscriber.rest() == []
    assert back(connect, subscriber).rest() == []


@pytest.mark.parametrize("dup", [False, True])
def test_mqtt_4_3_2_5_qos_1_the_identifier_again(connect, subscriber, topic, dup):
    """After PUBACK it is another message, whatever DUP says."""
    client = connect()
    for payload in ("1", "2"):
        client.send_publish(topic, payload, qos=1, identifier=7, dup=dup)
        client.expect(PUBACK, identifier=7)
    assert subscriber.payloads() == [b"1", b"2"]


def test_mqtt_4_3_2_4_puback_means_it_is_kept(connect, subscriber, topic):
    """Although its subscriber is away, and its publisher is gone."""
    subscriber.lose()
    publisher = connect()
    publisher.publish(topic, "x", qos=1)
    publisher.lose()
    assert connect(subscriber.identifier, clean=False).payloads() == [b"x"]


def test_mqtt_4_3_3_3_qos_2_until_pubrec(connect, subscriber, topic):
    connect().publish(topic, "x", qos=2)
    identifier = subscriber.expect(PUBLISH, dup=False, qos=2).identifier
    for _ in range(3):
        subscriber = back(connect, subscriber)
        subscriber.expect(PUBLISH, payload=b"x", dup=True, identifier=identifier, qos=2)
    subscriber.send_ack(PUBREC, identifier)
    subscriber.expect(PUBREL, identifier=identifier)


@covers("4.3.3-6", "4.3.3-4")
def test_mqtt_4_3_3_5_qos_2_pubrel_until_pubcomp(connect, subscriber, topic):
    """PUBREL comes again, PUBLISH does not."""
    connect().publish(topic, "x", qos=2)
    identifier = subscriber.expect(PUBLISH).identifier
    subscriber.send_ack(PUBREC, identifier)
    subscriber.expect(PUBREL, identifier=identifier, reason=0)
    for _ in range(3):
        subscriber = back(connect, subscriber)
        subscriber.expect(PUBREL, identifier=identifier)
        assert subscriber.rest() == []
    subscriber.send_ack(PUBCOMP, identifier)
    assert subscriber.rest() == []
    assert back(connect, subscriber).rest() == []


def test_mqtt_4_3_3_4_pubrec_twice(connect, subscriber, topic):
    """A PUBREC that comes again, as after a lost PUBREL, is answered again."""
    connect().publish(topic, "x", qos=2)
    identifier = subscriber.expect(PUBLISH).identifier
    for _ in range(2):
        subscriber.send_ack(PUBREC, identifier)
        subscriber.expect(PUBREL, identifier=identifier, reason=0)
    subscriber.send_ack(PUBCOMP, identifier)
    subscriber.send_ack(PUBREC, identifier)
    subscriber.expect(PUBREL, identifier=identifier, reason=0x92)


@covers("4.3.3-8", "4.3.3-11")
def test_mqtt_4_3_3_10_qos_2_duplicates(connect, subscriber, topic):
    """Answered each time and passed on once, over connections too."""
    client = connect(**KEPT)
    for number in range(3):
        client.send_publish(topic, "x", qos=2, identifier=7, dup=number > 0)
        client.expect(PUBREC, identifier=7)
    client = back(connect, client)
    client.send_publish(topic, "x", qos=2, identifier=7, dup=True)
    client.expect(PUBREC, identifier=7)
    for reason in (0, 0x92):
        client.send_ack(PUBREL, 7)
        client.expect(PUBCOMP, identifier=7, reason=reason)
    assert subscriber.payloads() == [b"x"]


@pytest.mark.parametrize("dup", [False, True])
def test_mqtt_4_3_3_12_qos_2_the_identifier_again(connect, subscriber, topic, dup):
    client = connect()
    for payload in ("1", "2"):
        client.send_publish(topic, payload, qos=2, identifier=7, dup=dup)
        client.expect(PUBREC, identifier=7)
        client.release(7)
    assert subscriber.payloads() == [b"1", b"2"]


def test_mqtt_4_3_3_12_after_a_lost_pubcomp(connect, subscriber, topic):
    """PUBREL comes again on the next connection: answered, nothing passed on."""
    client = connect(**KEPT)
    client.send_publish(topic, "x", qos=2, identifier=7)
    client.expect(PUBREC, identifier=7)
    client.release(7)
    client = back(connect, client)
    client.send_ack(PUBREL, 7)
    client.expect(PUBCOMP, identifier=7, reason=0x92)
    assert subscriber.payloads() == [b"x"]


def test_mqtt_4_3_3_9_after_a_negative_pubrec(connect, subscriber, topic):
    """The identifier means a new message, without any PUBREL."""
    client = connect()
    client.send_publish("$SYS/x", "x", qos=2, identifier=7)
    client.expect(PUBREC, identifier=7, reason=0x87)
    client.send_publish(topic, "y", qos=2, identifier=7)
    client.expect(PUBREC, identifier=7, reason=0)
    client.release(7)
    assert subscriber.payloads() == [b"y"]


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("reason", [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])
def test_mqtt_4_4_0_2_negative_acknowledgements(connect, topic, qos, reason):
    """They end the delivery, and free its place."""
    client = connect(**KEPT, receive_maximum=1)
    client.subscribe(topic, qos=2)
    publisher = connect()
    publisher.publish(topic, "1", qos)
    publisher.publish(topic, "2", qos)
    client.send_ack(PUBACK if qos == 1 else PUBREC, client.expect(PUBLISH, payload=b"1").identifier, reason)
    client.expect(PUBLISH, payload=b"2")
    client = back(connect, client)
    client.message(payload=b"2", dup=True)
    assert client.rest() == []


@pytest.mark.parametrize("reason", [0x00, 0x10])
@pytest.mark.parametrize("qos", [1, 2])
def test_positive_acknowledgements(connect, topic, subscriber, qos, reason):
    """0x10 is success too."""
    connect().publish(topic, "x", qos)
    identifier = subscriber.expect(PUBLISH).identifier
    subscriber.send_ack(PUBACK if qos == 1 else PUBREC, identifier, reason)
    if qos == 2:
        subscriber.expect(PUBREL, identifier=identifier)
        subscriber.send_ack(PUBCOMP, identifier)
    assert subscriber.rest() == []
    assert back(connect, subscriber).rest() == []


@covers("4.6.0-1")
def test_mqtt_4_4_0_1_again_at_no_other_time(connect, topic):
    """Not while connected, whatever the client says; and after that exactly what is owed, with its identifiers."""
    client, publisher = connect(**KEPT), connect()
    client.subscribe(topic, qos=2)
    for number in range(6):
        publisher.publish(topic, str(number), 1 + number % 2)
    sent = client.rest()
    assert [int(one.payload) for one in sent] == [*range(6)]
    client.send_ack(PUBACK, sent[2].identifier)
    client.send_ack(PUBREC, sent[3].identifier)
    client.expect(PUBREL, identifier=sent[3].identifier)
    client.subscribe(topic + "/other")
    assert client.rest() == client.rest() == []
    client = back(connect, client)
    owed = [(one.kind, one.identifier, one.payload, one.dup) for one in client.rest()]
    assert owed == [(PUBREL if one is sent[3] else PUBLISH, one.identifier, None if one is sent[3] else one.payload,
                     one is not sent[3]) for one in sent if one is not sent[2]]


def test_acknowledgements_that_fit_nothing(connect, topic, subscriber):
    """Of no message: nothing comes of them. Of another kind than the message waits for: a Protocol Error, and the message is
    as it was."""
    publisher = connect()
    publisher.publish(topic, "1", qos=1)
    publisher.publish(topic, "2", qos=2)
    first, second = subscriber.rest()
    for kind in PUBACK, PUBCOMP:
        subscriber.send_ack(kind, 9999)
    assert subscriber.rest() == []
    for kind, of in ((PUBACK, second), (PUBCOMP, second), (PUBCOMP, first), (PUBREC, first)):
        subscriber.send_ack(kind, of.identifier)
        subscriber.expect_closed(0x82)
        subscriber = back(connect, subscriber)
        assert [packet.payload for packet in subscriber.rest()] == [b"1", b"2"]


def test_exactly_once_through_losses(connect, topic, subscriber):
    """The connections of publisher and subscriber break after every step of every flow."""
    publisher, found = connect(**KEPT), []
    for number in range(20):
        identifier = number % 3 + 1
        publisher.send_publish(topic, str(number), qos=2, identifier=identifier)
        if number % 4 != 0:
            publisher.answer(PUBREC, identifier)
        publisher = back(connect, publisher)
        if number % 4 == 0:
            publisher.send_publish(topic, str(number), qos=2, identifier=identifier, dup=True)
            publisher.answer(PUBREC, identifier)
        publisher.send_ack(PUBREL, identifier)
        if number % 3 == 0:
            publisher = back(connect, publisher)
            publisher.send_ack(PUBREL, identifier)
        publisher.answer(PUBCOMP, identifier)
        message = subscriber.expect(PUBLISH, payload=str(number).encode())
        if number % 2:
            subscriber = back(connect, subscriber)
            message = subscriber.expect(PUBLISH, identifier=message.identifier, dup=True)
        found.append(int(message.payload))
        subscriber.send_ack(PUBREC, message.identifier)
        subscriber.expect(PUBREL, identifier=message.identifier)
        if number % 5 == 0:
            subscriber = back(connect, subscriber)
            subscriber.expect(PUBREL, identifier=message.identifier)
        subscriber.send_ack(PUBCOMP, message.identifier)
    assert found == [*range(20)]
    assert subscriber.rest() == back(connect, subscriber).rest() == []


def test_a_flow_of_several_messages_at_once(connect, topic, subscriber):
    """Of both directions and all QoS on one connection."""
    client = connect()
    client.subscribe(topic, qos=2)
    said = b"".join(wire.publish(topic, str(number), number % 3, identifier=number + 1, level=MQTT_5)
                    for number in range(15))
    client.send(said)
    received, answers = [], {PUBACK: [], PUBREC: [], PUBCOMP: []}
    while len(received) < 15 or len(answers[PUBREC]) < 5 or len(answers[PUBACK]) < 5:
        packet = client.receive_packet()
        if packet.kind == PUBLISH:
            received.append(packet)
        else:
            answers[packet.kind].append(packet.identifier)
    assert sorted(int(packet.payload) for packet in received) == [*range(15)]
    assert answers[PUBACK] == [2, 5, 8, 11, 14] and answers[PUBREC] == [3, 6, 9, 12, 15]
    for packet in received:
        client.acknowledge(packet)
    for identifier in answers[PUBREC]:
        client.release(identifier)
    assert client.rest() == []


def test_mqtt_3_1_2_4_a_clean_start_forgets_what_was_received(connect, subscriber, topic):
    """An identifier of QoS 2 that was not released means a new message in a new Session."""
    client = connect(**KEPT)
    client.send_publish(topic, "1", qos=2, identifier=7)
    client.expect(PUBREC, identifier=7)
    client.lose()
    client = connect(client.identifier, clean=True)
    client.send_publish(topic, "2", qos=2, identifier=7)
    client.expect(PUBREC, identifier=7)
    client.release(7)
    assert subscriber.payloads() == [b"1", b"2"]


def test_a_pubrel_that_says_not_found(connect, subscriber, topic):
    """A Client that has lost its state: answered, and the identifier is free."""
    client = connect()
    for payload in ("1", "2"):
        client.send_publish(topic, payload, qos=2, identifier=7)
        client.expect(PUBREC, identifier=7)
        client.send_ack(PUBREL, 7, 0x92)
        client.expect(PUBCOMP, identifier=7)
    assert subscriber.payloads() == [b"1", b"2"]


@pytest.mark.parametrize("qos", [1, 2])
@covers("3.1.4-3")
def test_mqtt_4_4_0_1_again_to_one_who_takes_over(connect, subscriber, topic, qos):
    """The connection need not have been lost first."""
    publisher = connect()
    publisher.publish(topic, "1", qos)
    first = subscriber.expect(PUBLISH, dup=False)
    second = connect(subscriber.identifier, clean=False, **KEPT)
    subscriber.expect_closed(0x8E)
    publisher.publish(topic, "2", qos)
    second.message(payload=b"1", dup=True, identifier=first.identifier)
    second.message(payload=b"2", dup=False)
    assert second.rest() == []
