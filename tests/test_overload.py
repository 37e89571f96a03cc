"""Clients that want more than there is: the broker's memory, descriptors and time stay within bounds, others are
served meanwhile and afterwards, and what was dropped is counted.

Bounds on memory are what the settings allow the clients to hold, and some megabytes for what the allocator and the
kernel make of it."""

import ctypes
import re
import resource
import socket
import time
from pathlib import Path

import pytest

import wire
from bounded import MIB, SLACK, Bounded, descriptors, gives_back, memory, processor_seconds
from conformance.broker import Broker
from conformance.client import Client
from waiting import until
from wire import CONNACK, MQTT_3_1_1, MQTT_5, PUBACK, SUBACK, Connection, packet, string

LEVELS = [MQTT_3_1_1, MQTT_5]


@pytest.fixture
def connections():
    """Opens connections that are all closed in the end: connections(port, *said)."""
    opened = []

    def connect(port, *said):
        connection = Connection(port, *said)
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.socket.close()


# --- subscribers


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("size, count", [(100, 50_000), (50_000, 1_000)])
def test_subscribers_that_never_read(program, connections, level, qos, size, count):
    """Ten of them cost their outboxes and their places in the queues, which refer to the same messages; the publisher
    waits for them once, not for ever."""
    deaf_clients = 10
    with Broker(program, MAX_QUEUED_BYTES=MIB) as broker:
        before = memory(broker)
        deaf = [connections(broker.port, wire.connect(f"deaf{number}", level),
                            wire.subscribe("flood", qos=qos, level=level)) for number in range(deaf_clients)]
        for one in deaf:
            one.expect(CONNACK)
            one.expect(SUBACK)
        with Bounded(broker, MIB + deaf_clients * 256 * 1024 + SLACK):
            # The shorter Keep Alive, the shorter the time that it is made to wait.
            publisher = connections(broker.port, wire.connect("publisher", level, keep_alive=4))
            publisher.expect(CONNACK)
            publisher.send(wire.publish("flood", bytes(size), level=level, qos=qos) * count + wire.PING)
            if qos:
                for _ in range(count):
                    publisher.expect(PUBACK)
            publisher.expect(wire.PINGRESP)
        # Each may have had its window, its queue, and what the kernel takes for it; the rest was dropped, and counted.
        received = count * deaf_clients
        assert received * 0.1 < broker.observe()["dropped"] < received
        for one in deaf:
            one.cut()
        publisher.cut()
        until(lambda: broker.observe()["clients"] == 0, "all have gone")
        gives_back(broker, before)


def test_a_client_that_subscribes_to_too_much(program):
    """MAX_SUBSCRIPTIONS is for each client; who is refused is told."""
    with Broker(program, MAX_SUBSCRIPTIONS=1000) as broker, Bounded(broker, SLACK):
        client = Client(broker.port, MQTT_5, "one").connect()
        codes = []
        for start in range(0, 20_000, 500):
            codes += client.subscribe(*(f"one/{number}" for number in range(start, start + 500))).reasons
        assert codes == [0] * 1000 + [0x97] * 19_000
        client.disconnect()


def test_clients_that_subscribe_to_too_much(program):
    """Together they may take MAX_MEMORY. Then nobody can subscribe to anything new, but who is there is served."""
    deep = "/".join(str(number) for number in range(150))
    with Broker(program, MAX_MEMORY=4 * MIB) as broker:
        before = memory(broker)
        with Bounded(broker, 4 * MIB + SLACK, newcomers=False):
            clients, codes = [], [0]
            while codes != [0x80] * 50:
                assert len(clients) < 200, "there is no end to it"
                client = Client(broker.port, MQTT_3_1_1, f"deep{len(clients)}").connect()
                # Every level of every filter is new.
                codes = client.subscribe(*(f"{len(clients)}/{number}/{deep}" for number in range(50))).reasons
                assert set(codes) <= {0, 0x80}
                clients.append(client)
            for client in clients:
                client.cut()
            until(lambda: broker.observe()["clients"] == 1, "they have gone")
            with Client(broker.port, MQTT_3_1_1, "after") as client:
                assert client.connect().subscribe(deep).reasons == [0]
        gives_back(broker, before)


# --- connections


