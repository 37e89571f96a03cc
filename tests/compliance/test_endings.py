"""How mosquitto_sub ends, and how it goes on when the connection is lost."""

import re
import signal

from compliance.case import CLOSED, SUB, Case, Originally, table
from compliance.packets import (BYE, BYE_IF_IN_TIME, accepted, hello, message, pubcomp, published, pubrec, pubrel,
                                suback, subscribed, taken)
from compliance.script import CLOSE, RESET, Printed, Reply, Signal
from properties import properties
from wire import subscribe

ONE = properties(receive_maximum=1)
#: What 5.0 says when a signal ended it: a broker is to send the will.
WITH_WILL = bytes.fromhex("e00104")

test_endings = table(
    Case("a time", SUB, "-t t -W 2", [subscribed(BYE)], err="Timed out\n", code=27),
    Case("a time, quietly", SUB, "-t t -W 2 --quiet", [subscribed(BYE)], code=27),
    Case("a time after messages", SUB, "-t t -W 2", [subscribed(message(), BYE)], out=b"x\n", err="Timed out\n",
         code=27),
    Case("a time that is not needed", SUB, "-t t -C 1 -W 20", [subscribed(message(), BYE)], out=b"x\n"),
    Case("a time with too few messages", SUB, "-t t -C 2 -W 2", [subscribed(message(), BYE)], out=b"x\n",
         err="Timed out\n", code=27),
    Case("a time without SUBACK", SUB, "-t t -W 2", [accepted(subscribe("t"), BYE)], err="Timed out\n", code=27),
    Case("a time without CONNACK", SUB, "-t t -W 1", [[hello()]], err=re.compile("(Timed out\n)?"), code=255),
    Case("a time in 5", SUB, "-V 5 -t t -W 2", [subscribed(re.compile(rb"\xe0(\0|\x01\x04)"), level=5)],
         err="Timed out\n", code=27),
    *(Case(f"{number.name} in 3.1.1", SUB, "-t t", [subscribed(message(), Printed(b"x\n"), Signal(number), BYE)],
           out=b"x\n") for number in (signal.SIGINT, signal.SIGTERM)),
    *(Case(f"{number.name} in 5", SUB, "-t t -V 5",
           [subscribed(message(level=5), Printed(b"x\n"), Signal(number), WITH_WILL, level=5)], out=b"x\n")
      for number in (signal.SIGINT, signal.SIGTERM)),
    Case("SIGINT before the CONNACK", SUB, "-t t", [[hello(), Signal()]], code=255),
    Case("SIGKILL", SUB, "-t t", [subscribed(message(), Printed(b"x\n"), Signal(signal.SIGKILL))], out=b"x\n", code=-9),
    Case("SIGHUP", SUB, "-t t", [subscribed(message(), Printed(b"x\n"), Signal(signal.SIGHUP))], out=b"x\n", code=-1),
    Case("nobody reads", SUB, "-t t", [subscribed(message(), BYE)], stdout=CLOSED),
    Case("printed at once", SUB, "-t t -C 2", [subscribed(
        message(payload=b"1"), Printed(b"1\n"), message(payload=b"2"), BYE)], out=b"1\n2\n"),
    Case("printed at once without newline", SUB, "-t t -N -C 2", [subscribed(
        message(payload=b"1"), Printed(b"1"), message(payload=b"2"), BYE)], out=b"12"),
    Case("acknowledged once it is printed", SUB, "-t t -q 1", [subscribed(message(qos=1), BYE, qos=1)], stdout=CLOSED,
         differs=Originally("What is acknowledged is not lost", scripts=[subscribed(*taken(), BYE, qos=1)])),
    Case("the end of a message counts, not of the connection", SUB, "-t t -C 1",
         [subscribed(Reply(published()), CLOSE)], out=b"x\n"),
)

AGAIN = dict(client="a", clean=False)
test_losses = table(
    Case("closed instead of a CONNACK", SUB, "-t t -C 1", [[hello(), CLOSE], subscribed(message(), BYE)], out=b"x\n"),
    Case("connects again", SUB, "-t t -C 2", [
        subscribed(message(payload=b"1"), CLOSE),
        accepted(subscribe("t", identifier=2), suback(identifier=2), message(payload=b"2"), BYE)], out=b"1\n2\n"),
    Case("connects again after a reset", SUB, "-t t -C 2", [
        subscribed(message(payload=b"1"), Printed(b"1\n"), RESET),
        accepted(subscribe("t", identifier=2), suback(identifier=2), message(payload=b"2"), BYE)], out=b"1\n2\n"),
    Case("connects again and again", SUB, "-t t -C 1", [
        subscribed(CLOSE), [hello(), CLOSE],
        accepted(subscribe("t", identifier=2), suback(identifier=2), message(), BYE)], out=b"x\n"),
    Case("connects again to its session", SUB, "-t t -i a -c -q 1 -C 2", [
        subscribed(*taken(b"1"), CLOSE, qos=1, **AGAIN),
        accepted(subscribe("t", identifier=2, qos=1), suback(1, identifier=2), *taken(b"2", identifier=7), BYE,
                 present=1, **AGAIN)], out=b"1\n2\n"),
    Case("QoS 2 over a loss", SUB, "-t t -i a -c -q 2 -C 2", [
        subscribed(message(qos=2), pubrec(), CLOSE, qos=2, **AGAIN),
        accepted(subscribe("t", identifier=2, qos=2), suback(2, identifier=2), Reply(pubrel()), pubcomp(),
                 *taken(b"y", qos=2, identifier=2), BYE, present=1, **AGAIN)], out=b"x\ny\n"),
    Case("QoS 2 again over a loss", SUB, "-t t -i a -c -q 2 -C 1", [
        subscribed(message(qos=2), pubrec(), CLOSE, qos=2, **AGAIN),
        accepted(subscribe("t", identifier=2, qos=2), suback(2, identifier=2), *taken(qos=2, dup=True), BYE, present=1,
                 **AGAIN)], out=b"x\n"),
    Case("a signal while it is away", SUB, "-t t", [subscribed(message(), Printed(b"x\n"), CLOSE),
                                                          [hello(), Signal(), BYE_IF_IN_TIME]], out=b"x\n", code=0),
    *(Case(f"the broker ends it with {reason:#x}", SUB, "-V 5 -t t",
           [subscribed(Reply(bytes([0xE0, 1, reason])), CLOSE, level=5)]) for reason in (0x00, 0x8B, 0x8D, 0x8E, 0x98)),
)
