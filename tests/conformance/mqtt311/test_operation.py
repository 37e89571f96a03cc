"""Sessions, deliveries, order and errors (sections 4 and 7)."""

import pytest

import wire
from conformance.broker import Broker
from conformance.client import Client
from conformance.statements import covers
from waiting import until
from wire import (MQTT_3_1, MQTT_3_1_1, PING, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, packet,
                  string)

MAX_INFLIGHT = 20

# What is tested here holds in 3.1 as well.
pytestmark = pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_3_1])


@pytest.fixture
def publisher(connect):
    return connect()


def numbered(count):
    return [f"{number}".encode() for number in range(count)]


# --- sessions (4.1)


def test_mqtt_4_1_0_1_a_session_keeps_all_its_state(connect, publisher, name, topic):
    """Subscriptions, what was sent and not acknowledged, what waits, what was received and not released: over several
    connections, as long as none asks for a clean session."""
    identifier = name()
    client = connect(identifier, clean=False)
    client.subscribe((f"{topic}/a", 1), (f"{topic}/b", 2))
    client.send_publish(f"{topic}/c", "received", qos=2, identifier=100)
    client.expect(PUBREC, identifier=100)
    publisher.publish(f"{topic}/a", "unacknowledged", qos=1)
    publisher.publish(f"{topic}/b", "unreleased", qos=2)
    one, two = client.expect(PUBLISH), client.expect(PUBLISH)
    client.send_ack(PUBREC, two.identifier)
    client.expect(PUBREL)
    client.lose()
    publisher.publish(f"{topic}/a", "waiting", qos=1)
    for _ in range(3):
        client = connect(identifier, clean=False)
        client.expect(PUBLISH, identifier=one.identifier, payload=b"unacknowledged", dup=True)
        client.expect(PUBREL, identifier=two.identifier)
        client.expect(PUBLISH, payload=b"waiting")
        client.lose()
    # The message with this identifier is known, so it is not delivered again.
    listener = connect()
    listener.subscribe(f"{topic}/c", qos=2)
    client = connect(identifier, clean=False)
    client.send_publish(f"{topic}/c", "received", qos=2, identifier=100, dup=True)
    client.answer(PUBREC, 100)
    client.release(100)
    assert listener.messages() == []


@pytest.mark.parametrize("clean", [True, False])
def test_mqtt_4_1_0_2_a_session_lasts_as_long_as_its_connection(connect, publisher, topic, clean):
    """A clean session too: while there is a connection, nothing of it goes."""
    client = connect(clean=clean)
    client.subscribe(topic, qos=2)
    client.send_publish(topic, "own", qos=2, identifier=100)
    client.answer(PUBREC, 100)
    own = client.expect(PUBLISH)
    client.send_ack(PUBREC, own.identifier)
    client.expect(PUBREL)
    # More than the window holds: the rest waits in the session.
    for payload in numbered(3 * MAX_INFLIGHT):
        publisher.publish(topic, payload, qos=1)
    assert client.payloads() == numbered(3 * MAX_INFLIGHT)
    client.release(100)
    client.send_ack(PUBREC, own.identifier)
    client.expect(PUBREL, identifier=own.identifier)
    client.send_ack(PUBCOMP, own.identifier)
    assert client.rest() == []


@covers("7.1.1-1")
def test_mqtt_4_2_0_1_the_transport_keeps_order_and_loses_nothing(connect, publisher, topic):
    """TCP does, however the bytes are cut: what was sent comes, byte by byte and in order."""
    subscriber = connect()
    subscriber.subscribe(topic)
    payloads = [bytes([number % 256]) * (number * 7 % 3000) for number in range(300)]
    stream = b"".join(wire.publish(topic, payload) for payload in payloads)
    for start in range(0, len(stream), 1013):
        publisher.send(stream[start:start + 1013])
    publisher.rest()
    assert [subscriber.message().payload for _ in payloads] == payloads
    assert subscriber.rest() == []


# --- Quality of Service (4.3)


