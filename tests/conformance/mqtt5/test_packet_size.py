"""Maximum Packet Size of the Client (section 3.1.2.11.4): what is too large for it is left out, or shortened."""

import pytest

import wire
from conformance.statements import covers
from wire import DISCONNECT, MQTT_5, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK

KEPT = {"session_expiry_interval": 300}
# Deeper than the broker takes: reasons to say why.
TOO_DEEP = "/".join("x" * 300)


def sized(topic, qos, size, **options):
    """A payload that makes a PUBLISH of so many bytes."""
    head = len(wire.publish(topic, b"", qos, level=MQTT_5, **options))
    payload = bytes(size - head)
    while len(wire.publish(topic, payload, qos, level=MQTT_5, **options)) > size:
        payload = payload[1:]
    assert len(wire.publish(topic, payload, qos, level=MQTT_5, **options)) == size
    return payload


@pytest.mark.parametrize("maximum", [100, 1000, 16000, 20000, 100_000])
@pytest.mark.parametrize("qos", [0, 1, 2])
@covers("3.1.2-25")
def test_mqtt_3_1_2_24_to_the_byte(connect, topic, qos, maximum):
    """Exactly the maximum comes, one byte more does not, and the next one comes as if nothing had been."""
    publisher, subscriber = connect(), connect(maximum_packet_size=maximum)
    subscriber.subscribe(topic, qos=qos)
    publisher.publish(topic, sized(topic, qos, maximum), qos)
    publisher.publish(topic, sized(topic, qos, maximum + 1), qos)
    publisher.publish(topic, "next", qos)
    assert subscriber.message(qos=qos).size == maximum
    subscriber.message(payload=b"next", qos=qos)
    assert subscriber.rest() == []


@pytest.mark.parametrize("qos", [1, 2])
def test_mqtt_3_1_2_25_no_place_in_flight(connect, topic, qos):
    """What is left out takes nothing of Receive Maximum."""
    publisher, subscriber = connect(), connect(maximum_packet_size=100, receive_maximum=1)
    subscriber.subscribe(topic, qos=qos)
    for number in range(3):
        publisher.publish(topic, bytes(100), qos)
    publisher.publish(topic, "next", qos)
    assert subscriber.payloads() == [b"next"]


@pytest.mark.parametrize("qos", [1, 2])
@covers("3.1.2-24")
def test_mqtt_3_1_2_25_what_waited(connect, topic, qos):
    """The maximum is that of the connection on which it would be sent."""
    client, publisher = connect(**KEPT), connect()
    client.subscribe(topic, qos=qos)
    client.lose()
    for payload in ("1", bytes(200), "3"):
        publisher.publish(topic, payload, qos)
    client = connect(client.identifier, clean=False, maximum_packet_size=100, **KEPT)
    assert client.payloads() == [b"1", b"3"]


@pytest.mark.parametrize("qos", [1, 2])
@covers("3.1.2-24")
def test_mqtt_3_1_2_25_what_was_sent_before(connect, topic, qos):
    """What can't be sent again counts as sent, and what follows goes on."""
    client, publisher = connect(**KEPT), connect()
    client.subscribe(topic, qos=qos)
    for payload in ("1", bytes(200), "3"):
        publisher.publish(topic, payload, qos)
    assert len(client.rest()) == 3
    client.lose()
    client = connect(client.identifier, clean=False, maximum_packet_size=100, receive_maximum=1, **KEPT)
    assert client.payloads() == [b"1", b"3"]
    publisher.publish(topic, "4", qos)
    assert client.payloads() == [b"4"]
    client.lose()
    assert connect(client.identifier, clean=False).rest() == [], "it does not come back"


def test_mqtt_3_1_2_25_what_is_retained(connect, topic):
    publisher, client = connect(), connect(maximum_packet_size=100)
    publisher.publish(f"{topic}/large", bytes(100), retain=True)
    publisher.publish(f"{topic}/small", "x", retain=True)
    client.subscribe(f"{topic}/#")
    assert client.payloads() == [b"x"]


def test_the_properties_count(connect, topic):
    """User properties of a message are not left out to make it fit: it is dropped (section 3.1.2.11.4)."""
    publisher, client = connect(), connect(maximum_packet_size=100)
    client.subscribe(topic, subscription_identifier=9)
    publisher.publish(topic, "x", user_property=("n", "v" * 80))
    publisher.publish(topic, "y", user_property=("n", "v" * 10))
    assert client.payloads() == [b"y"]


def test_others_get_what_one_cannot_take(connect, topic):
    publisher, small, large = connect(), connect(maximum_packet_size=100), connect()
    for client in (small, large):
        client.subscribe(topic)
    publisher.publish(topic, bytes(1000))
    assert (small.payloads(), large.payloads()) == ([], [bytes(1000)])