@pytest.mark.parametrize("begins, reason", [
    pytest.param(b"", "no CONNECT", id="silent"),
    pytest.param(wire.connect("x" * 20_000)[:10_000], "no CONNECT", id="half a CONNECT"),
    pytest.param(wire.PING, "not CONNECT", id="no CONNECT"),
    pytest.param(b"GET / HTTP/1.1\r\n\r\n", "HTTP request", id="HTTP"),
    pytest.param(b"GET / HTTP/1.1\r\nX: " + b"x" * 8_000, "no CONNECT", id="half an HTTP request")])
def test_half_open_connections(program, connections, begins, reason):
    """Two thousand at once that never finish their CONNECT, nor leave when they are told to: they make room, and
    whoever has something to say gets in."""
    many = 2_000
    # MAX_CLIENTS, those that are not clients yet, those that come in one turn, and the broker's own.
    most = 256 + 64 + 64 + 32
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard > many + 500, "too few descriptors for this test"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, many + 500), hard))
    with Broker(program, MAX_CLIENTS=256, MAX_MEMORY=8 * MIB) as broker:
        with Bounded(broker, 8 * MIB + SLACK):
            for _ in range(many):
                connections(broker.port).try_to_send(begins)
                assert descriptors(broker) < most
            # That's what they are there for.
            for number in range(200):
                client = connections(broker.port, wire.connect(f"real{number}"))
                assert client.expect(CONNACK)[1] == 0
        seen = broker.observe()
        assert seen["clients"] == 200
        assert any(reason in refusal["reason"] for refusal in seen["refusals"])


@pytest.mark.parametrize("connects", [False, True])
def test_256_megabytes_are_announced(program, connections, connects):
    """More than is allowed is refused for its length alone: before CONNECT and after."""
    huge = b"\xff\xff\xff\x7f"
    with Broker(program) as broker, Bounded(broker, SLACK):
        for number in range(100):
            level = LEVELS[number % 2]
            said = wire.connect(f"huge{number}", level) + b"\x30" if connects else b"\x10"
            connection = connections(broker.port, said + huge)
            if connects:
                connection.expect(CONNACK)
            said = connection.until_closed()
            assert said == b"" or connects and level == MQTT_5 and said[2] == 0x95


def test_256_megabytes_are_allowed(program, connections):
    """Without MAX_PACKET_SIZE there is still MAX_MEMORY: what has come of packets that are not whole yet stays
    within."""
    with Broker(program, MAX_PACKET_SIZE=0, MAX_MEMORY=8 * MIB) as broker, Bounded(broker, 16 * MIB + SLACK):
        for number in range(10):
            connection = connections(broker.port, wire.connect(f"huge{number}"))
            connection.expect(CONNACK)
            connection.try_to_send(b"\x30" + wire.length(200 * MIB) + string("x") + bytes(12 * MIB))
            assert connection.until_closed() == b""


def test_a_storm_of_connects(program, connections):
    """Five hundred at once, some of which take over from each other."""
    with Broker(program, MAX_CLIENTS=600) as broker:
        before = memory(broker)
        with Bounded(broker, 500 * 16 * 1024 + SLACK):
            storm = [connections(broker.port, wire.connect(f"storm{number % 400}", LEVELS[number % 2],
                                                           will=("storm/end", b"x" * 100)))
                     for number in range(500)]
            for connection in storm:
                assert connection.expect(CONNACK)[1] == 0
            until(lambda: broker.observe()["clients"] in (401, 402), "four hundred and the ordinary ones are there")
            for connection in storm:
                connection.cut()
        until(lambda: broker.observe()["clients"] == 0, "all have gone")
        gives_back(broker, before)


def test_a_storm_at_the_rate_of_the_settings(program, connections):
    """They wait, none is refused, and who is there already does not wait."""
    with Broker(program, CONNECT_RATE=50) as broker:
        with Bounded(broker, SLACK, newcomers=False):
            start = time.monotonic()
            # Some are spent by those who looked whether it serves.
            storm = [connections(broker.port, wire.connect(f"storm{number}")) for number in range(300)]
            for connection in storm:
                said = connection.receive()
                assert said[0] == CONNACK
            # 256 clients may be there, one is.
            assert broker.observe()["clients"] == 256
            # Five seconds' worth come at once, the rest at their rate.
            assert 0.5 < time.monotonic() - start < 6


