"""gmqtt, a client of MQTT 5.0 that shares no code with Paho or Mosquitto, and habits of home automation."""

import asyncio
import uuid

import gmqtt
import pytest

pytestmark = pytest.mark.usefixtures("unharmed")

# gmqtt speaks 5.0 unless it is told otherwise; 3.1.1 it calls 4.
VERSIONS = [pytest.param(4, id="3.1.1"), pytest.param(5, id="5.0")]
# Seconds that anything may take.
PATIENCE = 30


class Client:
    """A gmqtt client whose events can be waited for."""

    def __init__(self, port, version=5, identifier=None, clean=True, will=None, **properties):
        self.port, self.version = port, version
        self.gmqtt = gmqtt.Client(identifier or uuid.uuid4().hex, clean_session=clean, will_message=will, **properties)
        self.gmqtt.set_config({"reconnect_retries": 0})
        self.messages, self.granted = asyncio.Queue(), asyncio.Queue()
        self.gmqtt.on_message = self._on_message
        self.gmqtt.on_subscribe = lambda _client, _mid, codes, _properties: self.granted.put_nowait(list(codes))
        self.gmqtt.on_connect = self._on_connect

    def _on_connect(self, _client, flags, _code, properties):
        self.session_present, self.properties = bool(flags & 1), properties

    def _on_message(self, _client, topic, payload, qos, properties):
        self.messages.put_nowait((topic, payload, qos, properties))
        return 0

    async def __aenter__(self):
        await asyncio.wait_for(self.gmqtt.connect("127.0.0.1", self.port, version=self.version), PATIENCE)
        return self

    async def __aexit__(self, *_):
        await self.gmqtt.disconnect()

    async def subscribe(self, topic, qos=0, **properties):
        self.gmqtt.subscribe(topic, qos=qos, **properties)
        return await asyncio.wait_for(self.granted.get(), PATIENCE)

    def publish(self, *arguments, **options):
        self.gmqtt.publish(*arguments, **options)

    async def next(self):
        return await asyncio.wait_for(self.messages.get(), PATIENCE)

    async def take(self, count):
        return [await self.next() for _ in range(count)]

    def lose(self):
        """The network fails."""
        self.gmqtt._connection._transport.abort()


def batches(count):
    """gmqtt publishes no more at a time than the broker's Receive Maximum allows, less one; it raises OverflowError."""
    return [range(first, first + 5) for first in range(0, count, 5)]


@pytest.fixture
def topic():
    return f"interop/{uuid.uuid4().hex}"


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", VERSIONS)
def test_in_order_and_once(router, topic, version, qos):
    async def talk():
        async with Client(router.port, version) as reader, Client(router.port, version) as writer:
            assert await reader.subscribe(f"{topic}/#", qos) == [qos]
            for numbers in batches(200):
                for number in numbers:
                    writer.publish(f"{topic}/{number % 7}", str(number), qos=qos)
                taken = await reader.take(len(numbers))
                assert [message[:3] for message in taken] == [
                    (f"{topic}/{number % 7}", b"%d" % number, qos) for number in numbers]
            assert reader.messages.empty()

    asyncio.run(talk())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_large_message(router, topic, version):
    payload = bytes(range(256)) * 3600

    async def talk():
        async with Client(router.port, version) as client:
            await client.subscribe(topic, 2)
            client.publish(topic, payload, qos=2)
            assert (await client.next())[1] == payload

    asyncio.run(talk())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_across_connections(router, topic, version):
    identifier = uuid.uuid4().hex
    kept = {"clean": False, "identifier": identifier}
    if version == 5:
        kept["session_expiry_interval"] = 600

    async def talk():
        async with Client(router.port, version, **kept) as reader:
            assert not reader.session_present
            await reader.subscribe(topic, 1)
        async with Client(router.port, version) as writer:
            await writer.subscribe(topic, 1)
            for numbers in batches(50):
                for number in numbers:
                    writer.publish(topic, str(number), qos=1)
                await writer.take(len(numbers))
        async with Client(router.port, version, **kept) as reader:
            assert reader.session_present
            assert [message[1] for message in await reader.take(50)] == [b"%d" % number for number in range(50)]

    asyncio.run(talk())


