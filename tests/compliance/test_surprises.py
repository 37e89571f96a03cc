"""What a broker may say that few do, and what none may say."""

import re

from compliance.case import PUB, SUB, Case, Originally, table
from compliance.packets import (BYE, accepted, hello, message, puback, pubcomp, published, pubrec, pubrel, sent,
                                suback, subscribed, unsuback, whole)
from compliance.script import CLOSE, Reply
from properties import properties
from wire import PING, PINGRESP, subscribe

ONE = properties(receive_maximum=1)
PROTOCOL = "Error: A network protocol error occurred when communicating with the broker.\n"

UNSENT = "What was not sent is a failure, and is told"
NO_ALIAS = "The original uses an alias that the broker does not take [MQTT-3.3.2-9]"
test_limits = table(
    *(Case(f"QoS {most} at most, and {qos} is wanted", PUB, f"-t t -m x -q {qos} -V 5",
           [whole(level=5, told={"maximum_qos": most})], err=re.compile("Error: Message QoS not supported .*\n"),
           code=24,
           differs=Originally(UNSENT, code=0)) for most, qos in [(0, 1), (0, 2), (1, 2)]),
    Case("QoS 1 at most, and 1 is wanted", PUB, "-t t -m x -q 1 -V 5",
         [whole(*sent(qos=1, level=5), level=5, told={"maximum_qos": 1})]),
    Case("nothing is retained", PUB, "-t t -m x -r -V 5",
         [whole(published(level=5), level=5, told={"retain_available": 0})]),
    Case("packets of 20 bytes", PUB, "-t t -m 0123456789012345 -V 5",
         [whole(level=5, told={"maximum_packet_size": 20})],
         err=re.compile("Error: .*large.*\n"), code=25, differs=Originally(UNSENT, err="", code=0)),
    Case("packets of 22 bytes", PUB, "-t t -m 0123456789012345 -V 5",
         [whole(published(payload=b"0123456789012345", level=5), level=5, told={"maximum_packet_size": 22})]),
    *(Case(name, PUB, "-t t -m x -V 5 -D publish topic-alias 3", [whole(published(level=5), level=5, told=told)],
           differs=Originally(NO_ALIAS, scripts=[whole(published(level=5, topic_alias=3), level=5, told=told)]))
      for name, told in [("no topic alias", {}), ("an alias beyond those of the broker", {"topic_alias_maximum": 2})]),
    Case("everything in a CONNACK", PUB, "-t t -m x -V 5", [whole(published(level=5), level=5, told=dict(
        session_expiry_interval=5, receive_maximum=10, maximum_qos=1, retain_available=1, maximum_packet_size=1000,
        assigned_client_identifier="auto", topic_alias_maximum=4, reason_string="welcome",
        user_property=[("a", "b"), ("a", "c")], wildcard_subscription_available=1,
        subscription_identifier_available=1, shared_subscription_available=1, server_keep_alive=30,
        response_information="r", server_reference="s"))]),
    Case("a keep alive of the broker's", SUB, "-t t -V 5 -C 1", [subscribed(
        message(level=5), BYE, level=5, encoded=ONE, told={"server_keep_alive": 100})], out=b"x\n"),
)

