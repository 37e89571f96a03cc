"""The installed broker as a process: crashes, a port that is taken, its log, and how little it does when idle."""

import itertools
import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
import uuid
from pathlib import Path

import pytest

import wire
from app import is_alive, quoted
from mosquitto import Subscriber, publish
from router import Port, Router, scratch_root
from waiting import until
from wire import MQTT_3_1_1, MQTT_5, connected


@pytest.fixture
def router(host_package):
    """One of its own for each test, since each does its worst to it."""
    with Router(host_package) as router:
        router.enable(mqtt_log_level="info")
        yield router


def assert_serving(router):
    topic = uuid.uuid4().hex
    with Subscriber(router.port, "-q", "1", "-t", topic) as subscriber:
        publish(router.port, topic, "-q", "1", message="x")
        assert subscriber.next().payload == b"x"


def crash(router, number):
    worker = router.worker()
    os.kill(worker, number)
    until(lambda: not is_alive(worker), "the worker is dead")
    until(lambda: (seen := router.observe()) and seen["pid"] != worker and seen["listening"], "another one serves")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_a_crashed_worker_is_replaced(router, number):
    supervisor = router.supervisor()
    crash(router, number)
    assert router.supervisor() == supervisor
    assert_serving(router)
    assert any(number.name in line or f"signal {number.value}" in line or f"signal: {number.value}" in line
               for line in router.logged()), "the log says why"


def test_crashing_again_and_again(router):
    """It comes back every time."""
    for _ in range(3):
        crash(router, signal.SIGKILL)
    assert_serving(router)


def test_a_worker_dies_with_its_supervisor(router):
    supervisor, worker = router.supervisor(), router.worker()
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not is_alive(supervisor) and not is_alive(worker), "both are dead")
    assert router.init("status", 1) == "Module mqtt_broker is stopped\n"
    assert "Stopped" in router.page("status")
    assert router.init("start") == "Starting module mqtt_broker: done\n"
    router.await_listening()
    assert_serving(router)


def test_both_killed_at_once(router):
    worker = router.worker()
    for pid in (router.supervisor(), worker):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(worker), "the worker is dead")
    router.init("restart")
    router.await_listening()
    assert_serving(router)


def test_a_second_one_leaves_the_first_alone(router):
    supervisor = router.supervisor()
    second = subprocess.run([router.broker, "--supervise", router.settings_file], capture_output=True, text=True,
                            timeout=20)
    assert second.returncode == 3
    assert len(second.stderr.splitlines()) == 1
    assert router.supervisor() == supervisor
    assert_serving(router)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_end(router, number):
    supervisor, worker = router.supervisor(), router.worker()
    old, new = connected(router.port, "old", MQTT_3_1_1), connected(router.port, "new", MQTT_5)
    os.kill(supervisor, number)
    rest = new.until_closed()
    assert rest[0] == wire.DISCONNECT and rest[2] == 0x8B, "server shutting down"
    assert old.until_closed() == b""
    old.socket.close()
    new.socket.close()
    until(lambda: not is_alive(supervisor) and not is_alive(worker), "both have ended")
    # An init that was asked to start it may still be about to go.
    until(lambda: {path.name for path in (router.root / "var/run").iterdir()} == {"mqtt_broker.token"},
          "nothing else is left")
    assert router.logged("started") and router.logged("stopped"), "that is always logged"


def test_start_and_stop_are_logged_at_every_level(host_package):
    with Router(host_package) as router:
        router.enable(mqtt_log_level="error")
        router.init("stop")
        assert re.search(r"version \S+ started, OpenSSL \d+\.\d+\.\d+", " ".join(router.logged("started")))
        assert router.logged("stopped")


