"""Mosquitto's habits that clients have come to rely on, and its mistakes that are not to be repeated.

Where the standard leaves a choice, clients in the field know the one that Mosquitto took; and where Mosquitto went
wrong, someone has already paid for it."""

import time

import pytest

from conformance.broker import Broker
from conformance.client import Client
from properties import properties
from waiting import until
from wire import MQTT_3_1, MQTT_3_1_1, MQTT_5, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL

in_all_versions = pytest.mark.parametrize("level", [MQTT_3_1, MQTT_3_1_1, MQTT_5])
in_5 = pytest.mark.parametrize("level", [MQTT_5])

FOR_LONG = {"session_expiry_interval": 600}


def lasting(level):
    """What asks for a session that outlives its connection."""
    return {"clean": False} | (FOR_LONG if level == MQTT_5 else {})


# --- habits


@in_all_versions
@pytest.mark.parametrize("qos", [1, 2])
def test_packet_identifiers_count_up_from_1(connect, name, topic, level, qos):
    """From message to message, not the lowest that is free, and on from connection to connection of a session."""
    identifier, publisher = name(), connect()
    client = connect(identifier, **lasting(level))
    client.subscribe(topic, qos=2)
    for number in range(1, 31):
        publisher.publish(topic, "x", qos=qos)
        client.message(identifier=number)
    client.disconnect()
    client = connect(identifier, **lasting(level))
    for number in range(31, 41):
        publisher.publish(topic, "x", qos=qos)
        client.message(identifier=number)
    client.disconnect()
    client = connect(identifier)
    client.subscribe(topic, qos=2)
    publisher.publish(topic, "x", qos=qos)
    client.message(identifier=1)


@in_all_versions
def test_retained_messages_come_parents_first(connect, topic, level):
    """In whatever order they were published: a late subscriber can build the tree as it reads."""
    publisher = connect()
    below = ["/a/b/c/d", "/b", "/a/b", "/c/x/y", "/a/b/c", "", "/a", "/b/a", "/c/x", "/a/a"]
    for one in below:
        publisher.publish(topic + one, "x", qos=1, retain=True)
    for topic_filter in (f"{topic}/#", "+/#"):
        client = connect()
        client.subscribe(topic_filter, qos=1)
        found = [packet.topic for packet in client.messages() if packet.topic.startswith(topic)]
        assert sorted(found) == sorted(topic + one for one in below)
        for place, one in enumerate(found):
            children = [other for other in found[:place] if other.startswith(f"{one}/")]
            assert not children, f"{children} came before {one}"


CONTROL_CHARACTERS = ["\x01", "\t", "\n", "\r", "\x1b", "\x1f", "\x7f", "\x80", "\x85", "\x9f"]


@in_all_versions
@pytest.mark.parametrize("character", CONTROL_CHARACTERS, ids=ascii)
def test_control_characters_in_topics_close_the_connection(connect, dial, topic, level, character):
    """No topic that has one is ever told to anyone, so whoever prints topics is safe."""
    heir = connect()
    heir.subscribe(f"{topic}/#")
    for text in (f"{topic}/{character}", f"{topic}/a{character}b", f"{topic}{character}/a"):
        for speak in (lambda client: client.send_publish(text, "x"), lambda client: client.send_subscribe(text),
                      lambda client: client.send_publish(text, "x", qos=1, identifier=1)):
            client = connect()
            speak(client)
            client.expect_closed(0x81, 0x82, 0x8F, 0x90)
        client = dial()
        client.send_connect(will=(text, "x"))
        client.expect_rejected(0x81, 0x82, 0x90)
    assert heir.rest() == []


@in_5
@pytest.mark.parametrize("delay", [1, 2])
def test_a_will_delay_never_fires_early(connect, topic, level, delay):
    """Somebody may be counting on the time to reconnect."""
    heir = connect()
    heir.subscribe(topic)
    client = connect(will=(topic, "gone"), will_properties=properties(will_delay_interval=delay), **lasting(level))
    lost = time.monotonic()
    client.lose()
    heir.message(payload=b"gone")
    assert delay <= time.monotonic() - lost < delay + 5


