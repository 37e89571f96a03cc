"""The grammar of the command line, and mistakes in it: all are told before anything is connected."""

import re

from compliance.case import PUB, RR, SUB, Case, Originally, table, usage, wrong
from compliance.packets import BYE, message, published, sent, subscribed, whole
from compliance.script import Signal

FOR_ALL = ["-A", "-h", "-i", "-I", "-k", "-L", "-p", "-P", "-q", "-t", "-u", "-V", "-x", "-D", "--cafile",
           "--capath", "--cert", "--key", "--ciphers", "--tls-version", "--tls-alpn", "--psk", "--psk-identity",
           "--proxy", "--unix", "--will-topic", "--will-payload", "--will-qos"]
VALUED = {
    PUB: [*FOR_ALL, "-m", "-f", "-M", "--repeat", "--repeat-delay", "--keyform"],
    SUB: [*FOR_ALL, "-C", "-F", "-T", "-U", "-W", "--random-filter", "--keyform"],
    RR: [*FOR_ALL, "-e", "-F", "-W", "-m", "-f"],
}
LONG = {"-A": None, "-h": "--host", "-i": "--id", "-I": "--id-prefix", "-k": "--keepalive", "-L": "--url",
        "-p": "--port", "-P": "--pw", "-q": "--qos", "-t": "--topic", "-u": "--username", "-V": "--protocol-version",
        "-D": "--property", "-m": "--message", "-f": "--file", "-T": "--filter-out", "-U": "--unsubscribe"}

test_missing_values = table(*(
    wrong(f"{tool} {option}", tool, option, r"-.* argument given but .*", dial="")
    for tool, options in VALUED.items() for option in options))

test_missing_values_of_long_names = table(*(
    wrong(f"{tool} {LONG[option]}", tool, LONG[option], r"-.* argument given but .*", dial="")
    for tool, options in VALUED.items() for option in options if LONG.get(option)))

FOREIGN = {PUB: ["-C", "-E", "-F", "-N", "-R", "-T", "-U", "-v", "-W", "--pretty", "--retained-only",
                 "--remove-retained", "--random-filter", "-e"],
           SUB: ["-e", "-f", "-l", "-m", "-n", "-r", "-s", "--repeat", "--repeat-delay"],
           RR: ["-C", "-E", "-l", "-r", "-T", "-U", "--repeat", "--remove-retained", "--retained-only"]}

test_what_other_tools_have = table(*(
    wrong(f"{tool} {option}", tool, f"-t t {option} 1", f"Unknown option '{option}'.", dial="")
    for tool, options in FOREIGN.items() for option in options))

