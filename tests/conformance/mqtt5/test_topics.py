"""Topic Names and Topic Filters (section 4.7)."""

import pytest

from conformance.statements import covers
from wire import PUBLISH

MATCHES = [
    # The standard's own examples (4.7.1.2, 4.7.1.3).
    ("sport/tennis/player1/#", ["sport/tennis/player1", "sport/tennis/player1/ranking",
                                "sport/tennis/player1/score/wimbledon"], ["sport/tennis/player2", "sport/tennis"]),
    ("sport/#", ["sport", "sport/", "sport/a/b"], ["sports", "Sport", "/sport"]),
    ("#", ["a", "/", "a/b", "/a", "//"], []),
    ("sport/tennis/+", ["sport/tennis/player1", "sport/tennis/player2", "sport/tennis/"],
     ["sport/tennis/player1/ranking", "sport/tennis"]),
    ("sport/+", ["sport/"], ["sport", "sport/a/b"]),
    ("+/tennis/#", ["sport/tennis", "/tennis", "x/tennis/a/b"], ["tennis", "a/b/tennis"]),
    ("sport/+/player1", ["sport/tennis/player1", "sport//player1"], ["sport/player1", "sport/a/b/player1"]),
    ("+", ["finance", " "], ["/finance", "/", "finance/"]),
    ("+/+", ["/finance", "finance/", "/", "a/b"], ["finance", "a/b/c", "//"]),
    ("/+", ["/finance", "/"], ["finance", "a/finance", "/a/b"]),
    ("/", ["/"], ["a", "//", "/a", "a/"]),
    ("//", ["//"], ["/", "///"]),
    ("+/+/+", ["//", "a/b/c"], ["/", "a/b"]),
    ("a/b", ["a/b"], ["a/b/", "/a/b", "a//b", "A/b", "a/b ", "a/B"]),
    ("+/#", ["a", "a/b", "/", "/a/b"], []),
    ("a//#", ["a/", "a//", "a//b"], ["a", "a/b"]),
    ("Accounts payable", ["Accounts payable"], ["ACCOUNTS PAYABLE", "Accounts", "Accounts%20payable"]),
    ("a/+/c/#", ["a/b/c", "a//c/d"], ["a/c", "a/b/d/c"]),
    ("a.b/*", ["a.b/*"], ["a.b/c", "axb/*"]),
]


@pytest.mark.parametrize("topic_filter, matching, others", [pytest.param(*one, id=one[0]) for one in MATCHES])
@covers("4.7.1-2", "3.3.2-3")
def test_mqtt_4_7_1_1_matching(connect, topic_filter, matching, others):
    client = connect()
    client.subscribe(topic_filter)
    for topic in matching + others:
        client.publish(topic, topic)
    assert client.payloads() == [topic.encode() for topic in matching]


@pytest.mark.parametrize("topic_filter", ["#", "+/#", "+/monitor/Clients", "+/+/+", "+/monitor/+"])
def test_mqtt_4_7_2_1_dollar_topics(connect, topic_filter):
    """Not by a wildcard at the beginning; what is no beginning, or no $ at the beginning, matches."""
    client, name = connect(), "$test"
    client.subscribe(topic_filter)
    client.publish(f"{name}/monitor/Clients", "x", retain=True)
    client.subscribe(topic_filter)
    client.publish("a/monitor/Clients", "y")
    assert client.payloads() == [b"y"], "neither now nor when retained"
    client.publish(f"{name}/monitor/Clients", "", retain=True)


@pytest.mark.parametrize("topic_filter", ["$test/#", "$test/monitor/+", "$test/+/Clients", "$test/monitor/Clients"])
@covers("3.3.1-9")
def test_mqtt_4_7_2_1_dollar_topics_by_name(connect, topic_filter):
    client = connect()
    client.subscribe(topic_filter)
    client.publish("$test/monitor/Clients", "x", retain=True)
    client.subscribe(topic_filter)
    assert client.payloads() == [b"x", b"x"]
    client.publish("$test/monitor/Clients", "", retain=True)


def test_a_dollar_sign_elsewhere(connect):
    client = connect()
    client.subscribe("#")
    for topic in ("a/$b", "a$", "/$SYS"):
        client.publish(topic, topic)
        client.expect(PUBLISH, topic=topic)


ALIKE = {
    "composed and decomposed": ("\u00e9", "e\u0301"), "ligature": ("\ufb01", "fi"), "full width": ("\uff21", "A"),
    "kelvin": ("\u212a", "K"), "sharp s": ("ß", "ss"), "case": ("Ä", "ä"), "byte order mark": ("\ufeffa", "a"),
    "zero width joiner": ("a\u200db", "ab"), "no-break space": ("\u00a0", " "), "private use": ("\ue000", "\ue001"),
    "dots": ("a/./b", "a/b"), "parent": ("a/x/../b", "a/b"), "slashes": ("a//b", "a/b"), "end": ("a/", "a"),
    "percent": ("a%2Fb", "a/b"), "backslash": ("a\\b", "a/b"), "other planes": ("\U0001f600", "\U0001f601"),
}


@pytest.mark.parametrize("one, other", [pytest.param(*pair, id=name) for name, pair in ALIKE.items()])
@covers("3.10.4-1")
def test_mqtt_4_7_3_4_no_normalization(connect, topic, one, other):
    """Of names, of filters, of retained messages, of what is unsubscribed."""
    first, second = connect(), connect()
    first.subscribe(f"{topic}/{one}")
    second.subscribe(f"{topic}/{other}")
    first.publish(f"{topic}/{one}", "one", retain=True)
    first.publish(f"{topic}/{other}", "other", retain=True)
    first.expect(PUBLISH, topic=f"{topic}/{one}", payload=b"one")
    second.expect(PUBLISH, topic=f"{topic}/{other}", payload=b"other")
    assert first.rest() == second.rest() == []
    late = connect()
    late.subscribe(f"{topic}/{one}")
    assert late.payloads() == [b"one"]
    assert first.unsubscribe(f"{topic}/{other}").reasons == [0x11]
    assert first.unsubscribe(f"{topic}/{one}").reasons == [0]


def test_topics_with_spaces_and_signs(connect, topic):
    client = connect()
    client.subscribe(f"{topic}/#")
    for end in (" ", "a b", "!\"%&'()*,-.:;<=>?@[\\]^_`{|}~", "日本語", "emoji \U0001f600"):
        client.publish(f"{topic}/{end}", end)
        client.expect(PUBLISH, topic=f"{topic}/{end}", payload=end.encode())


@pytest.mark.parametrize("depth", [1, 2, 50, 200])
def test_levels(connect, topic, depth):
    client, deep = connect(), "/".join([topic] + ["x"] * (depth - 1))
    client.subscribe(deep, qos=1)
    client.publish(deep, "x", qos=1)
    client.message(topic=deep)