@in_5
def test_who_is_back_in_time_leaves_no_will(connect, name, topic, level):
    identifier, heir = name(), connect()
    heir.subscribe(topic)
    delayed = {"will_properties": properties(will_delay_interval=1)} | lasting(level)
    connect(identifier, will=(topic, "gone"), **delayed).lose()
    back = connect(identifier, **lasting(level))
    connect(will=(topic, "other"), **delayed).lose()
    # This one was lost later, so the first would have come before it.
    heir.message(payload=b"other")
    assert heir.rest() == []
    back.rest()


@pytest.mark.parametrize("level, reason", [(MQTT_3_1, 5), (MQTT_3_1_1, 5), (MQTT_5, 0x87)])
def test_wrong_credentials_are_not_authorized(program, level, reason):
    """Not 4: clients stop trying, or ask their user, because of 5."""
    with Broker(program, AUTHENTICATION="password", USERNAME="u", PASSWORD="secret") as broker:
        for login in (None, ("u", "wrong"), ("u", ""), ("", "secret"), ("u", None), ("v", "secret")):
            with Client(broker.port, level, "client") as client:
                client.send_connect(login=login)
                client.expect_refused(reason)
        with Client(broker.port, level, "client") as client:
            client.connect(login=("u", "secret"))


# --- mistakes


PAYLOADS = {"small": b"x" * 200, "20,000 bytes": b"x" * 20_000}


class TestMaximumPacketSize:
    """A packet of exactly the client's Maximum Packet Size is delivered; one that is a byte larger is not, is counted,
    and takes nothing with it."""

    pytestmark = [in_5, pytest.mark.parametrize("identified", [False, True]),
                  pytest.mark.parametrize("expires", [False, True]), pytest.mark.parametrize("payload", PAYLOADS)]
    in_both_qos = pytest.mark.parametrize("qos", [0, 1])
    # Messages of QoS 0 neither wait for a client that is away nor are sent again.
    in_qos_1 = pytest.mark.parametrize("qos", [1])

    @pytest.fixture
    def subscribe(self, topic, qos, identified):
        more = {"subscription_identifier": 300} if identified else {}
        return lambda client: client.subscribe(topic, qos=qos, **more)

    @pytest.fixture
    def publish(self, connect, topic, qos, expires, payload):
        """Publishes the large message."""
        publisher = connect()
        more = {"message_expiry_interval": 600} if expires else {}
        return lambda **options: publisher.publish(topic, PAYLOADS[payload], qos=qos, **more, **options)

    @pytest.fixture
    def size(self, connect, subscribe, publish, payload):
        """Of the PUBLISH as it is delivered."""
        client = connect()
        subscribe(client)
        publish()
        size = client.message(payload=PAYLOADS[payload]).size
        client.disconnect()
        return size

    @pytest.fixture
    def assert_drops(self, broker, connect, topic, qos):
        """This client gets a small message, having got nothing else, and one drop more than `before` is counted."""
        def assert_drops(client, before):
            assert broker.observe()["dropped"] == before + 1
            connect().publish(topic, "after", qos=qos)
            client.message(payload=b"after")
            assert client.rest() == []

        return assert_drops

    @in_both_qos
    def test_at_once(self, broker, connect, subscribe, publish, size, payload, assert_drops):
        exact, over = connect(maximum_packet_size=size), connect(maximum_packet_size=size - 1)
        for client in (exact, over):
            subscribe(client)
        before = broker.observe()["dropped"]
        publish()
        exact.message(size=size, payload=PAYLOADS[payload])
        assert_drops(over, before)

    @in_qos_1
    def test_out_of_the_queue(self, broker, connect, name, subscribe, publish, size, payload, assert_drops):
        """Of a client that was away."""
        exact, over = name(), name()
        for identifier in (exact, over):
            client = connect(identifier, clean=False, **FOR_LONG)
            subscribe(client)
            client.disconnect()
        publish()
        connect(exact, clean=False, maximum_packet_size=size, **FOR_LONG).message(size=size, payload=PAYLOADS[payload])
        before = broker.observe()["dropped"]
        assert_drops(connect(over, clean=False, maximum_packet_size=size - 1, **FOR_LONG), before)

    @in_qos_1
    def test_sent_again(self, broker, connect, name, subscribe, publish, size, payload, assert_drops):
        """To a client that takes smaller packets than it did."""
        exact, over = name(), name()
        for identifier in (exact, over):
            client = connect(identifier, clean=False, **FOR_LONG)
            subscribe(client)
        publish()
        client = connect(exact, clean=False, maximum_packet_size=size, **FOR_LONG)
        client.message(size=size, payload=PAYLOADS[payload], dup=True)
        before = broker.observe()["dropped"]
        client = connect(over, clean=False, maximum_packet_size=size - 1, **FOR_LONG)
        assert client.rest() == []
        assert_drops(client, before)

    @in_both_qos
    def test_retained(self, broker, connect, subscribe, publish, size, payload, assert_drops):
        publish(retain=True)
        exact, over = connect(maximum_packet_size=size), connect(maximum_packet_size=size - 1)
        subscribe(exact)
        exact.message(size=size, payload=PAYLOADS[payload], retain=True)
        before = broker.observe()["dropped"]
        subscribe(over)
        assert_drops(over, before)


