"""mosquitto_sub: what it asks for, and what it takes."""

import re

from compliance.case import SUB, Case, Originally, table, usage
from compliance.packets import (BYE, BYE_IF_IN_TIME, accepted, message, puback, pubcomp, published, pubrec, pubrel,
                                suback, subscribed, taken, unsuback)
from compliance.script import Reply
from properties import properties
from wire import PING, PINGRESP, subscribe, unsubscribe

ALIASES = properties(topic_alias_maximum=5, receive_maximum=2)
ONE = properties(receive_maximum=1)
PONG = Reply(bytes([PINGRESP, 0]))


def asks(name, words, options, level=5, encoded=ONE, filters=("t",), body=b"", **more):
    """The SUBSCRIBE of these words."""
    asked = subscribe(*((one, options) for one in filters), level=level, properties=body)
    script = accepted(asked, suback(options & 3, level=level), message(level=level), BYE, level=level, encoded=encoded)
    return Case(name, SUB, f"-C 1 -V {level if level == 5 else 311} {words}", [script], out=b"x\n", **more)


test_asking = table(
    *(asks(f"QoS {qos} in {level}", f"-t t -q {qos}", qos, level) for qos in (0, 1, 2) for level in (4, 5)),
    asks("no retained messages", "-t t -R", 0x20), asks("no retained messages in 3.1.1", "-t t -R", 0, level=4),
    asks("retain as published", "-t t --retain-as-published", 0x08),
    asks("all of it", "-t t -R --retain-as-published -q 2", 0x2A),
    asks("a Subscription Identifier", "-t t -D subscribe subscription-identifier 7", 0,
         body=properties(subscription_identifier=7)),
    asks("the largest Subscription Identifier", "-t t -D subscribe subscription-identifier 268435455", 0,
         body=properties(subscription_identifier=268435455)),
    asks("user properties", "-t t -D subscribe user-property a b -D subscribe user-property c d", 0,
         body=properties(user_property=[("a", "b"), ("c", "d")])),
    *(asks(f"retain handling {how}", f"-t t --retain-handling {how}", options, differs=Originally(
        "Came with 2.1", scripts=[], out=b"", code=1, err=usage(SUB, "Unknown option '--retain-handling'.")))
      for how, options in [("always", 0), ("new", 0x10), ("never", 0x20)]),
    Case("as many as are printed, no more", SUB, "-t t -V 5 -C 19",
         [subscribed(*(message(level=5) for _ in range(19)), BYE, level=5, encoded=properties(receive_maximum=19))],
         out=b"x\n" * 19),
    Case("from 20 on as many as ever", SUB, "-t t -V 5 -C 20",
         [subscribed(*(message(level=5) for _ in range(20)), BYE, level=5)], out=b"x\n" * 20),
    Case("unsubscribe", SUB, "-t t -U u -U v/# -C 1", [accepted(
        subscribe("t"), unsubscribe("u", identifier=2), unsubscribe("v/#", identifier=3), suback(), unsuback(),
        unsuback(identifier=3), message(), BYE)], out=b"x\n"),
    Case("unsubscribe in 5", SUB, "-V 5 -t t -U u -D unsubscribe user-property a b -C 1", [accepted(
        subscribe("t", level=5),
        unsubscribe("u", identifier=2, level=5, properties=properties(user_property=[("a", "b")])),
        suback(level=5), unsuback(0, level=5), message(level=5), BYE, level=5, encoded=ONE)], out=b"x\n"),
    Case("only unsubscribe", SUB, "-i a -c -U u -E",
         [accepted(unsubscribe("u"), unsuback(identifier=1), BYE, client="a", clean=False)],
         differs=Originally("-U alone is allowed since 2.1", scripts=[], code=1,
                            err=usage(SUB, "You must specify a topic to subscribe to."))),
    Case("in flight", SUB, "-V 5 -t t -M 7 -C 1", [subscribed(message(level=5), BYE, level=5, encoded=ONE)],
         out=b"x\n"),
    Case("in flight, which is about what is sent", SUB, "-V 5 -t t -M 7 -E",
         [subscribed(BYE, level=5)]),
    Case("Receive Maximum of one's own", SUB, "-t t -D connect receive-maximum 5 -C 1",
         [subscribed(message(level=5), BYE, level=5, encoded=properties(receive_maximum=5))], out=b"x\n"),
)

