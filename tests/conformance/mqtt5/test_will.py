"""Will Messages (sections 3.1.2.5 to 3.1.2.7, 3.1.3.2 to 3.1.3.4); those with a delay are in test_time.py."""

import pytest

import wire
from conformance.statements import covers
from properties import properties
from wire import PUBLISH, packet

KEPT = {"session_expiry_interval": 300}
DELAYED = properties(will_delay_interval=300)


@pytest.fixture
def heir(connect, topic):
    """Gets what is published on the topic of this test."""
    client = connect()
    client.subscribe((topic, wire.options(2, retain_as_published=True)))
    return client


@pytest.mark.parametrize("qos", [0, 1, 2])
@covers("3.1.2-14", "3.1.2-9")
def test_mqtt_3_1_2_8_connection_lost(connect, heir, topic, qos):
    testator = connect(will=(topic, b"gone"), will_qos=qos)
    assert testator.rest() == heir.rest() == [], "not before"
    testator.lose()
    heir.message(payload=b"gone", qos=qos, retain=False)
    assert heir.rest() == []


def test_mqtt_3_1_2_8_connection_reset(connect, heir, topic):
    testator = connect(will=(topic, b"gone"))
    testator.cut()
    heir.expect(PUBLISH, payload=b"gone")


@pytest.mark.parametrize("said", [
    pytest.param(packet(0xF1, b"\x18\0"), id="malformed packet"),
    pytest.param(wire.connect("x", wire.MQTT_5), id="protocol error"),
    pytest.param(packet(wire.DISCONNECT | 1), id="malformed DISCONNECT"),
])
@covers("3.14.1-1")
def test_mqtt_3_1_2_8_closed_by_the_broker(connect, heir, topic, said):
    testator = connect(will=(topic, b"gone"))
    testator.send(said)
    testator.expect_closed(0x81, 0x82)
    heir.expect(PUBLISH, payload=b"gone")


@pytest.mark.parametrize("reason", [0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99])
def test_mqtt_3_1_2_8_disconnect_of_another_reason(connect, heir, topic, reason):
    """Every reason that a Client may give, but 0x00."""
    testator = connect(will=(topic, b"gone"))
    testator.disconnect(reason)
    heir.expect(PUBLISH, payload=b"gone")


@pytest.mark.parametrize("reason", [None, 0x00])
@covers("3.1.2-8", "3.14.4-3")
def test_mqtt_3_1_2_10_normal_disconnection(connect, heir, topic, reason):
    testator = connect(will=(topic, b"gone"), **KEPT)
    testator.disconnect(reason)
    assert heir.rest() == []
    again = connect(testator.identifier, clean=False)
    again.lose()
    assert heir.rest() == [], "it is not kept for later either"


def test_mqtt_3_1_2_10_published_once(connect, heir, topic):
    testator = connect(will=(topic, b"gone"), **KEPT)
    testator.lose()
    heir.expect(PUBLISH, payload=b"gone")
    again = connect(testator.identifier, clean=False, **KEPT)
    again.lose()
    assert heir.rest() == []


def test_mqtt_3_1_2_7_the_will_of_the_last_connect(connect, heir, topic):
    """Each CONNECT has its own, or none."""
    first = connect(will=(topic, b"first"), will_properties=DELAYED, **KEPT)
    first.lose()
    second = connect(first.identifier, clean=False, will=(topic, b"second"), **KEPT)
    second.lose()
    heir.expect(PUBLISH, payload=b"second")
    assert heir.rest() == []


@covers("3.1.2-8")
def test_mqtt_3_1_2_7_with_the_session(connect, heir, topic):
    """A will whose delay outlasts the Session goes out when that ends."""
    connect(will=(topic, b"at once"), will_properties=DELAYED).lose()
    heir.expect(PUBLISH, payload=b"at once")
    testator = connect(will=(topic, b"at the end"), will_properties=DELAYED, **KEPT)
    testator.lose()
    assert heir.rest() == []
    connect(testator.identifier, clean=True)
    heir.expect(PUBLISH, payload=b"at the end")


@covers("3.1.2-8")
def test_mqtt_3_1_3_9_back_within_the_delay(connect, heir, topic):
    testator = connect(will=(topic, b"gone"), will_properties=DELAYED, **KEPT)
    testator.lose()
    assert heir.rest() == []
    again = connect(testator.identifier, clean=False, **KEPT)
    again.disconnect()
    assert heir.rest() == []


