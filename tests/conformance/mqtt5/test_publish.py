"""PUBLISH (section 3.3): flags, what is passed on, overlapping subscriptions; test_retain.py has retained messages."""

import pytest

import wire
from conformance.client import Client
from conformance.statements import covers
from properties import properties
from wire import MQTT_5, PUBACK, PUBLISH, PUBREC, PUBREL, packet, string

KEPT = {"session_expiry_interval": 300}


@pytest.mark.parametrize("qos", [1, 2])
@covers("4.4.0-1", "4.3.2-3", "4.3.3-3")
def test_mqtt_3_3_1_1_dup_when_sent_again(connect, topic, qos):
    client = connect(**KEPT)
    client.subscribe(topic, qos=qos)
    connect().publish(topic, "x", qos=qos)
    first = client.expect(PUBLISH, dup=False, qos=qos)
    client.lose()
    client = connect(client.identifier, clean=False, **KEPT)
    client.message(payload=b"x", dup=True, qos=qos, identifier=first.identifier, topic=topic)
    assert client.rest() == []


def test_mqtt_3_3_1_2_dup_at_qos_0(connect):
    client = connect()
    client.send(packet(PUBLISH | 8, string("t") + b"\0"))
    client.expect_closed(0x81, 0x82)


@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("qos", [1, 2])
@covers("3.3.1-2", "4.3.1-1", "4.3.2-2", "4.3.3-2", "3.8.4-8")
def test_mqtt_3_3_1_3_dup_is_not_passed_on(connect, topic, qos, granted):
    publisher, subscriber = connect(), connect()
    subscriber.subscribe(topic, qos=granted)
    publisher.publish(topic, "x", qos=qos, dup=True)
    subscriber.message(payload=b"x", dup=False, qos=min(qos, granted))


@pytest.mark.parametrize("flags", [0x06, 0x07, 0x0E, 0x0F])
def test_mqtt_3_3_1_4_qos_3(connect, flags):
    client = connect()
    client.send(packet(PUBLISH | flags, string("t") + b"\0\1\0"))
    client.expect_closed(0x81)


def test_mqtt_3_3_2_1_the_topic_comes_first(connect):
    """What begins with an identifier, a length or nothing is no PUBLISH."""
    for body in (b"", b"\0", b"\0\5ab", b"\xff\xff" + b"x" * 100):
        client = connect()
        client.send(packet(PUBLISH, body))
        client.expect_closed(0x81)


@pytest.mark.parametrize("bad", ["#", "+", "a/#", "a/+/b", "a+", "a#b", "/#"])
@covers("4.7.0-1", "4.7.1-1", "4.7.1-2")
def test_mqtt_3_3_2_2_wildcards_in_a_topic_name(connect, bad):
    client = connect()
    client.send_publish(bad, "x")
    client.expect_closed(0x81, 0x82, 0x90)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_no_topic_and_no_alias(connect, qos):
    """A Protocol Error (section 3.3.2.1)."""
    client = connect()
    client.send_publish("", "x", qos=qos)
    client.expect_closed(0x82)


@covers("4.5.0-1")
def test_mqtt_3_3_2_3_the_topic_matches(connect, topic):
    """Every subscription that matches gets it, no other does, and the topic is the one that was published."""
    matching = [f"{topic}/a/b", f"{topic}/+/b", f"{topic}/a/+", f"{topic}/#", f"{topic}/a/#", f"{topic}/a/b/#",
                "+/a/b", "#", f"{topic}/+/+", "+/+/b"]
    others = [f"{topic}/a", f"{topic}/a/b/c", f"{topic}/+", f"{topic}/a/b/+", f"{topic}/b/#", f"{topic}",
              f"/{topic}/a/b", f"{topic}/A/b", "+", "+/+"]
    wanted, unwanted, publisher = [connect() for _ in matching], [connect() for _ in others], connect()
    for client, topic_filter in zip(wanted + unwanted, matching + others):
        client.subscribe(topic_filter)
    publisher.publish(f"{topic}/a/b", "x")
    for client in wanted:
        client.expect(PUBLISH, topic=f"{topic}/a/b", payload=b"x")
    for client in wanted + unwanted:
        assert client.rest() == []


@pytest.mark.parametrize("qos", [0, 1, 2])
@covers("3.3.2-4", "3.3.2-16", "3.3.2-17", "3.3.2-18", "3.3.2-20")
def test_mqtt_3_3_2_15_properties_are_passed_on(connect, topic, qos):
    """Unaltered, to whoever is there, and to who comes later."""
    passed_on = {
        "payload_format_indicator": 1, "content_type": "application/json; ä", "response_topic": "answers/ä",
        "correlation_data": bytes(range(256)),
        "user_property": [("z", "1"), ("a", "2"), ("z", "3"), ("", ""), ("z", "1"), ("ä", "€" * 1000)]}
    publisher, here, away = connect(), connect(), connect(**KEPT)
    for client in (here, away):
        client.subscribe(topic, qos=qos)
    away.lose()
    publisher.publish(topic, '{"ä": 1}', qos=qos, retain=True, **passed_on)
    assert here.message(qos=qos, payload='{"ä": 1}'.encode()).properties == passed_on
    away = connect(away.identifier, clean=False)
    assert [found.properties for found in away.messages()] == ([passed_on] if qos else [])
    late = connect()
    late.subscribe(topic, qos=qos)
    assert late.message(retain=True).properties == passed_on


