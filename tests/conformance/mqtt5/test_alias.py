"""Topic Aliases, both ways (section 3.3.2.3.4)."""

import pytest

import wire
from conformance.statements import covers
from wire import MQTT_5, PUBACK, PUBLISH, PUBREC


@pytest.mark.parametrize("qos", [0, 1, 2])
@covers("3.3.2-1")
def test_mqtt_3_3_2_12_every_alias_up_to_the_maximum(connect, topic, qos):
    publisher, subscriber = connect(), connect()
    subscriber.subscribe(f"{topic}/#", qos=2)
    aliases = range(1, publisher.connack.properties["topic_alias_maximum"] + 1)
    for alias in aliases:
        publisher.publish(f"{topic}/{alias}", "set", qos, topic_alias=alias)
        subscriber.message(topic=f"{topic}/{alias}", payload=b"set", topic_alias=None)
    for alias in reversed(aliases):
        publisher.publish("", "used", qos, topic_alias=alias)
        subscriber.message(topic=f"{topic}/{alias}", payload=b"used", topic_alias=None)


def test_an_alias_may_be_set_anew(connect, topic):
    client = connect()
    client.subscribe(f"{topic}/#")
    for name in "ab":
        client.publish(f"{topic}/{name}", "x", topic_alias=1)
        client.publish("", "y", topic_alias=1)
        for payload in (b"x", b"y"):
            client.expect(PUBLISH, topic=f"{topic}/{name}", payload=payload)


def test_an_alias_may_be_used_for_retained_messages(connect, topic):
    client = connect()
    client.publish(topic, "x", topic_alias=1)
    client.publish("", "retained", retain=True, topic_alias=1)
    client.subscribe(topic)
    assert client.expect(PUBLISH, topic=topic, payload=b"retained").properties == {}


def test_mqtt_3_3_2_7_not_on_another_connection(connect, topic):
    first = connect(session_expiry_interval=300)
    first.publish(topic, "x", topic_alias=1)
    first.lose()
    client = connect(first.identifier, clean=False)
    client.send_publish("", "y", topic_alias=1)
    client.expect_closed(0x82)


def test_mqtt_3_3_2_7_not_of_another_client(connect, topic):
    connect().publish(topic, "x", topic_alias=1)
    client = connect()
    client.send_publish("", "y", topic_alias=1)
    client.expect_closed(0x82)


@covers("3.3.2-12")
def test_mqtt_3_3_2_8_alias_0(connect):
    client = connect()
    client.send_publish("t", "x", topic_alias=0)
    client.expect_closed(0x94)


@pytest.mark.parametrize("topic_name", ["t", ""])
@covers("3.2.2-17")
def test_mqtt_3_3_2_9_alias_above_the_maximum(connect, topic_name):
    for alias in (1 + connect().connack.properties["topic_alias_maximum"], 0xFFFF):
        client = connect()
        client.send_publish(topic_name, "x", topic_alias=alias)
        client.expect_closed(0x94)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_an_alias_that_was_never_set(connect, qos):
    """A Protocol Error, since there is no topic (section 3.3.2.1)."""
    client = connect()
    client.send_publish("", "x", qos=qos, topic_alias=2)
    client.expect_closed(0x82)


@pytest.mark.parametrize("asked", [{}, {"topic_alias_maximum": 0}])
def test_mqtt_3_1_2_27_no_alias_unless_asked_for(connect, topic, asked):
    client = connect(**asked)
    client.subscribe(topic)
    for _ in range(3):
        client.publish(topic, "x")
        assert client.expect(PUBLISH, topic=topic).properties == {}


@pytest.mark.parametrize("maximum", [1, 2, 0xFFFF])
@covers("3.3.2-11", "3.1.2-26")
def test_mqtt_3_1_2_26_no_alias_above_the_clients_maximum(connect, topic, maximum):
    """Whether the broker uses aliases is open; here it does, and a topic that comes again comes as a number."""
    client, aliases, seen = connect(topic_alias_maximum=maximum), {}, []
    client.subscribe(f"{topic}/#", qos=1)
    for round in range(3):
        for number in range(5):
            client.publish(f"{topic}/{number}", str(number), qos=1)
            message = client.message(payload=str(number).encode())
            alias = message.properties.get("topic_alias")
            assert alias is None or 1 <= alias <= maximum
            if message.topic and alias:
                aliases[alias] = message.topic
            assert (message.topic or aliases[alias]) == f"{topic}/{number}"
            seen.append(message.topic)
    assert seen.count("") == 2 * min(maximum, 5), "each topic that has an alias comes in full once"