test_grammar = table(
    wrong("no option", PUB, "-t t -m x --nonsense", r"Unknown option '--nonsense'\."),
    wrong("no option of one letter", SUB, "-t t -y", r"Unknown option '-y'\."),
    wrong("no word by itself", PUB, "-t t -m x word", r"Unknown option 'word'\."),
    wrong("no empty word", SUB, "-t t ''", r"Unknown option ''\."),
    wrong("no value glued to a letter", PUB, "-t t -m x -q1", r"Unknown option '-q1'\."),
    wrong("no value after =", PUB, "-t t -m x --qos=1", r"Unknown option '--qos=1'\."),
    wrong("no abbreviation", PUB, "--top t -m x", r"Unknown option '--top'\."),
    wrong("no bundles", SUB, "-t t -dv", r"Unknown option '-dv'\."),
    wrong("no --", SUB, "-t t --", r"Unknown option '--'\."),
    wrong("no - for standard input", PUB, "-t t -", r"Unknown option '-'\."),
    wrong("capitals are other letters", PUB, "-t t -Q 1", r"Unknown option '-Q'\."),
    Case("a value may look like an option", PUB, "-t t -m -m", [whole(published(payload=b"-m"))]),
    Case("a topic may look like an option", PUB, "-t --help -m x", [whole(published("--help"))]),
    Case("the last topic counts", PUB, "-t a -t b -m x", [whole(published("b"))]),
    Case("the last QoS counts", PUB, "-q 2 -q 1 -t t -m x", [whole(*sent(qos=1))]),
    Case("the last id counts", PUB, "-i a -i b -t t -m x", [whole(published(), client="b")]),
    Case("the last Keep Alive counts", PUB, "-k 10 -k 20 -t t -m x", [whole(published(), keep_alive=20)]),
    Case("the last host counts", PUB, "-h nosuch.invalid -h {host} -p 1 -p {port} -t t -m x", [whole(published())],
         dial=""),
    wrong("one message only", PUB, "-t t -m x -m x", "Only one type of message can be sent at once.*"),
    wrong("one message only, text and none", PUB, "-t t -m x -n", "Only one type of message can be sent at once.*"),
    wrong("one message only, lines and all", PUB, "-t t -l -s", "Only one type of message can be sent at once.*"),
    wrong("one message only, text and file", PUB, "-t t -m x -f /dev/null",
          "Only one type of message can be sent at once.*"),
    wrong("one message only, file and lines", PUB, "-t t -f /dev/null -l",
          "Only one type of message can be sent at once.*"),
    wrong("one request only", RR, "-t t -e r -m x -n", "Only one type of message can be sent at once.*"),
    wrong("no topic to subscribe to", SUB, "", r"You must specify a topic to subscribe to\."),
    wrong("no response topic", RR, "-t t -m x", "All of topic, message, and response topic must be supplied.*"),
    wrong("no request", RR, "-t t -e r", "All of topic, message, and response topic must be supplied.*"),
    wrong("no request topic", RR, "-e r -m x", "All of topic, message, and response topic must be supplied.*"),
    *(Case(f"usage: {name}", PUB, words, out=re.compile(rb".*Usage: mosquitto_pub .*", re.DOTALL),
           err=re.compile(r"Error: Both topic and message must be supplied\.\n"), code=1)
      for name, words in [("nothing", ""), ("no topic", "-m x"), ("no message", "-t t"), ("lines, no topic", "-l")]),
    wrong("quiet is about the run", SUB, "--quiet", r"You must specify a topic to subscribe to\."),
    wrong("quiet is about the run, unknown option", PUB, "--quiet --nonsense", r"Unknown option '--nonsense'\."),
)

