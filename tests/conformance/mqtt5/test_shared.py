"""Shared Subscriptions (section 4.8.2)."""

import pytest

import wire
from conformance.statements import covers
from properties import properties
from wire import MQTT_5, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL

KEPT = {"session_expiry_interval": 300}


@pytest.fixture
def shared(topic):
    """The filter of a Shared Subscription to the topic of this test."""
    return f"$share/crew/{topic}"


@pytest.fixture
def crew(connect, shared):
    """Makes members: crew(number, qos=1, **what connect takes)."""
    def crew(number, qos=1, **options):
        members = [connect(**options) for _ in range(number)]
        for member in members:
            assert member.subscribe(shared, qos=qos).reasons == [qos]
        return members

    return crew


@pytest.mark.parametrize("bad", ["$share//t", "$share/", "$share//", "$share"])
def test_mqtt_4_8_2_1_a_share_name_of_no_character(connect, bad):
    """`$share` alone is no Shared Subscription, and may be a filter as any other."""
    client = connect()
    client.send_subscribe(bad)
    packet = client.receive_packet()
    if bad == "$share" and packet.kind == wire.SUBACK:
        assert packet.reasons[0] in (0, 0x8F)
    else:
        assert packet.kind == wire.DISCONNECT and packet.reason in (0x81, 0x82, 0x8F)
        assert client.receive_packet() is None


@pytest.mark.parametrize("bad", ["$share/crew", "$share/crew/", "$share/cr+w/t", "$share/+/t", "$share/#/t",
                                 "$share/cr#w/t", "$share/#", "$share/crew/a#", "$share/crew/a/#/b", "$share/crew/a+"])
def test_mqtt_4_8_2_2_what_is_no_shared_subscription(connect, bad):
    client = connect()
    client.send_subscribe(bad)
    client.expect_closed(0x81, 0x82, 0x8F)


def test_mqtt_4_8_2_1_share_names(connect, topic):
    """Any characters but those, however few."""
    client = connect()
    for name in ("x", "crew 7", "ä€", "$", "$share", "." * 100):
        client.subscribe(f"$share/{name}/{topic}")
        client.publish(topic, name)
        assert client.payloads() == [name.encode()]
        assert client.unsubscribe(f"$share/{name}/{topic}").reasons == [0]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_each_message_goes_to_one_in_turn(connect, topic, crew, qos):
    members, publisher = crew(3, qos), connect()
    for number in range(9):
        publisher.publish(topic, str(number), qos)
    found = [[int(payload) for payload in member.payloads()] for member in members]
    assert sorted(sum(found, [])) == [*range(9)]
    assert [len(numbers) for numbers in found] == [3, 3, 3]
    assert all(numbers == sorted(numbers) for numbers in found)


def test_each_share_gets_a_copy(connect, topic, crew):
    """Of other names, of other filters, and who is subscribed without a share."""
    one, two = crew(2)
    other, wild, alone = connect(), connect(), connect()
    other.subscribe(f"$share/other/{topic}")
    wild.subscribe(f"$share/crew/{topic}/#")
    alone.subscribe(topic)
    for number in range(4):
        connect().publish(topic, str(number))
    assert len(one.payloads()) == len(two.payloads()) == 2
    assert len(other.payloads()) == len(wild.payloads()) == len(alone.payloads()) == 4


def test_shared_and_not_shared_by_one_client(connect, topic, shared):
    """They are two subscriptions, each with its identifier and its copy (section 3.3.4)."""
    client = connect()
    client.subscribe(shared, subscription_identifier=1)
    client.subscribe(topic, subscription_identifier=2)
    client.publish(topic, "x")
    identifiers = [message.properties["subscription_identifier"] for message in client.messages()]
    assert sorted(identifiers) == [[1], [2]]


@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_mqtt_4_8_2_3_granted_qos(connect, topic, shared, qos, granted):
    client = connect()
    client.subscribe(shared, qos=granted)
    client.publish(topic, "x", qos)
    client.message(qos=min(qos, granted))


def test_mqtt_4_8_2_3_of_each_member(connect, topic, shared):
    """Members of one share may have been granted different ones."""
    members = [connect() for _ in range(3)]
    for granted, member in enumerate(members):
        member.subscribe(shared, qos=granted)
    publisher = connect()
    for _ in range(3):
        publisher.publish(topic, "x", qos=2)
    for granted, member in enumerate(members):
        member.message(qos=granted)


@pytest.mark.parametrize("retain", [True, False])
def test_retain_as_published_of_a_member(connect, topic, shared, retain):
    client = connect()
    client.subscribe((shared, wire.options(0, retain_as_published=True)))
    client.publish(topic, "x", retain=retain)
    client.expect(PUBLISH, retain=retain)


def test_wildcards_and_dollar_topics(connect, topic):
    """The filter behind the share name is a filter like others [MQTT-4.7.2-1]."""
    client = connect()
    client.subscribe(f"$share/crew/{topic}/+/c", "$share/crew2/#")
    client.publish(f"{topic}/b/c", "x")
    assert client.payloads() == [b"x", b"x"]
    client.publish("$test/b/c", "x")
    assert client.rest() == []
    client.unsubscribe("$share/crew2/#")


def test_a_member_that_has_left_gets_nothing(connect, topic, shared, crew):
    one, two, three = crew(3)
    assert one.unsubscribe(shared).reasons == [0]
    assert one.unsubscribe(shared).reasons == [0x11]
    three.lose()
    for number in range(4):
        connect().publish(topic, str(number), qos=1)
    assert one.rest() == []
    assert len(two.payloads()) == 4


