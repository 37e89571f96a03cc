"""What the broker says of itself below $SYS, as the programs read it that know Mosquitto's names."""

import subprocess
import uuid

import pytest

from mosquitto import Subscriber, publish
from router import Router

pytestmark = pytest.mark.usefixtures("unharmed")

WINDOWS = ["1min", "5min", "15min"]
OF_MOSQUITTO = {
    "$SYS/broker/version",
    "$SYS/broker/uptime",
    *(f"$SYS/broker/clients/{name}" for name in [
        "total", "inactive", "disconnected", "active", "connected", "maximum", "expired"]),
    *(f"$SYS/broker/messages/{name}" for name in ["received", "sent", "stored"]),
    *(f"$SYS/broker/store/messages/{name}" for name in ["count", "bytes"]),
    "$SYS/broker/subscriptions/count",
    "$SYS/broker/shared_subscriptions/count",
    "$SYS/broker/retained messages/count",
    *(f"$SYS/broker/heap/{name}" for name in ["current", "maximum"]),
    *(f"$SYS/broker/publish/messages/{name}" for name in ["dropped", "received", "sent"]),
    *(f"$SYS/broker/publish/bytes/{name}" for name in ["received", "sent"]),
    *(f"$SYS/broker/bytes/{name}" for name in ["received", "sent"]),
    *(f"$SYS/broker/load/{name}/{window}" for window in WINDOWS for name in [
        "messages/received", "messages/sent", "publish/dropped", "publish/received", "publish/sent",
        "bytes/received", "bytes/sent", "sockets", "connections"]),
}
OUR_OWN = {
    *(f"$SYS/broker/messages/dropped/{name}" for name in [
        "queue_full", "too_large", "expired", "not_retained", "no_subscriber", "memory"]),
    "$SYS/broker/clients/refused",
    "$SYS/broker/sessions/evicted",
}
TOPICS = OF_MOSQUITTO | OUR_OWN


@pytest.fixture(scope="module")
def router(host_package):
    """Its broker tells what has changed each second."""
    with Router(host_package) as router:
        router.enable(mqtt_log_level="info")
        router.configure(SYS_INTERVAL=1)
        yield router


def seconds(message):
    number, unit = message.payload.decode().split(" ")
    assert unit == "seconds"
    return int(number)


def test_the_command_of_everybody(router):
    """mosquitto_sub -v shows all values as soon as it has subscribed."""
    done = subprocess.run(["mosquitto_sub", "-p", str(router.port), "-v", "-t", "$SYS/#", "-C", str(len(TOPICS))],
                          capture_output=True, text=True, timeout=20, check=True)
    lines = done.stdout.splitlines()
    told = {topic: line.removeprefix(f"{topic} ") for topic in TOPICS for line in lines
            if line.startswith(f"{topic} ")}
    assert len(OF_MOSQUITTO) == 53 and told.keys() == TOPICS and len(lines) == len(TOPICS)
    assert told["$SYS/broker/version"] == f"mqtt_broker version {router.observe()['version']}"
    assert told["$SYS/broker/clients/connected"] == "1"
    assert int(told["$SYS/broker/heap/maximum"]) >= int(told["$SYS/broker/heap/current"]) > 0
    assert all(int(told[topic]) >= 0 for topic in OUR_OWN)
    assert float(told["$SYS/broker/load/connections/1min"]) > 0


def test_values_at_once_then_changes(router):
    with Subscriber(router.port, "-q", "1", "-t", "$SYS/broker/uptime") as subscriber:
        first, *live = [subscriber.next() for _ in range(4)]
        assert (first.retain, first.qos) == (1, 1)
        assert all((message.retain, message.qos) == (0, 1) for message in live)
        told = [seconds(message) for message in (first, *live)]
        assert told == sorted(set(told))
        assert told[-1] <= router.observe()["uptime"]


def test_what_passes_is_counted(router):
    topic, before = uuid.uuid4().hex, router.observe()
    publish(router.port, topic, "-r", "-q", "1", message="12345")
    with Subscriber(router.port, "-t", "$SYS/broker/publish/#", "-t", "$SYS/broker/+/count") as subscriber:
        told = dict((message.topic, int(message.payload)) for message in (subscriber.next() for _ in range(8)))
        assert told["$SYS/broker/publish/messages/received"] == before["messages_received"] + 1
        assert told["$SYS/broker/publish/bytes/received"] >= 5
        assert told["$SYS/broker/retained messages/count"] == before["retained"] + 1
        # On this very connection: the two filters.
        assert told["$SYS/broker/subscriptions/count"] == 2
        assert told["$SYS/broker/publish/messages/dropped"] == before["dropped"]


def test_a_leading_wildcard_does_not_match(router):
    topic = uuid.uuid4().hex
    with Subscriber(router.port, "-R", "-t", "#") as everything, \
            Subscriber(router.port, "-t", "$SYS/broker/uptime") as listener:
        for _ in range(3):
            listener.next()
        publish(router.port, topic, message="x")
        assert everything.next().topic == topic


def test_the_interval_can_be_changed_and_switched_off(router):
    topic = uuid.uuid4().hex
    router.configure(SYS_INTERVAL=0)
    with Subscriber(router.port, "-t", "$SYS/broker/uptime", "-t", topic) as subscriber:
        publish(router.port, topic, message="x")
        assert subscriber.next().topic == topic, "there is nothing that comes before it"
        router.configure(SYS_INTERVAL=1)
        first, second = subscriber.next(), subscriber.next()
        assert seconds(second) > seconds(first)
