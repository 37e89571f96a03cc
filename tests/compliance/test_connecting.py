"""The CONNECT of every choice of options, the ways to a broker, and files of options."""

import re

from compliance.case import PUB, RR, SUB, Case, Originally, table, usage, wrong
from compliance.packets import (BYE, accepted, connack, hello, message, pattern, published, sent, suback, subscribed,
                                whole)
from compliance.script import Raw, Reply
from properties import properties
from wire import MQTT_3_1, subscribe

RANDOM_ID = re.compile(rb"mosq-[A-Za-z0-9]{18}")


def with_id(found, level, size, encoded=b""):
    """A CONNECT whose Client Identifier is of this size and pattern."""
    whole_packet = hello("?" * size, level, encoded)
    return pattern(whole_packet[:-size], found)


def x(*steps, **more):
    """A connection with one message."""
    return whole(published(level=more.get("level", 4)), **more)


ANSWERED = accepted(subscribe("r"), suback(), published(), message("r", b"y"), BYE)
NO_FAREWELL = "The original's mosquitto_rr ends without DISCONNECT, so that a broker sends its will"
OWN_EXPIRY = properties(session_expiry_interval=60, receive_maximum=20)
FOR_EVER = properties(session_expiry_interval=0xFFFFFFFF, receive_maximum=20)

