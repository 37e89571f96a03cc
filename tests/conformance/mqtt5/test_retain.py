"""Retained messages (sections 3.3.1.3 and 3.8.3.1)."""

import pytest

import wire
from conformance.statements import covers
from wire import PUBLISH


def retained(connect, topic_filter, **options):
    """What a new subscriber is sent."""
    client = connect()
    client.subscribe((topic_filter, wire.options(2, **options)))
    return [(message.topic, message.payload) for message in client.messages()]


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("before", [None, 0, 1, 2])
@covers("3.3.1-9")
def test_mqtt_3_3_1_5_stored_and_replaced(connect, topic, qos, before):
    publisher = connect()
    if before is not None:
        publisher.publish(topic, "old", before, retain=True)
    publisher.publish(topic, "new", qos, retain=True)
    client = connect()
    client.subscribe(topic, qos=2)
    client.message(topic=topic, payload=b"new", qos=qos, retain=True, dup=False)
    assert client.rest() == []


@pytest.mark.parametrize("granted", [0, 1, 2])
@covers("3.8.4-8")
def test_retained_messages_have_the_lower_qos(connect, topic, granted):
    connect().publish(topic, "x", qos=2, retain=True)
    client = connect()
    client.subscribe(topic, qos=granted)
    client.message(qos=granted, retain=True)


@pytest.mark.parametrize("qos", [0, 1, 2])
@covers("3.3.1-7")
def test_mqtt_3_3_1_6_removed(connect, topic, qos):
    publisher, subscriber = connect(), connect()
    subscriber.subscribe(topic, qos=2)
    publisher.publish(topic, "x", retain=True)
    subscriber.message(payload=b"x")
    publisher.publish(topic, "", qos, retain=True)
    subscriber.message(payload=b"", qos=qos, retain=False)
    assert retained(connect, topic) == []


def test_mqtt_3_3_1_7_never_stored(connect, topic):
    """Where nothing was to be removed either."""
    connect().publish(topic, "", qos=1, retain=True)
    assert retained(connect, topic) == []


@pytest.mark.parametrize("payload", ["y", ""])
def test_mqtt_3_3_1_8_not_retained(connect, topic, payload):
    publisher = connect()
    publisher.publish(topic, payload)
    assert retained(connect, topic) == []
    publisher.publish(topic, "x", retain=True)
    publisher.publish(topic, payload)
    assert retained(connect, topic) == [(topic, b"x")]


def test_mqtt_3_3_1_9_all_that_match(connect, topic):
    publisher = connect()
    topics = [f"{topic}/{end}" for end in ("a", "b", "a/b", "c/d/e", "")]
    for one in topics:
        publisher.publish(one, one, retain=True)
    publisher.publish("x" + topic, "other", retain=True)
    assert sorted(retained(connect, f"{topic}/#")) == sorted((one, one.encode()) for one in topics)
    assert sorted(one for one, _ in retained(connect, f"{topic}/+")) == [f"{topic}/", f"{topic}/a", f"{topic}/b"]
    assert [one for one, _ in retained(connect, "+/a/b")] == [f"{topic}/a/b"]
    assert retained(connect, topic) == []


@covers("3.8.4-3", "3.8.4-4")
def test_mqtt_3_3_1_9_again_for_the_same_filter(connect, topic):
    client = connect()
    client.publish(topic, "x", retain=True)
    for _ in range(3):
        client.subscribe((topic, wire.options(1, retain_handling=0)))
        assert client.message(retain=True).payload == b"x"
        assert client.rest() == []


def test_mqtt_3_3_1_10_only_for_a_new_subscription(connect, topic):
    client = connect()
    client.publish(topic, "x", retain=True)
    client.subscribe((topic, wire.options(1, retain_handling=1)))
    client.message(payload=b"x", retain=True)
    client.subscribe((topic, wire.options(0, retain_handling=1)))
    assert client.rest() == []
    client.unsubscribe(topic)
    client.subscribe((topic, wire.options(1, retain_handling=1)))
    client.message(payload=b"x", retain=True)


def test_mqtt_3_3_1_10_for_a_subscription_of_before(connect, topic):
    """It exists as long as the Session, not the connection."""
    client = connect(session_expiry_interval=300)
    client.subscribe((topic, wire.options(1, retain_handling=1)))
    client.publish(topic, "x", retain=True)
    client.lose()
    client = connect(client.identifier, clean=False)
    client.subscribe((topic, wire.options(1, retain_handling=1)))
    assert client.rest() == []