class TestTakenPort:
    """Another program has the port."""

    def test_it_is_named_once_shown_and_waited_for(self, host_package):
        with Router(host_package) as router, socket.socket(socket.AF_INET) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", router.port))
            other.listen()
            router.apply(mqtt_enabled="on", mqtt_port=router.port)
            seen = until(lambda: (seen := router.observe()) and seen["listen_error"] and seen, "it has tried")
            assert not seen["listening"] and seen["port"] == router.port
            assert f"port {router.port} is in use" in seen["listen_error"]
            overview = router.page("status")
            assert f"port {router.port} is in use" in overview.lower()
            assert "in use" in overview
            # It tries several times and speaks once.
            until(lambda: router.observe()["uptime"] >= 4, "some tries have failed")
            assert len(router.logged(f"port {router.port} is in use")) == 1
            other.close()
            router.await_listening()
            assert_serving(router)

    def test_a_move_to_a_taken_port(self, router):
        """Who is connected stays, and the other settings are in force."""
        taken = Port()
        taken.holder.listen()
        client = connected(router.port, "stays")
        try:
            router.apply(mqtt_port=taken.number)
            until(lambda: router.observe()["listen_error"], "it has tried")
            client.send(wire.PING)
            client.expect(wire.PINGRESP)
        finally:
            taken.release()
        router.await_listening(taken.number)
        client.send(wire.PING)
        client.expect(wire.PINGRESP)


def test_what_lies_in_var_run_is_for_root_alone(router):
    router.page("index")
    for name in ("mqtt_broker.sock", "mqtt_broker.token"):
        mode = (router.root / "var/run" / name).stat().st_mode
        assert stat.S_IMODE(mode) == 0o600, name
    mode = (router.root / "var/run/mqtt_broker.pid").stat().st_mode
    assert mode & 0o022 == 0, "nobody else writes the pid file"
    assert stat.S_IMODE(router.settings_file.stat().st_mode) == 0o600


def test_nothing_is_inherited_from_who_started_it(router):
    """Neither the files of a web server, nor the working directory, nor the terminal."""
    file = router.root / "tmp/of the web server"
    file.touch()
    command = '"$0" restart 3<"$1" 4<"$1" 5<"$1" 6<"$1" 7<"$1" 8<"$1" 9<"$1"'
    subprocess.run(["sh", "-c", command, router.module / "etc/init", file], cwd=router.root, check=True, timeout=60)
    router.await_listening()
    for pid in (router.supervisor(), router.worker()):
        process = Path(f"/proc/{pid}")
        assert os.readlink(process / "cwd") == "/"
        for number in ("0", "1", "2"):
            assert os.readlink(process / "fd" / number) == "/dev/null", number
        assert str(file) not in [os.readlink(entry) for entry in (process / "fd").iterdir()]
        assert os.getsid(pid) != os.getsid(0)


def test_the_observer_never_waits(router):
    """However many look and do not listen, clients are served."""
    watchers = []
    for _ in range(50):
        watcher = socket.socket(socket.AF_UNIX)
        watcher.settimeout(10)
        watcher.connect(str(router.root / "var/run/mqtt_broker.sock"))
        watchers.append(watcher)
    watchers[0].close()
    assert_serving(router)
    for watcher in watchers[1:]:
        assert b'"version"' in watcher.recv(65536)
        watcher.close()
    assert router.observe()["listening"]


def test_enough_descriptors(host_package):
    """The limit is raised to what MAX_CLIENTS needs, whoever started the broker."""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096))

    with Router(host_package, preexec_fn=few) as router:
        router.enable()
        router.configure(MAX_CLIENTS=600)
        limits = Path(f"/proc/{router.worker()}/limits").read_text()
        assert int(re.search(r"Max open files +(\d+)", limits)[1]) > 600
        connections = [connected(router.port, f"client{number}") for number in range(400)]
        assert router.observe()["clients"] == 400
        for connection in connections:
            connection.cut()