def test_mqtt_3_3_2_7_the_broker_forgets_its_aliases_too(connect, topic):
    """After a connection is lost, and in what it sends again."""
    client = connect(topic_alias_maximum=5, session_expiry_interval=300)
    client.subscribe(topic, qos=1)
    publisher = connect()
    publisher.publish(topic, "1", qos=1)
    client.message(topic=topic, payload=b"1")
    publisher.publish(topic, "2", qos=1)
    client.expect(PUBLISH, topic="", payload=b"2")
    client.lose()
    publisher.publish(topic, "3", qos=1)
    for asked in ({}, {"topic_alias_maximum": 5}):
        client = connect(client.identifier, clean=False, session_expiry_interval=300, **asked)
        known, found = {}, []
        for message in client.rest():
            alias = message.properties.get("topic_alias")
            assert asked or not alias
            if message.topic and alias:
                known[alias] = message.topic
            assert (message.topic or known[alias]) == topic
            found.append(message.payload)
        assert found == [b"2", b"3"]
        client.lose()


@covers("3.1.2-24", "3.1.2-26")
def test_an_alias_counts_only_once_it_was_sent(connect, topic):
    """The message that would have set it was too large for the client."""
    client, publisher = connect(topic_alias_maximum=5, maximum_packet_size=100), connect()
    client.subscribe(topic)
    publisher.publish(topic, bytes(100))
    publisher.publish(topic, b"x")
    client.expect(PUBLISH, topic=topic, payload=b"x")


def test_an_alias_of_a_message_that_is_refused_counts(connect):
    """The alias is set by the packet, whatever becomes of the message."""
    client = connect()
    client.send_publish("$SYS/x", "x", qos=1, identifier=1, topic_alias=1)
    client.expect(PUBACK, identifier=1, reason=0x87)
    client.send_publish("", "x", qos=2, identifier=2, topic_alias=1)
    client.expect(PUBREC, identifier=2, reason=0x87)
    assert client.rest() == []


def test_an_alias_of_a_duplicate_counts(connect, topic):
    """A QoS 2 message that comes again before PUBREL sets its alias all the same."""
    client = connect()
    client.subscribe(topic, qos=2)
    client.send_publish(topic, "x", qos=2, identifier=7)
    client.answer(PUBREC, 7)
    client.send_publish(topic, "x", qos=2, identifier=7, dup=True, topic_alias=3)
    client.answer(PUBREC, 7)
    client.release(7)
    client.publish("", "y", topic_alias=3)
    assert client.payloads() == [b"x", b"y"]


def test_wire_of_an_alias(connect, topic):
    """An alias needs no topic, but a topic field: two bytes of 0."""
    client = connect()
    client.publish(topic, "x", topic_alias=1)
    client.send(wire.packet(PUBLISH, b"\0\0" + b"\3\x23\0\1" + b"y"))
    client.subscribe(topic)
    client.send(wire.publish("", b"z", level=MQTT_5, properties=b"\x23\0\1"))
    assert [message.payload for message in client.rest()] == [b"z"]


@pytest.mark.parametrize("qos", [0, 1])
@covers("3.1.2-25")
def test_an_alias_keeps_no_message_out(connect, topic, qos):
    """A message that is as large as the client takes is sent without an alias, or with one if that makes it smaller."""
    maximum = 200
    client, publisher = connect(topic_alias_maximum=5, maximum_packet_size=maximum), connect()
    client.subscribe(topic, qos=qos)
    head = len(wire.publish(topic, b"", qos, level=MQTT_5)) + 1
    for size in range(maximum - head - 4, maximum - head + 1):
        publisher.publish(topic, bytes(size), qos)
        assert [len(message.payload) for message in client.messages()] == [size]


def test_an_alias_of_a_payload_that_is_refused_counts(connect, topic):
    client = connect()
    client.subscribe(topic)
    client.send_publish(topic, b"\xff", qos=1, identifier=1, topic_alias=1, payload_format_indicator=1)
    client.expect(PUBACK, identifier=1, reason=0x99)
    client.publish("", "x", topic_alias=1)
    assert client.payloads() == [b"x"]
