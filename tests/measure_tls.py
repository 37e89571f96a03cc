"""What TLS costs the broker, beside Debian's mosquitto in the same run. Not a test: it prints figures.

    python3 tests/measure_tls.py PROGRAM [memory] [handshakes] [latency]

PROGRAM is a release build of mqtt_broker; mosquitto must be installed and its service need not run. Memory is resident
bytes for each of 1,000 idle clients. Processor time is the whole process's, from its threads' schedstat. Latency is that
of a paced stream of QoS 0 through one TLS connection to the broker and back, while two processes shake hands with RSA keys.
The clients are OpenSSL's libssl through ctypes, since Python's own ssl has no pre-shared keys before 3.13.
"""

import multiprocessing
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import wire
from conformance.broker import Broker
from libssl import V1_2, V1_3, Link, Offer
from pki import LOCAL, Authority
from router import Port
from secure import KEY, PSK
from waiting import until

CLIENTS, HANDSHAKES, ROUNDS = 1000, 300, 3


class Client(Link):
    def connect(self, identifier):
        self.send(wire.connect(identifier, keep_alive=600))
        assert self.receive(4) == b"\x20\x02\x00\x00"
        return self


class Mosquitto:
    """Debian's, with a configuration that does the same as ours."""

    def __init__(self, directory, lines):
        self.directory, self.lines = directory, lines

    def __enter__(self):
        self.reserved = Port()
        self.port = self.reserved.number
        file = self.directory / "mosquitto.conf"
        file.write_text("\n".join([f"listener {self.port} 127.0.0.1", "allow_anonymous true", "user root",
                                   "log_type error", *self.lines, ""]))
        self.process = subprocess.Popen(["/usr/sbin/mosquitto", "-c", file], stderr=subprocess.DEVNULL)
        until(self.is_serving, "mosquitto serves")
        return self

    def is_serving(self):
        assert self.process.poll() is None, "mosquitto has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.reserved.release()


class Modes:
    """The settings of both brokers for each way of TLS."""

    def __init__(self, program, directory):
        self.program, self.directory = program, directory
        self.authorities = {kind: Authority(directory / kind, algorithm=kind) for kind in ("RSA", "P-256")}
        self.own = {kind: ca.sign("router", kind, LOCAL) for kind, ca in self.authorities.items()}
        (directory / "keys").write_text(f"test:{KEY}\n")

    def ours(self, mode):
        if mode == "psk":
            settings = PSK
        elif mode == "plain":
            settings = {}
        else:
            settings = {"TLS": "certificate", "CA_CERTIFICATES": self.authorities[mode].pem}
            settings |= self.own[mode].broker_settings
        return Broker(self.program, MAX_CLIENTS=0, LOG_LEVEL="error", **settings)

    def mosquitto(self, mode):
        if mode == "psk":
            lines = [f"psk_file {self.directory}/keys", "psk_hint hint"]
        elif mode == "plain":
            lines = []
        else:
            lines = [f"certfile {self.own[mode].certificate}", f"keyfile {self.own[mode].key}"]
        return Mosquitto(self.directory, lines)

    def both(self, mode):
        return [("ours", self.ours(mode)), ("mosquitto", self.mosquitto(mode))]


