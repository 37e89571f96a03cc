"""CONNACK (section 3.2): what the broker tells of itself, by its default settings."""

import pytest

import wire
from conformance.statements import covers
from wire import PUBACK, PUBLISH

KEPT = {"session_expiry_interval": 300}


@covers("3.2.2-8")
def test_mqtt_3_2_0_1_connack_is_first(connect, topic, name):
    """Before what waited for the Session, however much that is."""
    identifier = name()
    client = connect(identifier, **KEPT)
    client.subscribe(topic, qos=1)
    client.lose()
    publisher = connect()
    for number in range(5):
        publisher.publish(topic, str(number), qos=1)
    client = connect(identifier, clean=False)
    assert client.connack.session_present is True
    assert client.payloads() == [b"0", b"1", b"2", b"3", b"4"]


@covers("3.2.2-7", "4.13.2-1")
def test_mqtt_3_2_2_6_refused(connect, dial, name):
    """Although there is a Session of that name."""
    identifier = name()
    connect(identifier, **KEPT).lose()
    client = dial(identifier)
    client.send_connect(clean=False, authentication_method="m")
    assert client.expect_refused(0x8C).session_present is False
    assert connect(identifier, clean=False).connack.session_present is True, "the refusal changed nothing"


def test_what_is_announced(connect):
    """What differs from the defaults of the standard, and only that."""
    client = connect()
    assert client.connack.properties == {"receive_maximum": 20, "maximum_packet_size": 1 << 20,
                                         "topic_alias_maximum": 10}


@pytest.mark.parametrize("asked, granted", [(0, None), (1, None), (1209600, None), (1209601, 1209600),
                                            (0xFFFFFFFF, 1209600)])
def test_session_expiry_is_told_where_it_differs(connect, asked, granted):
    client = connect(session_expiry_interval=asked)
    assert client.connack.properties.get("session_expiry_interval") == granted


@pytest.mark.parametrize("asked", [{}, {"request_response_information": 0}])
def test_mqtt_3_1_2_28_no_response_information(connect, asked):
    client = connect(**asked)
    assert "response_information" not in client.connack.properties


def test_response_information_when_asked_for(connect):
    """It can be the beginning of a Response Topic that works (section 4.10.1)."""
    requester, responder = (connect(request_response_information=1) for _ in range(2))
    topics = [client.connack.properties["response_information"] for client in (requester, responder)]
    assert len(set(topics)) == 2, "each has its own"
    answers = topics[0] + "/answers"
    requester.subscribe(answers)
    responder.publish(answers, "42")
    requester.expect(PUBLISH, topic=answers, payload=b"42")


@covers("3.2.2-20")
def test_mqtt_3_2_2_19_connack_within_the_maximum(connect, dial):
    """A refusal says why where there is room for it, and does without where there is not."""
    client = dial()
    client.send_connect(authentication_method="m", maximum_packet_size=5)
    assert client.expect_refused(0x8C).size == 5
    exactly = connect().connack.size
    assert connect("c" * 20, maximum_packet_size=exactly).connack.size == exactly


@covers("3.1.2-24")
def test_mqtt_3_2_2_19_a_connack_that_cannot_be_sent(connect, dial):
    """Without what it has to tell, success must not be told: closed."""
    exactly = connect().connack.size
    client = dial()
    client.send_connect(maximum_packet_size=exactly - 1)
    assert client.until_closed() == b""


def test_a_refusal_says_why(dial):
    client = dial()
    client.send_connect(authentication_method="m", request_problem_information=1)
    assert "authentication" in client.expect_refused(0x8C).properties["reason_string"]


def test_receive_maximum_is_as_announced(connect, topic):
    """Exactly so many QoS 2 messages may be unreleased; one more ends the connection."""
    client = connect()
    maximum = client.connack.properties["receive_maximum"]
    for number in range(maximum):
        client.send_publish(topic, b"x", qos=2, identifier=number + 1)
    for number in range(maximum):
        client.expect(wire.PUBREC, identifier=number + 1)
    assert client.rest() == []
    client.send_publish(topic, b"x", qos=2, identifier=maximum + 1)
    client.expect_closed(0x93)


def test_qos_1_counts_as_long_as_it_is_unacknowledged(connect, topic):
    """The broker acknowledges at once, so any number may be sent in a row."""
    client = connect()
    client.send(b"".join(wire.publish(topic, b"x", 1, identifier=number, level=wire.MQTT_5)
                         for number in range(1, 101)))
    for number in range(1, 101):
        client.expect(PUBACK, identifier=number)


def test_packets_up_to_the_announced_size(connect, topic):
    client = connect()
    client.subscribe(topic)
    maximum = client.connack.properties["maximum_packet_size"]
    head = len(wire.publish(topic, bytes(1 << 16), level=wire.MQTT_5)) - (1 << 16)
    client.publish(topic, bytes(maximum - head))
    assert client.expect(PUBLISH).size == maximum
    client.try_to_send(wire.publish(topic, bytes(maximum - head + 1), level=wire.MQTT_5))
    client.expect_closed(0x95)


@covers("3.2.2-15")
def test_mqtt_3_2_2_15_a_packet_that_is_too_large(connect):
    """Refused by its length alone."""
    client = connect()
    client.send(bytes([PUBLISH]) + b"\xff\xff\xff\x7f")
    client.expect_closed(0x95)
