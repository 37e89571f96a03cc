"""What our mosquitto_pub costs, beside others in the same run. Not a test: it prints figures.

    python3 tests/measure_clients.py NAME='COMMAND' [NAME='COMMAND' ...]

Each command is a mosquitto_pub: "target/stage/host/mqtt_broker/bin/mosquitto_pub", "/usr/bin/mosquitto_pub", or, under an
emulator, "qemu-arm-static -0 mosquitto_pub target/stage/v3/mqtt_broker/bin/mqtt_broker". Start-up is the time from starting
the process until the broker's side has accepted the connection and has read the first byte of CONNECT, the median of
ROUNDS in turns; the whole run is that to the end of a process that publishes one message of QoS 1. Memory is the peak of
the resident set while 100 MB of lines of 100 bytes are sent with -l, a file of 256 MB with -f, and one message of 1 byte.
"""

import re
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import wire

ROUNDS = 101


class Broker:
    """Accepts publishers, one at a time, and takes all they say."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def time(self, command):
        """Seconds to the connection, to its first byte, and to the end of the process."""
        start = time.perf_counter()
        process = subprocess.Popen([*command, "-h", "127.0.0.1", "-p", str(self.port), "-t", "t", "-q", "1", "-m", "x"])
        connection = self.listener.accept()[0]
        accepted = time.perf_counter()
        connection.recv(1)
        first = time.perf_counter()
        with connection:
            connection.recv(100)
            connection.sendall(wire.packet(wire.CONNACK, bytes(2)))
            connection.recv(100)
            connection.sendall(wire.acknowledgement(wire.PUBACK, 1))
            assert process.wait() == 0
            return accepted - start, first - start, time.perf_counter() - start

    def memory(self, command, *words, **options):
        """The peak of the resident set, in bytes, while messages of QoS 0 are sent."""
        process = subprocess.Popen([*command, "-h", "127.0.0.1", "-p", str(self.port), "-t", "t", *words], **options)
        status, most, ended = Path(f"/proc/{process.pid}/status"), 0, threading.Event()

        def watch():
            nonlocal most
            while not ended.wait(0.01):
                with suppress(OSError, TypeError):
                    most = max(most, int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024)
        connection = self.listener.accept()[0]
        with connection:
            connection.recv(100)
            watcher = threading.Thread(target=watch)
            watcher.start()
            while not most:
                time.sleep(0.01)
            connection.sendall(wire.packet(wire.CONNACK, bytes(2)))
            while connection.recv(1 << 20):
                pass
            ended.set()
            watcher.join()
        assert process.wait() == 0
        return most


def main(arguments):
    commands = {name: shlex.split(command) for name, _, command in (one.partition("=") for one in arguments)}
    broker = Broker()
    times = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(broker.time(command))
    print(f"milliseconds, medians of {ROUNDS} in turns\n{'':24}{'connected':>12}{'first byte':>12}{'whole run':>12}")
    for name, taken in times.items():
        print(f"{name:24}" + "".join(f"{statistics.median(column) * 1000:12.2f}" for column in zip(*taken)), flush=True)
    print(f"\npeak of the resident set, kB\n{'':24}{'one message':>12}{'100 MB -l':>12}{'256 MB -f':>12}")
    with tempfile.NamedTemporaryFile() as lines, tempfile.NamedTemporaryFile() as large:
        lines.write((b"x" * 99 + b"\n") * 1_000_000)
        lines.flush()
        large.truncate(256_000_000)
        for name, command in commands.items():
            one = broker.memory(command, "-m", "x")
            with open(lines.name, "rb") as source:
                many = broker.memory(command, "-l", stdin=source)
            file = broker.memory(command, "-f", large.name)
            print(f"{name:24}" + "".join(f"{size // 1024:12,}" for size in (one, many, file)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
