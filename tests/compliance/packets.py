"""The packets that cases are made of, as Mosquitto's clients say them."""

import re

import wire
from compliance.script import Reply
from properties import properties
from wire import CONNACK, DISCONNECT, MQTT_3_1_1, MQTT_5, PUBACK, PUBCOMP, PUBREC, PUBREL, SUBACK, UNSUBACK

BYE = bytes([DISCONNECT, 0])
#: A DISCONNECT that the system may lose as the connection is closed at once.
BYE_IF_IN_TIME = re.compile(rb"(\xe0\0)?")
#: Whoever speaks 5.0 says how many messages it takes at a time.
RECEIVE_MAXIMUM = properties(receive_maximum=20)


def hello(client="", level=MQTT_3_1_1, encoded=RECEIVE_MAXIMUM, **more):
    """A CONNECT with Mosquitto's defaults."""
    return wire.connect(client, level, properties=encoded, **more)


def connack(code=0, level=MQTT_3_1_1, present=0, **values):
    encoded = properties(**values)
    tail = wire.length(len(encoded)) + encoded if level == MQTT_5 else b""
    return Reply(wire.packet(CONNACK, bytes([present, code]) + tail))


def accepted(*steps, client="", level=MQTT_3_1_1, told=None, encoded=RECEIVE_MAXIMUM, present=0, **more):
    """A connection that the broker accepts."""
    return [hello(client, level, encoded, **more), connack(0, level, present, **(told or {})), *steps]


def whole(*steps, **more):
    """A connection that the broker accepts, and the client ends with a DISCONNECT."""
    return accepted(*steps, BYE, **more)


def suback(*codes, identifier=1, level=MQTT_3_1_1):
    tail = b"\0" if level == MQTT_5 else b""
    return Reply(wire.packet(SUBACK, identifier.to_bytes(2, "big") + tail + bytes(codes or (0,))))


def unsuback(*codes, identifier=2, level=MQTT_3_1_1):
    tail = b"\0" + bytes(codes or (0,)) if level == MQTT_5 else b""
    return Reply(wire.packet(UNSUBACK, identifier.to_bytes(2, "big") + tail))


def subscribed(*steps, filters=("t",), qos=0, level=MQTT_3_1_1, options=None, **more):
    """A connection whose client subscribes, with options or else this QoS, and is granted it."""
    wanted = qos if options is None else options
    granted = suback(*([qos] * len(filters)), level=level)
    return accepted(wire.subscribe(*filters, qos=wanted, level=level), granted, *steps, level=level, **more)


def message(topic="t", payload=b"x", qos=0, retain=False, identifier=1, level=MQTT_3_1_1, dup=False, **values):
    """A message from the broker."""
    return Reply(wire.publish(topic, payload, qos, retain, identifier, level, dup, properties(**values)))


def published(topic="t", payload=b"x", qos=0, retain=False, identifier=1, level=MQTT_3_1_1, dup=False, **values):
    """A message from the client."""
    return wire.publish(topic, payload, qos, retain, identifier, level, dup, properties(**values))


def puback(identifier=1, reason=None):
    return wire.acknowledgement(PUBACK, identifier, reason)


def pubrec(identifier=1, reason=None):
    return wire.acknowledgement(PUBREC, identifier, reason)


def pubrel(identifier=1, reason=None):
    return wire.acknowledgement(PUBREL, identifier, reason)


def pubcomp(identifier=1, reason=None):
    return wire.acknowledgement(PUBCOMP, identifier, reason)


def sent(payload=b"x", qos=0, identifier=1, **more):
    """A message from the client and, as its QoS wants, its acknowledgement."""
    steps = {0: [], 1: [Reply(puback(identifier))],
             2: [Reply(pubrec(identifier)), pubrel(identifier), Reply(pubcomp(identifier))]}
    return [published(payload=payload, qos=qos, identifier=identifier, **more), *steps[qos]]


def taken(payload=b"x", qos=1, identifier=1, dup=False, **more):
    """A message to the client, and how it is acknowledged."""
    steps = [message(payload=payload, qos=qos, identifier=identifier, dup=dup, **more)]
    if qos == 1:
        steps.append(puback(identifier))
    if qos == 2:
        steps += [pubrec(identifier), Reply(pubrel(identifier)), pubcomp(identifier)]
    return steps


def pattern(*parts):
    """A packet of which bytes are known and patterns stand for the rest."""
    return re.compile(b"".join(re.escape(part) if isinstance(part, bytes) else part.pattern for part in parts),
                      re.DOTALL)
