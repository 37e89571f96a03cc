"""mosquitto_pub -l and -f hold next to nothing of what they send, however much it is."""

import hashlib
import re
import socket
import struct
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest

import wire
from waiting import until

#: Of what a client may have in memory at its peak, the program itself included, in bytes.
PEAK = 12 << 20
SIZE = 40 << 20


class Receiver(threading.Thread):
    """A broker for one publisher. It acknowledges everything but the last message, and that when it is told to."""

    def __init__(self, messages):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.messages, self.count, self.digest = messages, 0, hashlib.sha256()
        self.has_all, self.may_end = threading.Event(), threading.Event()
        self.start()

    def run(self):
        with self.listener, suppress(ConnectionError):
            connection = self.listener.accept()[0]
            connection.settimeout(60)
            with connection, connection.makefile("rb") as stream:
                while (first := stream.read(1)) not in (b"", bytes([wire.DISCONNECT])):
                    connection.sendall(self.answer(first[0], self.body(stream)))

    @staticmethod
    def body(stream):
        length = shift = 0
        while True:
            digit = stream.read(1)[0]
            length |= (digit & 0x7F) << shift
            shift += 7
            if digit < 0x80:
                return stream.read(length)

    def answer(self, first, body):
        if first & 0xF0 != wire.PUBLISH:
            return wire.packet(wire.CONNACK, bytes(2)) if first == wire.CONNECT else b""
        qos, topic = first >> 1 & 3, struct.unpack(">H", body[:2])[0]
        payload = body[2 + topic + (2 if qos else 0):]
        self.count += 1
        self.digest.update(payload)
        if self.count == self.messages:
            self.has_all.set()
            assert self.may_end.wait(60)
        if not qos:
            return b""
        return wire.acknowledgement(wire.PUBACK, struct.unpack(">H", body[2 + topic:4 + topic])[0])


def peak(process):
    """The most memory that it has had, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def published(program, receiver, *words, **options):
    """Runs mosquitto_pub; its peak of memory when all is there, before it may end."""
    process = subprocess.Popen([program.parent / "mosquitto_pub", "-h", "127.0.0.1", "-p", str(receiver.port), "-t", "t",
                                *words], **options)
    try:
        assert receiver.has_all.wait(120)
        most = peak(process)
        receiver.may_end.set()
        assert process.wait(60) == 0
        return most
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def large():
    """A file of lines, and what its content digests to with and without its newlines."""
    whole, lines, count = hashlib.sha256(), hashlib.sha256(), SIZE // 1000
    with tempfile.NamedTemporaryFile() as file:
        for number in range(count):
            line = f"{number:999}\n".encode()
            file.write(line)
            whole.update(line)
            lines.update(line[:-1])
        file.flush()
        yield file.name, whole.digest(), lines.digest(), count


def test_a_file(program, large):
    name, whole, _, _ = large
    receiver = Receiver(1)
    assert published(program, receiver, "-q", "1", "-f", name) < PEAK
    assert (receiver.count, receiver.digest.digest()) == (1, whole)


def test_lines(program, large):
    name, _, lines, count = large
    receiver = Receiver(count)
    with open(name, "rb") as file:
        assert published(program, receiver, "-q", "1", "-l", stdin=file) < PEAK
    assert (receiver.count, receiver.digest.digest()) == (count, lines)


def test_lines_faster_than_the_broker_takes_them(program):
    """What nobody takes stays where it comes from."""
    receiver = Receiver(1)
    with open("/dev/zero", "rb") as zero, subprocess.Popen(["tr", r"\0", r"\n"], stdin=zero,
                                                          stdout=subprocess.PIPE) as source:
        process = subprocess.Popen([program.parent / "mosquitto_pub", "-h", "127.0.0.1", "-p", str(receiver.port),
                                    "-t", "t", "-l"], stdin=source.stdout)
        try:
            assert receiver.has_all.wait(60)
            # All that lies between the two is full: neither has anything to do any more.
            until(lambda: waiting(source) and waiting(process), "both are at rest")
            assert peak(process) < PEAK
        finally:
            for one in (process, source):
                one.kill()
                one.wait()
            receiver.may_end.set()


def waiting(process):
    """Whether it does nothing."""
    stat = Path(f"/proc/{process.pid}/stat")

    def times():
        fields = stat.read_text().rpartition(")")[2].split()
        return fields[0], fields[11], fields[12]
    before = times()
    threading.Event().wait(0.2)
    return before[0] == "S" and times() == before
