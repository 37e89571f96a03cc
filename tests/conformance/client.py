"""A Client that says what a test wants, good or bad, and judges what it hears."""

import socket
from itertools import count

import wire
from conformance.packet import NAMES, decode
from properties import TABLE, properties
from wire import (AUTH, CONNACK, DISCONNECT, MQTT_3_1_1, MQTT_5, PING, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC,
                  PUBREL, SUBACK, UNSUBACK)

ANSWERS = {1: PUBACK, 2: PUBREC}


class Client(wire.Connection):
    """A Network Connection of one version of MQTT; CONNECT is said by `connect`, or by hand.

    Whatever takes options takes properties of 5.0 among them, by name: `publish(topic, content_type="text")`.

    Nothing here sleeps to see that nothing comes. The broker takes packet after packet, and when it answers one, all
    that it owes other Clients because of it is in the queues for their connections, or already in the Session. So:

    - what a publisher has an answer to (`publish` waits for one) has been handed to every subscriber;
    - what was handed to a Client before its PINGREQ comes in reaches it before PINGRESP: `rest` is everything that was
      on its way, and `[]` when nothing was. Only a message that Receive Maximum holds back is not on its way.
    """

    def __init__(self, port, level=MQTT_3_1_1, identifier=""):
        super().__init__(port, seconds=10)
        self.level, self.identifier = level, identifier
        #: What came while something else was awaited, in order.
        self.inbox = []
        self.identifiers = count(1)
        self.connack = None

    def _dial(self, *where):
        dialled = super()._dial(*where)
        # Small packets go at once, as several in a row do not else.
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return dialled

    # --- hearing

    def receive_packet(self):
        """The next packet, or nothing once the broker has closed the connection."""
        if self.inbox:
            return self.inbox.pop(0)
        received = self.receive()
        return received and decode(*received, self.level)

    def expect(self, kind, **fields):
        """The next packet, which has to be of this kind, with these fields and properties."""
        packet = self.receive_packet()
        assert packet, f"{NAMES[kind]} was expected, the connection was closed"
        assert packet.kind == kind, f"{NAMES[kind]} was expected, {packet} came"
        for name, value in fields.items():
            found = getattr(packet, name) if hasattr(packet, name) else packet.properties.get(name)
            assert found == value, f"{name} should be {value!r} in {packet}"
        return packet

    def message(self, **fields):
        """The next PUBLISH, acknowledged as its QoS asks."""
        packet = self.expect(PUBLISH, **fields)
        self.acknowledge(packet)
        return packet

    def acknowledge(self, packet):
        """Completes the flow of a PUBLISH, if it has one."""
        if packet.qos == 1:
            self.send_ack(PUBACK, packet.identifier)
        if packet.qos == 2:
            self.send_ack(PUBREC, packet.identifier)
            self.answer(PUBREL, packet.identifier)
            self.send_ack(PUBCOMP, packet.identifier)

    def answer(self, kind, identifier=None):
        """The packet of this kind and Packet Identifier; what comes before it stays in the inbox."""
        passed = []
        while True:
            packet = self.receive_packet()
            assert packet, f"{NAMES[kind]} was expected, the connection was closed"
            if packet.kind == kind and packet.identifier == identifier:
                self.inbox = passed + self.inbox
                return packet
            passed.append(packet)

    def rest(self):
        """All packets that were on their way, in order: up to the answer to a PINGREQ."""
        self.send(PING)
        self.answer(PINGRESP)
        rest, self.inbox = self.inbox, []
        return rest

    def messages(self):
        """All PUBLISH packets that come, in order and acknowledged, until no more are on their way."""
        found = []
        while rest := self.rest():
            for packet in rest:
                assert packet.kind == PUBLISH, f"a PUBLISH was expected, {packet} came"
                found.append(packet)
                self.acknowledge(packet)
        return found

    def payloads(self):
        return [packet.payload for packet in self.messages()]

    def expect_closed(self, *reasons):
        """The broker closes the connection. In 5.0, if reasons are given, it says one of them first; 3.x cannot."""
        packet = self.receive_packet()
        if reasons and self.level == MQTT_5:
            assert packet, f"closed without a DISCONNECT of reason {_hex(reasons)}"
        if packet:
            assert packet.kind == DISCONNECT, f"the connection should have been closed, {packet} came"
            assert not reasons or packet.reason in reasons, f"reason {_hex(reasons)} was expected: {packet}"
            assert self.receive_packet() is None, "something follows a DISCONNECT"
        return packet

    def expect_refused(self, *reasons):
        """The broker answers CONNECT with a CONNACK of one of these reasons and closes the connection."""
        packet = self.expect(CONNACK)
        assert packet.reason in reasons, f"reason {_hex(reasons)} was expected: {packet}"
        assert self.receive_packet() is None, "something follows a CONNACK that refuses"
        return packet

    def expect_rejected(self, *reasons):
        """The broker closes the connection, and may say why in a CONNACK of one of these reasons."""
        packet = self.receive_packet()
        if packet:
            assert packet.kind == CONNACK and packet.reason in reasons, f"reason {_hex(reasons)} or nothing: {packet}"
            assert self.receive_packet() is None, "something follows a CONNACK that refuses"

    # --- speaking

    def send_connect(self, **options):
        """Says CONNECT, see wire.connect."""
        self.send(wire.connect(self.identifier, self.level, **_options(options)))

    def connect(self, **options):
        """Says CONNECT, which the broker accepts. Returns the client."""
        self.send_connect(**options)
        self.connack = self.expect(CONNACK, reason=0)
        return self

    def send_subscribe(self, *filters, identifier=1, **options):
        """Says SUBSCRIBE, see wire.subscribe."""
        self.send(wire.subscribe(*filters, identifier=identifier, level=self.level, **_options(options)))

    def subscribe(self, *filters, **options):
        """Subscribes. Returns SUBACK; what the broker sends because of it may already be in the inbox."""
        identifier = next(self.identifiers)
        self.send_subscribe(*filters, identifier=identifier, **options)
        return self.answer(SUBACK, identifier)

    def unsubscribe(self, *filters, **options):
        """Ends subscriptions. Returns UNSUBACK."""
        identifier = next(self.identifiers)
        self.send(wire.unsubscribe(*filters, identifier=identifier, level=self.level, **_options(options)))
        return self.answer(UNSUBACK, identifier)

    def send_publish(self, topic, payload=b"", **options):
        """Says PUBLISH, see wire.publish."""
        self.send(wire.publish(topic, payload, level=self.level, **_options(options)))

    def publish(self, topic, payload=b"", qos=0, **options):
        """Publishes a message to the end of its flow, after which the broker has handed it to the subscribers. Returns
        PUBACK, or of QoS 2 PUBREC."""
        if qos == 0:
            self.send_publish(topic, payload, **options)
            self.send(PING)
            return self.answer(PINGRESP)
        identifier = next(self.identifiers)
        self.send_publish(topic, payload, qos=qos, identifier=identifier, **options)
        answer = self.answer(ANSWERS[qos], identifier)
        if qos == 2 and (answer.reason or 0) < 0x80:
            self.release(identifier)
        return answer

    def release(self, identifier):
        """PUBREL for a message of QoS 2. Returns PUBCOMP."""
        self.send_ack(PUBREL, identifier)
        return self.answer(PUBCOMP, identifier)

    def send_ack(self, kind, identifier, reason=None, **options):
        """Says PUBACK, PUBREC, PUBREL or PUBCOMP, see wire.acknowledgement."""
        self.send(wire.acknowledgement(kind, identifier, reason, self.level, **_options(options)))

    def send_auth(self, reason=None, **options):
        """Says AUTH, see wire.disconnect."""
        self.send(wire.disconnect(reason, self.level, kind=AUTH, **_options(options)))

    def disconnect(self, reason=None, **options):
        """Says DISCONNECT. Back when the broker has closed the connection."""
        self.send(wire.disconnect(reason, self.level, **_options(options)))
        self.until_closed()
        self.socket.close()

    def lose(self):
        """Ends the Network Connection without a DISCONNECT. Back when the broker has closed it too, so it knows."""
        self.socket.shutdown(socket.SHUT_WR)
        self.until_closed()
        self.socket.close()


def _options(options):
    """Gathers the properties that stand among options by name."""
    named = {name: value for name, value in options.items() if name in TABLE}
    rest = {name: value for name, value in options.items() if name not in TABLE}
    return rest | {"properties": properties(**named)} if named else rest


def _hex(reasons):
    return " or ".join(f"{reason:#04x}" for reason in reasons)
