"""The broker's side of a case: for each connection in turn what the client has to say and what it is told.

A script is a list of steps. Bytes, or a pattern of bytes, are a packet that the client has to send next; the
other steps are below; what is `due` in one has to be said too. A script ends when the client closes the connection,
unless its last step has ended it."""

import re
import select
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from waiting import until

#: No wait lasts longer.
SECONDS = 20


class Departure(Exception):
    """The client did not follow the script."""


@dataclass(frozen=True)
class Reply:
    """The broker sends these bytes."""

    data: bytes

    def play(self, talk):
        with suppress(BrokenPipeError, ConnectionResetError):
            talk.socket.sendall(self.data)


@dataclass(frozen=True)
class Raw:
    """The client has to send these bytes, which are no packet."""

    due: bytes

    def play(self, talk):
        talk.expect(self.due, talk.take(len(self.due)))


@dataclass(frozen=True)
class Secure:
    """TLS from here on, with a certificate and key of this name. What came of the handshake is noted as the client's
    words: the version, what the client asked for by ALPN and as the server's name, and its own certificate's; or that
    it failed."""

    due: re.Pattern | bytes = re.compile(rb"TLSv1\.3 .*")
    certificate: str = "server"
    options: tuple = ()

    def play(self, talk):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(talk.pki / f"{self.certificate}.crt", talk.pki / f"{self.certificate}.key")
        options = dict(self.options)
        if "version" in options:
            context.minimum_version = context.maximum_version = options["version"]
        if "ciphers" in options:
            context.set_ciphers(options["ciphers"])
        if "alpn" in options:
            context.set_alpn_protocols(options["alpn"])
        if options.get("verify"):
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(talk.pki / "ca.crt")
        asked = []
        context.sni_callback = lambda _socket, name, _context: asked.append(name)
        try:
            talk.socket = context.wrap_socket(talk.socket, server_side=True)
        except (ssl.SSLError, ConnectionError):
            talk.expect(self.due, NO_HANDSHAKE)
            talk.over = True
            return
        subject = talk.socket.getpeercert() or {}
        client = "".join(value for part in subject.get("subject", ()) for key, value in part if key == "commonName")
        note = f"{talk.socket.version()} {talk.socket.selected_alpn_protocol()} {asked[0] if asked else None} {client}"
        talk.expect(self.due, note.encode())


@dataclass(frozen=True)
class PreShared:
    """TLS from here on, with a pre-shared key: by a program, for Python knows nothing of that."""

    due: bytes = b"handshake"
    key: str = "abcd1234"
    identity: str = "me"
    words: tuple = ()

    def play(self, talk):
        path = Path(talk.resources.enter_context(tempfile.TemporaryDirectory(prefix="psk-", dir="/tmp"))) / "s"
        here, there = socket.socketpair()
        command = ["openssl", "s_server", "-unix", path, "-naccept", "1", "-quiet", "-nocert", "-psk", self.key,
                   "-psk_identity", self.identity, *self.words]
        with there:
            process = subprocess.Popen(command, stdin=there, stdout=there, stderr=subprocess.DEVNULL)
        talk.resources.callback(process.wait)
        talk.resources.callback(process.kill)
        raw = talk.resources.enter_context(socket.socket(socket.AF_UNIX))
        until(lambda: path.exists() and raw.connect_ex(str(path)) == 0, "the program listens", SECONDS)
        outer = talk.resources.enter_context(talk.socket)
        for source, target in ((outer, raw), (raw, outer)):
            threading.Thread(target=carry, args=(source, target), daemon=True).start()
        here.settimeout(SECONDS)
        talk.socket, talk.is_tcp = here, False
        talk.expect(self.due, b"handshake" if here.recv(1, socket.MSG_PEEK) else NO_HANDSHAKE)


