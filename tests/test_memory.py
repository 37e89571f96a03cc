"""What a peak has taken goes back to the system once it is over, although some of what came with it stays, and an idle
broker does not have to do anything for it."""

from pathlib import Path

import pytest

import wire
from bounded import memory
from conformance.broker import Broker
from conformance.client import Client
from waiting import until
from wire import CONNACK, MQTT_3_1_1, MQTT_5, SUBACK, Connection

# Of what was resident before, when all of the peak but one client or message is gone.
MOST = 1.5


def gives_back(broker, before, peak):
    assert peak > 2 * before, "there was no peak"
    until(lambda: memory(broker) <= MOST * before, f"no more than {MOST} of {before} bytes is resident after {peak}")


def test_after_many_clients(program):
    """With subscriptions and a will each. The last one stays, and what it takes lies behind all others."""
    with Broker(program, MAX_CLIENTS=0) as broker:
        Client(broker.port, MQTT_5, "first").connect().disconnect()
        before = memory(broker)
        clients = []
        for number in range(400):
            clients.append(Connection(broker.port, wire.connect(f"client{number}", will=("will", bytes(30_000))),
                                      wire.subscribe(f"plant/{number}/+", "plant/all")))
            clients[-1].expect(CONNACK)
            clients[-1].expect(SUBACK)
        peak = memory(broker)
        for client in clients[:-1]:
            client.socket.close()
        until(lambda: broker.observe()["clients"] == 1, "they are gone")
        gives_back(broker, before, peak)
        clients[-1].cut()


@pytest.mark.parametrize("count, size", [(30_000, 500), (200, 100_000)])
def test_after_many_retained_messages(program, count, size):
    """The last one stays."""
    with Broker(program, MAX_RETAINED=0, MAX_MEMORY=0) as broker:
        Client(broker.port, MQTT_5, "first").connect().disconnect()
        before = memory(broker)
        with Client(broker.port, MQTT_3_1_1, "publisher") as publisher:
            publisher.connect()
            for number in range(count):
                publisher.send_publish(f"plant/{number}", bytes(size), retain=True)
            publisher.rest()
            assert broker.observe()["retained"] == count
            peak = memory(broker)
            for number in range(count - 1):
                publisher.send_publish(f"plant/{number}", b"", retain=True)
            publisher.rest()
            assert broker.observe()["retained"] == 1
            gives_back(broker, before, peak)


def environment(pid):
    return dict(entry.split(b"=", 1) for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if entry)


def test_the_worker_of_a_supervisor_gives_back_alike(router):
    """It is set by its environment, as the one in the foreground sets itself."""
    found = environment(router.worker())
    assert found[b"MIMALLOC_PURGE_DELAY"] == b"0" and found[b"MIMALLOC_ALLOW_THP"] == b"0"