def test_taken_over(connect, heir, topic):
    """A will without delay goes out when another connection takes over, one with a delay does not (section 3.1.4)."""
    testator = connect(will=(topic, b"at once"), **KEPT)
    connect(testator.identifier, clean=False)
    testator.expect_closed(0x8E)
    heir.expect(PUBLISH, payload=b"at once")
    testator = connect(will=(topic, b"later"), will_properties=DELAYED, **KEPT)
    connect(testator.identifier, clean=False)
    testator.expect_closed(0x8E)
    assert heir.rest() == []


def test_taken_over_with_clean_start(connect, heir, topic):
    """The Session ends, so its will goes out whatever its delay (section 3.1.4)."""
    testator = connect(will=(topic, b"gone"), will_properties=DELAYED, **KEPT)
    connect(testator.identifier, clean=True)
    testator.expect_closed(0x8E)
    heir.expect(PUBLISH, payload=b"gone")


@covers("3.3.1-5")
def test_mqtt_3_1_2_15_retained_will(connect, heir, topic):
    testator = connect(will=(topic, b"gone"), will_retain=True)
    testator.lose()
    heir.expect(PUBLISH, payload=b"gone", retain=True)
    late = connect()
    late.subscribe(topic)
    late.expect(PUBLISH, payload=b"gone", retain=True)


def test_mqtt_3_1_2_14_a_will_that_is_not_retained(connect, heir, topic):
    connect(will=(topic, b"gone")).lose()
    heir.expect(PUBLISH, payload=b"gone", retain=False)
    late = connect()
    late.subscribe(topic)
    assert late.rest() == []


@covers("3.3.2-4", "3.3.2-15", "3.3.2-16", "3.3.2-17", "3.3.2-18", "3.3.2-20")
def test_mqtt_3_1_3_10_properties_of_the_will(connect, heir, topic):
    passed_on = {
        "payload_format_indicator": 1, "content_type": "text/plain", "response_topic": "answers",
        "correlation_data": b"\0\1", "user_property": [("z", "1"), ("a", "2"), ("z", "3"), ("", ""), ("z", "1")]}
    connect(will=(topic, b"gone"), will_properties=properties(**passed_on, will_delay_interval=0)).lose()
    assert heir.expect(PUBLISH, payload=b"gone").properties == passed_on


def test_the_expiry_of_a_will_begins_when_it_is_published(connect, heir, topic):
    testator = connect(will=(topic, b"gone"), will_properties=properties(message_expiry_interval=1000))
    testator.lose()
    assert heir.expect(PUBLISH, payload=b"gone").properties == {"message_expiry_interval": 1000}


def test_an_empty_will(connect, heir, topic):
    """A payload of no bytes is one; retained it removes (section 3.3.1.3)."""
    connect().publish(topic, b"retained", retain=True)
    heir.expect(PUBLISH, payload=b"retained")
    connect(will=(topic, b""), will_retain=True).lose()
    heir.expect(PUBLISH, payload=b"")
    late = connect()
    late.subscribe(topic)
    assert late.rest() == []


def test_the_testator_may_be_its_own_heir(connect, topic):
    testator = connect(will=(topic, b"gone"), **KEPT)
    testator.subscribe(topic, qos=1)
    testator.lose()
    again = connect(testator.identifier, clean=False)
    assert again.rest() == [], "the will was of QoS 0 and nobody there"
    again.lose()


def test_the_testator_keeps_a_will_of_qos_1_for_itself(connect, topic):
    testator = connect(will=(topic, b"gone"), will_qos=1, **KEPT)
    testator.subscribe(topic, qos=1)
    testator.lose()
    assert connect(testator.identifier, clean=False).payloads() == [b"gone"]


def test_no_local_counts_for_the_will_of_oneself(connect, topic):
    testator = connect(will=(topic, b"gone"), will_qos=1, **KEPT)
    testator.subscribe((topic, wire.options(1, no_local=True)))
    testator.lose()
    assert connect(testator.identifier, clean=False).payloads() == []


def test_a_will_larger_than_the_heir_takes(connect, topic):
    heir = connect(maximum_packet_size=100)
    heir.subscribe(topic)
    connect(will=(topic, bytes(100))).lose()
    assert heir.rest() == []


def test_a_will_that_is_not_the_text_it_claims(dial, topic):
    """Refused with its CONNECT (section 3.1.3.2.3)."""
    client = dial()
    client.send_connect(will=(topic, b"\xff"), will_properties=properties(payload_format_indicator=1))
    client.expect_refused(0x99)