def narrow(connect, **options):
    """A Client whose maximum leaves room for CONNACK and for no Reason String."""
    client = connect()
    return connect(maximum_packet_size=client.connack.size, request_problem_information=1, **options)


def refused(client, publish_qos=1):
    """Has the broker refuse a PUBLISH."""
    client.send_publish("$SYS/x", "x", qos=publish_qos, identifier=5)
    return client.expect(PUBACK if publish_qos == 1 else PUBREC, identifier=5, reason=0x87)


def test_reason_strings(connect):
    """There is one with every refusal that there is room for, if it is asked for: the tests below show something."""
    client = connect(request_problem_information=1)
    answers = [refused(client, 1), refused(client, 2)]
    answers.append(client.subscribe(TOO_DEEP))
    assert answers[-1].reasons == [0x8F]
    client.send_connect()
    answers.append(client.expect_closed(0x82))
    missing = [str(answer) for answer in answers if not answer.properties.get("reason_string")]
    assert not missing


@covers("3.4.2-3")
def test_mqtt_3_4_2_2_puback_without_reason_string(connect):
    assert refused(narrow(connect), 1).properties == {}


@covers("3.5.2-3")
def test_mqtt_3_5_2_2_pubrec_without_reason_string(connect):
    assert refused(narrow(connect), 2).properties == {}


@covers("3.6.2-3")
def test_mqtt_3_6_2_2_pubrel_without_reason_string(connect):
    client = narrow(connect)
    client.send_ack(PUBREC, 9)
    assert client.expect(PUBREL, identifier=9, reason=0x92).properties == {}


@covers("3.7.2-3")
def test_mqtt_3_7_2_2_pubcomp_without_reason_string(connect):
    client = narrow(connect)
    client.send_ack(PUBREL, 9)
    assert client.expect(PUBCOMP, identifier=9, reason=0x92).properties == {}


@covers("3.9.2-2")
def test_mqtt_3_9_2_1_suback_without_reason_string(connect):
    suback = narrow(connect).subscribe(TOO_DEEP)
    assert suback.reasons == [0x8F] and suback.properties == {}


@covers("3.11.2-2")
def test_mqtt_3_11_2_1_unsuback_without_reason_string(connect):
    unsuback = narrow(connect).unsubscribe("nothing")
    assert unsuback.reasons == [0x11] and unsuback.properties == {}


@covers("3.14.2-4")
def test_mqtt_3_14_2_3_disconnect_without_reason_string(connect):
    client = narrow(connect)
    client.send_connect()
    assert client.expect_closed(0x82).properties == {}


@pytest.mark.parametrize("kind", [SUBACK, UNSUBACK])
@covers("3.1.2-24")
def test_an_answer_that_cannot_be_shortened(connect, topic, kind):
    """Nothing larger than the maximum is sent: the connection ends instead."""
    client = narrow(connect)
    filters = [f"{topic}/{number}" for number in range(50)]
    if kind == SUBACK:
        client.send_subscribe(*filters)
    else:
        client.send(wire.unsubscribe(*filters, level=MQTT_5))
    packet = client.receive_packet()
    assert packet is None or packet.kind == DISCONNECT and packet.size <= narrow(connect).connack.size
    other = connect()
    other.publish(f"{topic}/1", "x", qos=1)
    assert other.rest() == [], "and the broker lives on"


@pytest.mark.parametrize("asked", [{"request_problem_information": 0}, {}])
def test_mqtt_3_1_2_29_no_problem_information(connect, asked):
    """Reason Strings and User Properties in PUBLISH, CONNACK and DISCONNECT alone, when the Client wants no more. Who does
    not say what it wants gets no more either, as from Mosquitto."""
    client = connect(**asked)
    answers = [refused(client, 1), refused(client, 2)]
    client.send_ack(PUBREC, 9)
    answers.append(client.expect(PUBREL, reason=0x92))
    client.send_ack(PUBREL, 9)
    answers.append(client.expect(PUBCOMP, reason=0x92))
    answers.append(client.subscribe(TOO_DEEP))
    answers.append(client.unsubscribe("nothing"))
    assert [answer.properties for answer in answers] == [{}] * len(answers)
    client.subscribe("problem")
    client.publish("problem", "x", user_property=("n", "v"))
    client.expect(PUBLISH, user_property=[("n", "v")])


def test_packets_of_the_smallest_maximum(connect, dial):
    """The smallest maximum that takes a CONNACK is enough to talk."""
    client = narrow(connect)
    client.subscribe("t")
    client.publish("t", "x")
    client.expect(PUBLISH, payload=b"x")
