"""What happens when time has passed, of sessions and messages: a second is the least that can be said."""

import pytest

from conformance.clock import Clock
from conformance.statements import covers
from properties import properties
from wire import PUBCOMP, PUBLISH, PUBREC, PUBREL

KEPT = {"session_expiry_interval": 300}


@covers("3.1.2-23")
def test_mqtt_4_1_0_2_session_expiry(connect, topic):
    """Of a Session of 1 s nothing is left after that, but something until then."""
    clients = [connect(session_expiry_interval=1) for _ in range(2)]
    for client in clients:
        client.subscribe(topic, qos=1)
        client.lose()
    early = connect(clients[0].identifier, clean=False, session_expiry_interval=1)
    assert early.connack.session_present is True
    Clock().wait(1.5)
    late = connect(clients[1].identifier, clean=False)
    assert late.connack.session_present is False
    connect().publish(topic, "x", qos=1)
    assert late.rest() == []
    assert early.payloads() == [b"x"], "no interval runs while it is connected"


def test_session_expiry_set_at_disconnect(connect):
    client, clock = connect(**KEPT), Clock()
    client.disconnect(0, session_expiry_interval=1)
    clock.wait(1.5)
    assert connect(client.identifier, clean=False).connack.session_present is False


@covers("3.1.2-10")
def test_mqtt_3_1_2_8_will_delay(connect, topic):
    """Published when the delay is over, not before, and once."""
    heir = connect()
    heir.subscribe(topic)
    testator = connect(will=(topic, "late"), will_properties=properties(will_delay_interval=2), **KEPT)
    clock = Clock()
    testator.lose()
    clock.wait(1.2)
    assert heir.rest() == []
    heir.expect(PUBLISH, payload=b"late")
    assert 1.9 < clock.passed() < 8
    again = connect(testator.identifier, clean=False)
    assert again.connack.session_present is True
    again.lose()
    assert heir.rest() == []


def test_mqtt_3_1_2_8_the_session_ends_before_the_will_delay(connect, topic):
    heir = connect()
    heir.subscribe(topic)
    clock = Clock()
    connect(will=(topic, "early"), will_properties=properties(will_delay_interval=300),
            session_expiry_interval=1).lose()
    heir.expect(PUBLISH, payload=b"early")
    assert 0.9 < clock.passed() < 8


def test_mqtt_3_1_3_9_back_within_the_will_delay(connect, topic):
    heir, clock = connect(), Clock()
    heir.subscribe(topic)
    testator = connect(will=(topic, "never"), will_properties=properties(will_delay_interval=1), **KEPT)
    testator.lose()
    connect(testator.identifier, clean=False, **KEPT)
    clock.wait(1.5)
    assert heir.rest() == [], "the delay is over, and nothing came of it"


@pytest.mark.parametrize("qos", [1, 2])
@covers("3.3.2-6")
def test_mqtt_3_3_2_5_message_expiry(connect, topic, qos):
    """Of those that wait, the expired go and the others have less left, rounded as one likes."""
    client, publisher = connect(**KEPT), connect()
    client.subscribe(topic, qos=qos)
    client.lose()
    clock = Clock()
    publisher.publish(topic, "gone", qos, message_expiry_interval=1)
    publisher.publish(topic, "left", qos, message_expiry_interval=10)
    publisher.publish(topic, "no limit", qos)
    clock.wait(2.1)
    client = connect(client.identifier, clean=False)
    left = client.message(payload=b"left")
    assert 10 - clock.passed() - 1 <= left.properties["message_expiry_interval"] <= 8
    assert client.message(payload=b"no limit").properties == {}
    assert client.rest() == []


@covers("3.3.2-6")
def test_mqtt_3_3_2_5_retained_messages_expire(connect, topic):
    publisher, clock = connect(), Clock()
    publisher.publish(f"{topic}/gone", "gone", retain=True, message_expiry_interval=1)
    publisher.publish(f"{topic}/left", "left", retain=True, message_expiry_interval=10)
    clock.wait(1.2)
    client = connect()
    client.subscribe(f"{topic}/#")
    left = client.message(payload=b"left")
    assert 10 - clock.passed() - 1 <= left.properties["message_expiry_interval"] <= 9
    assert client.rest() == []


@covers("4.3.3-13", "4.9.0-2")
def test_mqtt_4_3_3_7_what_was_sent_does_not_expire(connect, topic):
    """Its flow goes on, on another connection too; what only waited for its turn expires."""
    client = connect(**KEPT, receive_maximum=1)
    client.subscribe(topic, qos=2)
    clock = Clock()
    client.publish(topic, "sent", qos=2, message_expiry_interval=1)
    client.publish(topic, "waits", qos=2, message_expiry_interval=1)
    sent = client.expect(PUBLISH, payload=b"sent")
    client.lose()
    clock.wait(1.5)
    client = connect(client.identifier, clean=False, **KEPT)
    again = client.expect(PUBLISH, payload=b"sent", dup=True, identifier=sent.identifier)
    client.send_ack(PUBREC, again.identifier)
    client.expect(PUBREL, identifier=again.identifier)
    assert client.rest() == []


def test_mqtt_4_3_3_13_the_flow_of_a_publisher_goes_on(connect, topic):
    """A message that expires at the broker while its QoS 2 flow is under way."""
    publisher, subscriber = connect(**KEPT), connect(**KEPT)
    subscriber.subscribe(topic, qos=2)
    subscriber.lose()
    clock = Clock()
    publisher.send_publish(topic, "x", qos=2, identifier=5, message_expiry_interval=1)
    publisher.expect(PUBREC, identifier=5, reason=0)
    publisher.lose()
    clock.wait(1.3)
    publisher = connect(publisher.identifier, clean=False)
    publisher.send_publish(topic, "x", qos=2, identifier=5, dup=True, message_expiry_interval=1)
    publisher.expect(PUBREC, identifier=5)
    publisher.send_ack(PUBREL, 5)
    publisher.expect(PUBCOMP, identifier=5, reason=0)
    assert connect(subscriber.identifier, clean=False).rest() == []


def test_a_will_expires_from_its_publication_on(connect, topic):
    """Not while its Client lives (section 3.1.3.2.4)."""
    heir, clock = connect(), Clock()
    heir.subscribe(topic, qos=1)
    testator = connect(will=(topic, "x"), will_qos=1, will_properties=properties(message_expiry_interval=1))
    clock.wait(1.3)
    testator.lose()
    heir.message(payload=b"x", message_expiry_interval=1)
