"""A case: a program, what it is given, the broker's side, and what has to come of it. And how it is run."""

import errno
import os
import re
import shlex
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import pytest

from compliance.script import SECONDS, Broker, agrees, describe, expectations
from waiting import until

if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    # Under nohup the programs would ignore it too; what is caught here has its default there.
    signal.signal(signal.SIGHUP, lambda *_: None)

PUB, SUB, RR, SHELL = "mosquitto_pub", "mosquitto_sub", "mosquitto_rr", "sh"
DIAL = "-h {host} -p {port}"
#: Standard output whose other end is closed.
CLOSED = "closed"


class Originally:
    """What the original does otherwise, and why ours does not: fields of the case as they are for the original."""

    def __init__(self, reason, **fields):
        assert reason and fields
        self.reason, self.fields = reason, fields


@dataclass
class Case:
    """Standard output is compared with bytes or with a pattern of them, standard error with a text or a pattern.

    In words, environment and files {host} and {port} are the broker's, {dir} is the program's own directory, which is
    its HOME, and {pki} has certificates."""

    name: str
    tool: str
    words: str | list
    scripts: list = field(default_factory=list)
    out: bytes | re.Pattern = b""
    err: str | re.Pattern = ""
    #: One, or those of which it may be any.
    code: int | tuple = 0
    #: None is no input at all, "open" is one that the script feeds.
    stdin: bytes | str | None = None
    #: In the program's directory.
    files: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    #: What stands before the words.
    dial: str = DIAL
    #: The port to listen at, on an address of its own; else any, on 127.0.0.1, or what stands here.
    listen: int | str = "127.0.0.1"
    #: CLOSED, or read.
    stdout: str = ""
    differs: Originally | None = None

    def as_the_original(self):
        return replace(self, differs=None, **self.differs.fields) if self.differs else self

    def disagreements(self, seen):
        """In what a run was other than this case wants."""
        wanted = [expectations(script) for script in self.scripts]
        if len(wanted) != len(seen.said):
            yield f"{len(seen.said)} connections, not {len(wanted)}"
        for number, (script, said) in enumerate(zip(wanted, seen.said)):
            for place, one in enumerate(said):
                if place >= len(script):
                    yield f"connection {number}: {describe(one)} came after all that was due"
                elif not agrees(script[place], one):
                    yield f"connection {number}: {describe(one)}, not {describe(script[place])}"
            if len(script) > len(said):
                yield f"connection {number}: it ended before {describe(script[len(said)])}"
        if not matches(self.out, seen.out):
            yield f"stdout {seen.out}, not {self.out}"
        if not matches(self.err, seen.err):
            yield f"stderr {seen.err!r}, not {self.err!r}"
        if seen.code not in (self.code if isinstance(self.code, tuple) else (self.code,)):
            yield f"exit code {seen.code}, not {self.code}"


def matches(expected, found):
    return bool(expected.fullmatch(found)) if isinstance(expected, re.Pattern) else expected == found


@dataclass
class Seen:
    """What came of a run."""

    said: list
    out: bytes
    err: str
    code: int
    departure: str | None