REFUSED = "All subscription requests were denied.\n"
test_granted = table(
    Case("refused in 3.1.1", SUB, "-t t", [accepted(subscribe("t"), suback(0x80), BYE)], err=REFUSED),
    Case("all refused in 3.1.1", SUB, "-t t -t u", [accepted(subscribe("t", "u"), suback(0x80, 0x80), BYE)],
         err=REFUSED),
    Case("one of two refused", SUB, "-t t -t u -C 1",
         [accepted(subscribe("t", "u"), suback(0x80, 0), message("u"), BYE)], out=b"x\n"),
    *(Case(f"refused with {code:#x} in 5", SUB, "-V 5 -t t",
           [accepted(subscribe("t", level=5), suback(code, level=5), BYE, level=5)], err=REFUSED)
      for code in (0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2)),
    Case("refused, quietly", SUB, "-t t --quiet", [accepted(subscribe("t"), suback(0x80), BYE)]),
    Case("a lower QoS is granted", SUB, "-t t -q 2 -C 1", [accepted(subscribe("t", qos=2), suback(0), message(), BYE)],
         out=b"x\n"),
    Case("end when subscribed", SUB, "-t t -E", [subscribed(BYE)]),
    Case("end when subscribed to all", SUB, "-t t -t u -q 1 -E", [subscribed(BYE, filters=["t", "u"], qos=1)]),
    Case("end when subscribed, lasting", SUB, "-t t -i a -c -q 1 -E",
         [subscribed(BYE, client="a", clean=False, qos=1)]),
    Case("end when refused", SUB, "-t t -E", [accepted(subscribe("t"), suback(0x80), BYE)], err=REFUSED),
    Case("end when subscribed, in 5", SUB, "-V 5 -t t -E", [subscribed(BYE, level=5)]),
)

