"""mosquitto_pub and mosquitto_sub, whosever are found first: see the fixture `clients`."""

import signal
import subprocess
import threading
from collections import namedtuple
from queue import Empty, Queue

VERSIONS = ["mqttv31", "mqttv311", "mqttv5"]

Message = namedtuple("Message", "qos retain topic payload")


def publish(port, topic, *words, host="127.0.0.1", message=None, expected_code=0, **options):
    """Runs mosquitto_pub, which must end with this code or, where its own haste decides, with one of these; what it
    says."""
    how = ["-m", message] if message is not None else []
    done = subprocess.run(["mosquitto_pub", "-h", host, "-p", str(port), "-t", topic, *how, *words],
                          capture_output=True, timeout=60, **options)
    expected = expected_code if isinstance(expected_code, tuple) else (expected_code,)
    assert done.returncode in expected, done
    return done.stdout + done.stderr


class Subscriber:
    """mosquitto_sub, from its subscription on."""

    FORMAT = "message %q %r %x %t"

    def __init__(self, port, *words, host="127.0.0.1", awaited=True):
        # Line by line, for a pipe would hold back what it says until much has gathered.
        self.process = subprocess.Popen(
            ["stdbuf", "-oL", "mosquitto_sub", "-d", "-F", self.FORMAT, "-h", host, "-p", str(port), *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.messages = Queue()
        self.subscribed = threading.Event()
        self.said = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if awaited:
            assert self.subscribed.wait(20), f"not subscribed: {self.said}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end(signal.SIGKILL)

    def _read(self):
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith(b"message "):
                qos, retain, payload, topic = line.decode().removesuffix("\n").split(" ", 4)[1:]
                self.messages.put(Message(int(qos), int(retain), topic, bytes.fromhex(payload)))
            elif b"received SUBACK" in line:
                self.subscribed.set()

    def next(self, seconds=20):
        """The next message."""
        try:
            return self.messages.get(timeout=seconds)
        except Empty:
            raise AssertionError(f"no message came: {self.said}") from None

    def rest(self):
        """Waits until it ends by itself, all messages that were not yet asked for."""
        self.process.wait(timeout=20)
        self.reader.join(20)
        messages = []
        while not self.messages.empty():
            messages.append(self.messages.get())
        return messages

    def end(self, number=signal.SIGINT):
        """Ends it: SIGINT in order, SIGKILL like a power cut."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(timeout=20)
        self.reader.join(20)
        self.process.stdout.close()