@covers("2.3.1-4")
def test_mqtt_4_3_2_1_the_broker_as_sender_of_qos_1(connect, publisher, name, topic):
    """An unused identifier, no DUP; unacknowledged until PUBACK, and not sent again on the same connection."""
    identifier = name()
    client = connect(identifier, clean=False)
    client.subscribe(topic, qos=1)
    for payload in numbered(5):
        publisher.publish(topic, payload, qos=1)
    sent = [client.expect(PUBLISH, dup=False, qos=1) for _ in range(5)]
    assert len({packet.identifier for packet in sent}) == 5
    assert client.rest() == [], "sent again although the connection is the same"
    for number in (1, 3):
        client.send_ack(PUBACK, sent[number].identifier)
    client.rest()
    client.lose()
    again = connect(identifier, clean=False)
    for number in (0, 2, 4):
        again.message(identifier=sent[number].identifier, payload=sent[number].payload, dup=True, qos=1)
    again.rest()
    again.lose()
    assert connect(identifier, clean=False).rest() == [], "sent again although it was acknowledged"


@covers("4.5.0-1")
def test_mqtt_4_3_2_2_the_broker_as_receiver_of_qos_1(connect, publisher, topic):
    """It acknowledges what it has taken; then the identifier stands for a new message, whatever its DUP says."""
    subscriber = connect()
    subscriber.subscribe(topic, qos=1)
    for payload, dup in (("1", False), ("2", False), ("2", True)):
        publisher.send_publish(topic, payload, qos=1, identifier=3, dup=dup)
        publisher.expect(PUBACK, identifier=3)
        subscriber.message(payload=payload.encode())
    publisher.send_publish(topic, "for nobody", qos=1, identifier=3, retain=True)
    publisher.expect(PUBACK, identifier=3)
    late = connect()
    late.subscribe(topic, qos=1)
    late.message(payload=b"for nobody")


def test_mqtt_4_3_3_1_the_broker_as_sender_of_qos_2(connect, publisher, name, topic):
    """PUBLISH until PUBREC, then PUBREL until PUBCOMP, never PUBLISH again; each once a connection."""
    identifier = name()
    client = connect(identifier, clean=False)
    client.subscribe(topic, qos=2)
    publisher.publish(topic, "x", qos=2)
    sent = client.expect(PUBLISH, dup=False, qos=2)
    assert client.rest() == []
    client.lose()
    client = connect(identifier, clean=False)
    client.expect(PUBLISH, identifier=sent.identifier, dup=True, qos=2, payload=b"x")
    client.send_ack(PUBREC, sent.identifier)
    client.expect(PUBREL, identifier=sent.identifier)
    assert client.rest() == []
    client.lose()
    for _ in range(2):
        client = connect(identifier, clean=False)
        client.expect(PUBREL, identifier=sent.identifier)
        assert client.rest() == []
        client.lose()
    client = connect(identifier, clean=False)
    client.expect(PUBREL, identifier=sent.identifier)
    client.send_ack(PUBCOMP, sent.identifier)
    assert client.rest() == []
    client.lose()
    assert connect(identifier, clean=False).rest() == []


@pytest.mark.parametrize("reconnects", [False, True])
def test_mqtt_4_3_3_2_the_broker_as_receiver_of_qos_2(connect, name, topic, reconnects):
    """Until PUBREL a PUBLISH with the same identifier is the same message: answered, and not delivered again."""
    identifier = name()
    subscriber = connect()
    subscriber.subscribe(topic, qos=2)
    client = connect(identifier, clean=False)
    for attempt in range(4):
        client.send_publish(topic, "x", qos=2, identifier=5, dup=attempt > 0)
        client.expect(PUBREC, identifier=5)
        if reconnects:
            client.lose()
            client = connect(identifier, clean=False)
    assert subscriber.payloads() == [b"x"]
    for _ in range(2):
        # The second time its answer was lost, for all the client knows.
        client.send_ack(PUBREL, 5)
        client.expect(PUBCOMP, identifier=5)
    client.send_publish(topic, "y", qos=2, identifier=5)
    client.expect(PUBREC, identifier=5)
    client.release(5)
    assert subscriber.payloads() == [b"y"]


