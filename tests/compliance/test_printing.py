"""What mosquitto_sub prints of a message: the formats, byte by byte."""

import re

from compliance.case import RR, SUB, Case, Originally, table, usage
from compliance.packets import BYE, message, puback, subscribed
from compliance.script import Reply
from properties import properties

ONE = properties(receive_maximum=1)


def one(name, words, *messages, out=b"", level=4, **more):
    """A subscriber, and what it gets of QoS 0 until it has printed one message: the last."""
    version = " -V 5" if level == 5 else ""
    script = subscribed(*messages, BYE, level=level, encoded=ONE)
    if isinstance(words, str):
        words = f"-t t -C 1{version} {words}"
    else:
        words = ["-t", "t", "-C", "1", *version.split(), *words]
    return Case(name, SUB, words, [script], out=out, **more)


def formatted(form, out, topic="t", payload=b"hello", level=4, name=None, **values):
    more = {key: values.pop(key) for key in ("differs", "err", "environment") if key in values}
    return one(name or form, ["-F", form], message(topic, payload, level=level, **values), out=out, level=level, **more)


test_plain = table(
    one("a payload", "", message(payload=b"hello"), out=b"hello\n"),
    one("an empty payload", "", message(payload=b""), out=b""),
    one("a payload with newlines", "", message(payload=b"a\nb\n"), out=b"a\nb\n\n"),
    one("a binary payload", "", message(payload=bytes(range(256))), out=bytes(range(256)) + b"\n"),
    one("a payload of NUL", "", message(payload=b"\0"), out=b"\0\n"),
    one("a payload of a million bytes", "", message(payload=b"p" * 1_000_000), out=b"p" * 1_000_000 + b"\n"),
    one("no newline", "-N", message(payload=b"hello"), out=b"hello"),
    one("no newline, empty", "-N", message(payload=b""), out=b""),
    one("verbose", "-v", message("t", b"hello"), out=b"t hello\n"),
    one("--verbose", "--verbose", message("t", b"hello"), out=b"t hello\n"),
    one("verbose, empty", "-v", message("t", b""), out=b"t (null)\n"),
    one("verbose, no newline", "-v -N", message("t", b"hello"), out=b"t hello"),
    one("verbose, empty, no newline", "-v -N", message("t", b""), out=b""),
    one("verbose, topic beyond ASCII", "-v", message("a/ü/☃", b"hello"), out="a/ü/☃ hello\n".encode()),
    one("verbose, topic with blanks", "-v", message("a b", b"hello"), out=b"a b hello\n"),
    one("format wins over verbose", "-v -F %p", message("t", b"hello"), out=b"hello\n"),
    one("format wins over verbose in any order", "-F %p -v", message("t", b"hello"), out=b"hello\n"),
    one("format without newline", "-N -F %t=%p", message("t", b"hello"), out=b"t=hello"),
    one("the last format counts", "-F %t -F %p", message("t", b"hello"), out=b"hello\n"),
    one("an empty format", "-F ''", message("t", b"hello"), out=b"\n"),
)

