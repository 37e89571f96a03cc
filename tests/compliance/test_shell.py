"""In a shell, as people use them."""

import re

from compliance.case import SHELL, Case, Originally, table
from compliance.packets import (BYE, accepted, connack, hello, message, published, puback, sent, suback, subscribed,
                                whole)
from compliance.script import Reply
from wire import subscribe

AT = "-h {host} -p {port}"


def shell(name, text, *scripts, out=b"", **more):
    return Case(name, SHELL, text.replace("AT", AT), list(scripts), out=out, **more)


test_pipes = table(
    shell("the code", "mosquitto_pub AT -t t -m x; echo $?", whole(published()), out=b"0\n"),
    shell("the code of a refusal", "mosquitto_pub AT -t t -m x --quiet; echo $?", [hello(), connack(5)], out=b"5\n"),
    shell("and", "mosquitto_pub AT -t t -m x && echo sent || echo failed", whole(published()), out=b"sent\n"),
    shell("or", "mosquitto_pub AT -t t -m x 2>/dev/null && echo sent || echo failed", out=b"failed\n"),
    shell("a value into a variable", "v=$(mosquitto_sub AT -t t -C 1); echo \"[$v]\"",
          subscribed(message(payload=b"21.5"), BYE),
          out=b"[21.5]\n"),
    shell("a value or a time", "v=$(mosquitto_sub AT -t t -C 1 -W 2 2>/dev/null) || echo \"none: $?\"", subscribed(BYE),
          out=b"none: 27\n"),
    shell("while read",
          "mosquitto_sub AT -t '#' -v -C 2 | while read -r topic payload; do echo \"<$topic><$payload>\"; done",
          subscribed(message("a", b"1 2"), message("b/c", b"\\"), BYE, filters=["#"]), out=b"<a><1 2>\n<b/c><\\>\n"),
    shell("lines of a pipe", "printf 'a\\nb\\n' | mosquitto_pub AT -t t -l", whole(published(payload=b"a"),
                                                                            published(payload=b"b"))),
    shell("a pipe as one message", "printf 'a\\nb\\n' | mosquitto_pub AT -t t -s", whole(published(payload=b"a\nb\n"))),
    shell("a file as one message", "echo x >f; mosquitto_pub AT -t t -s <f", whole(published(payload=b"x\n"))),
    shell("a here document", "mosquitto_pub AT -t t -l <<END\none\ntwo\nEND\n", whole(published(payload=b"one"),
                                                                            published(payload=b"two"))),
    shell("/dev/stdin", "echo x | mosquitto_pub AT -t t -f /dev/stdin", whole(published(payload=b"x\n")),
          differs=Originally("The original asks a pipe for its length", scripts=[], code=1,
                             err=re.compile("(?s)Error.*"))),
    shell("seq", "seq 3 | mosquitto_pub AT -t t -l -q 1", whole(
        *(published(payload=b"%d" % n, qos=1, identifier=n) for n in (1, 2, 3)),
        Reply(puback(1) + puback(2) + puback(3)))),
    shell("into a file", "mosquitto_sub AT -t t -C 1 >f; wc -c <f", subscribed(message(payload=b"12345"), BYE),
          out=b"6\n"),
    shell("a full disk", "mosquitto_sub AT -t t >/dev/full", subscribed(message(), BYE)),
    shell("timeout", "timeout 2 mosquitto_sub AT -t t; echo $?", subscribed(message(), BYE), out=b"x\n124\n"),
    shell("in the background", "mosquitto_sub AT -t t & wait $!; echo $?", accepted(
        subscribe("t"), suback(0x80), BYE), out=b"0\n", err="All subscription requests were denied.\n"),
    shell("xargs", "echo a b | xargs mosquitto_pub AT -t t -m x -i", err=re.compile("(?s)Error: Unknown option 'b'.*"),
          code=123),
    shell("a link in another place", "ln -s $(command -v mosquitto_pub) ./mosquitto_pub; ./mosquitto_pub AT -t t -m x",
          whole(published())),
    shell("closed standard input", "mosquitto_pub AT -t t -m x <&-", whole(published())),
    shell("closed standard output", "mosquitto_pub AT -t t -m x >&-", whole(published())),
    shell("closed standard error", "mosquitto_pub AT -t t -m x 2>&-", whole(published())),
    shell("an empty environment", "p=$(command -v mosquitto_pub); env -i $p AT -t t -m x", whole(published())),
    shell("od", "mosquitto_sub AT -t t -C 1 -N | od -An -tx1", subscribed(message(payload=b"\0\1\xff"), BYE),
          out=b" 00 01 ff\n"),
    shell("a field of JSON", "mosquitto_sub AT -t t -C 1 -F %J | sed 's/.*\"temperature\":\\([0-9.]*\\).*/\\1/'",
          subscribed(message(payload=b'{"temperature": 21.5}'), BYE), out=b"21.5\n"),
)

UNNAMED = (b"Client null sending CONNECT\nClient null received CONNACK (0)\n"
           b"Client null sending PUBLISH (d0, q0, r0, m1, 't', ... (1 bytes))\nClient null sending DISCONNECT\n")
test_debug = table(
    shell("publishing", "mosquitto_pub AT -t t -m hello -q 1 -d -i a", whole(*sent(b"hello", qos=1), client="a"), out=(
        b"Client a sending CONNECT\nClient a received CONNACK (0)\n"
        b"Client a sending PUBLISH (d0, q1, r0, m1, 't', ... (5 bytes))\nClient a received PUBACK (Mid: 1, RC:0)\n"
        b"Client a sending DISCONNECT\n")),
    shell("without an id", "mosquitto_pub AT -t t -m x -d", whole(published()), out=UNNAMED, differs=Originally(
        "2.0.11 writes (null) where 2.0.18 writes null", out=UNNAMED.replace(b"null", b"(null)"))),
    shell("QoS 2", "mosquitto_pub AT -t t -m x -q 2 -d -i a | sed 1,2d", whole(*sent(qos=2), client="a"), out=(
        b"Client a sending PUBLISH (d0, q2, r0, m1, 't', ... (1 bytes))\nClient a received PUBREC (Mid: 1)\n"
        b"Client a sending PUBREL (m1)\nClient a received PUBCOMP (Mid: 1, RC:0)\nClient a sending DISCONNECT\n")),
    shell("subscribing", "mosquitto_sub AT -t t -C 1 -d -i a", subscribed(message(payload=b"hello"), BYE, client="a"),
          out=(
        b"Client a sending CONNECT\nClient a received CONNACK (0)\n"
        b"Client a sending SUBSCRIBE (Mid: 1, Topic: t, QoS: 0, Options: 0x00)\nClient a received SUBACK\n"
        b"Subscribed (mid: 1): 0\nClient a received PUBLISH (d0, q0, r0, m0, 't', ... (5 bytes))\nhello\n"
        b"Client a sending DISCONNECT\n")),
)