@in_5
@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_topic_alias_costs_no_message(connect, topic, level, payload):
    """The number that stands for a topic takes three bytes when it is set: where these are too many, it is not set."""
    publisher, plain = connect(), connect()
    plain.subscribe(topic)
    publisher.publish(topic, PAYLOADS[payload])
    size = plain.message().size
    for more in range(5):
        client = connect(maximum_packet_size=size + more, topic_alias_maximum=10)
        client.subscribe(topic)
        for _ in range(3):
            publisher.publish(topic, PAYLOADS[payload])
        received = client.messages()
        assert [packet.payload for packet in received] == [PAYLOADS[payload]] * 3
        assert all(packet.size <= size + more for packet in received)
        client.disconnect()


@in_5
def test_too_large_messages_take_no_place_in_the_window(connect, topic, level):
    """However many there are."""
    client, publisher = connect(maximum_packet_size=300, receive_maximum=2), connect()
    client.subscribe(topic, qos=2)
    for number in range(10):
        publisher.publish(topic, "x" * 400, qos=1 + number % 2)
    for number in range(10):
        publisher.publish(topic, str(number), qos=1 + number % 2)
        client.message(payload=str(number).encode())
    assert client.rest() == []


@in_5
@pytest.mark.parametrize("reason", [0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99])
@pytest.mark.parametrize("session", [{}, FOR_LONG], ids=["short", "long"])
def test_disconnect_with_another_reason_than_0_publishes_the_will(connect, topic, level, reason, session):
    heir = connect()
    heir.subscribe(topic)
    connect(will=(topic, "gone"), **session).disconnect(reason)
    heir.message(payload=b"gone")


@in_5
@pytest.mark.parametrize("reason", [None, 0x00])
def test_disconnect_with_reason_0_does_not(connect, topic, level, reason):
    heir = connect()
    heir.subscribe(topic)
    connect(will=(topic, "gone"), **FOR_LONG).disconnect(reason)
    assert heir.rest() == []


@in_all_versions
def test_a_message_of_qos_2_may_come_any_number_of_times(connect, topic, level):
    """Until its PUBREL: each is answered, none ends the connection, one is delivered."""
    client, subscriber = connect(), connect()
    subscriber.subscribe(topic, qos=2)
    for attempt in range(10):
        client.send_publish(topic, "x", qos=2, identifier=1, dup=attempt > 0)
        client.expect(PUBREC, identifier=1)
    client.release(1)
    assert subscriber.payloads() == [b"x"]


@in_5
@pytest.mark.parametrize("reason", [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])
@pytest.mark.parametrize("kind, qos", [(PUBREC, 2), (PUBACK, 1)])
def test_a_refused_delivery_gives_its_quota_back(connect, topic, level, reason, kind, qos):
    """In full: with a Receive Maximum of 3 the next three come, again and again."""
    client, publisher = connect(receive_maximum=3), connect()
    client.subscribe(topic, qos=2)
    sent = [f"{number}".encode() for number in range(12)]
    for payload in sent:
        publisher.publish(topic, payload, qos=qos)
    received = []
    for _ in range(4):
        window = client.rest()
        assert len(window) == 3, "three are on their way, no more and no less"
        received += [packet.payload for packet in window]
        for packet in window:
            client.send_ack(kind, packet.identifier, reason)
    assert received == sent
    assert client.rest() == []