test_values = table(
    *(wrong(f"{tool} QoS {value}", tool, f"-t t {more} -q {value}", r"Invalid QoS.*")
      for tool, more in [(PUB, "-m x"), (SUB, ""), (RR, "-m x -e r")] for value in ["3", "-1"]),
    wrong("will QoS 3", PUB, "-t t -m x --will-topic w --will-qos 3", "Invalid will QoS.*"),
    wrong("Keep Alive 4", PUB, "-t t -m x -k 4", "Invalid keepalive given.* 5 and 65535.*"),
    wrong("Keep Alive 0", SUB, "-t t -k 0", "Invalid keepalive given.* 5 and 65535.*"),
    wrong("Keep Alive 65536", RR, "-t t -m x -e r -k 65536", "Invalid keepalive given.* 5 and 65535.*"),
    wrong("Keep Alive below 0", PUB, "-t t -m x -k -10", "Invalid keepalive given.* 5 and 65535.*"),
    Case("Keep Alive 5", PUB, "-t t -m x -k 5", [whole(published(), keep_alive=5)]),
    Case("Keep Alive 65535", SUB, "-t t -C 1 -k 65535", [subscribed(message(), BYE, keep_alive=65535)], out=b"x\n"),
    wrong("port 65536", PUB, "-t t -m x -p 65536", "Invalid port given: 65536"),
    wrong("port -1", SUB, "-t t -p -1", "Invalid port given: -1"),
    *(wrong(f"protocol version {version}", PUB, f"-t t -m x -V {version}", "Invalid protocol version argument given.*")
      for version in ["3", "6", "mqtt5", "MQTTV5", "3.1.1", "''"]),
    wrong("count 0", SUB, "-t t -C 0", 'Invalid message count "0".*'),
    wrong("count below 0", SUB, "-t t -C -3", 'Invalid message count "-3".*'),
    wrong("time 0", SUB, "-t t -W 0", 'Invalid timeout "0".*'),
    wrong("time below 0", SUB, "-t t -W -1", 'Invalid timeout "-1".*'),
    wrong("time of a request 0", RR, "-t t -e r -m x -W 0", 'Invalid timeout "0".*'),
    wrong("in flight 0", PUB, "-t t -m x -M 0", "Maximum inflight messages must be greater than 0.*"),
    wrong("repeat 0", PUB, "-t t -m x --repeat 0", "--repeat argument must be >0.*"),
    wrong("repeat below 0", PUB, "-t t -m x --repeat -1", "--repeat argument must be >0.*"),
    wrong("delay below 0", PUB, "-t t -m x --repeat 2 --repeat-delay -1", "--repeat-delay argument must be >=0.*"),
    wrong("filter of 0 %", SUB, "-t t --random-filter 0", "--random-filter chance must be between 0.1.*100.*"),
    wrong("expiry -2", PUB, "-t t -m x -V 5 -x -2", "session-expiry-interval .*"),
    wrong("expiry in words", PUB, "-t t -m x -V 5 -x soon", "session-expiry-interval .*"),
    wrong("expiry with rubbish", PUB, "-t t -m x -V 5 -x 5s", "session-expiry-interval .*"),
    wrong("expiry too large", PUB, "-t t -m x -V 5 -x 4294967296", "session-expiry-interval .*"),
    wrong("id and prefix", PUB, "-t t -m x -i a -I b", "-i and -I argument cannot be used together.*"),
    wrong("prefix and id", SUB, "-t t -I b -i a", "-i and -I argument cannot be used together.*"),
    wrong("lasting session without id", PUB, "-t t -m x -c", "You must provide a client id if you are using the -c.*"),
    wrong("lasting session without id, 3.1", SUB, "-t t -V 31 -c", "You must provide a client id .*"),
    wrong("will payload without topic", PUB, "-t t -m x --will-payload x", "Will payload given, but no will topic.*"),
    wrong("will retain without topic", SUB, "-t t --will-retain", "Will retain given, but no will topic.*"),
    Case("fresh and retained only", SUB, "-t t -R --retained-only", code=1,
         err=re.compile(r"\n?Error: Combining '-R' and '--retained-only' makes no sense\.\n")),
    *(Case(f"strict numbers: {words}", PUB, f"-t t -m x {words}", err=usage(PUB, ".*"), code=1,
           differs=Originally("A number with rubbish is no number", **original))
      for words, original in [
          ("-k 5x", dict(scripts=[whole(published(), keep_alive=5)], err="", code=0)),
          ("-q 1x", dict(scripts=[whole(*sent(qos=1))], err="", code=0)),
          ("-q ''", dict(scripts=[whole(published())], err="", code=0)),
          ("-q x", dict(scripts=[whole(published())], err="", code=0)),
          ("--repeat 1x", dict(scripts=[whole(published())], err="", code=0)),
          ("--repeat-delay 0x", dict(scripts=[whole(published())], err="", code=0)),
          ("-M 1x", dict(scripts=[whole(published())], err="", code=0))]),
    Case("strict numbers: -C 1x", SUB, "-t t -C 1x", err=usage(SUB, ".*"), code=1,
         differs=Originally("A number with rubbish is no number", scripts=[subscribed(message(), BYE)], err="",
                            out=b"x\n", code=0)),
    Case("strict numbers: -W 5s", SUB, "-t t -C 1 -W 5s", err=usage(SUB, ".*"), code=1,
         differs=Originally("A number with rubbish is no number", scripts=[subscribed(message(), BYE)], err="",
                            out=b"x\n", code=0)),
    Case("in flight 65536", PUB, "-t t -m x -M 65536", err=usage(PUB, ".*"), code=1, differs=Originally(
        "There are no more Packet Identifiers", scripts=[whole(published())], err="", code=0)),
    Case("an engine's key", PUB, "-t t -m x --cafile {pki}/ca.crt --keyform engine --cert c --key k", code=1,
         err=re.compile("(?s)(Error|Unable).*")),
    Case("a filter above 100 %", SUB, "-t t --random-filter 1000 -C 1", err=usage(SUB, "--random-filter .*"), code=1,
         differs=Originally("The original takes tenths of a percent for percents", err="", code=0,
                            scripts=[subscribed(message(), BYE)], out=b"x\n")),
)

