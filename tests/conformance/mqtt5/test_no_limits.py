"""A broker without limits of its own: those of MQTT 5.0 are left."""

import wire
from conformance.statements import covers
from wire import MQTT_5, PUBACK, PUBLISH

SETTINGS = {"MAX_INFLIGHT": 0, "MAX_QUEUED_MESSAGES": 0, "MAX_QUEUED_BYTES": 0, "MAX_SESSION_EXPIRY": 0, "MAX_CLIENTS": 0}


def test_what_is_announced(connect):
    """No Receive Maximum is 65,535, and 0xFFFFFFFF is granted: for ever (section 3.1.2.11.2)."""
    client = connect(session_expiry_interval=0xFFFFFFFF)
    assert set(client.connack.properties) == {"maximum_packet_size", "topic_alias_maximum"}


@covers("4.3.2-1")
def test_mqtt_2_2_1_4_identifiers_start_over(connect, topic):
    """All 65,535 are in use at once, none is 0, and the next is the one that is given back."""
    publisher, client = connect(), connect()
    client.subscribe(topic, qos=1)
    pack, identifiers = 5000, []
    for start in range(0, 65536, pack):
        many = min(pack, 65536 - start)
        publisher.send(b"".join(wire.publish(topic, b"", 1, identifier=7, level=MQTT_5) for _ in range(many)))
        for _ in range(many):
            publisher.expect(PUBACK)
        identifiers += [packet.identifier for packet in client.rest()]
    assert sorted(identifiers) == [*range(1, 65536)], "and one message has to wait"
    client.send_ack(PUBACK, 4711)
    client.expect(PUBLISH, identifier=4711)
    client.send_ack(PUBACK, 815)
    assert client.rest() == []
    publisher.publish(topic, "last", qos=1)
    client.expect(PUBLISH, identifier=815, payload=b"last")