test_connect = table(
    Case("3.1.1 by default", PUB, "-t t -m x", [[Raw(bytes.fromhex("100c00044d515454040200")+b"\x3c\0\0"), connack(),
                                                 published(), BYE]]),
    Case("5 by default for requests", RR, "-t t -e r -m x",
         [[Raw(bytes.fromhex("101000044d5154540502003c032100010000")), connack(0x87, 5)]],
         err="Connection error: Not authorized\n", code=135),
    *(Case(f"version {version}", PUB, f"-t t -m x -V {version}", [x(level=level)])
      for version, level in [("311", 4), ("mqttv311", 4), ("5", 5), ("mqttv5", 5)]),
    *(Case(f"version {version}", PUB, f"-t t -m x -V {version}",
           [[with_id(RANDOM_ID, MQTT_3_1, 23), connack(), published(), BYE]]) for version in ("31", "mqttv31")),
    Case("the last version counts", PUB, "-t t -m x -V 5 -V 311", [x()]),
    Case("an id", PUB, "-t t -m x -i abc", [x(client="abc")]),
    Case("an id in 3.1", PUB, "-t t -m x -V 31 -i abc", [x(client="abc", level=MQTT_3_1)]),
    Case("an id of more than 23 characters", PUB, f"-t t -m x -i {'l' * 100}", [x(client="l" * 100)]),
    Case("an empty id", PUB, "-t t -m x -i ''", code=1, err=re.compile(r"(?s)Error: Invalid id\..*")),
    Case("an id beyond ASCII", PUB, "-t t -m x -i Zähler", [x(client="Zähler")]),
    Case("an id that is no UTF-8", PUB, ["-t", "t", "-m", "x", "-i", b"\xff"], code=1,
         err=usage(PUB, "Malformed UTF-8 in -i argument.*"),
         differs=Originally("The original fails in silence", err="")),
    Case("a prefix", PUB, "-t t -m x -I meter-",
         [[re.compile(rb"\x10.\0\x04MQTT\x04\x02\0\x3c\0.meter-\d+", re.DOTALL), connack(), published(), BYE]]),
    Case("user", PUB, "-t t -m x -u me", [x(login=("me", None))]),
    Case("user and password", PUB, "-t t -m x -u me -P secret", [x(login=("me", "secret"))]),
    Case("user and password in 5", PUB, "-t t -m x -u me -P secret -V 5", [x(login=("me", "secret"), level=5)]),
    Case("user and password in 3.1", PUB, "-t t -m x -i a -u me -P secret -V 31",
         [x(login=("me", "secret"), level=3, client="a")]),
    Case("user with an empty password", PUB, "-t t -m x -u me -P ''", [x(login=("me", ""))]),
    Case("an empty user", PUB, "-t t -m x -u '' -P ''", [x(login=("", ""))]),
    Case("a password with blanks and quotes", PUB, ["-t", "t", "-m", "x", "-u", "m e", "-P", " \"'\\ "],
         [x(login=("m e", " \"'\\ "))]),
    Case("a password that is no UTF-8", PUB, ["-t", "t", "-m", "x", "-u", "me", "-P", b"\xff\xfe"],
         [x(login=("me", b"\xff\xfe"))]),
    Case("a password without a user", PUB, "-t t -m x -P secret", code=1,
         err="Error: Problem setting username and/or password.\n"),
    Case("a password without a user, 3.1", SUB, "-t t -V 31 -P secret", code=1,
         err="Error: Problem setting username and/or password.\n"),
    Case("a password without a user, 5", PUB, "-t t -m x -P secret -V 5", [x(login=(None, "secret"), level=5)]),
    Case("Keep Alive", PUB, "-t t -m x -k 300", [x(keep_alive=300)]),
    Case("--keepalive", SUB, "--topic t --keepalive 300 -C 1", [subscribed(message(), BYE, keep_alive=300)],
         out=b"x\n"),
    Case("long names", PUB, "--topic t --message x --id i --username u --pw p --qos 1 --protocol-version 5 --debug"
         " --quiet --keepalive 9 --retain --property publish content-type c --disable-clean-session",
         [accepted(*sent(qos=1, level=5, retain=True, content_type="c"), BYE, client="i", level=5, login=("u", "p"),
                   keep_alive=9, clean=False, encoded=FOR_EVER)], out=re.compile(rb".*", re.DOTALL)),
    Case("a lasting session", PUB, "-t t -m x -i a -c", [x(client="a", clean=False)]),
    Case("a lasting session in 3.1", PUB, "-t t -m x -i a -c -V 31", [x(client="a", clean=False, level=3)]),
    Case("a lasting session in 5", PUB, "-t t -m x -i a -c -V 5",
         [x(client="a", clean=False, level=5, encoded=FOR_EVER)]),
    Case("a lasting session with expiry", PUB, "-t t -m x -i a -c -V 5 -x 60",
         [x(client="a", clean=False, level=5, encoded=OWN_EXPIRY)]),
    Case("a lasting session with expiry needs no id", PUB, "-t t -m x -c -V 5 -x 60",
         [x(clean=False, level=5, encoded=OWN_EXPIRY)], differs=Originally(
             "In 5.0 the broker may name the client whose session lasts", scripts=[], err="Error: Invalid id.\n",
             code=1)),
    wrong("a session for ever needs an id", PUB, "-t t -m x -V 5 -c", "You must provide a client id .*"),
    Case("expiry", PUB, "-t t -m x -V 5 -x 60", [x(level=5, encoded=OWN_EXPIRY)]),
    Case("expiry of 0", PUB, "-t t -m x -V 5 -x 0", [x(level=5)]),
    *(Case(f"expiry of {value}", PUB, f"-t t -m x -V 5 -i a -x {value}", [x(client="a", level=5, encoded=FOR_EVER)])
      for value in ["-1", "∞", "4294967295"]),
    Case("expiry in 3.1.1 is nothing", PUB, "-t t -m x -V 311 -x 60", [x()]),
    Case("expiry without a version", PUB, "-t t -m x -x 60", [x(level=5, encoded=OWN_EXPIRY)], differs=Originally(
        "-x means 5 since 2.1; what is asked for is not left out in silence", scripts=[x()])),
    *(Case(f"a will in {level}", PUB, f"-t t -m x -i a -V {version} --will-topic w --will-payload gone --will-qos 2"
           " --will-retain", [x(client="a", level=level, will=("w", "gone"), will_qos=2, will_retain=True)])
      for version, level in [("31", 3), ("311", 4), ("5", 5)]),
    Case("a will without payload", PUB, "-t t -m x --will-topic w", [x(will=("w", b""))]),
    Case("a will of QoS 1", SUB, "-t t -C 1 --will-topic w --will-payload '' --will-qos 1",
         [subscribed(message(), BYE, will=("w", b""), will_qos=1)], out=b"x\n"),
    Case("a will with a wildcard", PUB, "-t t -m x --will-topic w/#", code=1, err=usage(PUB, "Invalid will topic.*")),
    Case("all flags together", PUB,
         "-t t -m x -V 5 -i a -u u -P p -c -x 60 --will-topic w --will-payload z --will-qos 1"
         " --will-retain", [x(level=5, client="a", login=("u", "p"), clean=False, encoded=OWN_EXPIRY, will=("w", "z"),
                              will_qos=1, will_retain=True)]),
    Case("the broker names the client", PUB, "-t t -m x -V 5",
         [whole(published(level=5), level=5, told={"assigned_client_identifier": "auto-1"})]),
    Case("a session is there", SUB, "-t t -i a -c -C 1",
         [subscribed(message(), BYE, client="a", clean=False, present=1)], out=b"x\n"),
)

