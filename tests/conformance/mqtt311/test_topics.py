"""Topic Names and Topic Filters (section 4.7)."""

import pytest

import wire
from conformance.statements import covers
from wire import MQTT_3_1, MQTT_3_1_1

# What is tested here holds in 3.1 as well.
pytestmark = pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_3_1])


@pytest.fixture
def publisher(connect):
    return connect()


@covers("3.3.2-2")
def test_mqtt_4_7_1_1_wildcards_only_in_filters(connect, dial, topic):
    for wild in ("#", "+", f"{topic}/+", f"{topic}/#", f"{topic}+"):
        client = connect()
        client.send_publish(wild, "x")
        client.expect_closed()
        client = dial()
        client.send_connect(will=(wild, "x"))
        client.expect_closed()


@pytest.mark.parametrize("bad", ["a#", "a/#/b", "#/a", "##", "a/b#", "a/#b", "#/", "+#"])
def test_mqtt_4_7_1_2_the_multi_level_wildcard_is_alone_and_last(connect, bad):
    client = connect()
    client.send_subscribe("x", bad)
    client.expect_closed()


@pytest.mark.parametrize("bad", ["a+", "+a", "a/+b", "a/b+/c", "++", "a/++/c"])
def test_mqtt_4_7_1_3_the_single_level_wildcard_fills_its_level(connect, bad):
    client = connect()
    client.send_subscribe(bad)
    client.expect_closed()


# Below a first level of the test's own, and what they match of TOPICS.
TOPICS = ["", "/a", "/a/b", "/a/b/c", "/", "//", "//b", "/a/", "/b"]
MATCHES = {
    "": {""},
    "/#": set(TOPICS),
    "/+": {"/a", "/", "/b"},
    "/+/+": {"/a/b", "//", "//b", "/a/"},
    "/+/#": set(TOPICS) - {""},
    "/a/#": {"/a", "/a/b", "/a/b/c", "/a/"},
    "/+/b": {"/a/b", "//b"},
    "/a/+/c": {"/a/b/c"},
    "//+": {"//", "//b"},
    "/a/+": {"/a/b", "/a/"},
    "/A": set(),
    "/+/+/+": {"/a/b/c"},
    "/+/": {"//", "/a/"},
}


@covers("4.7.1-2")
def test_mqtt_4_7_1_3_what_wildcards_match(connect, publisher, topic):
    clients = {topic_filter: connect() for topic_filter in MATCHES}
    for topic_filter, client in clients.items():
        client.subscribe(topic + topic_filter)
    for one in TOPICS:
        publisher.publish(topic + one, "x")
    for topic_filter, client in clients.items():
        found = [packet.topic.removeprefix(topic) for packet in client.messages()]
        assert sorted(found) == sorted(MATCHES[topic_filter]), topic_filter
        # Retained messages are found by the same rules.
    for one in TOPICS:
        publisher.publish(topic + one, "x", retain=True)
    for topic_filter in MATCHES:
        late = connect()
        late.subscribe(topic + topic_filter)
        found = [packet.topic.removeprefix(topic) for packet in late.messages()]
        assert sorted(found) == sorted(MATCHES[topic_filter]), topic_filter


def test_mqtt_4_7_2_1_a_leading_wildcard_does_not_match_a_dollar(connect, publisher, topic):
    """For messages and for what is retained; a dollar elsewhere means nothing."""
    dollar = f"${topic}/a"
    live = {topic_filter: connect() for topic_filter in ("#", "+/a", "+/#", f"${topic}/+", f"${topic}/#", dollar)}
    for topic_filter, client in live.items():
        client.subscribe(topic_filter)
        client.messages()
    publisher.publish(dollar, "x", retain=True)
    publisher.publish(f"{topic}/$a", "y")
    for topic_filter, client in live.items():
        found = [packet.topic for packet in client.messages() if topic in packet.topic]
        expected = [dollar] if topic_filter.startswith("$") else [f"{topic}/$a"] if "#" in topic_filter else []
        assert found == expected, topic_filter
        late = connect()
        late.subscribe(topic_filter)
        found = [packet.topic for packet in late.messages() if packet.topic == dollar]
        assert found == ([dollar] if topic_filter.startswith("$") else []), topic_filter


def test_mqtt_4_7_3_1_topics_have_at_least_one_character(connect, dial):
    for data in (wire.publish("", "x"), wire.publish("", "x", qos=1), wire.subscribe(""), wire.subscribe("x", ""),
                 wire.unsubscribe("")):
        client = connect()
        client.send(data)
        client.expect_closed()
    client = dial()
    client.send_connect(will=("", "x"))
    client.expect_closed()
    client = connect()
    client.subscribe("/", " ")
    client.publish("/", "1")
    client.publish(" ", "2")
    assert client.payloads() == [b"1", b"2"]


def test_mqtt_4_7_3_2_no_u_0000(connect, dial):
    for text in ("\0", "a\0", "\0/a", "a/\0"):
        for data in (wire.publish(text, "x"), wire.subscribe(text), wire.unsubscribe(text)):
            client = connect()
            client.send(data)
            client.expect_closed()
        client = dial()
        client.send_connect(will=(text, "x"))
        client.expect_closed()


def test_mqtt_4_7_3_3_topics_of_65535_bytes(connect, publisher, topic):
    """Their length field allows no more; all of them count."""
    for character in ("x", "ä"):
        whole = topic + character * ((65_535 - len(topic)) // len(character.encode()))
        other = whole[:-1] + "y"
        client = connect()
        client.subscribe(whole, qos=1)
        publisher.publish(other, "other", qos=1)
        publisher.publish(whole, "x", qos=1, retain=True)
        client.message(topic=whole, payload=b"x")
        assert client.rest() == []
        client.unsubscribe(whole)
        publisher.publish(whole, "x", qos=1)
        assert client.rest() == []


def test_mqtt_4_7_3_4_nothing_is_normalised(connect, publisher, topic):
    """Neither case, nor blanks, nor composed characters, nor empty levels."""
    pairs = [("a", "A"), ("ä", "a\u0308"), ("a", " a"), ("a", "a "), ("a/b", "a//b"), ("a", "a/"), ("ß", "ss"),
             ("\u2126", "\u03a9"), ("a", "./a"), ("é", "É"), ("%61", "a")]
    for one, other in pairs:
        client = connect()
        client.subscribe(f"{topic}/{one}")
        publisher.publish(f"{topic}/{other}", "other")
        publisher.publish(f"{topic}/{one}", "one")
        assert [packet.topic for packet in client.messages()] == [f"{topic}/{one}"]
        client.disconnect()