@in_5
def test_what_is_under_way_does_not_expire(connect, name, topic, level):
    """A message of QoS 2 that was sent before its time was over is sent again after it; one that waits does go."""
    publisher = connect()
    identifiers = [name() for _ in range(3)]
    sent, released, waiting = (connect(identifier, clean=False, receive_maximum=1, **FOR_LONG)
                               for identifier in identifiers)
    for client in (sent, released, waiting):
        client.subscribe(topic, qos=2)
    publisher.publish(topic, "first", qos=2, message_expiry_interval=1)
    publisher.publish(topic, "second", qos=2, message_expiry_interval=1)
    published = time.monotonic()
    first = [client.expect(PUBLISH, payload=b"first") for client in (sent, released, waiting)]
    released.send_ack(PUBREC, first[1].identifier)
    released.expect(PUBREL)
    for client in (sent, released, waiting):
        client.lose()
    # It is the passing of time that is tested.
    time.sleep(max(0, published + 1.1 - time.monotonic()))
    sent, released, waiting = (connect(identifier, clean=False, receive_maximum=1, **FOR_LONG)
                               for identifier in identifiers)
    again = sent.expect(PUBLISH, payload=b"first", dup=True, identifier=first[0].identifier)
    sent.acknowledge(again)
    assert sent.rest() == [], "the second one has expired in the queue"
    released.expect(PUBREL, identifier=first[1].identifier)
    released.send_ack(PUBCOMP, first[1].identifier)
    assert released.rest() == []
    waiting.message(payload=b"first")
    assert waiting.rest() == []


@in_all_versions
@pytest.mark.parametrize("topic_filter", [
    "$share//t", "$share//#", "$share/", "$share/g", "$share/g/", "$share/+/t", "$share/#/t", "$share/a+b/t",
    "$share/#"])
def test_a_share_needs_a_name_and_a_filter(connect, level, topic_filter):
    """Whatever is not one is refused, and does not become a subscription to something else."""
    client = connect()
    client.send_subscribe(topic_filter)
    client.expect_closed(0x81, 0x82, 0x8F)


@in_all_versions
def test_a_keep_alive_time_out_is_told(connect, level):
    """In 5.0, with its own reason; the connection is closed in time in every version."""
    start = time.monotonic()
    client = connect(keep_alive=1)
    said = client.expect_closed(0x8D)
    assert bool(said) == (level == MQTT_5)
    assert 1.5 <= time.monotonic() - start < 6


@in_all_versions
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_one_copy_however_many_filters_match(connect, topic, level, qos):
    client, publisher = connect(), connect()
    filters = [f"{topic}/a", f"{topic}/+", f"{topic}/#", "+/a", f"{topic}/a/#"]
    client.subscribe(*((topic_filter, number % 3) for number, topic_filter in enumerate(filters)))
    client.messages()
    publisher.publish(f"{topic}/a", "once", qos=qos)
    assert [(packet.payload, packet.qos) for packet in client.messages()] == [(b"once", min(qos, 2))]


@in_5
def test_one_copy_with_all_subscription_identifiers(connect, topic, level):
    client, publisher = connect(), connect()
    for identifier, topic_filter in enumerate((f"{topic}/a", f"{topic}/+", f"{topic}/#"), 1):
        client.subscribe(topic_filter, qos=identifier % 3, subscription_identifier=identifier)
    client.subscribe("+/a")
    client.messages()
    publisher.publish(f"{topic}/a", "once", qos=2)
    [packet] = client.messages()
    assert sorted(packet.properties["subscription_identifier"]) == [1, 2, 3]


@in_all_versions
def test_messages_for_one_session_do_not_go_with_another(connect, broker, name, topic, level):
    """A client that leaves while much waits for it takes nothing of the others with it."""
    leaving, staying, publisher = connect(), connect(), connect()
    for client in (leaving, staying):
        client.subscribe(topic, qos=1)
    for number in range(100):
        publisher.publish(topic, str(number), qos=1)
    clients = broker.observe()["clients"]
    leaving.cut()
    until(lambda: broker.observe()["clients"] == clients - 1, "it has left")
    assert staying.payloads() == [f"{number}".encode() for number in range(100)]
