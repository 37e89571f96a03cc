"""mosquitto_pub and mosquitto_sub, Debian's and ours, with the installed app, as the manual tells its readers to use
them."""

import hashlib
import os
import signal
import subprocess
import uuid

import pytest

from mosquitto import VERSIONS, Message, Subscriber, publish
from router import Router, has_ipv6

pytestmark = pytest.mark.usefixtures("unharmed", "clients")

HOSTS = ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here"))]


@pytest.fixture
def topic():
    """A topic that no other test uses."""
    return f"test/{uuid.uuid4().hex}"


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_message_arrives(router, topic, version, qos):
    with Subscriber(router.port, "-V", version, "-q", str(qos), "-t", topic) as subscriber:
        publish(router.port, topic, "-V", version, "-q", str(qos), message="54")
        assert subscriber.next() == Message(qos, 0, topic, b"54")


@pytest.mark.parametrize("from_version", VERSIONS)
@pytest.mark.parametrize("to_version", VERSIONS)
def test_versions_understand_each_other(router, topic, from_version, to_version):
    with Subscriber(router.port, "-V", to_version, "-q", "2", "-t", topic) as subscriber:
        publish(router.port, topic, "-V", from_version, "-q", "1", message="über")
        assert subscriber.next() == Message(1, 0, topic, "über".encode())


@pytest.mark.parametrize("sent, asked", [(0, 2), (1, 0), (1, 2), (2, 0), (2, 1)])
def test_the_lower_qos_counts(router, topic, sent, asked):
    with Subscriber(router.port, "-q", str(asked), "-t", topic) as subscriber:
        publish(router.port, topic, "-q", str(sent), message="x")
        assert subscriber.next().qos == min(sent, asked)


def test_one_publisher_many_lines_in_order(router, topic):
    lines = [f"{number}" for number in range(2000)]
    with Subscriber(router.port, "-q", "1", "-t", topic) as subscriber:
        publish(router.port, topic, "-q", "1", "-l", input="\n".join(lines).encode())
        assert [subscriber.next().payload.decode() for _ in lines] == lines


@pytest.mark.parametrize("host", HOSTS)
def test_ipv4_and_ipv6(router, topic, host):
    with Subscriber(router.port, "-t", topic, host=host) as subscriber:
        publish(router.port, topic, host=host, message="x")
        assert subscriber.next().payload == b"x"


def test_addresses_are_shown_as_ipv4(router):
    publish(router.port, "x", "-V", "mqttv311", "-i", "shown", message="x", host="127.0.0.1")
    assert "::ffff:" not in router.log()


@pytest.mark.parametrize("version", VERSIONS)
def test_retained_messages(router, topic, version):
    publish(router.port, topic, "-V", version, "-r", "-q", "1", message="first")
    publish(router.port, topic, "-V", version, "-r", "-q", "1", message="last")
    with Subscriber(router.port, "-V", version, "-q", "1", "-t", topic) as subscriber:
        assert subscriber.next() == Message(1, 1, topic, b"last")
        # To whom is subscribed already it is a message like any other.
        publish(router.port, topic, "-V", version, "-r", message="live")
        assert subscriber.next() == Message(0, 0, topic, b"live")
    publish(router.port, topic, "-V", version, "-r", "-n")
    with Subscriber(router.port, "-V", version, "-t", topic) as subscriber:
        publish(router.port, topic, message="after")
        assert subscriber.next().payload == b"after", "an empty retained message removes what was retained"


def test_retained_messages_by_wildcard(router, topic):
    for name in ("a", "b", "b/c"):
        publish(router.port, f"{topic}/{name}", "-r", message=name)
    with Subscriber(router.port, "-t", f"{topic}/+", "-W", "30") as subscriber:
        assert {subscriber.next().payload, subscriber.next().payload} == {b"a", b"b"}
        publish(router.port, f"{topic}/x", message="end")
        assert subscriber.next().payload == b"end"


def test_retain_as_published(router, topic):
    words = ["-V", "mqttv5", "-t", topic]
    with Subscriber(router.port, *words, "--retain-as-published") as subscriber:
        publish(router.port, topic, "-r", message="x")
        assert subscriber.next() == Message(0, 1, topic, b"x")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_will(router, topic, version):
    with Subscriber(router.port, "-q", "1", "-t", topic) as heir:
        dying = Subscriber(router.port, "-V", version, "-t", "nothing/for/it", "--will-topic", topic,
                           "--will-payload", "gone", "--will-qos", "1", "--will-retain")
        dying.end(signal.SIGKILL)
        assert heir.next() == Message(1, 0, topic, b"gone")
    with Subscriber(router.port, "-q", "1", "-t", topic) as late:
        assert late.next() == Message(1, 1, topic, b"gone")


