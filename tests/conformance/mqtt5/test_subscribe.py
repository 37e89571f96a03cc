"""SUBSCRIBE and SUBACK (sections 3.8 and 3.9)."""

import pytest

import wire
from conformance.statements import covers
from properties import properties
from wire import MQTT_5, PUBACK, PUBLISH, SUBACK, SUBSCRIBE, packet, string

TOO_DEEP = "/".join("x" * 300)


@pytest.mark.parametrize("said", [
    pytest.param(packet(SUBSCRIBE | 2), id="nothing"),
    pytest.param(packet(SUBSCRIBE | 2, b"\0"), id="half an identifier"),
    pytest.param(packet(SUBSCRIBE | 2, b"\0\1\0\0\5ab"), id="a filter cut short"),
    pytest.param(packet(SUBSCRIBE | 2, b"\0\1\0" + string("t")), id="no options"),
    pytest.param(packet(SUBSCRIBE | 2, b"\0\1\0" + string("t") + b"\0" + string("u")), id="no options for the second"),
])
@covers("4.13.1-1")
def test_mqtt_3_8_3_1_cut_short(connect, said):
    client = connect()
    client.send(said)
    client.expect_closed(0x81)


def test_mqtt_3_8_3_2_no_filter(connect):
    client = connect()
    client.send_subscribe()
    client.expect_closed(0x82)


@covers("3.3.1-3")
def test_mqtt_3_8_3_3_no_local(connect, topic):
    """Nothing back to oneself; everything to others, and of others."""
    client, other = connect(), connect()
    for one in (client, other):
        one.subscribe((topic, wire.options(2, no_local=True)))
    for qos in (0, 1, 2):
        client.publish(topic, f"mine {qos}", qos)
        other.publish(topic, f"its {qos}", qos)
    assert client.payloads() == [b"its 0", b"its 1", b"its 2"]
    assert other.payloads() == [b"mine 0", b"mine 1", b"mine 2"]


def test_mqtt_3_8_3_3_no_local_in_a_session_that_goes_on(connect, topic):
    """It is the Client Identifier that counts, not the connection."""
    client = connect(session_expiry_interval=300)
    client.subscribe((topic, wire.options(1, no_local=True)))
    client.lose()
    client = connect(client.identifier, clean=False)
    client.publish(topic, "x", qos=1)
    assert client.rest() == []


def test_mqtt_3_8_3_3_without_it(connect, topic):
    client = connect()
    client.subscribe((topic, wire.options(0, no_local=False)))
    client.publish(topic, "x")
    client.expect(PUBLISH, payload=b"x")


def test_mqtt_3_8_3_4_no_local_on_a_shared_subscription(connect, topic):
    client = connect()
    client.send_subscribe((f"$share/group/{topic}", wire.options(0, no_local=True)))
    client.expect_closed(0x82)


@pytest.mark.parametrize("options", [0x40, 0x80, 0xC0, 0xC2])
def test_mqtt_3_8_3_5_reserved_options(connect, topic, options):
    client = connect()
    client.send_subscribe((topic, options))
    client.expect_closed(0x81)


@pytest.mark.parametrize("options", [pytest.param(0x03, id="QoS 3"), pytest.param(0x30, id="Retain Handling 3")])
def test_options_of_no_meaning(connect, topic, options):
    """A Protocol Error (section 3.8.3.1)."""
    client = connect()
    client.send_subscribe((topic, options))
    client.expect_closed(0x82)


@pytest.mark.parametrize("known, reason", [
    (properties(subscription_identifier=[1, 2]), 0x82), (properties(topic_alias=1), 0x81), (b"\x7f\0", 0x81)])
def test_wrong_properties_of_subscribe(connect, topic, known, reason):
    """Section 3.8.2.1."""
    client = connect()
    client.send_subscribe(topic, properties=known)
    client.expect_closed(reason)


@covers("3.8.4-2", "3.8.4-6", "3.8.4-7", "3.9.3-2")
def test_mqtt_3_8_4_1_answered(connect, topic):
    client = connect()
    for qos in (0, 1, 2):
        client.send_subscribe(topic, qos=qos, identifier=1000 + qos, user_property=("n", "v"))
        client.expect(SUBACK, identifier=1000 + qos, reasons=[qos], properties={})