TWICE = message(level=5, subscription_identifier=[3, 4])
test_whims = table(
    Case("a message for a publisher", PUB, "-t t -m x -q 1",
         [whole(published(qos=1), message("z"), Reply(puback(1)))]),
    Case("a message of QoS 1 for a publisher", PUB, "-t t -m x -q 1",
         [whole(published(qos=1), message("z", qos=1, identifier=9), puback(9), Reply(puback(1)))]),
    Case("PUBACK of nothing", PUB, "-t t -m x -q 1", [whole(published(qos=1), Reply(puback(77)), Reply(puback(1)))]),
    Case("PINGRESP unasked", PUB, "-t t -m x -q 1",
         [whole(published(qos=1), Reply(bytes([PINGRESP, 0])), Reply(puback(1)))]),
    Case("PUBACK twice", PUB, "-t t -m x --repeat 2 -q 1", [whole(
        published(qos=1), Reply(puback(1) + puback(1)), published(qos=1, identifier=2), Reply(puback(2)))]),
    Case("PUBREC twice", PUB, "-t t -m x -q 2", [whole(
        published(qos=2), Reply(pubrec(1)), pubrel(1), Reply(pubrec(1)), pubrel(1), Reply(pubcomp(1)))]),
    Case("SUBACK of two codes for one filter", SUB, "-t t -C 1", [accepted(
        subscribe("t"), suback(0, 0), message(), BYE)], out=b"x\n"),
    Case("UNSUBACK unasked", SUB, "-t t -C 1", [subscribed(unsuback(identifier=9), message(), BYE)], out=b"x\n"),
    Case("a message of a topic not asked for", SUB, "-v -t t -C 1", [subscribed(message("other"), BYE)],
         out=b"other x\n"),
    Case("a message of a higher QoS than was granted", SUB, "-t t -C 1", [subscribed(message(qos=1), puback(), BYE)],
         out=b"x\n"),
    Case("DUP at QoS 0", SUB, "-t t -C 1", [subscribed(message(dup=True))], err=PROTOCOL, code=2, differs=Originally(
        "DUP is for messages that come again [MQTT-3.3.1-2]", scripts=[subscribed(message(dup=True), BYE)], out=b"x\n",
        err="", code=0)),
    Case("reason strings everywhere", SUB, "-V 5 -t t -q 1 -C 1", [accepted(
        subscribe("t", qos=1, level=5), Reply(b"\x90\x0a\0\1\x06\x1f\0\3yes\1"), message(qos=1, level=5), puback(),
        BYE, level=5,
        encoded=ONE)], out=b"x\n"),
    Case("two Subscription Identifiers", SUB, "-V 5 -t t -C 1", [subscribed(TWICE, BYE, level=5, encoded=ONE)],
         out=b"x\n", differs=Originally(
             "A message of two subscriptions is no mistake [MQTT-3.3.4-4]", out=b"y\n", scripts=[
                 subscribed(TWICE, level=5, encoded=ONE),
                 accepted(subscribe("t", identifier=2, level=5), suback(identifier=2, level=5),
                          message(payload=b"y", level=5), BYE, level=5, encoded=ONE)])),
)

ILLEGAL = {
    "QoS 3": b"\x36\6\0\1t\0\1x", "Packet Identifier 0": b"\x32\6\0\1t\0\0x", "an empty topic": b"\x30\3\0\0x",
    "a wildcard in a topic": b"\x30\6\0\3a/#x", "a topic longer than the packet": b"\x30\4\0\7tx",
    "a topic that is no UTF-8": b"\x30\4\0\1\xffx", "a packet of type 0": b"\0\0",
    "CONNECT": hello(), "SUBSCRIBE": b"\x82\6\0\1\0\1t\0", "PINGREQ": PING, "DISCONNECT in 3.1.1": b"\xe0\0",
    "a second CONNACK": b"\x20\2\0\0", "a PUBACK of one byte": b"\x40\1\0", "AUTH in 3.1.1": b"\xf0\0",
    "PUBREL with wrong flags": b"\x60\2\0\1", "PINGRESP with a body": b"\xd0\1x",
}
#: What of these the original lets pass.
PASSED = {"a wildcard in a topic", "PINGREQ", "a second CONNACK", "PINGRESP with a body"}
LENIENT = Originally("The original takes no offence", err="Error: The connection was lost.\n", code=7)
MALFORMED = Originally("What no broker may send is an error of protocol", err="Error: Malformed UTF-8\n", code=18)
test_illegal = table(
    *(Case(name, PUB, "-t t -m x -q 1", [accepted(published(qos=1), Reply(data), CLOSE)], err=PROTOCOL, code=2,
           differs=LENIENT if name in PASSED else MALFORMED if "UTF-8" in name else None)
      for name, data in ILLEGAL.items()),
)