test_ways = table(
    Case("a unix socket", PUB, "--unix {dir}/socket -t t -m x", [x()], dial="", listen="unix"),
    Case("a unix socket, subscribing", SUB, "--unix {dir}/socket -t t -C 1", [subscribed(message(), BYE)], out=b"x\n",
         dial="", listen="unix"),
    Case("port 0 is a unix socket", PUB, "-h {dir}/socket -p 0 -t t -m x", [x()], dial="", listen="unix"),
    Case("no unix socket", PUB, "--unix {dir}/none -t t -m x", dial="", code=1,
         err=re.compile("Error: No such file or directory\n")),
    Case("a unix socket where nobody listens", PUB, "--unix {dir}/socket -t t -m x", dial="", listen="unix", code=1,
         err=re.compile("Error: Connection refused\n")),
    Case("IPv6", PUB, "-t t -m x", [x()], listen="::1"),
    Case("a name", PUB, "-h localhost -p {port} -t t -m x", [x()], dial=""),
    Case("an interface's address", PUB, "-A 127.0.0.1 -t t -m x", [x()]),
    Case("an address that is not ours", PUB, "-A 192.0.2.1 -t t -m x", code=1, err=re.compile("(Error|Unable).*\n")),
    Case("without delay", PUB, "--nodelay -t t -m x", [x()]),
    Case("the default port", PUB, "-h {host} -t t -m x", [x()], dial="", listen=1883),
    Case("nobody listens", PUB, "-t t -m x", code=1, err="Error: Connection refused\n"),
    Case("nobody listens, subscribing", SUB, "-t t", code=1, err="Error: Connection refused\n"),
    Case("nobody listens, requesting", RR, "-t t -e r -m x", code=1, err="Error: Connection refused\n"),
    Case("nobody listens, quiet", PUB, "--quiet -t t -m x", code=1),
    Case("nobody listens, quiet subscriber", SUB, "--quiet -t t", code=1),
    Case("no such host", PUB, "-h nosuch.invalid -t t -m x", dial="", code=1,
         err="Unable to connect (Lookup error.).\n"),
    Case("no such host, subscribing", SUB, "-h nosuch.invalid -t t", dial="", code=1,
         err="Unable to connect (Lookup error.).\n"),
    Case("no such host, quiet", PUB, "--quiet -h nosuch.invalid -t t -m x", dial="", code=1),
)

test_urls = table(
    Case("host and port", PUB, "-L mqtt://{host}:{port}/t -m x", [x()], dial=""),
    Case("a topic of more levels", PUB, "-L mqtt://{host}:{port}/a/b//c -m x", [whole(published("a/b//c"))], dial=""),
    Case("a topic that begins with /", PUB, "-L mqtt://{host}:{port}//a -m x", [whole(published("/a"))], dial=""),
    Case("the default port of a URL", PUB, "-L mqtt://{host}/t -m x", [x()], dial="", listen=1883),
    Case("a user", PUB, "-L mqtt://me@{host}:{port}/t -m x", [x(login=("me", None))], dial=""),
    Case("a user and a password", PUB, "-L mqtt://me:secret@{host}:{port}/t -m x", [x(login=("me", "secret"))],
         dial=""),
    Case("subscribing", SUB, "-L mqtt://{host}:{port}/t -C 1", [subscribed(message(), BYE)], out=b"x\n", dial=""),
    Case("subscribing to one more", SUB, "-L mqtt://{host}:{port}/t -t u -C 1",
         [subscribed(message(), BYE, filters=["t", "u"])], out=b"x\n", dial=""),
    Case("a wildcard", SUB, "-L mqtt://{host}:{port}/a/# -C 1", [subscribed(message("a"), BYE, filters=["a/#"])],
         out=b"x\n", dial=""),
    Case("requesting", RR, "-L mqtt://{host}:{port}/t -e r -m x -V 311",
         [ANSWERED], out=b"y\n", dial="", differs=Originally(NO_FAREWELL, scripts=[ANSWERED[:-1]])),
    wrong("a URL without topic", PUB, "-L mqtt://{host}:{port} -m x", "Invalid URL for -L argument.*", dial=""),
    wrong("no URL", PUB, "-L {host} -m x", "unsupported URL scheme.*", dial=""),
    wrong("another scheme", PUB, "-L http://{host}:{port}/t -m x", "unsupported URL scheme.*", dial=""),
    wrong("an empty URL", SUB, "-L ''", "unsupported URL scheme.*", dial=""),
    Case("a password with %", PUB, "-L mqtt://me:a%40b%3Ac@{host}:{port}/t -m x", [x(login=("me", "a@b:c"))], dial="",
         differs=Originally("The original takes what is encoded as it stands", scripts=[x(login=("me", "a%40b%3Ac"))])),
    Case("an IPv6 address", PUB, "-L mqtt://[::1]:{port}/t -m x", [x()], dial="", listen="::1",
         differs=Originally("The original splits the address at its first colon", scripts=[], code=1,
                            err=re.compile("(?s).*"))),
)