test_topics = table(
    *(wrong(f"publish to {topic}", PUB, f"-t '{topic}' -m x", f"Invalid publish topic '{re.escape(topic)}', .*")
      for topic in ["a/#", "#", "+", "a/+/b", "a+", "a#b"]),
    *(wrong(f"subscribe to {topic}", SUB, f"-t '{topic}'", f"Invalid subscription topic '{re.escape(topic)}', .*")
      for topic in ["a#", "a/#/b", "#a", "a+", "+a/b", "a/b+/c", "##", "++"]),
    *(wrong(f"filter out {topic}", SUB, f"-t t -T '{topic}'", f"Invalid filter topic '{re.escape(topic)}', .*")
      for topic in ["a#", "a/+b"]),
    *(wrong(f"unsubscribe from {topic}", SUB, f"-t t -U '{topic}'",
            f"Invalid unsubscribe topic '{re.escape(topic)}', .*") for topic in ["a#", "a/+b"]),
    wrong("request to a wildcard", RR, "-t a/# -e r -m x", "Invalid publish topic 'a/#', .*"),
    wrong("response from a wildcard", RR, "-t t -e r/# -m x", "Invalid response topic 'r/#', .*"),
    wrong("publish to no UTF-8", PUB, ["-t", b"a\xff", "-m", "x"], "Malformed UTF-8 in -t argument.*"),
    wrong("subscribe to no UTF-8", SUB, ["-t", b"a\xff"], "Malformed UTF-8 in -t argument.*"),
    Case("publish to an empty topic", PUB, "-t '' -m x", code=1, err=usage(PUB, ".*"),
         differs=Originally("A mistake is told before anything is connected, and is a failure", scripts=[whole()],
                            err="Error: Invalid input. Does your topic contain '+' or '#'?\n", code=0)),
    Case("subscribe to an empty topic", SUB, "-t ''", code=1, err=usage(SUB, ".*"),
         differs=Originally("No broker takes an empty Topic Filter [MQTT-4.7.3-1]", err="", code=0,
                            scripts=[subscribed(Signal(), BYE, filters=[""])])),
    *(Case(f"subscribe to {topic!a}", SUB, ["-t", topic, "-E"], err=usage(SUB, ".*"), code=1, differs=Originally(
        "No broker takes it", scripts=[subscribed(BYE, filters=[topic])], err="", code=0))
      for topic in ["$share/g", "$share//f"]),
    *(wrong(f"a control character, {tool} {topic!a}", tool, ["-t", topic, *more], "Malformed UTF-8 in -t argument.*")
      for tool, more in [(PUB, ["-m", "x"]), (SUB, [])] for topic in ["a\tb", "a\x7f"]),
    Case("a topic with blanks and slashes", PUB, "-t ' /a b//c/ ' -m x", [whole(published(" /a b//c/ "))]),
    Case("a topic beyond ASCII", PUB, "-t 'straße/☃/😀' -m x", [whole(published("straße/☃/😀"))]),
    Case("a topic with $", PUB, "-t '$SYS/x' -m x", [whole(published("$SYS/x"))]),
    Case("a topic that is /", PUB, "-t / -m x", [whole(published("/"))]),
    Case("a long topic", PUB, ["-t", "l" * 65535, "-m", "x"], [whole(published("l" * 65535))]),
    Case("a topic with a wildcard's sign in $share", SUB, "-t '$share/g/a/#' -C 1",
         [subscribed(message("a/b"), BYE, filters=["$share/g/a/#"])], out=b"x\n"),
    Case("many topics in one SUBSCRIBE", SUB, "-t a -t b/# -t +/c -t '#' -q 2 -C 1",
         [subscribed(message("a"), BYE, filters=["a", "b/#", "+/c", "#"], qos=2)], out=b"x\n"),
)

#: What the original's help does not tell.
HIDDEN = {(RR, "-m"), (RR, "-f")}
test_about_itself = table(
    *(Case(f"{tool} {option}", tool, option, dial="", code=0,
           out=re.compile(rf".*{tool} version 2\.\S+.*".encode(), re.DOTALL),
           differs=Originally("What was asked for is no failure", code=1))
      for tool in (PUB, SUB, RR) for option in ("--help", "--version")),
    *(Case(f"{tool} --help names every option", tool, "--help", dial="",
           out=re.compile("".join(rf"(?=.*{re.escape(option)}\b)" for option in options
                                  if (tool, option) not in HIDDEN).encode() + b".*", re.DOTALL),
           differs=Originally("What was asked for is no failure", code=1)) for tool, options in VALUED.items()),
)
