"""Conversations of Eclipse Paho clients, in MQTT 3.1.1 and 5.0."""

import threading
import uuid
from queue import Empty, Queue

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

pytestmark = pytest.mark.usefixtures("unharmed")

VERSIONS = [pytest.param(mqtt.MQTTv311, id="3.1.1"), pytest.param(mqtt.MQTTv5, id="5.0")]


class Client:
    """A Paho client whose events can be waited for."""

    def __init__(self, port, version, client_id="", clean=True, connect_properties=None, will=None,
                 transport="tcp"):
        clean_session = {"clean_session": clean} if version == mqtt.MQTTv311 else {}
        self.paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id, protocol=version, transport=transport,
                                **clean_session)
        self.messages, self.acknowledged, self.ended = Queue(), Queue(), Queue()
        self.paho.on_message = lambda _client, _userdata, message: self.messages.put(message)
        self.paho.on_subscribe = lambda _client, _userdata, _mid, codes, _properties: self.acknowledged.put(codes)
        self.paho.on_unsubscribe = lambda _client, _userdata, _mid, codes, _properties: self.acknowledged.put(codes)
        self.paho.on_disconnect = lambda _client, _userdata, _flags, code, _properties: self.ended.put(code)
        self.greeting = Queue()
        self.paho.on_connect = lambda _client, _userdata, flags, code, properties: self.greeting.put(
            (flags, code, properties))
        if will:
            self.paho.will_set(*will)
        more = {"clean_start": clean, "properties": connect_properties} if version == mqtt.MQTTv5 else {}
        self.prepare()
        self.paho.connect("127.0.0.1", port, **more)
        self.paho.loop_start()
        self.flags, self.code, self.properties = self.greeting.get(timeout=20)
        assert not self.code.is_failure, self.code

    def prepare(self):
        """What is to be set before it connects."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.paho.disconnect()
        self.paho.loop_stop()

    def subscribe(self, *arguments, **options):
        self.paho.subscribe(*arguments, **options)
        return self.acknowledged.get(timeout=20)

    def unsubscribe(self, topic):
        self.paho.unsubscribe(topic)
        return self.acknowledged.get(timeout=20)

    def publish(self, *arguments, **options):
        information = self.paho.publish(*arguments, **options)
        information.wait_for_publish(20)
        assert information.is_published()

    def next(self):
        return self.messages.get(timeout=20)


@pytest.fixture
def topic():
    return f"test/{uuid.uuid4().hex}"


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("version", VERSIONS)
def test_both_ways_at_once_in_order_and_once(router, topic, version, qos):
    count = 300
    with Client(router.port, version) as first, Client(router.port, version) as second:
        assert [code.value for code in first.subscribe(f"{topic}/to/first", qos)] == [qos]
        assert [code.value for code in second.subscribe(f"{topic}/to/second", qos)] == [qos]

        def speak(client, to):
            for number in range(count):
                client.paho.publish(f"{topic}/to/{to}", f"{number}", qos)

        speakers = [threading.Thread(target=speak, args=pair) for pair in ((first, "second"), (second, "first"))]
        for speaker in speakers:
            speaker.start()
        for client in (first, second):
            received = [client.next() for _ in range(count)]
            assert [message.payload.decode() for message in received] == [f"{number}" for number in range(count)]
            assert {(message.qos, message.dup) for message in received} == {(qos, False)}
        for speaker in speakers:
            speaker.join(20)
        # Nothing came twice.
        for client in (first, second):
            with pytest.raises(Empty):
                client.messages.get_nowait()


@pytest.mark.parametrize("version", VERSIONS)
def test_unsubscribing(router, topic, version):
    with Client(router.port, version) as client:
        client.subscribe([(f"{topic}/a", 0), (f"{topic}/b", 1)])
        client.unsubscribe(f"{topic}/a")
        client.publish(f"{topic}/a", "not this", 1)
        client.publish(f"{topic}/b", "this", 1)
        assert client.next().payload == b"this"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_present_when_it_is_resumed(router, topic, version):
    keep = Properties(PacketTypes.CONNECT)
    keep.SessionExpiryInterval = 600
    name = uuid.uuid4().hex[:20]
    with Client(router.port, version, name, clean=False, connect_properties=keep) as client:
        assert not client.flags.session_present
        client.subscribe(topic, 2)
    with Client(router.port, version) as other:
        for number in range(50):
            other.publish(topic, f"{number}", 2)
    with Client(router.port, version, name, clean=False, connect_properties=keep) as client:
        assert client.flags.session_present
        assert [client.next().payload for _ in range(50)] == [f"{number}".encode() for number in range(50)]
    with Client(router.port, version, name) as client:
        assert not client.flags.session_present, "a clean start forgets"


def test_a_session_without_expiry_ends_with_its_connection(router, topic):
    name = uuid.uuid4().hex[:20]
    with Client(router.port, mqtt.MQTTv5, name, clean=False) as client:
        client.subscribe(topic, 1)
    with Client(router.port, mqtt.MQTTv5, name, clean=False) as client:
        assert not client.flags.session_present


@pytest.mark.parametrize("version", VERSIONS)
def test_taking_over(router, topic, version):
    name = uuid.uuid4().hex[:20]
    with Client(router.port, version) as heir:
        heir.subscribe(topic, 1)
        with Client(router.port, version, name, will=(topic, "taken over", 1)) as first:
            # It must not come back, or the two would take over from each other for ever.
            first.paho._reconnect_on_failure = False
            with Client(router.port, version, name):
                code = first.ended.get(timeout=20)
                assert version == mqtt.MQTTv311 or code.value == 0x8E, "Session taken over"
                assert heir.next().payload == b"taken over"


def test_properties_arrive_as_they_were_sent(router, topic):
    properties = Properties(PacketTypes.PUBLISH)
    properties.PayloadFormatIndicator = 1
    properties.MessageExpiryInterval = 600
    properties.ContentType = "text/plain"
    properties.ResponseTopic = f"{topic}/answer"
    properties.CorrelationData = bytes(range(256))
    properties.UserProperty = [("b", "2"), ("a", "1"), ("b", "2"), ("", "ü")]
    with Client(router.port, mqtt.MQTTv5) as client:
        client.subscribe(topic, 1)
        client.publish(topic, "x", 1, properties=properties)
        received = client.next().properties
        for name in ("PayloadFormatIndicator", "ContentType", "ResponseTopic", "CorrelationData", "UserProperty"):
            assert getattr(received, name) == getattr(properties, name), name
        assert 590 < received.MessageExpiryInterval <= 600


def test_subscription_options(router, topic):
    with Client(router.port, mqtt.MQTTv5) as client:
        client.publish(topic, "retained", 1, retain=True)
        numbered = Properties(PacketTypes.SUBSCRIBE)
        numbered.SubscriptionIdentifier = 268_435_455
        client.subscribe(topic, options=SubscribeOptions(
            qos=1, noLocal=True, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND),
            properties=numbered)
        client.publish(topic, "own", 1)
        with Client(router.port, mqtt.MQTTv5) as other:
            other.publish(topic, "of another", 1, retain=True)
        message = client.next()
        assert (message.payload, message.retain) == (b"of another", True)
        assert message.properties.SubscriptionIdentifier == [268_435_455]


def test_the_broker_says_what_it_can(router):
    with Client(router.port, mqtt.MQTTv5) as client:
        said = client.properties
        assert client.properties.AssignedClientIdentifier
        # What is not said has the meaning of the standard (MQTT 5.0, 3.2.2.3).
        assert getattr(said, "MaximumQoS", 2) == 2
        assert getattr(said, "RetainAvailable", 1) == 1
        assert getattr(said, "WildcardSubscriptionAvailable", 1) == 1
        assert said.ReceiveMaximum == 20
        assert said.MaximumPacketSize == 1_048_576


def test_a_message_that_is_too_large(router, topic):
    """It ends who sends it, and only that one."""
    with Client(router.port, mqtt.MQTTv5) as other:
        other.subscribe(topic, 1)
        with Client(router.port, mqtt.MQTTv5) as client:
            client.paho._reconnect_on_failure = False
            client.paho.publish(topic, bytes(1_048_577), 1)
            assert client.ended.get(timeout=20).value == 0x95, "Packet too large"
        other.publish(topic, "still here", 1)
        assert other.next().payload == b"still here"
