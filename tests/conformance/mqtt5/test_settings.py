"""A broker that offers less than MQTT 5.0 can: what it announces, and how it answers whoever asks for more."""

import pytest

import wire
from conformance.statements import covers
from properties import properties
from wire import MQTT_5, PUBACK, PUBLISH

SETTINGS = {"MAX_QOS": 1, "RETAIN_AVAILABLE": 0, "MAX_TOPIC_ALIAS": 0, "MAX_KEEP_ALIVE": 600, "MAX_INFLIGHT": 2,
            "MAX_PACKET_SIZE": 2000, "ALLOW_EMPTY_CLIENT_ID": 0, "MAX_SESSION_EXPIRY": 100, "MAX_SUBSCRIPTIONS": 3}


@covers("3.2.2-8")
def test_mqtt_3_2_2_9_announced(connect):
    client = connect(session_expiry_interval=1000, keep_alive=1000)
    assert client.connack.properties == {
        "maximum_qos": 1, "retain_available": 0, "receive_maximum": 2, "maximum_packet_size": 2000,
        "server_keep_alive": 600, "session_expiry_interval": 100}


@pytest.mark.parametrize("asked, told", [(0, 600), (1, None), (600, None), (601, 600), (65535, 600)])
def test_server_keep_alive(connect, asked, told):
    """Told where it is not what the Client asked for; 0 asks for none at all (section 3.2.2.3.14)."""
    assert connect(keep_alive=asked).connack.properties.get("server_keep_alive") == told


def test_mqtt_3_2_2_10_subscriptions_of_every_qos(connect, topic):
    """Granted as far as it goes."""
    client = connect()
    assert client.subscribe((f"{topic}/0", 0), (f"{topic}/1", 1), (f"{topic}/2", 2)).reasons == [0, 1, 1]
    client.publish(f"{topic}/2", "x", qos=1)
    client.message(qos=1)


def test_mqtt_3_2_2_11_a_publish_above_maximum_qos(connect, topic):
    client = connect()
    client.send_publish(topic, "x", qos=2)
    client.expect_closed(0x9B)


@covers("3.2.2-7")
def test_mqtt_3_2_2_12_a_will_above_maximum_qos(dial, connect, topic):
    client = dial()
    client.send_connect(will=(topic, "x"), will_qos=2)
    client.expect_refused(0x9B)
    connect(will=(topic, "x"), will_qos=1)


@covers("3.2.2-7")
def test_mqtt_3_2_2_13_a_retained_will(dial, connect, topic):
    client = dial()
    client.send_connect(will=(topic, "x"), will_retain=True)
    client.expect_refused(0x9A)
    connect(will=(topic, "x"))


@pytest.mark.parametrize("qos", [0, 1])
def test_mqtt_3_2_2_14_a_retained_publish(connect, topic, qos):
    client = connect()
    client.send_publish(topic, "x", qos=qos, retain=True)
    client.expect_closed(0x9A)


@pytest.mark.parametrize("more", [1, 1000, 100_000])
def test_mqtt_3_2_2_15_a_packet_above_the_maximum(connect, topic, more):
    client = connect()
    client.subscribe(topic)
    head = len(wire.publish(topic, bytes(1900), level=MQTT_5)) - 1900
    client.publish(topic, bytes(2000 - head))
    assert client.expect(PUBLISH).size == 2000
    client.try_to_send(wire.publish(topic, bytes(2000 - head + more), level=MQTT_5))
    client.expect_closed(0x95)


def test_a_connect_above_the_maximum(dial):
    """It could not know: refused, as a packet that is too large."""
    client = dial()
    client.send_connect(properties=properties(user_property=("n", "v" * 3000)))
    client.expect_rejected(0x95)


@pytest.mark.parametrize("topic_name", ["t", ""])
@pytest.mark.parametrize("alias", [1, 0xFFFF])
def test_mqtt_3_2_2_18_an_alias_where_there_is_none(connect, topic_name, alias):
    client = connect()
    assert "topic_alias_maximum" not in client.connack.properties
    client.send_publish(topic_name, "x", topic_alias=alias)
    client.expect_closed(0x94)


@covers("3.2.2-7", "3.2.2-6")
def test_mqtt_3_1_3_8_a_client_identifier_that_is_refused(dial):
    client = dial("")
    client.send_connect()
    assert client.expect_refused(0x85).session_present is False


@pytest.mark.parametrize("asked, granted", [(0, None), (100, None), (101, 100), (0xFFFFFFFF, 100)])
def test_session_expiry_is_told_where_it_differs(connect, asked, granted):
    """Section 3.2.2.3.2."""
    assert connect(session_expiry_interval=asked).connack.properties.get("session_expiry_interval") == granted


@covers("4.9.0-1", "4.9.0-2")
def test_mqtt_3_3_4_9_the_lower_of_both_maxima(connect, topic):
    """The Client would take a hundred."""
    client = connect(receive_maximum=100)
    client.subscribe(topic, qos=1)
    publisher = connect()
    for number in range(5):
        publisher.publish(topic, str(number), qos=1)
    assert len(client.rest()) == 2


def test_too_many_subscriptions(connect, topic):
    """Each refused by itself [MQTT-3.8.4-7], and what is there can be replaced."""
    client = connect()
    assert client.subscribe(*(f"{topic}/{number}" for number in range(5))).reasons == [0, 0, 0, 0x97, 0x97]
    assert client.subscribe((f"{topic}/2", 1), (f"{topic}/9", 1)).reasons == [1, 0x97]
    client.unsubscribe(f"{topic}/0")
    assert client.subscribe(f"{topic}/9").reasons == [0]


def test_qos_1_goes_on(connect, topic):
    client = connect()
    client.subscribe(topic, qos=2)
    client.send_publish(topic, "x", qos=1, identifier=8)
    client.answer(PUBACK, 8)
    client.message(payload=b"x", qos=1)