class Program:
    """A running program, its output gathered."""

    def __init__(self, words, case, directory, environment):
        self.out, self.err, self.news = bytearray(), bytearray(), threading.Condition()
        stdin = subprocess.DEVNULL if case.stdin is None else subprocess.PIPE
        self.process = subprocess.Popen(words, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        cwd=directory, env=environment, start_new_session=True)
        self.descriptor = os.pidfd_open(self.process.pid)
        self.readers = [threading.Thread(target=self._gather, args=(self.process.stderr, self.err), daemon=True)]
        if case.stdout == CLOSED:
            self.process.stdout.close()
        else:
            self.readers.append(threading.Thread(target=self._gather, args=(self.process.stdout, self.out),
                                                 daemon=True))
        if isinstance(case.stdin, bytes):
            self.readers.append(threading.Thread(target=self._feed_all, args=(case.stdin,), daemon=True))
        for reader in self.readers:
            reader.start()

    def _gather(self, stream, into):
        while data := os.read(stream.fileno(), 1 << 16):
            with self.news:
                into += data
                self.news.notify_all()

    def _feed_all(self, data):
        self.feed(data)
        self.feed(None)

    def feed(self, data):
        with suppress(BrokenPipeError):
            if data is None:
                self.process.stdin.close()
            else:
                self.process.stdin.write(data)
                self.process.stdin.flush()

    def printed(self, text, seconds):
        with self.news:
            return self.news.wait_for(lambda: self.out == text, seconds)

    def signal(self, number):
        """A signal once it has done all that it was told and waits: the originals lose one that comes too early."""
        until(lambda: Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] in "SZ",
              "the program waits", SECONDS)
        self.process.send_signal(number)

    def end(self, seconds):
        """Its exit code, if it ends in time by itself. In any case nothing of it remains."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return code

    def rest(self):
        """Lets go of it, once all that it said has been read."""
        for reader in self.readers:
            reader.join(SECONDS)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(BrokenPipeError):
                if stream:
                    stream.close()
        os.close(self.descriptor)


def listener(case, directory):
    """A socket that listens as the case wants, and how {host} and {port} are written."""
    if case.listen == "unix":
        made = socket.socket(socket.AF_UNIX)
        made.bind(str(directory / "socket"))
        host, port = str(directory / "socket"), 0
    else:
        made = socket.socket(socket.AF_INET6 if ":" in str(case.listen) else socket.AF_INET)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if isinstance(case.listen, int):
            # A known port on an address that nobody else has.
            host = ".".join(["127", *(str(Random(str(directory)).randrange(1, 255)) for _ in range(3))])
            try:
                made.bind((host, case.listen))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                pytest.skip(f"somebody has port {case.listen} on all addresses")
        else:
            made.bind((case.listen, 0))
        host, port = made.getsockname()[:2]
    return made, host, port


def run(case, programs, directory, pki):
    """Runs a case with the programs that lie in a directory."""
    made, host, port = listener(case, directory)
    known = {"{host}": host, "{port}": str(port), "{dir}": str(directory), "{pki}": str(pki)}

    def filled(text):
        text = os.fsencode(text)
        for name, value in known.items():
            text = text.replace(name.encode(), value.encode())
        return text

    with made:
        if case.scripts:
            made.listen()
        for name, content in case.files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(filled(content))
        environment = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(directory), "TZ": "UTC", "LC_ALL": "C.UTF-8"}
        environment |= {name: filled(value) for name, value in case.environment.items()}
        if case.tool == SHELL:
            words = ["sh", "-c", filled(case.words)]
        else:
            own = shlex.split(case.words) if isinstance(case.words, str) else case.words
            words = [programs / case.tool, *(filled(word) for word in [*shlex.split(case.dial), *own])]
        program = Program(words, case, directory, environment)
        broker = Broker(made, case.scripts, program, pki)
        player = threading.Thread(target=broker.play, daemon=True)
        player.start()
        code = program.end(3 * SECONDS)
        player.join(3 * SECONDS)
    program.rest()
    return Seen(broker.said, bytes(program.out), program.err.decode(errors="surrogateescape"), code, broker.departure)


def check(case, sides, directory, pki):
    """Both sides, at the same time, do what the case wants; where they are to differ, they do."""
    wanted = {"theirs": case.as_the_original(), "ours": case}
    with ThreadPoolExecutor(len(sides)) as pool:
        runs = {}
        for side, programs in sides.items():
            (directory / side).mkdir()
            runs[side] = pool.submit(run, wanted[side], programs, directory / side, pki)
        seen = {side: one.result() for side, one in runs.items()}
    faults = [f"{side}: {fault}" for side, one in seen.items() for fault in wanted[side].disagreements(one)]
    faults += [f"{side}: {one.departure}" for side, one in seen.items() if one.departure]
    if case.differs and not faults:
        # Each does what it is to do; the mark is true as long as that is not the same.
        faults += [f"{side}: does not differ from the other any more" for side, other in
                   (("ours", wanted["theirs"]), ("theirs", case))
                   if side in seen and not [*other.disagreements(seen[side])]]
    if faults:
        pytest.fail("\n".join([f"{case.tool} {case.words}", *faults,
                               *(f"{side}: {one}" for side, one in seen.items())]),
                    pytrace=False)


def table(*cases):
    """A test of these cases."""
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]

    @pytest.mark.parametrize("case", cases, ids=names)
    def test(case, sides, tmp_path, pki):
        check(case, sides, tmp_path, pki)

    return test


def usage(tool, fault):
    """What a mistake in the arguments is answered with: the fault, a pattern, and where help is."""
    return re.compile(rf"Error: {fault}\n\n+Use '{tool} --help' to see usage\.\n")


def wrong(name, tool, words, fault, **more):
    """A mistake in the arguments, told before anything is connected."""
    return Case(name, tool, words, err=usage(tool, fault), code=1, **more)