# --- delivery, retry and order (4.4 to 4.6)


@covers("3.3.1-1")
def test_mqtt_4_4_0_1_what_is_unacknowledged_is_sent_again(connect, publisher, name, topic):
    """PUBLISH and PUBREL alike, with their identifiers, on each new connection of the session and at no other time."""
    identifier = name()
    client = connect(identifier, clean=False)
    client.subscribe(topic, qos=2)
    for number in range(6):
        publisher.publish(topic, str(number), qos=1 + number % 2)
    sent = [client.expect(PUBLISH) for _ in range(6)]
    client.send_ack(PUBREC, sent[3].identifier)
    client.expect(PUBREL, identifier=sent[3].identifier)
    for _ in range(2):
        client.lose()
        client = connect(identifier, clean=False)
        again = [client.receive_packet() for _ in range(6)]
        assert [packet.identifier for packet in again] == [packet.identifier for packet in sent]
        assert [packet.kind for packet in again] == [PUBLISH, PUBLISH, PUBLISH, PUBREL, PUBLISH, PUBLISH]
        assert all(packet.dup for packet in again if packet.kind == PUBLISH)
        assert client.rest() == []


def test_mqtt_4_5_0_1_every_session_with_a_matching_subscription(connect, publisher, name, topic):
    """Connected or not, once each, the publisher's own included."""
    absent = [name() for _ in range(3)]
    for identifier in absent:
        client = connect(identifier, clean=False)
        client.subscribe(f"{topic}/#", qos=1)
        client.disconnect()
    present = [connect() for _ in range(3)]
    for client in [*present, publisher]:
        client.subscribe(f"{topic}/+", qos=1)
    other = connect()
    other.subscribe(f"{topic}/other", qos=1)
    publisher.publish(f"{topic}/a", "x", qos=1)
    for client in [*present, publisher, *(connect(identifier, clean=False) for identifier in absent)]:
        assert client.payloads() == [b"x"]
    assert other.payloads() == []


def test_mqtt_4_5_0_2_who_never_acknowledges_harms_itself_alone(connect, publisher, topic):
    silent, other = connect(), connect()
    for client in (silent, other):
        client.subscribe(topic, qos=1)
    for payload in numbered(2 * MAX_INFLIGHT):
        publisher.publish(topic, payload, qos=1)
        other.message(payload=payload)
    assert [packet.payload for packet in silent.rest()] == numbered(MAX_INFLIGHT)


@pytest.mark.parametrize("acknowledged", [slice(0), slice(0, None, 3), slice(5, 15), slice(1)])
def test_mqtt_4_6_0_1_the_original_order(connect, publisher, name, topic, acknowledged):
    """Also when some in between are acknowledged, and what waited comes behind it."""
    identifier = name()
    client = connect(identifier, clean=False)
    client.subscribe(topic, qos=2)
    for number in range(MAX_INFLIGHT + 10):
        publisher.publish(topic, str(number), qos=1 + number % 2)
    sent = [client.expect(PUBLISH) for _ in range(MAX_INFLIGHT)]
    expected = numbered(MAX_INFLIGHT + 10)
    for one in sent[acknowledged]:
        client.acknowledge(one)
        expected.remove(one.payload)
    client.rest()
    client.lose()
    again = connect(identifier, clean=False)
    assert again.payloads() == expected


@covers("4.6.0-3", "4.6.0-4")
def test_mqtt_4_6_0_2_acknowledgements_out_of_order(connect, publisher, topic):
    """A client may not do so; the broker takes each for what it is, and every message comes once and in order."""
    client = connect()
    client.subscribe(topic, qos=2)
    for qos, answers in ((1, [PUBACK]), (2, [PUBREC, PUBCOMP])):
        for payload in numbered(2 * MAX_INFLIGHT):
            publisher.publish(topic, payload, qos=qos)
        received = []
        while len(received) < 2 * MAX_INFLIGHT:
            part = client.rest()
            received += [one.payload for one in part]
            for kind in answers:
                for one in reversed(part):
                    client.send_ack(kind, one.identifier)
                if kind == PUBREC:
                    for one in reversed(part):
                        client.answer(PUBREL, one.identifier)
        assert received == numbered(2 * MAX_INFLIGHT)
    # PUBRELs in another order than the PUBLISHs.
    for identifier in (1, 2, 3):
        publisher.send_publish(topic, "x", qos=2, identifier=identifier)
        publisher.answer(PUBREC, identifier)
    for identifier in (2, 3, 1):
        publisher.release(identifier)
    assert client.payloads() == [b"x"] * 3