def test_a_session_that_everybody_wants(program):
    """Five hundred connections with one Client Identifier leave one session and one connection."""
    with Broker(program) as broker, Bounded(broker, SLACK):
        client = None
        for number in range(500):
            before, client = client, Client(broker.port, LEVELS[number % 2], "wanted")
            client.connect(clean=False)
            if before:
                before.expect_closed(0x8E)
                before.socket.close()
        client.rest()
        until(lambda: broker.observe()["sessions"] in (2, 3), "there is one, and those of the ordinary ones")


# --- what is kept


@pytest.mark.parametrize("settings, most", [
    ({"MAX_RETAINED": 1000}, 1000), ({"MAX_MEMORY": 4 * MIB}, 20_000), ({"MAX_RETAINED_BYTES": 2 * MIB}, 20_000)],
    ids=["MAX_RETAINED", "MAX_MEMORY", "MAX_RETAINED_BYTES"])
def test_a_flood_of_retained_messages(program, settings, most):
    """Twenty thousand topics: what finds no room is passed on all the same, counted, and nothing old stays in its
    place."""
    bound = {"MAX_RETAINED": 4 * MIB}.get(next(iter(settings)), next(iter(settings.values())))
    with Broker(program, **settings) as broker:
        before = memory(broker)
        with Bounded(broker, bound + SLACK):
            publisher = Client(broker.port, MQTT_5, "publisher").connect()
            listener = Client(broker.port, MQTT_3_1_1, "listener").connect()
            listener.subscribe("flood/19999")
            refused = 0
            for start in range(0, 20_000, 1000):
                for number in range(start, start + 1000):
                    publisher.send_publish(f"flood/{number}", bytes(500), retain=True)
                answer = publisher.publish(f"flood/{start}", b"again", qos=1, retain=True)
                refused += answer.reason == 0x97
            listener.message(topic="flood/19999", payload=bytes(500))
            seen = broker.observe()
            assert 0 < seen["retained"] <= most
            assert seen["dropped"] >= 20_000 - seen["retained"]
            assert refused > 0, "5.0 has a reason for it"
            # There is room again when some are removed.
            for number in range(20_000):
                publisher.send_publish(f"flood/{number}", b"", retain=True)
            assert publisher.publish("flood/after", "x", qos=1, retain=True).reason in (0, 0x10)
            assert broker.observe()["retained"] == 1
            for client in (publisher, listener):
                client.cut()
        gives_back(broker, before)


def test_retained_messages_with_deep_topics(program):
    """The levels of their topics take more than they do."""
    with Broker(program, MAX_MEMORY=4 * MIB) as broker, Bounded(broker, 4 * MIB + SLACK):
        publisher = Client(broker.port, MQTT_3_1_1, "publisher").connect()
        for number in range(2_000):
            publisher.send_publish("/".join([str(number)] * 200), b"x", retain=True)
        publisher.rest()
        seen = broker.observe()
        assert seen["retained"] < 2_000 and seen["dropped"] >= 2_000 - seen["retained"]


@pytest.mark.parametrize("level", LEVELS)
def test_a_flood_of_sessions(program, level):
    """Each under a new name and never to return: no more are kept than the settings allow, empty ones go first."""
    last = "last"
    with Broker(program, MAX_CLIENTS=64, MAX_MEMORY=16 * MIB) as broker:
        with Bounded(broker, 4 * MIB + SLACK):
            keeper = Client(broker.port, level, last)
            lasting = {"clean": False} | ({"session_expiry_interval": 3600} if level == MQTT_5 else {})
            keeper.connect(**lasting).subscribe("kept", qos=1)
            keeper.disconnect()
            for number in range(2_000):
                with Client(broker.port, level, f"session{number}") as client:
                    client.connect(**lasting)
                    client.send(packet(wire.DISCONNECT))
            assert broker.observe()["sessions"] <= 1024
            with Client(broker.port, level, last) as keeper:
                assert keeper.connect(**lasting).connack.session_present, "a session that holds something stays"


