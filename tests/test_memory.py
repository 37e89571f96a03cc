"""What a peak has taken goes back to the system once it is over, although some of what came with it stays, and an idle
broker does not have to do anything for it."""

import os
import shutil
import signal
import socket
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


@pytest.fixture
def unlinked(program, tmp_path):
    """Starts the program when no name of it is left."""
    shutil.copy(program, tmp_path / "program")
    start = tmp_path / "start"
    start.write_text(f'#!/bin/sh\nexec 9<"{tmp_path}/program"\nrm "{tmp_path}/program"\nexec /proc/self/fd/9 "$@"\n')
    start.chmod(0o755)
    return start


def test_one_that_cannot_start_itself_anew_serves_alike(unlinked):
    """No client ends it by going away while large payloads are on their way to it."""
    # Nobody waits for the reader.
    with Broker(unlinked, MAX_QUEUED_BYTES=0) as broker:
        assert b"MIMALLOC_PURGE_DELAY" not in environment(broker.process.pid)
        reader = Client(broker.port, MQTT_3_1_1, "reader").connect()
        reader.subscribe("large", qos=0)
        with Client(broker.port, MQTT_3_1_1, "publisher") as publisher:
            publisher.connect()
            for _ in range(20):
                publisher.send_publish("large", bytes(1_000_000))
            publisher.rest()
            os.kill(broker.process.pid, signal.SIGSTOP)
            # The end of what it says, and then that it takes no more: unread bytes are lost.
            reader.socket.shutdown(socket.SHUT_WR)
            reader.socket.close()
            os.kill(broker.process.pid, signal.SIGCONT)
            publisher.rest()
        until(lambda: broker.observe()["clients"] == 0, "both are gone")


def environment(pid):
    return dict(entry.split(b"=", 1) for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if entry)


def test_the_worker_of_a_supervisor_gives_back_alike(router):
    """It is set by its environment, as the one in the foreground sets itself."""
    found = environment(router.worker())
    assert found[b"MIMALLOC_PURGE_DELAY"] == b"0" and found[b"MIMALLOC_ALLOW_THP"] == b"0"
