"""What a broker that does not let the client in is answered with, and how a script learns of it."""

import re

from compliance.case import PUB, RR, SUB, Case, Originally, table
from compliance.packets import BYE, connack, hello, published
from compliance.script import CLOSE, Reply

TEXTS = {1: "unacceptable protocol version", 2: "identifier rejected", 3: "broker unavailable",
         4: "bad user name or password", 5: "not authorised"}
#: What the original's mosquitto_rr makes of these.
MISREAD = {1: "Granted QoS 1", 2: "Granted QoS 2", 3: "Unknown reason", 4: "Disconnect with Will Message",
           5: "Unknown reason"}
REASONS = {
    128: "Unspecified error", 129: "Malformed Packet", 130: "Protocol Error", 131: "Implementation specific error",
    132: "Unsupported Protocol Version", 133: "Client Identifier not valid", 134: "Bad User Name or Password",
    135: "Not authorized", 136: "Server unavailable", 137: "Server busy", 138: "Banned",
    140: "Bad authentication method", 144: "Topic Name invalid", 149: "Packet too large", 151: "Quota exceeded",
    153: "Payload format invalid", 154: "Retain not supported", 155: "QoS not supported", 156: "Use another server",
    157: "Server moved", 159: "Connection rate exceeded"}
SAID = "Error: The connection was refused.\n"
SAID_IN_5 = "Error: A network protocol error occurred when communicating with the broker.\n"

test_in_3 = table(
    *(Case(f"mosquitto_pub: {code} in {level}", PUB, f"-t t -m x -V {'mqttv31' if level == 3 else 'mqttv311'} -i a",
           [[hello("a", level), connack(code)]], code=code,
           err=f"Connection error: Connection Refused: {text}.\n{SAID}")
      for code, text in TEXTS.items() for level in (3, 4)),
    *(Case(f"mosquitto_sub: {code}", SUB, "-t t", [[hello(), connack(code)]], code=code,
           err=f"Connection error: Connection Refused: {text}.\n") for code, text in TEXTS.items()),
    *(Case(f"mosquitto_rr: {code}", RR, "-t t -e r -m x -V 311", [[hello(), connack(code)]], code=code,
           err=f"Connection error: Connection Refused: {text}.\n", differs=Originally(
               "The original reads a code of 3.1.1 as one of 5.0", err=f"Connection error: {MISREAD[code]}\n"))
      for code, text in TEXTS.items()),
    Case("mosquitto_pub: lines", PUB, "-t t -l", [[hello(), connack(5)]], stdin=b"x\n", code=5,
         err=f"Connection error: Connection Refused: not authorised.\n{SAID}"),
    Case("mosquitto_pub: quietly", PUB, "-t t -m x --quiet", [[hello(), connack(5)]], code=5),
    Case("mosquitto_sub: quietly", SUB, "-t t --quiet", [[hello(), connack(5)]], code=5),
    Case("mosquitto_pub: closed after it", PUB, "-t t -m x", [[hello(), connack(5), CLOSE]], code=5,
         err=f"Connection error: Connection Refused: not authorised.\n{SAID}"),
    Case("mosquitto_sub: closed after it", SUB, "-t t", [[hello(), connack(4), CLOSE]], code=4,
         err="Connection error: Connection Refused: bad user name or password.\n"),
)

test_in_5 = table(
    *(Case(f"mosquitto_pub: {code}", PUB, "-t t -m x -V 5", [[hello(level=5), connack(code, 5)]], code=code,
           err=f"Connection error: {text}\n{SAID_IN_5}") for code, text in REASONS.items() if code != 132),
    *(Case(f"mosquitto_sub: {code}", SUB, "-t t -V 5", [[hello(level=5), connack(code, 5)]], code=code,
           err=f"Connection error: {text}\n") for code, text in REASONS.items() if code != 132),
    Case("mosquitto_pub: 132", PUB, "-t t -m x -V 5", [[hello(level=5), connack(132, 5)]], code=132,
         err=re.compile(f"Connection error: Unsupported Protocol Version. .*\n{SAID_IN_5}")),
    Case("mosquitto_sub: 132", SUB, "-t t -V 5", [[hello(level=5), connack(132, 5)]], code=132,
         err=re.compile("Connection error: Unsupported Protocol Version. .*\n")),
    Case("with a reason string", PUB, "-t t -m x -V 5", [[hello(level=5), connack(135, 5, reason_string="go away")]],
         code=135, err=f"Connection error: Not authorized\n{SAID_IN_5}"),
    Case("as a broker of 3.1.1 refuses 5", PUB, "-t t -m x -V 5", [[hello(level=5), connack(1)]],
         code=132, err=re.compile(f"Connection error: Unsupported Protocol Version. .*\n{SAID_IN_5}")),
)

MALFORMED = {
    "another packet first": b"\xd0\0", "a CONNACK too short": b"\x20\1\0", "an empty CONNACK": b"\x20\0",
    "a length without end": b"\x20\xff\xff\xff\xff\xff", "a PUBLISH first": b"\x30\3\0\1t",
}
test_nonsense = table(
    *(Case(name, PUB, "-t t -m x", [[hello(), Reply(data), CLOSE]], err=SAID_IN_5, code=2)
      for name, data in MALFORMED.items()),
    Case("no packet", PUB, "-t t -m x", [[hello(), Reply(b"HTTP/1.1 400 Bad Request\r\n\r\n"), CLOSE]], err=SAID_IN_5,
         code=2, differs=Originally("The original waits for the rest of it", err="Error: Success\n", code=14)),
    Case("a CONNACK too long", PUB, "-t t -m x", [[hello(), Reply(b"\x20\3\0\0\0"), CLOSE]], err=SAID_IN_5, code=2,
         differs=Originally("The original takes no offence", err="", code=0, scripts=[
             [hello(), Reply(b"\x20\3\0\0\0"), published(), BYE]])),
    Case("half a CONNACK", PUB, "-t t -m x", [[hello(), Reply(b"\x20\2\0"), CLOSE]], code=7,
         err="Error: The connection was lost.\n", differs=Originally(
             "The original tells of success", err="Error: Success\n", code=14)),
)
