"""mosquitto_pub: where messages come from, and how they are delivered."""

import re

from compliance.case import PUB, Case, Originally, table
from compliance.packets import BYE, accepted, connack, hello, puback, pubcomp, published, pubrec, pubrel, sent, whole
from compliance.script import CLOSE, EOF, RESET, SILENCE, Feed, Reply

LOST = "Error: The connection was lost.\n"


def lines(words, stdin, *steps, name=None, **more):
    return Case(name or f"{words}: {stdin[:40]}", PUB, f"-t t {words}", [whole(*steps)], stdin=stdin, **more)


def payloads(*all_of_them, **more):
    return [published(payload=payload, **more) for payload in all_of_them]


test_sources = table(
    Case("a text", PUB, "-t t -m hello", [whole(published(payload=b"hello"))]),
    Case("an empty text", PUB, "-t t -m ''", [whole(published(payload=b""))]),
    Case("a text with blanks", PUB, ["-t", "t", "-m", " a  b\t"], [whole(published(payload=b" a  b\t"))]),
    Case("a text of lines", PUB, ["-t", "t", "-m", "a\nb\n"], [whole(published(payload=b"a\nb\n"))]),
    Case("a text beyond ASCII", PUB, "-t t -m 'grüß ☃ 😀'", [whole(published(payload="grüß ☃ 😀"))]),
    Case("a text that is no UTF-8", PUB, ["-t", "t", "-m", b"\xff\xfe"], [whole(published(payload=b"\xff\xfe"))]),
    Case("a text of 100000 bytes", PUB, ["-t", "t", "-m", "x" * 100000], [whole(published(payload=b"x" * 100000))]),
    Case("nothing", PUB, "-t t -n", [whole(published(payload=b""))]),
    Case("nothing, to clear what is retained", PUB, "-t t -r -n", [whole(published(payload=b"", retain=True))]),
    Case("--null-message", PUB, "-t t --null-message", [whole(published(payload=b""))]),
    Case("retained", PUB, "-t t -m x -r", [whole(published(retain=True))]),
    Case("retained at QoS 1", PUB, "-t t -m x -r -q 1", [whole(*sent(qos=1, retain=True))]),
    Case("retained at QoS 2 in 5", PUB, "-t t -m x --retain -q 2 -V 5",
         [whole(*sent(qos=2, retain=True, level=5), level=5)]),
    Case("a file", PUB, "-t t -f {dir}/f", [whole(published(payload=b"a\nb\n\0\xff"))], files={"f": b"a\nb\n\0\xff"}),
    Case("an empty file", PUB, "-t t -f {dir}/f", [whole(published(payload=b""))], files={"f": b""}),
    Case("--file", PUB, "-t t --file {dir}/f", [whole(published(payload=b"x"))], files={"f": b"x"}),
    Case("a file of three million bytes", PUB, "-t t -f {dir}/f", [whole(published(payload=b"0123456789" * 300000))],
         files={"f": b"0123456789" * 300000}),
    Case("a file of three million bytes at QoS 2", PUB, "-t t -q 2 -f {dir}/f",
         [whole(*sent(b"0123456789" * 300000, qos=2))], files={"f": b"0123456789" * 300000}),
    Case("no such file", PUB, "-t t -f {dir}/f", code=1, err=re.compile(
        r'Error: Unable to open file "/\S+/f"\.\nError loading input file "/\S+/f"\.\n')),
    Case("no right to the file", PUB, "-t t -f {dir}", code=1, err=re.compile(r"(?s)Error.*")),
    Case("all of standard input", PUB, "-t t -s", [whole(published(payload=b"a\nb\n\0\xff"))], stdin=b"a\nb\n\0\xff"),
    Case("--stdin-file", PUB, "-t t --stdin-file", [whole(published(payload=b"x"))], stdin=b"x"),
    Case("a million bytes of standard input", PUB, "-t t -s -q 1", [whole(*sent(b"ab" * 500000, qos=1))],
         stdin=b"ab" * 500000),
    Case("empty standard input", PUB, "-t t -s", stdin=b"", code=1,
         err="Error: Zero length input.\nError loading input from stdin.\n"),
    Case("no standard input", PUB, "-t t -s", code=1,
         err="Error: Zero length input.\nError loading input from stdin.\n"),
    Case("a payload with properties", PUB, "-t t -m x -D publish content-type c -D publish user-property a b",
         [whole(published(level=5, content_type="c", user_property=[("a", "b")]), level=5)]),
)