def test_properties_travel(router, topic):
    async def talk():
        async with Client(router.port) as client:
            await client.subscribe(topic, 1, subscription_identifier=321)
            client.publish(topic, "?", qos=1, response_topic=f"{topic}/answer", correlation_data=b"\x00\xff",
                           content_type="text/plain", payload_format_id=1, message_expiry_interval=60,
                           user_property=[("a", "1"), ("a", "2"), ("b", "3")])
            properties = (await client.next())[3]
            assert properties["subscription_identifier"] == [321]
            assert properties["response_topic"] == [f"{topic}/answer"]
            assert properties["correlation_data"] == [b"\x00\xff"]
            assert properties["content_type"] == ["text/plain"]
            assert properties["payload_format_id"] == [1]
            assert properties["message_expiry_interval"][0] in (59, 60)
            assert properties["user_property"] == [("a", "1"), ("a", "2"), ("b", "3")]

    asyncio.run(talk())


def test_a_share_reaches_each_message_once(router, topic):
    async def talk():
        async with Client(router.port) as one, Client(router.port) as two, Client(router.port) as writer:
            for member in one, two:
                await member.subscribe(f"$share/crew/{topic}/#", 1)
            got = []
            members = {asyncio.create_task(member.messages.get()): member for member in (one, two)}
            for numbers in batches(40):
                for number in numbers:
                    writer.publish(f"{topic}/{number}", str(number), qos=1)
                while len(got) < numbers.stop:
                    done, _ = await asyncio.wait(members, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
                    assert done, f"only {len(got)} came"
                    for task in done:
                        got.append(int(task.result()[1]))
                        member = members.pop(task)
                        members[asyncio.create_task(member.messages.get())] = member
            for task in members:
                task.cancel()
            assert sorted(got) == list(range(40))

    asyncio.run(talk())


@pytest.mark.parametrize("version", VERSIONS)
def test_discovery_birth_and_will(router, topic, version):
    """A bridge of home automation: hundreds of retained descriptions, its state told by a retained birth message and will,
    and a house that comes later, or comes again."""
    count = 500
    state = f"{topic}/bridge/state"
    will = gmqtt.Message(state, "offline", qos=1, retain=True)

    async def talk():
        async with Client(router.port, version) as watcher:
            await watcher.subscribe(state, 1)
            bridge = Client(router.port, version, will=will)
            await asyncio.wait_for(bridge.gmqtt.connect("127.0.0.1", router.port, version=version), PATIENCE)
            bridge.publish(state, "online", qos=1, retain=True)
            assert (await watcher.next())[1] == b"online"
            for number in range(count):
                bridge.publish(f"{topic}/sensor/{number}/config", '{"name": "%d"}' % number, qos=0, retain=True)
            # In order on one connection, so this one comes after all of them.
            bridge.publish(state, "ready", qos=1, retain=True)
            assert (await watcher.next())[1] == b"ready"
            for _ in range(2):
                async with Client(router.port, version) as house:
                    await house.subscribe(f"{topic}/+/+/config", 1)
                    found = await house.take(count)
                    assert {message[0] for message in found} == {
                        f"{topic}/sensor/{number}/config" for number in range(count)}
                    assert all(message[3]["retain"] for message in found)
            bridge.lose()
            assert (await watcher.next())[1] == b"offline"
            async with Client(router.port, version) as house:
                await house.subscribe(state, 1)
                assert (await house.next())[1] == b"offline"
                for number in range(count):
                    house.publish(f"{topic}/sensor/{number}/config", "", qos=0, retain=True)
                house.publish(state, "", qos=1, retain=True)
                await house.next()

    asyncio.run(talk())


def test_the_bridge_of_a_mosquitto_tells_its_state(router, topic):
    """It publishes below $SYS on the broker it connects to, and its will does, unless it is told not to."""
    state = f"$SYS/broker/connection/{topic.replace('/', '.')}/state"

    async def talk():
        async with Client(router.port) as watcher:
            await watcher.subscribe("$SYS/broker/connection/+/state", 1)
            bridge = Client(router.port, 4, will=gmqtt.Message(state, "0", qos=1, retain=True))
            await asyncio.wait_for(bridge.gmqtt.connect("127.0.0.1", router.port, version=4), PATIENCE)
            bridge.publish(state, "1", qos=1, retain=True)
            assert (await watcher.next())[:2] == (state, b"1")
            bridge.lose()
            assert (await watcher.next())[:2] == (state, b"0")
            watcher.publish(state, "", qos=1, retain=True)
            await watcher.next()

    asyncio.run(talk())
