"""PUBLISH and its acknowledgements (sections 3.3 to 3.7)."""

import pytest

import wire
from conformance.statements import covers
from wire import MQTT_3_1, MQTT_3_1_1, PING, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, packet, string

# What is tested here holds in 3.1 as well.
pytestmark = pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_3_1])


@pytest.fixture
def publisher(connect):
    return connect()


@pytest.fixture
def subscriber(connect, topic):
    """A Client that is subscribed to `topic` at QoS 2."""
    subscriber = connect()
    subscriber.subscribe(topic, qos=2)
    return subscriber


def retained(connect, topic, qos=2):
    """What a new subscription gets, as payload, QoS and RETAIN."""
    late = connect()
    late.subscribe(topic, qos=qos)
    return [(packet.payload, packet.qos, packet.retain) for packet in late.messages()]


@pytest.mark.parametrize("qos", [1, 2])
def test_mqtt_3_3_1_1_a_redelivery_has_dup(connect, publisher, name, topic, qos):
    """And what has not been sent before has not."""
    identifier = name()
    subscriber = connect(identifier, clean=False)
    subscriber.subscribe(topic, qos=2)
    publisher.publish(topic, "sent", qos=qos)
    first = subscriber.expect(PUBLISH, dup=False, qos=qos)
    subscriber.lose()
    publisher.publish(topic, "not yet sent", qos=qos)
    again = connect(identifier, clean=False)
    again.message(dup=True, qos=qos, identifier=first.identifier, payload=b"sent")
    again.message(dup=False, qos=qos, payload=b"not yet sent")


@covers("4.3.1-1")
def test_mqtt_3_3_1_2_dup_with_qos_0(connect, publisher, subscriber, topic):
    """The broker does not send it, and takes it for a broken protocol."""
    publisher.publish(topic, "x")
    subscriber.message(dup=False, qos=0)
    publisher.send_publish(topic, "y", dup=True)
    publisher.expect_closed()
    assert subscriber.rest() == []


@pytest.mark.parametrize("qos", [1, 2])
def test_mqtt_3_3_1_3_dup_is_not_passed_on(publisher, subscriber, topic, qos):
    publisher.publish(topic, "x", qos=qos, dup=True)
    subscriber.message(dup=False, qos=qos, payload=b"x")


def test_mqtt_3_3_1_4_qos_3_closes_the_connection(publisher, subscriber, topic):
    publisher.send(packet(PUBLISH | 6, string(topic) + b"\0\1x"))
    publisher.expect_closed()
    assert subscriber.rest() == []


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_mqtt_3_3_1_5_message_and_qos_are_retained(connect, publisher, topic, qos):
    payload = bytes(range(256))
    publisher.publish(topic, payload, qos=qos, retain=True)
    for asked in (0, 1, 2):
        assert retained(connect, topic, asked) == [(payload, min(qos, asked), True)]


def test_mqtt_3_3_1_6_the_last_retained_message_counts(connect, publisher, topic):
    for payload, qos in (("1", 1), ("2", 2), ("3", 1)):
        publisher.publish(topic, payload, qos=qos, retain=True)
        publisher.publish(f"{topic}/other", "other", qos=qos, retain=True)
    assert retained(connect, topic) == [(b"3", 1, True)]
    assert sorted(retained(connect, f"{topic}/#")) == [(b"3", 1, True), (b"other", 1, True)]


def test_mqtt_3_3_1_7_a_retained_message_of_qos_0_drops_the_old_one(connect, publisher, topic):
    publisher.publish(topic, "old", qos=2, retain=True)
    publisher.publish(topic, "new", qos=0, retain=True)
    assert retained(connect, topic) == [(b"new", 0, True)]


def test_mqtt_3_3_1_8_retain_for_a_new_subscription(connect, publisher, topic):
    publisher.publish(topic, "x", qos=1, retain=True)
    for topic_filter in (topic, f"{topic}/#", "+"):
        late = connect()
        late.subscribe(topic_filter, qos=1)
        mine = [packet for packet in late.messages() if packet.topic == topic]
        assert [packet.retain for packet in mine] == [True], topic_filter


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_mqtt_3_3_1_9_no_retain_for_an_established_subscription(publisher, subscriber, topic, qos):
    publisher.publish(topic, "x", qos=qos, retain=True)
    subscriber.message(payload=b"x", retain=False, qos=qos)


@pytest.mark.parametrize("qos", [0, 1, 2])
@covers("3.3.1-11")
def test_mqtt_3_3_1_10_an_empty_retained_message_removes(connect, publisher, subscriber, topic, qos):
    publisher.publish(topic, "x", qos=1, retain=True)
    subscriber.message(payload=b"x")
    publisher.publish(topic, "", qos=qos, retain=True)
    subscriber.message(payload=b"", retain=False, qos=qos)
    assert retained(connect, topic) == []
    publisher.publish(topic, "y", qos=1, retain=True)
    assert retained(connect, topic) == [(b"y", 1, True)]


