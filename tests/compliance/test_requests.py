"""mosquitto_rr: a request, and its response."""

import signal

from compliance.case import RR, Case, Originally, table
from compliance.packets import (BYE, BYE_IF_IN_TIME, accepted, message, puback, pubcomp, published, pubrec, pubrel,
                                sent, suback)
from compliance.script import SILENCE, Reply, Signal
from properties import properties
from wire import MQTT_5, subscribe

WITH_WILL = bytes.fromhex("e00104")
ONE = properties(receive_maximum=1)


def asked(*steps, qos=0, level=MQTT_5, payload=b"q", options=0, **values):
    """A connection on which the request was sent, and what follows."""
    more = {key: values.pop(key) for key in ("client", "login", "keep_alive", "clean") if key in values}
    encoded = values.pop("encoded", ONE)
    if level == MQTT_5:
        values.setdefault("response_topic", "r")
    request = sent(payload, qos, identifier=2, level=level, **values)
    return accepted(subscribe(("r", qos | (options if level == MQTT_5 else 0)), level=level), suback(qos, level=level),
                    *request, *steps, level=level, encoded=encoded, **more)


def answer(payload=b"a", level=MQTT_5, **more):
    return message("r", payload, level=level, **more)


NO_FAREWELL = "The original ends without DISCONNECT, so that a broker sends its will"
WORDS = "-t t -e r -m q"


def request(name, words, script, why=NO_FAREWELL, original=None, original_out=None, **more):
    """A request that is answered: the original then goes without a word."""
    assert script[-1] == BYE
    return Case(name, RR, words, [script], **more, differs=Originally(
        why, scripts=[(original or script)[:-1]], out=more.get("out", b"") if original_out is None else original_out))


test_requests = table(
    request("in 5", WORDS, asked(answer(), BYE), out=b"a\n"),
    request("in 3.1.1", f"{WORDS} -V 311", asked(answer(level=4), BYE, level=4), out=b"a\n"),
    request("QoS 1", f"{WORDS} -q 1", asked(answer(qos=1, identifier=7), puback(7), BYE, qos=1), out=b"a\n"),
    request("QoS 2", f"{WORDS} -q 2", asked(
        answer(qos=2, identifier=7), pubrec(7), Reply(pubrel(7)), pubcomp(7), BYE, qos=2), out=b"a\n"),
    request("verbose", f"{WORDS} -v", asked(answer(), BYE), out=b"r a\n"),
    request("without newline", f"{WORDS} -N", asked(answer(), BYE), out=b"a"),
    request("a format", f"{WORDS} -F '%t %p %l'", asked(answer(), BYE), out=b"r a 1\n"),
    request("correlation data", f"{WORDS} -D publish correlation-data 17 -F '%D %p'",
            asked(answer(correlation_data=b"17"), BYE, correlation_data=b"17", response_topic="r"), out=b"17 a\n"),
    request("an empty request", "-t t -e r -n", asked(answer(), BYE, payload=b""), out=b"a\n"),
    request("a request from a file", "-t t -e r -f {dir}/f", asked(answer(), BYE, payload=b"a\nb"), out=b"a\n",
            files={"f": b"a\nb"}, why="The original does not read the file",
            original=asked(answer(), BYE, payload=b"")),
    request("a request from standard input", "-t t -e r -s", asked(answer(), BYE, payload=b"a\nb\n"), out=b"a\n",
            stdin=b"a\nb\n", why="The original does not read it", original=asked(answer(), BYE, payload=b"")),
    request("an empty answer", WORDS, asked(answer(b""), BYE)),
    request("a retained answer that is not wanted", f"{WORDS} -R", asked(answer(b"old", retain=True), answer(), BYE),
            out=b"a\n", why="The original prints it nevertheless", original_out=b"old\n"),
    request("an id", f"{WORDS} -i a", asked(answer(), BYE, client="a"), out=b"a\n"),
    request("user and password", f"{WORDS} -u u -P p", asked(answer(), BYE, login=("u", "p")), out=b"a\n"),
    request("an answer in time", f"{WORDS} -W 20", asked(answer(), BYE), out=b"a\n"),
    request("the request is not sent before the SUBACK", WORDS, accepted(
        subscribe("r", level=5), SILENCE, suback(level=5), published(payload=b"q", level=5, response_topic="r"),
        answer(), BYE, level=5, encoded=ONE), out=b"a\n"),
    request("a message of another topic", WORDS, asked(message("z", level=5), BYE), out=b"x\n"),
    Case("no answer in time", RR, f"{WORDS} -W 2", [asked(WITH_WILL)], err="Timed out\n", code=27),
    Case("no answer in time, quietly", RR, f"{WORDS} -W 2 --quiet", [asked(WITH_WILL)], code=27),
    Case("the subscription is refused", RR, WORDS, [accepted(
        subscribe("r", level=5), suback(0x87, level=5), BYE_IF_IN_TIME, level=5, encoded=ONE)], err="Not authorized\n"),
    Case("SIGTERM", RR, WORDS, [asked(Signal(signal.SIGTERM), WITH_WILL)],
         differs=Originally("The original dies of it", scripts=[asked(Signal(signal.SIGTERM))], code=-15)),
)