def test_mqtt_3_3_1_11_never(connect, topic):
    client = connect()
    client.publish(topic, "x", retain=True)
    for _ in range(2):
        client.subscribe((topic, wire.options(1, retain_handling=2)))
        assert client.rest() == []
    client.publish(topic, "y")
    client.expect(PUBLISH, payload=b"y")


def test_retain_handling_of_each_filter(connect, topic):
    """The options are of the filter, not of the packet."""
    publisher, client = connect(), connect()
    for end in "abc":
        publisher.publish(f"{topic}/{end}", end, retain=True)
    client.subscribe(*((f"{topic}/{end}", wire.options(0, retain_handling=how)) for end, how in zip("abc", (2, 0, 1))))
    assert client.payloads() == [b"b", b"c"]


@pytest.mark.parametrize("retain", [True, False])
def test_mqtt_3_3_1_12_retain_as_published_0(connect, topic, retain):
    client = connect()
    client.subscribe((topic, wire.options(0, retain_as_published=False)))
    client.publish(topic, "x", retain=retain)
    client.expect(PUBLISH, retain=False)


@pytest.mark.parametrize("retain", [True, False])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_mqtt_3_3_1_13_retain_as_published_1(connect, topic, retain, qos):
    client = connect()
    client.subscribe((topic, wire.options(2, retain_as_published=True)))
    client.publish(topic, "x", qos, retain=retain)
    client.message(retain=retain, qos=qos)


@pytest.mark.parametrize("as_published", [True, False])
def test_what_is_sent_for_a_new_subscription_is_retained(connect, topic, as_published):
    """Whatever Retain As Published says (section 3.3.1.3)."""
    client = connect()
    client.publish(topic, "x", retain=True)
    client.subscribe((topic, wire.options(0, retain_as_published=as_published)), subscription_identifier=3)
    client.expect(PUBLISH, retain=True, subscription_identifier=[3])


def test_none_for_a_shared_subscription(connect, topic):
    """Section 4.8.2: nothing retained when it begins."""
    client = connect()
    client.publish(topic, "x", retain=True)
    client.subscribe(f"$share/group/{topic}", qos=1)
    assert client.rest() == []


def test_no_local_and_what_another_retained(connect, topic):
    """That of another Client comes for the new subscription as it would without."""
    other, client = connect(), connect()
    other.publish(topic, "x", retain=True)
    client.subscribe((topic, wire.options(0, no_local=True)))
    client.expect(PUBLISH, payload=b"x", retain=True)


def test_a_removed_one_is_passed_on_as_published(connect, topic):
    client = connect()
    client.subscribe((topic, wire.options(0, retain_as_published=True)))
    client.publish(topic, "", retain=True)
    client.expect(PUBLISH, payload=b"", retain=True)


def test_retained_messages_come_before_later_ones(connect, topic):
    """What is published after SUBACK does not overtake what was retained before, of the same topic."""
    publisher, client = connect(), connect()
    publisher.publish(topic, "1", retain=True)
    client.subscribe(topic)
    publisher.publish(topic, "2")
    assert client.payloads() == [b"1", b"2"]


@pytest.mark.parametrize("qos", [1, 2])
@covers("3.8.4-4")
def test_mqtt_3_3_1_9_again_while_the_first_are_under_way(connect, topic, qos):
    """After the second SUBSCRIBE every one of them comes, those that came for the first one too."""
    client, publisher = connect(receive_maximum=1), connect()
    for number in range(3):
        publisher.publish(f"{topic}/{number}", str(number), qos=2, retain=True)
    client.subscribe(f"{topic}/#", qos=qos)
    [first] = client.rest()
    client.subscribe(f"{topic}/#", qos=qos)
    client.acknowledge(first)
    assert {message.payload for message in client.messages()} == {b"0", b"1", b"2"}


def test_many_retained_messages_and_a_later_one(connect, topic):
    """The later one of a topic does not overtake the retained one that still waits."""
    client, publisher = connect(receive_maximum=2), connect()
    for number in range(60):
        publisher.publish(f"{topic}/{number}", "retained", qos=1, retain=True)
    client.subscribe(f"{topic}/+", qos=1)
    for number in range(60):
        publisher.publish(f"{topic}/{number}", "later", qos=number % 2)
    found = client.messages()
    for number in range(60):
        assert [one.payload for one in found if one.topic == f"{topic}/{number}"] == [b"retained", b"later"]