test_lines = table(
    lines("-l", b"a\nb\nc\n", *payloads(b"a", b"b", b"c")),
    lines("--stdin-line", b"a\nb\n", *payloads(b"a", b"b")),
    lines("-l", b"a\nb", *payloads(b"a", b"b"), name="the last line without its end"),
    lines("-l", b"\n\na\n\n", *payloads(b"", b"", b"a", b""), name="empty lines"),
    lines("-l", b"", name="no line"),
    lines("-l", b"\n", *payloads(b""), name="one empty line"),
    lines("-l", b"a\r\nb\r\n", *payloads(b"a\r", b"b\r"), name="lines from DOS"),
    lines("-l", b" a \n\tb\n", *payloads(b" a ", b"\tb"), name="lines with blanks"),
    lines("-l", "ü\n☃\n".encode(), *payloads("ü", "☃"), name="lines beyond ASCII"),
    lines("-l", b"\xff\xfe\n", *payloads(b"\xff\xfe"), name="lines that are no UTF-8"),
    lines("-l", b"l" * 1023 + b"\n" + b"m" * 1024 + b"\n" + b"n" * 1025 + b"\n",
          *payloads(b"l" * 1023, b"m" * 1024, b"n" * 1025), name="lines about as long as a buffer"),
    lines("-l", b"l" * 1_000_000 + b"\nx\n", *payloads(b"l" * 1_000_000, b"x"), name="a line of a million bytes"),
    lines("-l", b"a\0b\nc\n", *payloads(b"a\0b", b"c"), name="lines with NUL",
          differs=Originally("A line is not cut at a NUL", scripts=[whole(*payloads(b"a"))])),
    lines("-l", b"".join(b"%d\n" % n for n in range(2000)), *payloads(*(b"%d" % n for n in range(2000))),
          name="two thousand lines"),
    lines("-l -r", b"a\nb\n", *payloads(b"a", b"b", retain=True), name="retained lines"),
    lines("-l -q 1", b"a\nb\n", published(payload=b"a", qos=1, identifier=1),
          published(payload=b"b", qos=1, identifier=2), Reply(puback(1)), Reply(puback(2)), name="lines at QoS 1"),
    lines("-l -q 2", b"a\n", *sent(b"a", qos=2), name="a line at QoS 2"),
    Case("lines at QoS 2, acknowledged together", PUB, "-t t -l -q 2", [whole(
        published(payload=b"a", qos=2, identifier=1), published(payload=b"b", qos=2, identifier=2),
        Reply(pubrec(1) + pubrec(2)), pubrel(1), pubrel(2), Reply(pubcomp(1) + pubcomp(2)))], stdin=b"a\nb\n"),
    Case("lines as they come", PUB, "-t t -l", [whole(
        Feed(b"a\n"), published(payload=b"a"), Feed(b"b\n"), published(payload=b"b"), EOF)], stdin="open"),
    Case("a line in pieces", PUB, "-t t -l", [whole(Feed(b"a"), SILENCE, Feed(b"b\n"), published(payload=b"ab"), EOF)],
         stdin="open"),
    Case("a line at QoS 1 as it comes", PUB, "-t t -l -q 1", [whole(
        Feed(b"a\n"), published(payload=b"a", qos=1), Reply(puback(1)), Feed(b"b\n"),
        published(payload=b"b", qos=1, identifier=2), Reply(puback(2)), EOF)], stdin="open"),
    Case("lines in 5", PUB, "-t t -l -V 5", [whole(*payloads(b"a", b"b", level=5), level=5)], stdin=b"a\nb\n"),
    Case("lines with properties", PUB, "-t t -l -D publish content-type c",
         [whole(*payloads(b"a", b"b", level=5, content_type="c"), level=5)], stdin=b"a\nb\n"),
    Case("lines are not sent before the broker accepts", PUB, "-t t -l",
         [[hello(), SILENCE, connack(), *payloads(b"a", b"b"), BYE]], stdin=b"a\nb\n"),
)


