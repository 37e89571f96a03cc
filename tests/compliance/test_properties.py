"""-D: each property in each packet that may have it, and what is refused."""

import re

from compliance.case import PUB, SUB, Case, Originally, table, usage, wrong
from compliance.packets import BYE, RECEIVE_MAXIMUM, accepted, message, published, sent, subscribed, whole
from properties import TABLE, properties
from wire import disconnect, string

REST = "-t t -m x"


def encoded(name, value):
    """A property as it stands in a packet."""
    return properties(**{name.replace("-", "_"): value})


def on_connect(name, word, value, keeps_receive_maximum=True):
    own = encoded(name, value)
    before = own + (RECEIVE_MAXIMUM if keeps_receive_maximum else b"")
    return Case(f"connect {name} {word}", PUB, f"{REST} -D connect {name} {word}",
                [whole(published(level=5), level=5, encoded=before)])


test_connect = table(
    on_connect("session-expiry-interval", "60", 60), on_connect("session-expiry-interval", "0", 0),
    on_connect("receive-maximum", "5", 5, False), on_connect("receive-maximum", "65535", 65535, False),
    on_connect("maximum-packet-size", "1000", 1000), on_connect("maximum-packet-size", "4294967295", 4294967295),
    on_connect("topic-alias-maximum", "10", 10), on_connect("topic-alias-maximum", "0", 0),
    on_connect("request-problem-information", "0", 0), on_connect("request-problem-information", "1", 1),
    on_connect("request-response-information", "1", 1),
    on_connect("authentication-method", "SCRAM", "SCRAM"),
    on_connect("user-property", "key value", [("key", "value")]),
    on_connect("user-property", "'' ''", [("", "")]),
    on_connect("user-property", "ä 'ö ü'", [("ä", "ö ü")]),
    Case("two user properties", PUB, f"{REST} -D connect user-property a b -D connect user-property a c",
         [whole(published(level=5), level=5,
                encoded=properties(user_property=[("a", "b"), ("a", "c")]) + RECEIVE_MAXIMUM)]),
    Case("authentication", PUB, f"{REST} -D connect authentication-method m -D connect authentication-data d",
         [whole(published(level=5), level=5, encoded=properties(authentication_method="m", authentication_data=b"d")
                + RECEIVE_MAXIMUM)]),
    Case("-D means 5", SUB, "-t t -C 1 -D connect user-property a b", [subscribed(
        message(level=5), BYE, level=5, encoded=properties(user_property=[("a", "b")], receive_maximum=1))],
         out=b"x\n"),
    Case("the version after -D", PUB, f"-D publish content-type c {REST} -V 311",
         [whole(published(level=5, content_type="c"), level=5)],
         differs=Originally("The original sends nothing, and says nothing of that", scripts=[whole()])),
    Case("the command's case", PUB, f"{REST} -D PUBLISH content-type c",
         [whole(published(level=5, content_type="c"), level=5)]),
    Case("the property's case", PUB, f"{REST} -D publish Content-Type c",
         [whole(published(level=5, content_type="c"), level=5)]),
    Case("--property", PUB, f"{REST} --property publish content-type c",
         [whole(published(level=5, content_type="c"), level=5)]),
)

test_publish = table(
    *(Case(f"publish {name} {word}", PUB, f"{REST} -D publish {name} {word}",
           [whole(published(level=5, **{name.replace("-", "_"): value}), level=5)])
      for name, word, value in [
          ("payload-format-indicator", "1", 1), ("payload-format-indicator", "0", 0),
          ("message-expiry-interval", "60", 60), ("message-expiry-interval", "4294967295", 4294967295),
          ("content-type", "text/plain", "text/plain"), ("content-type", "''", ""), ("content-type", "grün", "grün"),
          ("response-topic", "a/b", "a/b"), ("correlation-data", "c0", b"c0"),
          ("correlation-data", "ü", "ü".encode()),
          ("user-property", "a b", [("a", "b")])]),
    Case("all of them", PUB, f"{REST} -q 1 " + "".join(f"-D publish {words} " for words in [
        "content-type c", "response-topic r", "correlation-data d", "message-expiry-interval 5",
        "payload-format-indicator 1", "user-property a b"]),
         [whole(*sent(qos=1, level=5, content_type="c", response_topic="r", correlation_data=b"d",
                      message_expiry_interval=5, payload_format_indicator=1, user_property=[("a", "b")]), level=5)]),
    Case("correlation data that is no UTF-8", PUB,
         ["-t", "t", "-m", "x", "-D", "publish", "correlation-data", b"\xff\1"],
         [whole(published(level=5, correlation_data=b"\xff\1"), level=5)]),
)

test_will = table(
    *(Case(f"will {name} {word}", PUB, f"{REST} --will-topic w --will-payload gone -D will {name} {word}",
           [whole(published(level=5), level=5, will=("w", "gone"), will_properties=encoded(name, value))])
      for name, word, value in [
          ("will-delay-interval", "30", 30), ("payload-format-indicator", "1", 1),
          ("message-expiry-interval", "60", 60),
          ("content-type", "c", "c"), ("response-topic", "r", "r"), ("correlation-data", "d", b"d"),
          ("user-property", "a b", [("a", "b")])]),
)