test_taking = table(
    Case("QoS 0 for one", SUB, "-t t -C 1", [subscribed(message(), BYE)], out=b"x\n"),
    Case("three", SUB, "-t t -C 3",
         [subscribed(message(payload=b"1"), message(payload=b"2"), message(payload=b"3"), BYE)],
         out=b"1\n2\n3\n"),
    Case("three in one piece", SUB, "-t t -C 3", [subscribed(Reply(b"".join(
        published(payload=payload) for payload in (b"1", b"2", b"3"))), BYE)], out=b"1\n2\n3\n"),
    Case("no more than three of five", SUB, "-t t -C 3", [subscribed(Reply(b"".join(
        published(payload=b"%d" % n) for n in range(1, 6))), BYE_IF_IN_TIME)], out=b"1\n2\n3\n"),
    Case("byte by byte", SUB, "-t t -C 1", [subscribed(*(Reply(bytes([byte])) for byte in published()), BYE)],
         out=b"x\n"),
    Case("QoS 1", SUB, "-t t -q 1 -C 1", [subscribed(*taken(), BYE, qos=1)], out=b"x\n"),
    Case("QoS 2", SUB, "-t t -q 2 -C 1", [subscribed(*taken(qos=2), BYE, qos=2)], out=b"x\n"),
    Case("QoS 1 in 5", SUB, "-t t -q 1 -V 5 -C 1", [subscribed(*taken(level=5), BYE, qos=1, level=5, encoded=ONE)],
         out=b"x\n"),
    Case("QoS 2 in 5", SUB, "-t t -q 2 -V 5 -C 1",
         [subscribed(*taken(qos=2, level=5), BYE, qos=2, level=5, encoded=ONE)], out=b"x\n"),
    Case("QoS 1 again", SUB, "-t t -q 1 -C 2", [subscribed(*taken(), *taken(dup=True), BYE, qos=1)], out=b"x\nx\n"),
    Case("QoS 2 again before PUBREL", SUB, "-t t -q 2 -C 2", [subscribed(
        message(qos=2), pubrec(), message(qos=2, dup=True), pubrec(), Reply(pubrel()), pubcomp(),
        *taken(b"y", qos=2, identifier=2), BYE, qos=2)], out=b"x\ny\n"),
    Case("PUBREL of nothing", SUB, "-t t -q 2 -C 1",
         [subscribed(Reply(pubrel(9)), pubcomp(9), *taken(qos=2), BYE, qos=2)], out=b"x\n"),
    Case("the largest Packet Identifier", SUB, "-t t -q 1 -C 1", [subscribed(*taken(identifier=65535), BYE, qos=1)],
         out=b"x\n"),
    Case("QoS 2 that is not released", SUB, "-t t -q 2 -W 2", [subscribed(message(qos=2), pubrec(), BYE, qos=2)],
         out=b"x\n", err="Timed out\n", code=27, differs=Originally(
             "What is acknowledged by PUBREC has been printed, so that it is not lost", out=b"")),
    Case("topics as they come", SUB, "-v -t '#' -C 3", [subscribed(
        message("a"), message("/"), message("$SYS/x"), BYE, filters=["#"])], out=b"a x\n/ x\n$SYS/x x\n"),
    Case("the broker's topic alias", SUB, "-V 5 -v -t t -D connect topic-alias-maximum 5 -C 2", [subscribed(
        message("t", level=5, topic_alias=1), message("", b"y", level=5, topic_alias=1), BYE, level=5,
        encoded=ALIASES)], out=b"t x\nt y\n", differs=Originally(
            "The original asks for aliases and does not know them", out=b"t x\n", code=2,
            err="Error: A network protocol error occurred when communicating with the broker.\n", scripts=[subscribed(
                message("t", level=5, topic_alias=1), message("", b"y", level=5, topic_alias=1), level=5,
                encoded=ALIASES)])),
    Case("filtered out", SUB, "-v -t '#' -T b/# -T +/c -C 2", [subscribed(
        message("a"), message("b"), message("b/x"), message("a/c"), message("a/d"), BYE, filters=["#"])],
         out=b"a x\na/d x\n"),
    Case("filtered out is acknowledged", SUB, "-t '#' -q 1 -T b -C 1", [subscribed(
        *taken(topic="b"), *taken(topic="a", identifier=2), BYE, filters=["#"], qos=1)], out=b"x\n"),
    Case("# filters not what begins with $", SUB, "-v -t '#' -T '#' -C 1",
         [subscribed(message("a"), message("$SYS/x"), BYE, filters=["#"])], out=b"$SYS/x x\n"),
    Case("fresh ones only", SUB, "-t t -R -C 1", [subscribed(message(payload=b"old", retain=True), message(), BYE)],
         out=b"x\n"),
    Case("fresh ones only, acknowledged", SUB, "-t t -R -q 1 -C 1", [subscribed(
        *taken(b"old", retain=True), *taken(identifier=2), BYE, qos=1)], out=b"x\n"),
    Case("empty ones count", SUB, "-t t -C 2", [subscribed(message(payload=b""), message(), BYE)], out=b"x\n"),
    Case("retained ones only", SUB, "-v -t '#' --retained-only",
         [subscribed(message("a", retain=True), message("b", retain=True), message("c"), BYE, filters=["#"])],
         out=b"a x\nb x\n"),
    Case("retained ones only, counted", SUB, "-v -t '#' --retained-only -C 2",
         [subscribed(message("a", retain=True), message("b", retain=True), BYE, filters=["#"])], out=b"a x\nb x\n"),
    Case("no retained ones", SUB, "-t t --retained-only -W 2", [subscribed(BYE)], err="Timed out\n", code=27),
    Case("clear what is retained", SUB, "-v -t '#' --remove-retained -W 2", [subscribed(
        message("a", retain=True), published("a", b"", qos=1, retain=True, identifier=2), Reply(puback(2)),
        message("b"), BYE, filters=["#"])], out=b"a x\nb x\n", err="Timed out\n", code=27),
    Case("clear what is retained, not what is filtered out", SUB, "-v -t '#' -T b --remove-retained -W 2", [subscribed(
        message("b", retain=True), message("a", retain=True), published("a", b"", qos=1, retain=True, identifier=2),
        Reply(puback(2)), BYE, filters=["#"])], out=b"a x\n", err="Timed out\n", code=27),
    Case("clear one", SUB, "-t t --remove-retained -C 1 -W 2", [subscribed(
        message(retain=True), published(payload=b"", qos=1, retain=True, identifier=2), Reply(puback(2)), BYE)],
         out=b"x\n", differs=Originally("The original does not end once it has cleared something",
                                        err="Timed out\n", code=27)),
    Case("all of them", SUB, "-t t --random-filter 100 -C 20",
         [subscribed(*(message() for _ in range(20)), BYE)], out=b"x\n" * 20, differs=Originally(
             "The original takes tenths of a percent for percents", out=re.compile(rb"(x\n){0,19}"))),
    Case("a ping", SUB, "-t t -k 5 -C 1", [subscribed(PING, PONG, message(), BYE, keep_alive=5)], out=b"x\n"),
    Case("the broker wants more pings", SUB, "-V 5 -t t -C 1", [subscribed(
        PING, PONG, message(level=5), BYE, level=5, encoded=ONE, told={"server_keep_alive": 2})], out=b"x\n"),
    Case("a message before the SUBACK", SUB, "-t t -C 1", [accepted(subscribe("t"), message(), BYE)], out=b"x\n"),
)