@pytest.mark.parametrize("version", VERSIONS)
def test_no_will_after_a_farewell(router, topic, version):
    with Subscriber(router.port, "-t", topic) as heir:
        Subscriber(router.port, "-V", version, "-t", topic + "/own", "--will-topic", topic,
                   "--will-payload", "gone", "-E").rest()
        publish(router.port, topic, message="after")
        assert heir.next().payload == b"after"


def keeping(version):
    """The words for a session that outlives its connection."""
    return ["-V", version, "-c", *(["-x", "600"] if version == "mqttv5" else [])]


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_persistent_session_gets_what_came_meanwhile(router, topic, version, qos):
    words = [*keeping(version), "-i", uuid.uuid4().hex[:20], "-q", "2", "-t", topic]
    Subscriber(router.port, *words, "-E").rest()
    lines = [f"{number}" for number in range(100)]
    publish(router.port, topic, "-q", str(qos), "-l", input="\n".join(lines).encode())
    messages = Subscriber(router.port, *words, "-C", "100").rest()
    assert [(message.payload.decode(), message.qos) for message in messages] == [(line, qos) for line in lines]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_clean_session_forgets(router, topic, version):
    identity = ["-i", uuid.uuid4().hex[:20], "-q", "1", "-t", topic]
    Subscriber(router.port, *keeping(version), *identity, "-E").rest()
    Subscriber(router.port, "-V", version, *identity, "-E").rest()
    publish(router.port, topic, "-q", "1", message="for nobody")
    with Subscriber(router.port, *keeping(version), *identity) as subscriber:
        publish(router.port, topic, "-q", "1", message="after")
        assert subscriber.next().payload == b"after"


FILTERS = {
    "#": {"a", "a/b", "a/b/c", "/a", "a/", "b//c", "ä/ö"},
    "+": {"a"},
    "a": {"a"},
    "a/+": {"a/b", "a/"},
    "a/#": {"a", "a/b", "a/b/c", "a/"},
    "+/b": {"a/b"},
    "+/+": {"a/b", "/a", "a/", "ä/ö"},
    "/+": {"/a"},
    "a/+/c": {"a/b/c"},
    "+/+/c": {"a/b/c", "b//c"},
    "b//c": {"b//c"},
    "ä/+": {"ä/ö"},
    "A": set(),
    "a/b/c/#": {"a/b/c"},
}


def test_wildcards(host_package):
    with Router(host_package) as router:
        router.enable()
        topics = set().union(*FILTERS.values())
        subscribers = {name: Subscriber(router.port, "-t", name, "-t", "the end") for name in FILTERS}
        for topic in topics:
            publish(router.port, topic, message="x")
        publish(router.port, "the end", message="x")
        for name, subscriber in subscribers.items():
            received = []
            while (message := subscriber.next()).topic != "the end":
                received.append(message.topic)
            subscriber.end()
            assert sorted(received) == sorted(FILTERS[name]), name


def test_a_message_comes_once_though_filters_overlap(router, topic):
    words = ["-t", topic, "-t", f"{topic}/#", "-t", topic.replace("test", "+")]
    with Subscriber(router.port, "-V", "mqttv311", "-q", "1", *words) as subscriber:
        publish(router.port, topic, "-q", "1", message="once")
        publish(router.port, topic, "-q", "1", message="end")
        assert [subscriber.next().payload, subscriber.next().payload] == [b"once", b"end"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_900_kilobytes(router, topic, tmp_path, version, qos):
    payload = os.urandom(900_000)
    (tmp_path / "payload").write_bytes(payload)
    with Subscriber(router.port, "-V", version, "-q", str(qos), "-t", topic) as subscriber:
        publish(router.port, topic, "-V", version, "-q", str(qos), "-f", str(tmp_path / "payload"))
        received = subscriber.next().payload
    assert hashlib.sha256(received).digest() == hashlib.sha256(payload).digest()


def test_an_empty_message(router, topic):
    with Subscriber(router.port, "-t", topic) as subscriber:
        publish(router.port, topic, "-n")
        assert subscriber.next() == Message(0, 0, topic, b"")


def test_an_answer_to_a_question(router, topic):
    """The response topic of MQTT 5, with mosquitto_rr."""
    with Subscriber(router.port, "-V", "mqttv5", "-t", topic, "-F", "message 0 0 %x %R") as other:
        asking = subprocess.Popen(
            ["mosquitto_rr", "-h", "127.0.0.1", "-p", str(router.port), "-t", topic, "-e", f"{topic}/answer",
             "-m", "how much?"], stdout=subprocess.PIPE)
        question = other.next()
        assert (question.topic, question.payload) == (f"{topic}/answer", b"how much?")
        publish(router.port, question.topic, message="54")
        assert asking.communicate(timeout=20)[0] == b"54\n"
