"""Network Connections: many of them, silent ones, and two with one Client Identifier."""

import socket
import time
import uuid

import pytest

import wire
from router import Router, has_ipv6
from waiting import until
from wire import MQTT_3_1, MQTT_3_1_1, MQTT_5, Connection, connected

pytestmark = pytest.mark.usefixtures("unharmed")

LEVELS = [MQTT_3_1, MQTT_3_1_1, MQTT_5]


def test_a_hundred_clients_at_once(router):
    before = router.observe()["clients"]
    connections = [Connection(router.port, wire.connect(f"crowd{number}"), wire.subscribe("crowd", qos=1))
                   for number in range(100)]
    for connection in connections:
        assert connection.expect(wire.CONNACK)[1] == 0
        assert connection.expect(wire.SUBACK)[2] == 1
    assert router.observe()["clients"] == before + 100
    connections[0].send(wire.publish("crowd", b"x" * 1000, qos=1))
    for connection in connections:
        received = connection.receive()
        while received[0] == wire.PUBACK:
            received = connection.receive()
        assert received[0] & 0xF0 == wire.PUBLISH and received[1].endswith(b"x" * 1000)
    for connection in connections:
        connection.cut()
    until(lambda: router.observe()["clients"] == before, "all have left")


def test_no_more_than_may_be(host_package):
    """MAX_CLIENTS holds, and who was there stays."""
    with Router(host_package) as router:
        router.enable()
        router.configure(MAX_CLIENTS=5)
        kept = [connected(router.port, f"kept{number}") for number in range(5)]
        with Connection(router.port, wire.connect("sixth")) as sixth:
            said = sixth.until_closed()
            assert said in (b"", bytes([wire.CONNACK, 2, 0, 3])), "server unavailable"
        for connection in kept:
            connection.send(wire.PING)
            connection.expect(wire.PINGRESP)
        kept.pop().cut()
        until(lambda: router.observe()["clients"] == 4, "one has left")
        kept.append(connected(router.port, "sixth"))
        for connection in kept:
            connection.cut()


@pytest.mark.parametrize("level", LEVELS)
def test_taking_over(router, level):
    name = uuid.uuid4().hex[:20]
    first = connected(router.port, name, level)
    second = connected(router.port, name, level)
    rest = first.until_closed()
    if level == MQTT_5:
        assert rest[0] == wire.DISCONNECT and rest[2] == 0x8E, rest
    else:
        assert rest == b""
    second.send(wire.PING)
    second.expect(wire.PINGRESP)


@pytest.mark.parametrize("level", LEVELS)
def test_keep_alive(router, level):
    """A client that falls silent is given up after one and a half times its Keep Alive [MQTT-3.1.2-22]."""
    start = time.monotonic()
    silent = connected(router.port, level=level, client=f"silent{level}", keep_alive=1)
    rest = silent.until_closed()
    took = time.monotonic() - start
    assert 1.45 <= took < 8, took
    if level == MQTT_5:
        assert rest[0] == wire.DISCONNECT and rest[2] == 0x8D


def test_a_ping_keeps_alive(router):
    start = time.monotonic()
    connection = connected(router.port, "pinging", keep_alive=1)
    while time.monotonic() < start + 3:
        connection.send(wire.PING)
        connection.expect(wire.PINGRESP)
        # It is the client's pause that is tested.
        time.sleep(0.5)


def test_no_keep_alive(router):
    connection = connected(router.port, "for ever", keep_alive=0)
    silent = connected(router.port, "not so long", keep_alive=1)
    silent.until_closed()
    connection.send(wire.PING)
    connection.expect(wire.PINGRESP)


def test_a_will_after_keep_alive(router):
    heir = connected(router.port, "heir")
    heir.send(wire.subscribe("last/will"))
    heir.expect(wire.SUBACK)
    connected(router.port, "testator", keep_alive=1, will=("last/will", b"gone"))
    assert heir.expect(wire.PUBLISH).endswith(b"gone")


def test_connect_must_come_in_time(router):
    """Within 10 s, whole; bytes that trickle in buy no time."""
    start = time.monotonic()
    silent = Connection(router.port)
    half = Connection(router.port, wire.connect("half")[:-2])
    trickling = Connection(router.port)
    packet = wire.connect("trickling" * 20)
    trickling.socket.settimeout(0.5)
    said = None
    for byte in packet:
        try:
            trickling.send(bytes([byte]))
            said = trickling.socket.recv(100)
            break
        except TimeoutError:
            assert time.monotonic() < start + 20, "it may go on for ever"
        except (ConnectionResetError, BrokenPipeError):
            said = b""
            break
    assert said == b""
    assert (silent.until_closed(), half.until_closed()) == (b"", b"")
    assert 9 < time.monotonic() - start < 20


@pytest.mark.parametrize("level", LEVELS)
def test_packets_in_pieces_and_in_one(router, level):
    """TCP knows no packets."""
    name = f"pieces{level}"
    whole = wire.connect(name, level) + wire.subscribe(name, qos=1, level=level) + wire.publish(
        name, b"payload", qos=1, level=level) + wire.PING
    one = Connection(router.port, whole)
    pieces = Connection(router.port)
    pieces.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in wire.connect(name + "b", level) + whole[len(wire.connect(name, level)):]:
        pieces.send(bytes([byte]))
    for connection in (one, pieces):
        kinds = []
        while wire.PINGRESP not in kinds:
            kinds.append(connection.receive()[0] & 0xF0)
        assert kinds[:2] == [wire.CONNACK, wire.SUBACK]
        assert wire.PUBACK in kinds and wire.PUBLISH in kinds


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_one_port_for_ipv4_and_ipv6(router):
    for host in ("127.0.0.1", "::1"):
        connected(router.port, host=host)


def test_a_half_closed_connection(router):
    """Who will send no more is still answered."""
    connection = Connection(router.port, wire.connect("half closed") + wire.PING)
    connection.socket.shutdown(socket.SHUT_WR)
    connection.until_closed()
    with connected(router.port):
        pass