def resident(broker):
    """In bytes, exactly: VmRSS lags behind."""
    lines = Path(f"/proc/{broker.process.pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) * 1024


def processor_nanoseconds(broker):
    tasks = Path(f"/proc/{broker.process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def measure_memory(modes):
    print(f"\nresident bytes for each of {CLIENTS} idle clients, of ours and of mosquitto")
    for name, mode, offer in [
            ("plain", "plain", None), ("RSA certificate, TLS 1.2", "RSA", Offer(V1_2)),
            ("RSA certificate, TLS 1.3", "RSA", Offer(V1_3)), ("P-256 certificate, TLS 1.3", "P-256", Offer(V1_3)),
            ("PSK, TLS 1.2", "psk", Offer(V1_2, True)), ("PSK, TLS 1.3", "psk", Offer(V1_3, True))]:
        found = []
        for _, made in modes.both(mode):
            with made as broker:
                first = Client(broker.port, offer).connect("first")
                before = resident(broker)
                links = [Client(broker.port, offer).connect(f"client-{number}") for number in range(CLIENTS)]
                for link in links:
                    link.send(wire.PING)
                    link.receive(2)
                found.append((resident(broker) - before) / CLIENTS)
                for link in [first, *links]:
                    link.close()
        print(f"{name:28} {found[0]:8.0f} {found[1]:8.0f}", flush=True)


def measure_handshakes(modes):
    print(f"\nmicroseconds of processor for a handshake and CONNECT, the best of {ROUNDS} rounds of {HANDSHAKES}")
    for name, mode, offer in [
            ("plain", "plain", None), ("RSA-2048, TLS 1.2", "RSA", Offer(V1_2)),
            ("RSA-2048, TLS 1.3", "RSA", Offer(V1_3)), ("P-256, TLS 1.2", "P-256", Offer(V1_2)),
            ("P-256, TLS 1.3", "P-256", Offer(V1_3)), ("PSK, TLS 1.2, all suites", "psk", Offer(V1_2, True)),
            ("PSK, TLS 1.2, list \"PSK\"", "psk", Offer(V1_2, True, "PSK")),
            ("PSK, TLS 1.3", "psk", Offer(V1_3, True))]:
        found = {"ours": [], "mosquitto": []}
        for _ in range(ROUNDS):
            for which, made in modes.both(mode):
                with made as broker:
                    for number in range(10):
                        Client(broker.port, offer).connect(f"warm{number}").close()
                    before = processor_nanoseconds(broker)
                    for number in range(HANDSHAKES):
                        Client(broker.port, offer).connect(f"client{number}").close()
                    found[which].append((processor_nanoseconds(broker) - before) / HANDSHAKES / 1000)
        print(f"{name:28} {min(found['ours']):8.0f} {min(found['mosquitto']):8.0f}", flush=True)


def storm(port, rate, counter, over):
    """Handshakes, at most so many a second, or as many as go."""
    offer, due = Offer(V1_2), time.monotonic()
    while not over.is_set():
        if rate:
            due += 1 / rate
            time.sleep(max(0, due - time.monotonic()))
        Client(port, offer).connect("").close()
        counter.value += 1


def stream(port, seconds, rate=200):
    """Latencies in milliseconds of messages that come at this rate and go back to who sent them."""
    link = Client(port, Offer(V1_3)).connect("stream")
    link.send(wire.subscribe("stream"))
    link.receive(5)
    packet = wire.publish("stream", bytes(16))
    found, due = [], time.monotonic()
    for _ in range(seconds * rate):
        due += 1 / rate
        time.sleep(max(0, due - time.monotonic()))
        # Late is late: it counts from when it should have gone.
        link.send(packet)
        link.receive(len(packet))
        found.append((time.monotonic() - due) * 1000)
    link.close()
    return sorted(found)


def measure_latency(modes, seconds=5):
    print(f"\nlatency in ms of 200 messages a second, p50 and p99, the median of {ROUNDS} rounds of {seconds} s;"
          " handshakes a second meanwhile")
    for rate in (None, 25, 50, 0):
        rows = {"ours": [], "mosquitto": []}
        for _ in range(ROUNDS):
            for which, made in modes.both("RSA"):
                with made as broker:
                    over = multiprocessing.Event()
                    counters = [multiprocessing.Value("i", 0) for _ in range(2)]
                    processes = [] if rate is None else [
                        multiprocessing.Process(target=storm, args=(broker.port, rate, counter, over))
                        for counter in counters]
                    for process in processes:
                        process.start()
                    found = stream(broker.port, seconds)
                    done = sum(counter.value for counter in counters) / seconds
                    over.set()
                    for process in processes:
                        process.join(30)
                    rows[which].append((found[len(found) // 2], found[len(found) * 99 // 100], done))
        name = "none" if rate is None else f"{2 * rate} a second" if rate else "as many as go"
        for which, found in rows.items():
            middle = [sorted(column)[len(column) // 2] for column in zip(*found)]
            print(f"storm: {name:15} {which:10} p50 {middle[0]:7.2f}  p99 {middle[1]:7.2f}  {middle[2]:6.0f}/s", flush=True)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    parts = sys.argv[2:] or ["memory", "handshakes", "latency"]
    with tempfile.TemporaryDirectory() as directory:
        modes = Modes(Path(sys.argv[1]).resolve(), Path(directory))
        for part in parts:
            globals()[f"measure_{part}"](modes)


if __name__ == "__main__":
    main()