@pytest.mark.parametrize("qos", [0, 1, 2])
@covers("4.6.0-6")
def test_mqtt_4_6_0_5_every_topic_is_ordered(connect, publisher, topic, qos):
    """Through any number of filters, and no matter what the window holds back."""
    filters = [topic, f"{topic}/#", "+/#"]
    clients = [connect() for _ in filters]
    for client, topic_filter in zip(clients, filters):
        client.subscribe((topic_filter, qos), (f"{topic}/other", 0))
    count = 5 * MAX_INFLIGHT
    for number in range(count):
        publisher.publish(topic, str(number), qos=qos)
        publisher.publish(f"{topic}/other", "other", qos=0)
    for client in clients:
        assert [packet.payload for packet in client.messages() if packet.topic == topic] == numbered(count)


# --- errors (4.8) and conformance (7)


def test_mqtt_4_8_0_1_a_protocol_violation_closes_the_connection(connect, topic):
    """Without a word, and with it the rest of what was sent; the other connections stay."""
    other = connect()
    other.subscribe(topic)
    for bad in (packet(0), packet(0xF0), packet(PUBLISH | 6, string("x") + b"\0\1"), wire.subscribe("a/#/b"),
                wire.publish("+", "x"), packet(SUBACK, b"\0\1\0"), wire.connect("x")):
        client = connect()
        client.send(bad + wire.publish(topic, "after"))
        client.expect_closed()
    assert other.rest() == []


def test_mqtt_4_8_0_2_a_transient_error_closes_the_connection(program, level):
    """There is no memory for the packet at this moment: its connection ends, the others stay, and the next one can have
    what the first has left."""
    promised = bytes([PUBLISH]) + wire.length(900_000) + string("x")
    with Broker(program, MAX_MEMORY=1_000_000) as broker:
        def client(identifier):
            return Client(broker.port, level, identifier).connect()

        first, second, third = (client(name) for name in ("first", "second", "third"))
        for one in (first, second):
            one.send(promised + bytes(600_000))
        third.rest()
        for one in (first, second):
            one.try_to_send(bytes(300_000 - 3) + PING)
        assert None in [one.receive_packet() for one in (first, second)]
        third.rest()
        for one in (first, second):
            one.cut()

        def is_taken():
            with client("again") as again:
                again.try_to_send(promised + bytes(900_000 - 3) + PING)
                return again.receive_packet()

        until(is_taken, "what they had sent is forgotten")


def test_mqtt_7_0_0_2_no_extension_is_needed(dial, topic):
    """A client that knows nothing but the standard does all that there is to do."""
    client = dial()
    client.send(b"\x10\x0d\0\4MQTT\4\2\0\0\0\1a")
    assert client.receive() == (0x20, b"\0\0")
    client.send(b"\x82\x06\0\1\0\1t\2")
    assert client.receive() == (0x90, b"\0\1\2")
    client.send(b"\x34\x06\0\1t\0\2x")
    heard = sorted([client.receive(), client.receive()])
    assert heard == [(0x34, b"\0\1t\0\1x"), (0x50, b"\0\2")]
    client.send(b"\x62\2\0\2\x50\2\0\1")
    assert sorted([client.receive(), client.receive()]) == [(0x62, b"\0\1"), (0x70, b"\0\2")]
    client.send(b"\x70\2\0\1\xa2\5\0\3\0\1t")
    assert client.receive() == (0xB0, b"\0\3")
    client.send(b"\xc0\0")
    assert client.receive() == (0xD0, b"")
    client.send(b"\xe0\0")
    assert client.receive() is None