test_disconnect = table(
    *(Case(f"disconnect {name} {word}", PUB, f"{REST} -D disconnect {name} {word}",
           [accepted(published(level=5), disconnect(0, 5, found), level=5)])
      for name, word, found in [
          ("session-expiry-interval", "60", b"\x11\0\0\0\x3c"), ("reason-string", "done", b"\x1f" + string("done")),
          ("user-property", "a b", b"\x26" + string("a") + string("b"))]),
    Case("disconnect of a subscriber", SUB, "-t t -C 1 -D disconnect reason-string done",
         [subscribed(message(level=5), disconnect(0, 5, b"\x1f" + string("done")), level=5,
                     encoded=properties(receive_maximum=1))], out=b"x\n"),
)

MAY = {
    "connect": {"session-expiry-interval", "receive-maximum", "maximum-packet-size", "topic-alias-maximum",
                "request-problem-information", "request-response-information", "authentication-method",
                "authentication-data", "user-property"},
    "publish": {"payload-format-indicator", "message-expiry-interval", "content-type", "response-topic",
                "correlation-data", "topic-alias", "user-property"},
    "subscribe": {"subscription-identifier", "user-property"}, "unsubscribe": {"user-property"},
    "disconnect": {"session-expiry-interval", "reason-string", "server-reference", "user-property"},
    "will": {"will-delay-interval", "payload-format-indicator", "message-expiry-interval", "content-type",
             "response-topic", "correlation-data", "user-property"},
}
NAMES = sorted(name.replace("_", "-") for name in TABLE)
test_not_allowed = table(
    *(wrong(f"{command} {name}", PUB, f"{REST} -D {command} {name} 1",
            f"{name} property not (allowed|supported) for {command} in --property argument.*")
      for command, allowed in MAY.items() for name in NAMES if name not in allowed
      and (command, name) not in (("publish", "subscription-identifier"), ("will", "reason-string"))),
    wrong("will reason-string", PUB, f"{REST} -D will reason-string 1",
          "reason-string property not allowed for will in --property argument.*",
          differs=Originally("No will has a Reason String", err="Error: Connection refused\n")),
)
test_unsupported = table(
    *(wrong(f"{command}", PUB, f"{REST} -D {command} reason-string x",
            f"(reason-string property not supported for {command}|Invalid command given) in --property argument.*")
      for command in ("auth", "puback", "pubrec", "pubrel", "pubcomp", "suback", "unsuback")),
    wrong("no such command", PUB, f"{REST} -D refuse user-property a b", "Invalid command given in --property.*"),
    wrong("connack", PUB, f"{REST} -D connack user-property a b", "Invalid command given in --property.*",
          differs=Originally("The original names no mistake", err="\nUse 'mosquitto_pub --help' to see usage.\n")),
    wrong("no such property", PUB, f"{REST} -D publish colour red", "Invalid property name given in --property.*"),
    wrong("no property", PUB, f"{REST} -D publish", "--property argument given but not enough arguments specified.*"),
    wrong("no value", PUB, f"{REST} -D publish content-type",
          "--property argument given but not enough arguments specified.*"),
    wrong("half a pair", PUB, f"{REST} -D publish user-property a",
          "--property argument given but not enough arguments specified.*"),
)

OUT_OF_RANGE = [
    ("connect", "receive-maximum", "65536"), ("connect", "receive-maximum", "-1"),
    ("connect", "topic-alias-maximum", "65536"), ("connect", "session-expiry-interval", "4294967296"),
    ("connect", "session-expiry-interval", "-1"), ("connect", "maximum-packet-size", "-1"),
    ("connect", "request-problem-information", "256"), ("publish", "message-expiry-interval", "-1"),
    ("publish", "payload-format-indicator", "256"), ("publish", "topic-alias", "65536"),
    ("will", "will-delay-interval", "4294967296"),
]
test_values = table(
    *(wrong(f"{command} {name} {value}", PUB, f"{REST} -D {command} {name} {value}",
            rf"Property value \({value}\) out of range for property {name}.*") for command, name,
      value in OUT_OF_RANGE),
    *(Case(f"{command} {name} {value}", PUB, f"{REST} -D {command} {name} {value}", code=1,
           err=re.compile("(?s)Error.*"))
      for command, name, value in [("connect", "receive-maximum", "0"), ("connect", "maximum-packet-size", "0"),
                                   ("publish", "topic-alias", "0"), ("connect", "request-problem-information", "2"),
                                   ("publish", "payload-format-indicator", "2")]),
    Case("subscribe subscription-identifier 0", SUB, "-t t -D subscribe subscription-identifier 0", code=1,
         err=re.compile("(?s)Error.*")),
    Case("subscribe subscription-identifier 268435456", SUB, "-t t -D subscribe subscription-identifier 268435456",
         code=1, err=re.compile("(?s)Error.*")),
    Case("publish response-topic a/#", PUB, f"{REST} -D publish response-topic 'a/#'", code=1,
         err=re.compile("(?s)Error.*")),
    Case("text that is no UTF-8", PUB, ["-t", "t", "-m", "x", "-D", "publish", "content-type", b"\xff"], code=1,
         err=re.compile("(?s)Error.*")),
    Case("a property twice", PUB, f"{REST} -D publish content-type a -D publish content-type b", code=1,
         err=re.compile("(?s)Error.*")),
    Case("a number in words", PUB, f"{REST} -D publish message-expiry-interval soon", code=1, err=usage(PUB, ".*"),
         differs=Originally("A word is no number", err="Error: Connection refused\n")),
    Case("publish subscription-identifier", PUB, f"{REST} -D publish subscription-identifier 1", code=1,
         err=re.compile("(?s)Error.*")),
    Case("authentication data alone", PUB, f"{REST} -D connect authentication-data d", code=1,
         err=re.compile("(?s)Error.*")),
)
