"""What came with Mosquitto 2.1: the originals, which are older, know nothing of it."""

import re

from compliance.case import PUB, SUB, Case, Originally, table, usage
from compliance.packets import BYE, message, published, subscribed, whole
from compliance.script import Secure
from compliance.websocket import Upgrade


def later(name, tool, words, option, *scripts, **more):
    """A case that the original refuses for an option that it does not know."""
    unknown = dict(scripts=[], out=b"", err=usage(tool, f"Unknown option '{re.escape(option)}'."), code=1)
    return Case(name, tool, words, list(scripts), differs=Originally(f"{option} came with 2.1", **unknown), **more)


def url(name, tool, words, *scripts, **more):
    """The same of a URL's scheme."""
    unknown = dict(scripts=[], out=b"", err=usage(tool, "unsupported URL scheme.*"), code=1)
    return Case(name, tool, words, list(scripts), dial="", differs=Originally("ws:// came with 2.1", **unknown), **more)


test_websockets = table(
    later("a WebSocket", PUB, "--ws -t t -m x", "--ws", [Upgrade(), *whole(published())]),
    later("subscribing", SUB, "--ws -t t -C 1", "--ws", [Upgrade(), *subscribed(message(), BYE)], out=b"x\n"),
    later("a long message", PUB, ["--ws", "-t", "t", "-m", "m" * 70000], "--ws",
          [Upgrade(), *whole(published(payload=b"m" * 70000))]),
    later("a long message to us", SUB, "--ws -t t -C 1", "--ws",
          [Upgrade(), *subscribed(message(payload=b"m" * 70000), BYE)], out=b"m" * 70000 + b"\n"),
    later("TLS within", PUB, "--ws --cafile {pki}/ca.crt -t t -m x", "--ws",
          [Secure(), Upgrade(), *whole(published())]),
    url("a URL", PUB, "-L ws://{host}:{port}/t -m x", [Upgrade(), *whole(published())]),
    url("a URL with user and password", PUB, "-L ws://me:secret@{host}:{port}/a/b -m x",
        [Upgrade(), *whole(published("a/b"), login=("me", "secret"))]),
    url("a URL of TLS", PUB, "--cafile {pki}/ca.crt -L wss://{host}:{port}/t -m x",
        [Secure(), Upgrade(), *whole(published())]),
)

test_options = table(
    later("no TLS at its port", PUB, "-h {host} -p 8883 --no-tls -t t -m x", "--no-tls", whole(published()), dial="",
          listen=8883),
    later("no TLS in spite of a CA", PUB, "--cafile {pki}/ca.crt --no-tls -t t -m x", "--no-tls", whole(published())),
    later("messages per second", SUB, "-t t --message-rate -W 2", "--message-rate",
          subscribed(message(), message(), BYE), out=re.compile(rb"[012] msgs?/s\n(\d+ msgs?/s\n)?"), err="Timed out\n",
          code=27),
)