test_option_files = table(
    Case("options in HOME", PUB, "-m x", [x(client="file")],
         files={".config/mosquitto_pub": "-t t\n-i file\n"}),
    Case("options in XDG_CONFIG_HOME", PUB, "-m x", [x(client="file")],
         files={"xdg/mosquitto_pub": "-t t\n-i file\n", ".config/mosquitto_pub": "-t other\n"},
         environment={"XDG_CONFIG_HOME": "{dir}/xdg"}),
    Case("XDG_CONFIG_HOME without the file", PUB, "-t t -m x", [x()],
         files={".config/mosquitto_pub": "-i file\n"}, environment={"XDG_CONFIG_HOME": "{dir}/xdg"}),
    Case("each tool has its own", SUB, "-C 1", [subscribed(message(), BYE, client="sub")], out=b"x\n",
         files={".config/mosquitto_pub": "-i pub\n", ".config/mosquitto_sub": "-t t\n-i sub\n"}),
    Case("a request's own", RR, "-V 311 -m x", [ANSWERED], out=b"y\n",
         files={".config/mosquitto_rr": "-t t\n-e r\n"}, differs=Originally(NO_FAREWELL, scripts=[ANSWERED[:-1]])),
    Case("where the broker is", PUB, "-t t -m x", [x()], dial="",
         files={".config/mosquitto_pub": "-h {host}\n-p {port}\n"}),
    Case("the command line wins", PUB, "-i own -t t -m x", [x(client="own")],
         files={".config/mosquitto_pub": "-i file\n"}),
    Case("topics of both", SUB, "-t b -C 1", [subscribed(message(), BYE, filters=["a", "b"])], out=b"x\n",
         files={".config/mosquitto_sub": "-t a\n"}),
    Case("comments and empty lines", PUB, "-m x", [x()],
         files={".config/mosquitto_pub": "# a comment\n\n-t t\n#-i no\n\n"}),
    Case("no newline at the end", PUB, "-m x", [x()], files={".config/mosquitto_pub": "-t t"}),
    Case("values with blanks", PUB, "", [whole(published("a b", b"c  d e "))],
         files={".config/mosquitto_pub": "-t a b\n-m c  d e \n"}),
    Case("values with quotes", PUB, "", [whole(published("t", b"\"it's\""))],
         files={".config/mosquitto_pub": "-t t\n-m \"it's\"\n"}),
    Case("options without value", PUB, "-m x", [x(client="a", clean=False)],
         files={".config/mosquitto_pub": "-c\n-i a\n-t t\n"}),
    Case("long names in a file", PUB, "-m x", [x(client="a")],
         files={".config/mosquitto_pub": "--id a\n--topic t\n"}),
    Case("lines from DOS", PUB, "-m x", [x()], files={".config/mosquitto_pub": "-t t\r\n"}),
    Case("a property", PUB, "-t t -m x", [whole(published(level=5, content_type="c"), level=5)],
         files={".config/mosquitto_pub": "-D publish content-type c\n"}, differs=Originally(
             "A line may have as many values as its option", scripts=[], code=1,
             err=usage(PUB, "--property argument given but not enough .*"))),
    wrong("an unknown option in a file", PUB, "-t t -m x", "Unknown option '--nonsense'.",
          files={".config/mosquitto_pub": "--nonsense\n"}),
    wrong("a missing value in a file", PUB, "-t t -m x", "-i argument given but .*",
          files={".config/mosquitto_pub": "-i\n"}),
    wrong("messages of both", PUB, "-t t -m x", "Only one type of message can be sent at once.*",
          files={".config/mosquitto_pub": "-m y\n"}),
    Case("a long line", PUB, "-t t", [whole(published(payload=b"l" * 5000))],
         files={".config/mosquitto_pub": "-m " + "l" * 5000 + "\n"}, differs=Originally(
             "A line may be of any length", scripts=[], code=1, err=re.compile("(?s)Error.*"))),
    Case("no file at all", PUB, "-t t -m x", [x()], environment={"XDG_CONFIG_HOME": "/nonexistent"}),
    Case("another file", PUB, "-o {dir}/mine -m x", [x(client="mine")],
         files={"mine": "-t t\n-i mine\n", ".config/mosquitto_pub": "-t no\n"},
         differs=Originally("-o came with 2.1", scripts=[], err=usage(PUB, "Unknown option '-o'."), code=1)),
    Case("a file that is not there", PUB, "-o {dir}/none -t t -m x", err=re.compile("(?s)Error: .*none.*"), code=1,
         differs=Originally("-o came with 2.1", err=usage(PUB, "Unknown option '-o'."))),
)