def test_mqtt_3_3_2_4_the_indicator_of_bytes(connect, topic):
    """0 says no more than its absence, and is passed on all the same."""
    client = connect()
    client.subscribe(topic)
    client.publish(topic, b"\xff", payload_format_indicator=0)
    assert client.expect(PUBLISH).properties == {"payload_format_indicator": 0}


def test_properties_are_not_for_clients_of_3_1_1(connect, broker, topic):
    old = Client(broker.port, wire.MQTT_3_1_1, "old").connect()
    old.subscribe(topic, qos=1)
    connect().publish(topic, "x", qos=1, content_type="text", user_property=("a", "b"))
    old.message(topic=topic, payload=b"x", properties={})
    old.publish(topic, "y", qos=1)
    old.message(topic=topic, payload=b"y")
    old.socket.close()


@pytest.mark.parametrize("bad", ["#", "a/+", "+/a", "a/#"])
def test_mqtt_3_3_2_14_wildcards_in_a_response_topic(connect, bad):
    client = connect()
    client.send_publish("t", "x", response_topic=bad)
    client.expect_closed(0x81, 0x82, 0x90)


@pytest.mark.parametrize("expiry", [1000, 0xFFFFFFFF])
def test_message_expiry_is_passed_on(connect, topic, expiry):
    """Of a message that has not waited, as it was."""
    client = connect()
    client.subscribe(topic)
    client.publish(topic, "x", message_expiry_interval=expiry)
    client.expect(PUBLISH, message_expiry_interval=expiry)


@pytest.mark.parametrize("qos, closed", [(0, True), (1, False), (2, False)])
def test_a_payload_that_is_not_the_text_it_claims(connect, topic, qos, closed):
    """Payload Format Indicator 1: refused as what it is not (section 3.3.2.3.2)."""
    subscriber, client = connect(), connect()
    subscriber.subscribe(topic, qos=qos)
    client.send_publish(topic, b"\xff\xfe", qos=qos, identifier=3, payload_format_indicator=1)
    if closed:
        client.expect_closed(0x99)
    else:
        client.expect(PUBACK if qos == 1 else PUBREC, identifier=3, reason=0x99)
        assert client.rest() == []
    assert subscriber.rest() == []


@pytest.mark.parametrize("granted", [(0, 2, 1), (2, 1, 0), (1, 0, 0), (0, 0, 0)])
@covers("3.3.4-3", "3.3.4-4")
def test_mqtt_3_3_4_2_overlapping_subscriptions(connect, topic, granted):
    """One copy, of the highest QoS, with all the identifiers."""
    client = connect()
    for number, (topic_filter, qos) in enumerate(zip((f"{topic}/#", f"{topic}/a", f"{topic}/+"), granted)):
        client.subscribe(topic_filter, qos=qos, subscription_identifier=number + 1)
    client.publish(f"{topic}/a", "x", qos=2)
    message = client.message(qos=max(granted))
    assert sorted(message.properties["subscription_identifier"]) == [1, 2, 3]
    assert client.rest() == []


def test_overlapping_subscriptions_and_their_flags(connect, topic):
    """One of them without No Local and with Retain As Published is enough."""
    client = connect()
    client.subscribe((f"{topic}/#", wire.options(1, no_local=True)), subscription_identifier=1)
    client.subscribe((f"{topic}/a", wire.options(0, retain_as_published=True)), subscription_identifier=2)
    client.publish(f"{topic}/a", "x", qos=1, retain=True)
    client.message(retain=True, subscription_identifier=[2])
    assert client.rest() == []


@pytest.mark.parametrize("identifier", [1, 127, 128, 16383, 16384, 2097151, 2097152, 268435455])
def test_mqtt_3_3_4_3_subscription_identifiers(connect, topic, identifier):
    client, other = connect(), connect()
    client.subscribe(topic, subscription_identifier=identifier)
    other.subscribe(topic)
    client.publish(topic, "x")
    client.expect(PUBLISH, subscription_identifier=[identifier])
    assert other.expect(PUBLISH).properties == {}, "it is of one Client's subscription"