def test_mqtt_3_3_1_12_what_is_not_to_be_retained_changes_nothing(connect, publisher, topic):
    publisher.publish(topic, "x", qos=1)
    assert retained(connect, topic) == []
    publisher.publish(topic, "kept", qos=1, retain=True)
    for payload in ("y", ""):
        publisher.publish(topic, payload, qos=1)
        assert retained(connect, topic) == [(b"kept", 1, True)]


def test_mqtt_3_3_2_1_the_topic_name_comes_first_and_is_utf_8(connect, publisher, topic):
    subscriber = connect()
    topics = [f"{topic}/ä€𐍈", f"{topic}/ ", f"{topic}//", f"{topic}/$"]
    subscriber.subscribe(f"{topic}/#")
    for one in topics:
        publisher.publish(one, one)
    received = [(packet.topic, packet.payload.decode()) for packet in subscriber.messages()]
    assert received == [(one, one) for one in topics]
    for body in (b"", b"\0", string(b"\xff") + b"x"):
        client = connect()
        client.send(packet(PUBLISH, body))
        client.expect_closed()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_mqtt_3_3_2_2_no_wildcards_in_a_topic_name(connect, qos):
    for wild in ("#", "+", "a/#", "a/+/b", "a+", "#a", "/+"):
        client = connect()
        client.send_publish(wild, "x", qos=qos)
        client.expect_closed()


def test_mqtt_3_3_2_3_the_topic_name_matches_the_subscription(connect, publisher, topic):
    """It is the one that was published, whatever the filter."""
    name = f"{topic}/a/b"
    for topic_filter in (name, f"{topic}/#", f"{topic}/+/b", "+/a/+", f"{name}/#"):
        subscriber = connect()
        subscriber.subscribe(topic_filter, qos=1)
        publisher.publish(name, topic_filter, qos=1)
        subscriber.message(topic=name, payload=topic_filter.encode())
        subscriber.disconnect()


def test_mqtt_3_3_4_1_the_answer_follows_the_qos(publisher, topic):
    publisher.send(wire.publish(topic, "x", qos=0) + PING)
    publisher.expect(PINGRESP)
    publisher.send(wire.publish(topic, "x", qos=1, identifier=5) + PING)
    publisher.expect(PUBACK, identifier=5)
    publisher.expect(PINGRESP)
    publisher.send(wire.publish(topic, "x", qos=2, identifier=6) + PING)
    publisher.expect(PUBREC, identifier=6)
    publisher.expect(PINGRESP)
    publisher.send_ack(PUBREL, 6)
    publisher.expect(PUBCOMP, identifier=6)


@pytest.mark.parametrize("first, second", [(0, 2), (2, 0), (1, 2), (0, 1), (1, 0)])
def test_mqtt_3_3_5_1_where_filters_overlap_the_highest_qos_counts(connect, publisher, topic, first, second):
    """And one message comes, not one for each filter."""
    subscriber = connect()
    subscriber.subscribe((f"{topic}/a", first), (f"{topic}/#", second), (f"{topic}/+", 0))
    publisher.publish(f"{topic}/a", "x", qos=2)
    assert [packet.qos for packet in subscriber.messages()] == [max(first, second)]


@pytest.mark.parametrize("qos", [1, 2])
def test_mqtt_3_3_5_2_what_a_client_may_not_publish_is_acknowledged_all_the_same(connect, publisher, qos):
    """Topics of the broker's own are forbidden to all; 3.1.1 has no way to say so."""
    listener = connect()
    listener.subscribe(("$SYS/broker/uptime", 2), ("$SYS/#", 2))
    publisher.publish("$SYS/broker/uptime", "forged", qos=qos, retain=True)
    assert b"forged" not in listener.payloads()
    late = connect()
    late.subscribe("$SYS/#")
    assert b"forged" not in late.payloads()


def test_acknowledgements_of_nothing(connect, publisher, topic):
    """PUBREL is answered, so that its sender can go on; the others have no answer. None ends the connection."""
    for kind in (PUBACK, PUBREC, PUBCOMP):
        publisher.send_ack(kind, 77)
    publisher.send_ack(PUBREL, 78)
    # A PUBREC wants its PUBREL, even when the message is long forgotten.
    publisher.answer(PUBREL, 77)
    publisher.answer(PUBCOMP, 78)
    assert publisher.rest() == []


@pytest.mark.parametrize("qos, kinds", [(1, [PUBREC]), (1, [PUBCOMP]), (2, [PUBACK]), (2, [PUBCOMP]),
                                        (2, [PUBREC, PUBACK])])
def test_acknowledgements_of_the_wrong_kind(connect, publisher, subscriber, topic, qos, kinds):
    """They end the connection, as in Mosquitto."""
    publisher.publish(topic, "x", qos=qos)
    message = subscriber.expect(PUBLISH, qos=qos)
    for kind in kinds:
        if kind is not kinds[0]:
            subscriber.answer(PUBREL, message.identifier)
        subscriber.send_ack(kind, message.identifier)
    subscriber.expect_closed()