def socks(method=b"\x05\x00", host=b"target.invalid", port=1883, status=0, asked=b"\x05\x01\x00"):
    """What a proxy is asked for, and how it answers."""
    return [Raw(asked), Reply(method),
            Raw(b"\x05\x01\x00\x03" + bytes([len(host)]) + host + port.to_bytes(2, "big")),
            Reply(b"\x05" + bytes([status]) + b"\x00\x01\x7f\x00\x00\x01\x00\x00")]


WHY = re.compile("Error: Proxy error: .+\n")
PROXY_ERROR, DENIED = "Error: Proxy error.\n", "Error: Authorisation failed.\n"
UNREACHED = "Error: The client is not currently connected.\n"


def denied(name, words, script, err, code):
    """A proxy that does not let us through, and what the original makes of it."""
    return Case(name, PUB, words, [script], dial="", err=WHY, code=16, differs=Originally(
        "A failure of the proxy has one code, and is explained", err=err, code=code))


VIA = "-h target.invalid --proxy socks5h://{host}:{port} -t t -m x"
test_proxies = table(
    Case("by a proxy", PUB, VIA, [[*socks(), *x()]], dial=""),
    Case("by a proxy to another port", PUB, "-p 4711 " + VIA, [[*socks(port=4711), *x()]], dial=""),
    Case("subscribing by a proxy", SUB, "-h target.invalid --proxy socks5h://{host}:{port} -t t -C 1",
         [[*socks(), *subscribed(message(), BYE)]], dial="", out=b"x\n"),
    Case("a proxy's default port", PUB, "-h target.invalid --proxy socks5h://{host} -t t -m x", [[*socks(), *x()]],
         dial="", listen=1080),
    Case("a proxy that wants a password", PUB,
         "-h target.invalid --proxy socks5h://me:secret@{host}:{port} -t t -m x",
         [[Raw(b"\x05\x02\x00\x02"), Reply(b"\x05\x02"), Raw(b"\x01\x02me\x06secret"), Reply(b"\x01\x00"),
           *socks()[2:], *x()]], dial=""),
    *(denied(f"a proxy that says {status}", VIA, socks(status=status), err, code) for status, code, err in [
        (1, 16, PROXY_ERROR), (2, 11, DENIED), (3, 4, UNREACHED), (4, 4, UNREACHED), (5, 4, UNREACHED),
        (6, 16, PROXY_ERROR), (7, 16, PROXY_ERROR), (8, 16, PROXY_ERROR)]),
    denied("a proxy that wants what we have not", VIA, socks(method=b"\x05\xff")[:2], DENIED, 11),
    denied("a proxy that does not let us in", "-h target.invalid --proxy socks5h://me:secret@{host}:{port} -t t -m x",
           [Raw(b"\x05\x02\x00\x02"), Reply(b"\x05\x02"), Raw(b"\x01\x02me\x06secret"), Reply(b"\x01\x01")],
           PROXY_ERROR, 16),
    wrong("another kind of proxy", PUB, "--proxy http://h -t t -m x", "Unsupported proxy protocol: http://h.*"),
    wrong("no proxy", PUB, "--proxy '' -t t -m x", ".*"),
)