def carry(source, target):
    """Brings what one socket says to the other, to its end."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


#: What is noted of a handshake that the client did not bring to its end.
NO_HANDSHAKE = b"no handshake"


class Close:
    """The broker closes the connection."""

    def play(self, talk):
        talk.over = True


class Reset:
    """The broker resets the connection."""

    def play(self, talk):
        talk.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        talk.over = True


class Whatever:
    """What the client says from here on until it closes the connection does not matter."""

    def play(self, talk):
        while talk.take(1 << 16):
            pass


@dataclass(frozen=True)
class Silence:
    """The client says nothing for so long. Too short a time lets a wrong client pass, but fails no right one."""

    seconds: float = 0.15

    def play(self, talk):
        if talk.ahead or select.select([talk.socket], [], [], self.seconds)[0]:
            raise Departure(f"said {describe(talk.packet())} where nothing was to be said")


@dataclass(frozen=True)
class Signal:
    """The program gets a signal."""

    number: int = signal.SIGINT

    def play(self, talk):
        talk.program.signal(self.number)


@dataclass(frozen=True)
class Feed:
    """The program's standard input gets these bytes or, with None, its end."""

    data: bytes | None

    def play(self, talk):
        talk.program.feed(self.data)


@dataclass(frozen=True)
class Printed:
    """Standard output has come to be this."""

    text: bytes

    def play(self, talk):
        if not talk.program.printed(self.text, SECONDS):
            raise Departure(f"printed {talk.program.out} where {self.text} was due")


CLOSE, RESET, SILENCE, WHATEVER, EOF = Close(), Reset(), Silence(), Whatever(), Feed(None)


def expectations(script):
    """What of a script the client has to say."""
    return [getattr(step, "due", step) for step in script
            if isinstance(step, (bytes, re.Pattern)) or hasattr(step, "due")]


def agrees(expected, said):
    """Whether these bytes are the ones, or of the pattern, that a script wants."""
    return said == expected if isinstance(expected, bytes) else bool(expected.fullmatch(said))


class Talk:
    """One connection of a script."""

    def __init__(self, accepted, broker):
        self.socket, self.program, self.pki = accepted, broker.program, broker.pki
        self.said, self.ahead, self.over = [], b"", False
        self.is_tcp = accepted.family != socket.AF_UNIX
        self.resources = ExitStack()
        broker.said.append(self.said)

    def play(self, script):
        for step in script:
            if isinstance(step, (bytes, re.Pattern)):
                self.expect(step, self.packet())
            else:
                step.play(self)
        if not self.over and (rest := self.packet()):
            self.expect(b"", rest)

    def expect(self, expected, said):
        self.said.append(said)
        if not agrees(expected, said):
            raise Departure(f"said {describe(said)} where {describe(expected)} was due")

    def packet(self):
        """The next packet, or what there is of it when the client closes the connection."""
        head = self.take(2)
        while head[1:] and head[-1] >= 0x80 and (more := self.take(1)):
            head += more
        size = sum((digit & 0x7F) << 7 * place for place, digit in enumerate(head[1:]))
        return head + self.take(size)

    def take(self, count):
        """So many bytes, or as many as there are until the client closes the connection."""
        while len(self.ahead) < count:
            try:
                if self.is_tcp:
                    # Acknowledged at once, for many a client waits for that before it sends more.
                    self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                data = self.socket.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if not data:
                break
            self.ahead += data
        taken, self.ahead = self.ahead[:count], self.ahead[count:]
        return taken


class Broker:
    """Plays scripts, one connection each. What the client says is in `said`, a list for each connection."""

    def __init__(self, listener, scripts, program, pki):
        self.listener, self.scripts, self.program, self.pki = listener, scripts, program, pki
        self.said, self.departure = [], None

    def play(self):
        try:
            for script in self.scripts:
                talk = Talk(self._accept(), self)
                try:
                    talk.play(script)
                finally:
                    talk.socket.close()
                    talk.resources.close()
            if self.scripts and self._awaited():
                self.said.append([])
                raise Departure("a connection too many")
        except Exception as reason:
            self.departure = str(reason) if isinstance(reason, Departure) else repr(reason)
            self.program.end(0.5)

    def _accept(self):
        """The next connection, unless the program ends without it."""
        if not self._awaited():
            raise Departure("no connection came")
        accepted = self.listener.accept()[0]
        accepted.settimeout(SECONDS)
        if accepted.family != socket.AF_UNIX:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return accepted

    def _awaited(self):
        """Whether a connection comes before the program ends."""
        return self.listener in select.select([self.listener, self.program.descriptor], [], [], SECONDS)[0]


def describe(data):
    """Bytes in hexadecimal and as text, for people."""
    if isinstance(data, re.Pattern):
        return f"pattern {data.pattern}"
    return f"{data.hex()} = {data}" if len(data) < 200 else f"{len(data)} bytes {data[:60]}..."