def test_unsubscribing_the_filter_without_its_share(connect, topic, crew):
    """It is another filter [MQTT-3.10.4-1]."""
    [client] = crew(1)
    assert client.unsubscribe(topic).reasons == [0x11]
    client.publish(topic, "x")
    client.expect(PUBLISH, payload=b"x")


def test_who_is_there_gets_it_rather_than_who_is_away(connect, topic, crew):
    here, away = crew(2, **KEPT)
    away.lose()
    for number in range(4):
        connect().publish(topic, str(number), qos=1)
    assert len(here.payloads()) == 4
    assert connect(away.identifier, clean=False).rest() == []


def test_where_all_are_away_one_keeps_it(connect, topic, crew):
    members = crew(2, **KEPT)
    for member in members:
        member.lose()
    for number in range(4):
        connect().publish(topic, str(number), qos=1)
    found = sum((connect(member.identifier, clean=False).payloads() for member in members), [])
    assert sorted(found) == [b"0", b"1", b"2", b"3"]


def test_who_has_room_gets_it_rather_than_who_has_none(connect, topic, shared):
    """A member that owes acknowledgements does not hold up the others."""
    slow, quick = connect(receive_maximum=1), connect()
    for member in (slow, quick):
        member.subscribe(shared, qos=1)
    publisher = connect()
    for number in range(9):
        publisher.publish(topic, str(number), qos=1)
    waiting = slow.rest()
    assert len(waiting) == 1
    assert len(quick.payloads()) == 8
    slow.acknowledge(waiting[0])
    assert slow.rest() == []


@pytest.mark.parametrize("stage", ["PUBLISH was sent", "PUBREC has come"])
@covers("4.4.0-1")
def test_mqtt_4_8_2_4_qos_2_goes_on_with_the_same_client(connect, topic, crew, stage):
    one, two = crew(2, qos=2, **KEPT)
    connect().publish(topic, "x", qos=2)
    first = one.expect(PUBLISH, qos=2)
    if stage != "PUBLISH was sent":
        one.send_ack(PUBREC, first.identifier)
        one.expect(PUBREL)
    one.lose()
    assert two.rest() == []
    one = connect(one.identifier, clean=False)
    if stage == "PUBLISH was sent":
        one.message(payload=b"x", dup=True, identifier=first.identifier)
    else:
        one.expect(PUBREL, identifier=first.identifier)
        one.send_ack(PUBCOMP, first.identifier)
    assert one.rest() == two.rest() == []


@pytest.mark.parametrize("how", ["expiry 0", "clean start", "disconnect"])
def test_mqtt_4_8_2_5_qos_2_goes_to_nobody_else(connect, topic, crew, how):
    """The member's Session ends before it has answered."""
    one, two = crew(2, qos=2, **({} if how == "expiry 0" else KEPT))
    connect().publish(topic, "x", qos=2)
    one.expect(PUBLISH, qos=2)
    if how == "disconnect":
        one.disconnect(0, session_expiry_interval=0)
    else:
        one.lose()
    if how == "clean start":
        connect(one.identifier, clean=True)
    assert two.rest() == []
    connect().publish(topic, "y", qos=2)
    two.message(payload=b"y")


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("reason", [0x80, 0x83, 0x87, 0x97])
def test_mqtt_4_8_2_6_what_is_refused_goes_to_nobody_else(connect, topic, crew, qos, reason):
    one, two = crew(2, qos=2)
    connect().publish(topic, "x", qos)
    one.send_ack(PUBACK if qos == 1 else PUBREC, one.expect(PUBLISH, qos=qos).identifier, reason)
    assert one.rest() == two.rest() == []


@pytest.mark.parametrize("how", ["expiry 0", "clean start", "disconnect"])
def test_qos_1_goes_to_another_when_the_session_ends(connect, topic, crew, how):
    """Unacknowledged, it is not lost with the member that had it (section 4.8.2)."""
    one, two = crew(2, **({} if how == "expiry 0" else KEPT))
    connect().publish(topic, "x", qos=1)
    one.expect(PUBLISH, qos=1)
    if how == "disconnect":
        one.disconnect(0, session_expiry_interval=0)
    else:
        one.lose()
    if how == "clean start":
        connect(one.identifier, clean=True)
    two.message(payload=b"x", qos=1)
    assert two.rest() == []


def test_what_waits_for_a_member_goes_to_another_when_it_leaves(connect, topic, shared):
    """What was never sent to it is anybody's."""
    one = connect(receive_maximum=1)
    one.subscribe(shared, qos=2)
    publisher = connect()
    for number in range(4):
        publisher.publish(topic, str(number), qos=1)
    one.expect(PUBLISH, payload=b"0")
    two = connect()
    two.subscribe(shared, qos=2)
    one.lose()
    assert sorted(two.payloads()) == [b"0", b"1", b"2", b"3"]


def test_the_last_member(connect, topic, crew):
    """Without members there is no share, and no message for it."""
    [one] = crew(1)
    one.publish(topic, "x", qos=1)
    one.expect(PUBLISH)
    one.lose()
    publisher = connect()
    assert publisher.publish(topic, "y", qos=1).reason == 0x10
    [two] = crew(1)
    assert two.rest() == []
    publisher.publish(topic, "z", qos=1)
    assert two.payloads() == [b"z"]


def test_publishing_to_a_share_name(connect):
    """It is no topic: nothing comes of it."""
    client = connect()
    client.subscribe("$share/crew/t")
    client.send(wire.publish("$share/crew/t", b"x", 1, level=MQTT_5, properties=properties()))
    assert client.receive_packet().reason >= 0x80