def window(count, size, level=4):
    """Messages of QoS 2 of which no more than so many are under way at a time."""
    steps = [published(payload=b"%d" % n, qos=2, identifier=n, level=level) for n in range(1, size + 1)]
    for n in range(1, count + 1):
        steps += [Reply(pubrec(n)), pubrel(n), Reply(pubcomp(n))]
        if n + size <= count:
            steps.append(published(payload=b"%d" % (n + size), qos=2, identifier=n + size, level=level))
    return steps


def numbers(count):
    return b"".join(b"%d\n" % n for n in range(1, count + 1))


OTHER_REASONS = [(0x80, "Unspecified error"), (0x83, "Implementation specific error"), (0x87, "Not authorized"),
                 (0x90, "Topic Name invalid"), (0x91, "Packet Identifier in use"), (0x97, "Quota exceeded"),
                 (0x99, "Payload format invalid")]
test_delivery = table(
    Case("QoS 0", PUB, "-t t -m x -q 0", [whole(published())]),
    Case("QoS 1", PUB, "-t t -m x -q 1", [whole(*sent(qos=1))]),
    Case("QoS 2", PUB, "-t t -m x -q 2", [whole(*sent(qos=2))]),
    Case("QoS 1 in 5", PUB, "-t t -m x -q 1 -V 5", [whole(*sent(qos=1, level=5), level=5)]),
    Case("QoS 2 in 3.1", PUB, "-t t -m x -q 2 -V 31 -i a", [whole(*sent(qos=2), level=3, client="a")]),
    Case("nothing before the CONNACK", PUB, "-t t -m x", [[hello(), SILENCE, connack(), published(), BYE]]),
    Case("nothing ends before the PUBACK", PUB, "-t t -m x -q 1",
         [whole(published(qos=1), SILENCE, Reply(puback(1)))]),
    Case("nothing ends before the PUBCOMP", PUB, "-t t -m x -q 2",
         [whole(published(qos=2), Reply(pubrec(1)), pubrel(1), SILENCE, Reply(pubcomp(1)))]),
    Case("twenty under way", PUB, "-t t -l -q 2", [whole(*window(45, 20))], stdin=numbers(45)),
    Case("one under way", PUB, "-t t -l -q 2 -M 1", [whole(*window(5, 1))], stdin=numbers(5)),
    Case("three under way", PUB, "-t t -l -q 2 -M 3", [whole(*window(9, 3))], stdin=numbers(9)),
    Case("thirty under way", PUB, "-t t -l -q 2 -M 30", [whole(*window(40, 30))], stdin=numbers(40)),
    Case("as many as the broker takes", PUB, "-t t -l -q 2 -V 5",
         [whole(*window(9, 4, level=5), level=5, told={"receive_maximum": 4})], stdin=numbers(9)),
    Case("no more than -M though the broker takes them", PUB, "-t t -l -q 2 -V 5 -M 2",
         [whole(*window(5, 2, level=5), level=5, told={"receive_maximum": 4})], stdin=numbers(5),
         differs=Originally("The broker's Receive Maximum does not raise what -M allows", scripts=[
             whole(*window(5, 4, level=5), level=5, told={"receive_maximum": 4})])),
    Case("three times", PUB, "-t t -m x --repeat 3", [whole(*payloads(b"x", b"x", b"x"))]),
    Case("once", PUB, "-t t -m x --repeat 1", [whole(published())]),
    Case("three times at QoS 1", PUB, "-t t -m x -q 1 --repeat 3",
         [whole(*sent(qos=1), *sent(qos=1, identifier=2), *sent(qos=1, identifier=3))]),
    Case("twice at QoS 2", PUB, "-t t -m x -q 2 --repeat 2", [whole(*sent(qos=2), *sent(qos=2, identifier=2))]),
    Case("nothing, twice", PUB, "-t t -n --repeat 2", [whole(*payloads(b"", b""))]),
    Case("a file, twice", PUB, "-t t -f {dir}/f --repeat 2", [whole(*payloads(b"x", b"x"))], files={"f": b"x"}),
    Case("standard input, twice", PUB, "-t t -s --repeat 2", [whole(*payloads(b"ab\n", b"ab\n"))], stdin=b"ab\n"),
    Case("twice with a pause", PUB, "-t t -m x --repeat 2 --repeat-delay 0.3",
         [whole(published(), SILENCE, published())]),
    Case("twice with a pause of none", PUB, "-t t -m x --repeat 2 --repeat-delay 0", [whole(*payloads(b"x", b"x"))]),
    Case("a topic alias", PUB, "-t t -m x -V 5 -D publish topic-alias 3 --repeat 3",
         [whole(published(level=5, topic_alias=3), published("", level=5, topic_alias=3),
                published("", level=5, topic_alias=3), level=5, told={"topic_alias_maximum": 10})]),
    *(Case(f"PUBACK {code:#x}", PUB, "-t t -m x -q 1 -V 5",
           [whole(published(qos=1, level=5), Reply(puback(1, code)), level=5)],
           err=f"Warning: Publish 1 failed: {text}.\n") for code, text in OTHER_REASONS),
    *(Case(f"PUBREC {code:#x}", PUB, "-t t -m x -q 2 -V 5",
           [whole(published(qos=2, level=5), Reply(pubrec(1, code)), level=5)],
           err=f"Warning: Publish 1 failed: {text}.\n") for code, text in OTHER_REASONS),
    Case("PUBACK: nobody subscribed", PUB, "-t t -m x -q 1 -V 5",
         [whole(published(qos=1, level=5), Reply(puback(1, 0x10)), level=5)]),
    Case("PUBREC: nobody subscribed", PUB, "-t t -m x -q 2 -V 5",
         [whole(published(qos=2, level=5), Reply(pubrec(1, 0x10)), pubrel(1), Reply(pubcomp(1)), level=5)]),
    Case("PUBACK with reason and properties", PUB, "-t t -m x -q 1 -V 5",
         [whole(published(qos=1, level=5), Reply(b"\x40\x09\0\1\x87\x05\x1f\0\2no"), level=5)],
         err="Warning: Publish 1 failed: Not authorized.\nno\n"),
    Case("refused, quietly", PUB, "-t t -m x -q 1 -V 5 --quiet",
         [whole(published(qos=1, level=5), Reply(puback(1, 0x87)), level=5)]),
    Case("closed instead of a CONNACK", PUB, "-t t -m x", [[hello(), CLOSE]], err=LOST, code=7),
    Case("reset instead of a CONNACK", PUB, "-t t -m x", [[hello(), RESET]], err=re.compile("Error: .*\n"), code=7),
    Case("closed instead of a PUBACK", PUB, "-t t -m x -q 1", [accepted(published(qos=1), CLOSE)], err=LOST, code=7),
    Case("closed instead of a PUBREC", PUB, "-t t -m x -q 2", [accepted(published(qos=2), CLOSE)], err=LOST, code=7),
    Case("closed instead of a PUBCOMP", PUB, "-t t -m x -q 2",
         [accepted(published(qos=2), Reply(pubrec(1)), pubrel(1), CLOSE)], err=LOST, code=7),
    Case("closed, quietly", PUB, "-t t -m x -q 1 --quiet", [accepted(published(qos=1), CLOSE)], code=7),
    Case("lines go on after a loss", PUB, "-t t -l -q 1 -i a -c", [
        accepted(Feed(b"a\n"), published(payload=b"a", qos=1), CLOSE, client="a", clean=False),
        accepted(published(payload=b"a", qos=1, dup=True), Reply(puback(1)), EOF, BYE, client="a", clean=False,
                 present=1)], stdin="open"),
    Case("lines go on after a loss between PUBREC and PUBCOMP", PUB, "-t t -l -q 2 -i a -c", [
        accepted(Feed(b"a\n"), published(payload=b"a", qos=2), Reply(pubrec(1)), pubrel(1), CLOSE, client="a",
                 clean=False),
        accepted(pubrel(1), Reply(pubcomp(1)), EOF, BYE, client="a", clean=False, present=1)], stdin="open"),
    Case("what the broker says at the end", PUB, "-t t -m x -q 1 -V 5",
         [accepted(published(qos=1, level=5), Reply(b"\xe0\x01\x8b"), CLOSE, level=5)],
         err="Error: The client is not currently connected.\n", code=4),
)