def test_mqtt_3_8_4_3_replaced(connect, topic):
    """All of it: QoS, options, identifier; and there is one subscription, not two."""
    client = connect()
    client.subscribe((topic, wire.options(2, no_local=True)), subscription_identifier=1)
    client.subscribe((topic, wire.options(1, retain_as_published=True)), subscription_identifier=2)
    client.publish(topic, "x", qos=2, retain=True)
    client.message(qos=1, retain=True, subscription_identifier=[2])
    client.subscribe((topic, wire.options(0, retain_handling=2)))
    client.publish(topic, "y", qos=2, retain=True)
    assert client.message(payload=b"y", qos=0, retain=False).properties == {}
    client.unsubscribe(topic)
    client.publish(topic, "z", qos=2)
    assert client.rest() == []


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_mqtt_3_8_4_4_none_lost_while_replacing(connect, topic, qos):
    """Published before, between and after, in one stream with the subscriptions."""
    client = connect()
    client.send(b"".join(
        wire.subscribe((topic, wire.options(qos, retain_handling=2)), identifier=1000 + number, level=MQTT_5)
        + wire.publish(topic, str(number), qos and 1, identifier=number + 1, level=MQTT_5) for number in range(100)))
    found = []
    while len(found) < 100:
        one = client.receive_packet()
        if one.kind == PUBLISH:
            found.append(int(one.payload))
            client.acknowledge(one)
    assert found == [*range(100)]
    assert {one.kind for one in client.rest()} <= {SUBACK, PUBACK}


def test_mqtt_3_8_4_4_what_was_under_way(connect, topic):
    """A message of the old subscription that is not acknowledged yet stays so."""
    client = connect(session_expiry_interval=300, receive_maximum=1)
    client.subscribe(topic, qos=1)
    other = connect()
    other.publish(topic, "1", qos=1)
    other.publish(topic, "2", qos=1)
    first = client.expect(PUBLISH, payload=b"1")
    client.subscribe(topic, qos=2)
    client.acknowledge(first)
    assert client.payloads() == [b"2"]


@covers("3.8.4-6", "3.8.4-7", "3.9.3-1")
def test_mqtt_3_8_4_5_several_filters(connect, topic):
    """One answer, with a reason for each in their order, also of one that fails in their midst."""
    client = connect()
    suback = client.subscribe((f"{topic}/a", 2), (f"{topic}/b", 0), (TOO_DEEP, 1), (f"{topic}/c", 1))
    assert suback.reasons == [2, 0, 0x8F, 1]
    for end, qos in (("a", 2), ("b", 0), ("c", 1)):
        client.publish(f"{topic}/{end}", end, qos=2)
        client.message(payload=end.encode(), qos=qos)


def test_mqtt_3_8_4_5_the_same_filter_twice(connect, topic):
    """The second takes the place of the first."""
    client = connect()
    assert client.subscribe((topic, 2), (topic, 0)).reasons == [2, 0]
    client.publish(topic, "x", qos=2)
    client.message(qos=0)
    assert client.rest() == []


def test_mqtt_3_8_4_5_many_filters(connect, topic):
    client = connect()
    suback = client.subscribe(*((f"{topic}/{number}", number % 3) for number in range(500)))
    assert suback.reasons == [number % 3 for number in range(500)]
    client.publish(f"{topic}/499", "x", qos=2)
    client.message(topic=f"{topic}/499", qos=1)


@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("published", [0, 1, 2])
def test_mqtt_3_8_4_8_the_lower_qos(connect, topic, published, granted):
    client = connect()
    client.subscribe(topic, qos=granted)
    client.publish(topic, "x", published)
    client.message(qos=min(published, granted))


@pytest.mark.parametrize("bad", ["a#", "a/#/b", "#/a", "a/b#", "##", "/#/", "+#"])
@covers("4.7.0-1")
def test_mqtt_4_7_1_1_where_a_number_sign_may_stand(connect, bad):
    client = connect()
    client.send_subscribe(bad)
    client.expect_closed(0x81, 0x82, 0x8F)


@pytest.mark.parametrize("bad", ["a+", "+a", "a/+b", "a/b+/c", "++"])
def test_mqtt_4_7_1_2_where_a_plus_sign_may_stand(connect, bad):
    client = connect()
    client.send_subscribe(bad)
    client.expect_closed(0x81, 0x82, 0x8F)


@pytest.mark.parametrize("said", [wire.subscribe("", level=MQTT_5), wire.unsubscribe("", level=MQTT_5)])
def test_mqtt_4_7_3_1_empty(connect, said):
    client = connect()
    client.send(said)
    client.expect_closed(0x81, 0x82, 0x8F)


def test_a_subscription_that_is_refused_leaves_nothing(connect, topic):
    client = connect()
    assert client.subscribe(TOO_DEEP).reasons == [0x8F]
    assert client.unsubscribe(TOO_DEEP).reasons == [0x11]
