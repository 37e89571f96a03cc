"""What a broker's process takes of memory, descriptors and time, and whether it serves ordinary clients meanwhile."""

import os
import re
import threading
import time
from pathlib import Path

from conformance.client import Client
from waiting import until
from wire import MQTT_3_1_1, MQTT_5

MIB = 1024 * 1024
# More than the fluctuation of an allocator, less than anything that matters on a router.
SLACK = 4 * MIB


def memory(broker, kind="VmRSS"):
    """Resident bytes of the broker's process: now (VmRSS), or at their peak (VmHWM)."""
    status = Path(f"/proc/{broker.process.pid}/status").read_text()
    return int(re.search(rf"{kind}:\s+(\d+) kB", status)[1]) * 1024


def descriptors(broker):
    return len(os.listdir(f"/proc/{broker.process.pid}/fd"))


def processor_seconds(broker):
    """What the broker's process has used so far."""
    fields = Path(f"/proc/{broker.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bounded:
    """While this lasts, the peak of the broker's memory stays below what it was plus so many bytes; ordinary clients
    are served all the time: one that was there before, and, if they may come, a new one in each round."""

    # A round takes a millisecond where nothing else is to be done.
    LONGEST_ROUND = 5

    def __init__(self, broker, growth, newcomers=True):
        self.broker, self.growth, self.newcomers = broker, growth, newcomers
        self.rounds, self.worst, self.failure, self.over = 0, 0, None, threading.Event()

    def __enter__(self):
        self.old = Client(self.broker.port, MQTT_3_1_1, "ordinary").connect()
        self.old.subscribe("ordinary/old", qos=1)
        # Counts the peak from here on.
        Path(f"/proc/{self.broker.process.pid}/clear_refs").write_text("5")
        self.before = memory(self.broker)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        self.thread.join(60)
        if kind is None:
            self._round(newcomers=self.newcomers)
            peak = memory(self.broker, "VmHWM")
            print(f"peak {(peak - self.before) / MIB:.1f} MiB of {self.growth / MIB:.1f}, {self.rounds} rounds,"
                  f" the longest {self.worst:.3f} s")
            assert not self.failure, f"an ordinary client was not served: {self.failure!r}"
            assert self.rounds > 0
            assert self.worst < self.LONGEST_ROUND, "an ordinary client had to wait"
            assert peak - self.before <= self.growth
        self.old.disconnect()

    def _serve(self):
        while not self.over.is_set() and not self.failure:
            try:
                self._round(self.newcomers)
            except (AssertionError, OSError) as error:
                self.failure = error

    def _round(self, newcomers):
        start = time.monotonic()
        self._exchange(self.old, "ordinary/old")
        if newcomers:
            with Client(self.broker.port, MQTT_5, f"newcomer{self.rounds}") as new:
                new.connect().subscribe("ordinary/new", qos=1)
                self._exchange(new, "ordinary/new")
        self.rounds += 1
        self.worst = max(self.worst, time.monotonic() - start)

    def _exchange(self, client, topic):
        client.publish(topic, str(self.rounds), qos=1)
        client.message(payload=str(self.rounds).encode())


def gives_back(broker, before):
    """What was taken for a peak goes back to the system."""
    until(lambda: memory(broker) <= before + SLACK, "the memory is given back")