def switches(pids):
    """How often the threads of these processes have woken up."""
    return {(pid, task.name): re.search(r"voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text())[1]
            for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()}


@pytest.mark.parametrize("clients", [0, 10])
def test_an_idle_broker_does_not_wake_up(router, clients):
    connections = [connected(router.port, f"idle{number}", keep_alive=600) for number in range(clients)]
    # Nor for $SYS, once who listened has gone: neither for its session nor for those who listen to all the rest.
    router.configure(SYS_INTERVAL=1)
    with Subscriber(router.port, "-i", "away", "-c", "-q", "1", "-t", "$SYS/#") as listener:
        listener.next()
    for connection in connections:
        connection.send(wire.subscribe("#"))
        connection.expect(wire.SUBACK)
    pids = [router.supervisor(), router.worker()]
    last = {}

    def is_calm():
        nonlocal last
        # What has just happened may have an aftermath; a second without one is the start.
        time.sleep(1)
        last, before = switches(pids), last
        return last == before

    until(is_calm, "nothing happens any more", seconds=40)
    # The measurement itself: three seconds in which nothing may happen.
    time.sleep(3)
    assert switches(pids) == last
    for connection in connections:
        connection.cut()


FORGERIES = [
    "evil\nNov 23 00:00:00 router daemon.err mqtt_broker[1]: forged",
    "evil\r\n<27>mqtt_broker[1]: forged",
    "evil\x1b[2Jforged",
    "evil\x85forged",
    "evil\u2028forged\u202eforged",
    "evil\x7fforged",
]


class LogSocket:
    """The log of a router that writes down every byte it is sent, and at once: who logs does not wait for it."""

    def __init__(self, root):
        (root / "dev").mkdir()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(root / "dev/log"))
        self.datagrams = []
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self):
        while True:
            self.datagrams.append(self.socket.recv(65536))

    def until(self, word):
        until(lambda: any(word in datagram for datagram in self.datagrams), f"the log has {word}")


@pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_5])
def test_log_lines_cannot_be_forged(program, level):
    root, port = scratch_root(), Port()
    (root / "var/run").mkdir(parents=True)
    log = LogSocket(root)
    settings = root / "settings"
    settings.write_text(quoted({"ENABLED": 1, "PORT": port.number, "LOG_LEVEL": "debug"}))
    broker = subprocess.Popen([program, "--syslog", "--root", root, settings])
    try:
        log.until(b"listening")
        for identifier in FORGERIES:
            with wire.Connection(port.number, wire.connect(identifier, level),
                                 wire.subscribe(identifier, level=level), wire.publish(identifier, b"x", level=level),
                                 ) as connection:
                connection.cut()
            with wire.Connection(port.number, wire.connect("x", level, login=(identifier, identifier))) as connection:
                connection.cut()
        # The kernel keeps few lines for a reader that is behind, and the broker does not wait for it: said until heard.
        names = (f"theend{number}" for number in itertools.count())

        def is_heard():
            with connected(port.number, next(names), level) as connection:
                connection.send(wire.packet(wire.DISCONNECT))
            return any(b"theend" in datagram for datagram in log.datagrams)

        until(is_heard, "the log has the end")
        broker.terminate()
        log.until(b"stopped")
        assert broker.wait(20) == 0
    finally:
        broker.kill()
        broker.wait()
        port.release()
        shutil.rmtree(root)
    for datagram in log.datagrams:
        text = datagram.decode().removesuffix("\n").removesuffix("\0")
        assert re.match(r"<\d+>", text), text
        assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u2028\u2029\u202e" for c in text), ascii(text)


def test_without_a_log_it_serves_all_the_same(program):
    """On a router whose log daemon is away nothing blocks, nothing ends."""
    root, port = scratch_root(), Port()
    (root / "var/run").mkdir(parents=True)
    settings = root / "settings"
    settings.write_text(quoted({"ENABLED": 1, "PORT": port.number, "LOG_LEVEL": "debug"}))
    broker = subprocess.Popen([program, "--syslog", "--root", root, settings])
    try:
        def is_open():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port.number)) == 0
        until(is_open, "it listens")
        for number in range(200):
            connected(port.number, f"client{number}").cut()
        broker.terminate()
        assert broker.wait(20) == 0
    finally:
        broker.kill()
        broker.wait()
        port.release()
        shutil.rmtree(root)