def test_a_flood_of_messages_for_sessions(program):
    """Of clients that are away: their queues share MAX_MEMORY, and what was dropped is counted."""
    sessions, count = 100, 1_000
    with Broker(program, MAX_MEMORY=4 * MIB) as broker:
        with Bounded(broker, 4 * MIB + SLACK):
            for number in range(sessions):
                client = Client(broker.port, MQTT_3_1_1, f"session{number}").connect(clean=False)
                client.subscribe("all", f"own/{number}", qos=1)
                client.disconnect()
            publisher = Client(broker.port, MQTT_5, "publisher").connect()
            for number in range(count):
                publisher.send_publish("all", bytes(100), qos=1, identifier=1)
                publisher.send_publish(f"own/{number % sessions}", bytes(5_000), qos=1, identifier=2)
                publisher.answer(PUBACK, 2)
                publisher.inbox.clear()
            dropped = broker.observe()["dropped"]
            assert dropped > 0
            # What was not dropped is there.
            kept = 0
            for number in range(sessions):
                client = Client(broker.port, MQTT_3_1_1, f"session{number}").connect(clean=False)
                kept += len(client.messages())
                client.disconnect()
            assert kept + dropped == count * sessions + count


@pytest.mark.parametrize("refused_stay", [False, True])
@pytest.mark.parametrize("level, code", [(MQTT_3_1_1, 3), (MQTT_5, 0x97)])
def test_big_wills(program, connections, level, code, refused_stay):
    """Of 65,535 bytes each, which may take no more than MAX_MEMORY. Who is refused is told so, and takes none of it
    even if it does not leave."""
    with Broker(program, MAX_MEMORY=4 * MIB) as broker:
        before = memory(broker)
        with Bounded(broker, 4 * MIB + SLACK, newcomers=False):
            clients, codes = [], set()
            for number in range(200):
                client = connections(broker.port, wire.connect(f"will{number}", level, will=("will", bytes(65_535))))
                code_of_this = client.expect(CONNACK)[1]
                codes.add(code_of_this)
                if code_of_this == 0:
                    clients.append(client)
                elif not refused_stay:
                    client.cut()
            assert codes == {0, code} and 30 < len(clients) < 64
            # Without one there is a place.
            with Client(broker.port, level, "without") as client:
                client.connect()
            for client in clients:
                client.send(packet(wire.DISCONNECT))
                client.until_closed()
            with Client(broker.port, level, "afterwards") as client:
                client.connect(will=("will", bytes(65_535)))
        gives_back(broker, before)


# --- descriptors


# From linux/prctl.h and linux/capability.h.
PR_CAPBSET_DROP, CAP_SYS_RESOURCE = 24, 24


def with_few_descriptors():
    """64 for the process to come, which may not raise its limit even as root."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def test_out_of_descriptors(program, connections):
    """It neither ends nor spins, serves those who are there, and takes others in as soon as it can."""
    with Broker(program, preexec_fn=with_few_descriptors) as broker:
        limits = Path(f"/proc/{broker.process.pid}/limits").read_text()
        assert re.search(r"Max open files +64 +64 ", limits), "the limit is not in force"
        with Bounded(broker, SLACK, newcomers=False):
            clients = [connections(broker.port, wire.connect(f"client{number}")) for number in range(200)]
            until(lambda: descriptors(broker) == 64, "all descriptors are in use")
            log = broker.root / "log"
            until(lambda: log.read_text(errors="replace").count("no connection can be accepted") >= 1, "it says so")
        # What the ordinary client did is over: three seconds in which there is nothing to do but try again.
        used, start = processor_seconds(broker), time.monotonic()
        time.sleep(3)
        assert processor_seconds(broker) - used < 0.1 * (time.monotonic() - start), "it spins"
        assert log.read_text(errors="replace").count("no connection can be accepted") < 12
        for client in clients:
            client.cut()
        with Client(broker.port, MQTT_3_1_1, "afterwards") as client:
            client.connect().rest()
        until(lambda: broker.observe()["clients"] == 0, "all have gone, and the observer answers")
        assert descriptors(broker) < 20


def test_who_asks_for_the_status_meanwhile_is_answered_afterwards(program, connections):
    with Broker(program, preexec_fn=with_few_descriptors) as broker:
        clients = [connections(broker.port, wire.connect(f"client{number}")) for number in range(100)]
        until(lambda: descriptors(broker) == 64, "all descriptors are in use")
        with socket.socket(socket.AF_UNIX) as observer:
            observer.settimeout(10)
            observer.connect(str(broker.root / "var/run/mqtt_broker.sock"))
            # Let it be in vain at first: what is said later shows that the broker has been at it.
            clients[0].send(wire.PING)
            clients[0].expect(CONNACK)
            clients[0].expect(wire.PINGRESP)
            for client in clients:
                client.cut()
            assert b'"version"' in observer.recv(65_536)