@pytest.mark.parametrize("qos", [1, 2])
def test_mqtt_3_3_4_3_of_messages_that_wait(connect, topic, qos):
    client = connect(**KEPT)
    client.subscribe(f"{topic}/#", qos=qos, subscription_identifier=300)
    client.subscribe(f"{topic}/a", qos=qos, subscription_identifier=7)
    client.lose()
    connect().publish(f"{topic}/a", "x", qos=qos)
    client = connect(client.identifier, clean=False, **KEPT)
    first = client.expect(PUBLISH, dup=False)
    client.lose()
    client = connect(client.identifier, clean=False, **KEPT)
    second = client.message(dup=True)
    for message in (first, second):
        assert sorted(message.properties["subscription_identifier"]) == [7, 300]


def test_two_subscriptions_of_one_identifier(connect, topic):
    """Then it stands twice, or once (section 3.3.4)."""
    client = connect()
    client.subscribe(f"{topic}/#", f"{topic}/a", subscription_identifier=5)
    client.publish(f"{topic}/a", "x")
    assert client.expect(PUBLISH).properties["subscription_identifier"] in ([5], [5, 5])
    assert client.rest() == []


@pytest.mark.parametrize("known", [properties(subscription_identifier=1), properties(subscription_identifier=[1, 2])])
def test_mqtt_3_3_4_6_subscription_identifier_from_a_client(connect, known):
    client = connect()
    client.send_publish("t", "x", properties=known)
    client.expect_closed(0x82)


def test_subscription_identifier_0(connect):
    """A Protocol Error (section 3.8.2.1.2)."""
    client = connect()
    client.send_subscribe("t", subscription_identifier=0)
    client.expect_closed(0x82)


@pytest.mark.parametrize("qos", [0, 1, 2])
@covers("3.3.4-1")
def test_payloads_of_all_sizes(connect, topic, qos):
    client = connect()
    client.subscribe(topic, qos=qos)
    for size in (0, 1, 100, 1000, 16383, 16384, 16385, 65536, 100_000, 1_000_000):
        payload = bytes(range(256)) * (size // 256 + 1)
        client.publish(topic, payload[:size], qos=qos)
        assert client.message(qos=qos).payload == payload[:size]


def test_a_topic_as_long_as_may_be_said(connect, topic):
    """65,535 bytes [MQTT-4.7.3-3]: passed on, or refused in words, but never cut."""
    long = topic + "x" * (65535 - len(topic))
    client = connect()
    suback = client.subscribe(long, qos=1)
    client.send_publish(long, b"x", qos=1, identifier=9)
    if suback.reasons == [1]:
        client.answer(PUBACK, 9)
        client.message(topic=long)
    else:
        assert suback.reasons == [0x8F]
        client.expect_closed(0x90)


def test_no_matching_subscribers(connect, topic):
    """PUBACK says so (section 3.4.2.1); PUBREC may (3.5.2.1) and does not, as in Mosquitto."""
    client = connect()
    assert client.publish(topic, "x", qos=1).reason == 0x10
    assert client.publish(topic, "x", qos=2).reason == 0
    client.subscribe(topic)
    assert client.publish(topic, "x", qos=1).reason == 0
    assert client.publish(topic, "x", qos=2).reason == 0


@pytest.mark.parametrize("qos", [1, 2])
@covers("4.3.3-9")
def test_a_topic_that_is_not_for_clients(connect, qos):
    """$SYS is the broker's own: refused by a reason, and the identifier is free again."""
    client = connect()
    for _ in range(2):
        client.send_publish("$SYS/broker/version", "x", qos=qos, identifier=4)
        client.expect(PUBACK if qos == 1 else PUBREC, identifier=4, reason=0x87)
    client.send_publish("$SYS/broker/version", "x")
    assert client.rest() == []


def test_request_and_response(connect, topic, name):
    """Section 4.10, as two programs would do it."""
    requester, responder, answers = connect(), connect(), name()
    responder.subscribe(topic, qos=1)
    requester.subscribe(answers, qos=1)
    requester.publish(topic, "6*7", qos=1, response_topic=answers, correlation_data=b"\0first")
    asked = responder.message(payload=b"6*7")
    responder.publish(asked.properties["response_topic"], "42", qos=1,
                      correlation_data=asked.properties["correlation_data"])
    requester.message(payload=b"42", correlation_data=b"\0first")


def test_unacknowledged_is_not_unsent(connect, topic):
    """A PUBREL for what was never published is answered, and changes nothing."""
    client = connect()
    client.subscribe(topic, qos=2)
    client.send_ack(PUBREL, 1234)
    client.expect(wire.PUBCOMP, identifier=1234, reason=0x92)
    client.send(wire.publish(topic, b"x", 2, identifier=1234, level=MQTT_5))
    client.answer(PUBREC, 1234)
    client.release(1234)
    client.message(payload=b"x")


def test_empty_properties_are_passed_on(connect, topic):
    """A property without content is there all the same."""
    client, empty = connect(), {"content_type": "", "correlation_data": b"", "user_property": [("", "")]}
    client.subscribe(topic)
    client.publish(topic, "", **empty)
    assert client.expect(PUBLISH, payload=b"").properties == empty