test_sequences = table(
    formatted("%p", b"hello\n"), formatted("%t", b"t\n"), formatted("%t %p", b"t hello\n"),
    formatted("%x", b"68656c6c6f\n"), formatted("%X", b"4D5A\n", payload=b"MZ"),
    formatted("%x of bytes", b"00ff0a of bytes\n", payload=b"\0\xff\n"),
    formatted("%X of bytes", b"00FF0A of bytes\n", payload=b"\0\xff\n"),
    formatted("%l", b"5\n"), formatted("%q", b"0\n"), formatted("%r", b"0\n"), formatted("%m", b"0\n"),
    formatted("%r retained", b"1 retained\n", retain=True),
    formatted("%%", b"%\n"), formatted("@@", b"@\n"), formatted(r"\\", b"\\\n"),
    formatted("100%% %p@@home", b"100% hello@home\n"),
    *(formatted(form, text + b"\n") for form, text in [
        (r"\0", b"\0"), (r"\a", b"\a"), (r"\e", b"\x1b"), (r"\n", b"\n"), (r"\r", b"\r"), (r"\t", b"\t"),
        (r"\v", b"\v")]),
    formatted(r"%t\t%p\n%l", b"t\thello\n5\n"),
    formatted("plain words", b"plain words\n"), formatted("Größe ☃", "Größe ☃\n".encode()),
    formatted("%p %l %x", b" 0 \n", payload=b"", name="an empty payload"),
    formatted("%p", bytes(range(256)) + b"\n", payload=bytes(range(256)), name="a binary payload"),
    formatted("%p|%p", b"hello|hello\n"),
    formatted("%t", "ä/b\n".encode(), topic="ä/b", name="a topic beyond ASCII"),
    *(formatted(form, re.compile(rb"%s\n" % found), environment=environment, name=f"{form} in {environment}")
      for environment, zone in [({"TZ": "UTC"}, rb"\+0000"), ({"TZ": "EST5"}, rb"-0500"),
                                ({"TZ": "<+0545>-5:45"}, rb"\+0545")]
      for form, found in [("%I", rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d" + zone), ("@z", zone)]),
    formatted("%U", re.compile(rb"\d{10}\.\d{9}\n")), formatted("@N", re.compile(rb"\d{9}\n")),
    formatted("@s", re.compile(rb"\d{10}\n")),
    *(formatted(form, re.compile(found + rb"\n")) for form, found in [
        ("@Y", rb"20\d\d"), ("@m", rb"[01]\d"), ("@d", rb"[0-3]\d"), ("@H", rb"[0-2]\d"), ("@M", rb"[0-5]\d"),
        ("@S", rb"[0-6]\d"), ("@F", rb"20\d\d-\d\d-\d\d"), ("@T", rb"\d\d:\d\d:\d\d"), ("@R", rb"\d\d:\d\d"),
        ("@D", rb"\d\d/\d\d/\d\d"), ("@j", rb"[0-3]\d\d"), ("@a", rb"[A-Z][a-z]{2}"), ("@A", rb"[A-Z][a-z]+day"),
        ("@b", rb"[A-Z][a-z]{2}"), ("@B", rb"[A-Z][a-z]+"), ("@h", rb"[A-Z][a-z]{2}"), ("@y", rb"\d\d"),
        ("@C", rb"20"), ("@e", rb"[ 1-3]\d"), ("@I", rb"[01]\d"), ("@k", rb"[ 12]\d"), ("@l", rb"[ 1]\d"),
        ("@p", rb"[AP]M"), ("@P", rb"[ap]m"), ("@u", rb"[1-7]"), ("@w", rb"[0-6]"), ("@U", rb"\d\d"),
        ("@V", rb"\d\d"), ("@W", rb"\d\d"), ("@G", rb"20\d\d"), ("@g", rb"\d\d"), ("@Z", rb"UTC"), ("@n", rb"\n"),
        ("@t", rb"\t"), ("@r", rb"\d\d:\d\d:\d\d [AP]M"), ("@x", rb"\d\d/\d\d/\d\d"), ("@X", rb"\d\d:\d\d:\d\d"),
        ("@c", rb"[A-Z][a-z]{2} [A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d 20\d\d"),
        ("@Y-@m-@dT@H:@M:@S@z %p", rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+0000 hello")]),
)

test_widths = table(
    formatted("%10t|", b"         t|\n"), formatted("%-10t|", b"t         |\n"),
    formatted("%1t|", b"topic|\n", topic="topic"),
    formatted("%.3t|", b"top|\n", topic="topic"), formatted("%5.3t|", b"  top|\n", topic="topic"),
    formatted("%-5.3t|", b"top  |\n", topic="topic"), formatted("%.10t|", b"topic|\n", topic="topic"),
    formatted("%08l|", b"00000005|\n"), formatted("%8l|", b"       5|\n"), formatted("%-8l|", b"5       |\n"),
    formatted("%1l|", b"5|\n"), formatted("%04m|", b"0000|\n"), formatted("%-4m|", b"0   |\n"),
    formatted("%10p|", b"     hello|\n"), formatted("%-10p|", b"hello     |\n"), formatted("%010p|", b"00000hello|\n"),
    formatted("%3p|", b"hel|\n"), formatted("%-3p|", b"hel|\n"),
    *(formatted(form, out, differs=Originally("2.0.11 counts digits where 2.0.18 counts bytes", out=old))
      for form, out, old in [("%20x|", b"          68656c6c6f|\n", b"                6865|\n"),
                             ("%-20x|", b"68656c6c6f          |\n", b"6865                |\n"),
                             ("%020x|", b"000000000068656c6c6f|\n", b"00000000000000006865|\n"),
                             ("%3x|", b"68656c|\n", b" 68|\n"), ("%4X|", b"68656C6C|\n", b"6865|\n")]),
    formatted("%30I|", re.compile(rb" {6}20\S{22}\|\n")), formatted("%-30I|", re.compile(rb"20\S{22} {6}\|\n")),
    formatted("%.2p|", b"hello|\n"), formatted("%5q|", b"0|\n"), formatted("%.3r|", b"0|\n"),
    formatted("%5%|", b"%|\n"),
)

REFUSED = [("%z", "Invalid format specifier 'z'."), ("%", "Incomplete format specifier."),
           ("%0", "Incomplete format specifier."), ("%-", "Incomplete format specifier."),
           ("%10", "Incomplete format specifier."), ("%10.", "Incomplete format specifier."),
           ("%p %", "Incomplete format specifier."), (r"\z", "Invalid escape specifier 'z'."),
           ("\\", "Incomplete escape specifier."), ("%p\\", "Incomplete escape specifier."),
           ("@", "Incomplete format specifier."), ("%p@", "Incomplete format specifier."),
           ("%é", "Invalid format specifier .*"), ("%.z", "Invalid format specifier 'z'."),
           ("% p", "Invalid format specifier ' '."), ("%+p", "Invalid format specifier '[+]'.")]
test_refused_formats = table(
    *(Case(f"{tool} {form}", tool, ["-t", "t", *more, "-F", form], err=usage(tool, fault), code=1)
      for tool, more in [(SUB, []), (RR, ["-e", "r", "-m", "x"])] for form, fault in REFUSED),
)

EVERYTHING = dict(payload_format_indicator=1, message_expiry_interval=300, content_type="text/plain",
                  response_topic="answers", correlation_data=b"c0", user_property=[("a", "1"), ("b", "2")])
test_properties = table(
    formatted("%C", b"text/plain\n", level=5, **EVERYTHING), formatted("%D", b"c0\n", level=5, **EVERYTHING),
    formatted("%E", b"300\n", level=5, **EVERYTHING), formatted("%F", b"1\n", level=5, **EVERYTHING),
    formatted("%P", b"a:1 b:2\n", level=5, **EVERYTHING), formatted("%R", b"answers\n", level=5, **EVERYTHING),
    formatted("%A", b"\n", level=5, **EVERYTHING), formatted("%S", b"\n", level=5, **EVERYTHING),
    formatted("%S|", b"268435455|\n", level=5, subscription_identifier=268435455, name="a Subscription Identifier"),
    formatted("[%A%C%D%E%F%P%R%S]", b"[]\n", level=5, name="no properties"),
    formatted("[%A%C%D%E%F%P%R%S]", b"[]\n", name="no properties in 3.1.1"),
    *(formatted(f"[%5{letter}]", b"[     ]\n", level=5, name=f"absent, width: {letter}") for letter in "ACEFS"),
    *(formatted(f"[%5{letter}]", b"[]\n", level=5, name=f"absent, width: {letter}") for letter in "DPR"),
    formatted("[%12C]", b"[  text/plain]\n", level=5, **EVERYTHING),
    formatted("[%-12C]", b"[text/plain  ]\n", level=5, **EVERYTHING),
    formatted("[%.4C]", b"[text]\n", level=5, **EVERYTHING), formatted("[%06E]", b"[000300]\n", level=5, **EVERYTHING),
    formatted("[%-6E]", b"[300   ]\n", level=5, **EVERYTHING),
    formatted("[%9R]", b"[  answers]\n", level=5, **EVERYTHING),
    formatted("[%D]", b"[\x00\xff]\n", level=5, correlation_data=b"\0\xff", name="binary correlation data"),
    formatted("[%P]", b"[a:1 a:2 :]\n", level=5, user_property=[("a", "1"), ("a", "2"), ("", "")],
              name="user properties again"),
    formatted("[%P]", "[ä:ö]\n".encode(), level=5, user_property=[("ä", "ö")], name="user properties beyond ASCII"),
)

def json(rest, old=False):
    zone = rb"Z[+-]\d{4}" if old else rb"[+-]\d{4}"
    return re.compile(rb'\{"tst":"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}' + zone + rb'",' + re.escape(rest) + rb"\n")


def as_json(form, rest, original=None, reason="", name=None, **more):
    """A message as an object whose time stamp is written by 2.0.11 as it was before 2.0.18."""
    return formatted(form, json(rest), name=name, **more, differs=Originally(
        reason or "2.0.11 writes a Z before the offset from UTC", out=json(original or rest, old=True)))


NO_JSON = "Error: Message payload is not valid JSON on topic t.\n"
ALWAYS_VALID = "What is printed as JSON is valid JSON, whatever the payload"
test_json = table(
    as_json("%j", (b'"topic":"t","qos":0,"retain":0,"payloadlen":5,"payload":"hello"}')),
    as_json("%j", (b'"topic":"t","qos":0,"retain":1,"payloadlen":5,"payload":"hello"}'), retain=True,
              name="retained"),
    as_json("%j", (b'"topic":"t","qos":0,"retain":0,"payloadlen":0,"payload":null}'), payload=b"", name="empty"),
    as_json("%j", (rb'"topic":"t","qos":0,"retain":0,"payloadlen":9,"payload":"\"\\/\b\f\n\r\t\u0001"}'),
              payload=b'"\\/\b\f\n\r\t\1', name="escapes"),
    as_json("%j", ('"topic":"ä/\\"q\\"","qos":0,"retain":0,"payloadlen":6,"payload":"ü☃\x7f"}'.encode()),
              topic='ä/"q"', payload="ü☃\x7f".encode(), name="beyond ASCII"),
    as_json("%j", (rb'"topic":"t","qos":0,"retain":0,"payloadlen":3,"payload":"a\u0000b"}'), payload=b"a\0b",
              name="NUL", reason="A payload is not cut at a NUL",
            original=b'"topic":"t","qos":0,"retain":0,"payloadlen":3,"payload":"a"}'),
    as_json("%j", ('"topic":"t","qos":0,"retain":0,"payloadlen":2,"payload":"a\ufffd"}'.encode()),
              payload=b"a\xff", name="no UTF-8", reason=ALWAYS_VALID,
            original=b'"topic":"t","qos":0,"retain":0,"payloadlen":2,"payload":"a\xff"}'),
    as_json("%j", (b'"topic":"t","qos":0,"retain":0,"payloadlen":5,"properties":{"payload-format-indicator":1,'
                         b'"message-expiry-interval":300,"content-type":"text/plain","response-topic":"answers",'
                         b'"correlation-data":"c0","user-properties":{"a":"1","b":"2"}},"payload":"hello"}'),
              level=5, name="properties", **EVERYTHING),
    as_json("%j", (b'"topic":"t","qos":0,"retain":0,"payloadlen":5,"properties":{"subscription-identifier":7},'
                         b'"payload":"hello"}'), level=5, name="a Subscription Identifier", subscription_identifier=7),
    as_json("%j", (b'"topic":"t","qos":0,"retain":0,"payloadlen":5,"payload":"hello"}'), level=5,
              name="no properties"),
    *(as_json("%J", (b'"topic":"t","qos":0,"retain":0,"payloadlen":%d,"payload":%s}' % (len(payload), printed)),
                payload=payload, name=f"%J {payload}") for payload, printed in [
        (b'{"a":1,"b":[true,false,null],"c":{"d":"e"}}', b'{"a":1,"b":[true,false,null],"c":{"d":"e"}}'),
        (b'{ "a" : 1 , "b" : [ ] }', b'{"a":1,"b":[]}'), (b'[1,2.5,-3]', b'[1,2.5,-3]'), (b'"text"', b'"text"'),
        (b"42", b"42"), (b"true", b"true"), (b"null", b"null"), (b"{}", b"{}"),
        ('"ü"'.encode(), '"ü"'.encode()), (b'{"z":1,"a":2}', b'{"z":1,"a":2}'), (b' 1 ', b'1')]),
    *(formatted("%J", b"\n", payload=payload, err=NO_JSON, name=f"no JSON: {payload}")
      for payload in [b"hello", b"{", b'{"a":}', b"'a'", b"[1,]", b"nul"]),
    as_json("%J", (b'"topic":"t","qos":0,"retain":0,"payloadlen":0,"payload":null}'), payload=b"",
              name="%J of nothing"),
    as_json("%J", b'"topic":"t","qos":0,"retain":0,"payloadlen":18,"payload":[2.50,1e2,1.0E+3]}',
            original=b'"topic":"t","qos":0,"retain":0,"payloadlen":18,"payload":[2.5,100,1000]}',
            payload=b"[2.50,1e2,1.0E+3] ", name="numbers as they are", reason="Numbers are not written anew"),
    as_json("%J", b'"topic":"t","qos":0,"retain":0,"payloadlen":22,"payload":12345678901234567890}',
            original=b'"topic":"t","qos":0,"retain":0,"payloadlen":22,"payload":1.2345678901234567e+19}',
            payload=b" 12345678901234567890 ", name="numbers of many digits", reason="Numbers are not written anew"),
    as_json("%J", b'"topic":"t","qos":0,"retain":0,"payloadlen":16,"payload":{"a":1,"a":2}}',
            payload=b'{"a":1, "a": 2 }',
            name="a name twice"),
    as_json("%J", ('"topic":"t","qos":0,"retain":0,"payloadlen":25,"payload":["\\u00e4","\\ud83d\\ude00"]}').encode(),
            original='"topic":"t","qos":0,"retain":0,"payloadlen":25,"payload":["ä","😀"]}'.encode(),
            payload=b'["\\u00e4","\\ud83d\\ude00"]', name="escapes as they are",
            reason="Text is not written anew"),
    formatted("%J|%t", b"|t\n", payload=b"x", err=NO_JSON, name="no JSON, and more"),
    one("pretty", "--pretty -F %j", message(payload=b"hello"), out=re.compile(
        rb'\{\n\t"tst":\t"20[^"]*",\n\t"topic":\t"t",\n\t"qos":\t0,\n\t"retain":\t0,\n\t"payloadlen":\t5,\n'
        rb'\t"payload":\t"hello"\n\}\n')),
    one("pretty %J", "--pretty -F %J", message(payload=b'{"a":[1,{"b":2}],"c":{},"d":[]}'), out=re.compile(
        rb'\{\n\t"tst":\t"20[^"]*",\n\t"topic":\t"t",\n\t"qos":\t0,\n\t"retain":\t0,\n\t"payloadlen":\t31,\n'
        rb'\t"payload":\t\{\n\t\t"a":\t\[1, \{\n\t\t\t\t"b":\t2\n\t\t\t\}\],\n'
        rb'\t\t"c":\t\{\s*\},\n\t\t"d":\t\[\]\n\t\}\n\}\n')),
)


def acknowledged(form, qos, identifier, out, differs=None, **more):
    steps = [message(qos=qos, identifier=identifier, payload=b"hello", **more)]
    steps += [puback(identifier)] if qos == 1 else [
        bytes([0x50, 2]) + identifier.to_bytes(2, "big"), Reply(bytes([0x62, 2]) + identifier.to_bytes(2, "big")),
        bytes([0x70, 2]) + identifier.to_bytes(2, "big")]
    return Case(f"{form} at QoS {qos}", SUB, ["-t", "t", "-q", str(qos), "-C", "1", "-F", form],
                [subscribed(*steps, BYE, qos=qos)], out=out, differs=differs)


QOS1 = b'"topic":"t","qos":1,"retain":0,"payloadlen":5,"mid":17,"payload":"hello"}'
test_identifiers = table(
    acknowledged("%q %m %l %r %p", 1, 17, b"1 17 5 0 hello\n"), acknowledged("%q %m", 2, 65535, b"2 65535\n"),
    acknowledged("%06m", 1, 17, b"000017\n"), acknowledged("%-6m|", 1, 17, b"17    |\n"),
    acknowledged("%j", 1, 17, json(QOS1), differs=Originally("2.0.11 writes a Z before the offset from UTC",
                                                             out=json(QOS1, old=True))),
    acknowledged("%r", 1, 3, b"1\n", retain=True),
)

LATER = "Came with 2.1"
test_later_sequences = table(
    *(formatted(form, out, payload=payload, name=f"{form} {payload}", differs=Originally(LATER, **original))
      for form, payload, out, original in [
          ("%.2:x", b"hel", b"68:65:6c\n", dict(scripts=[], err=usage(SUB, "Invalid format specifier ':'."), out=b"",
                                                code=1)),
          ("%f", b"\x00\x00\x80\x3f", b"1.000000\n",
           dict(scripts=[], err=usage(SUB, "Invalid format specifier 'f'."), out=b"", code=1)),
          ("%.2d", b"\x00\x00\x00\x00\x00\x00\xf8\x3f", b"1.50\n",
           dict(scripts=[], err=usage(SUB, "Invalid format specifier 'd'."), out=b"", code=1))]),
)
