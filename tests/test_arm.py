"""The packages for routers, run on the processors they are for, as far as an emulator has them."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import uuid

import pytest

from app import quoted
from conftest import unpacked
from form import Form
from mosquitto import VERSIONS, Message, Subscriber, publish
from router import Port, package, scratch_root
from test_package import platforms
from waiting import until

# v2i has an ARM926EJ-S, v3 a Cortex-A8, v4 a Cortex-A72 and v4i a Cortex-A53.
EMULATORS = {
    "v2i": ["qemu-arm-static", "-cpu", "arm926"],
    "v3": ["qemu-arm-static", "-cpu", "cortex-a8"],
    "v4": ["qemu-aarch64-static", "-cpu", "cortex-a72"],
    "v4i": ["qemu-aarch64-static", "-cpu", "cortex-a53"],
}


class Board:
    """A root with the module of a platform in it, and a broker that runs there."""

    def __init__(self, platform):
        self.emulator = EMULATORS[platform]
        self.root, self.reserved = scratch_root(), Port()
        self.port = self.reserved.number
        for name in ("opt", "var/run", "var/log"):
            (self.root / name).mkdir(parents=True)
        self.module = unpacked(package(platform), self.root / "opt")
        self.settings_file = self.module / "etc/settings"
        # Not through etc/init: the supervisor would start its worker by the program's path, without the emulator.
        self.settings_file.write_text(quoted({
            "ENABLED": 1, "PORT": self.port, "LOG_LEVEL": "debug", "AUTHENTICATION": "password", "USERNAME": "house",
            "PASSWORD": "12345"}))
        self.broker = None

    def run(self, *words, name=None, **options):
        return subprocess.run([*self.emulator, *(["-0", name] if name else []), *words], capture_output=True,
                              timeout=120, **options)

    def client(self, name, *words):
        """What its own client of this name prints; its broker is this one."""
        done = self.run(self.module / "bin/mqtt_broker", "-h", "localhost", "-p", str(self.port), *words, name=name)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout

    def start(self):
        with open(self.root / "log", "wb") as log:
            self.broker = subprocess.Popen(
                [*self.emulator, self.module / "bin/mqtt_broker", self.settings_file], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log)
        until(lambda: b"listening" in (self.root / "log").read_bytes() or self.broker.poll() is not None, "it listens",
              seconds=60)
        assert self.broker.poll() is None, (self.root / "log").read_text()

    def observe(self):
        with socket.socket(socket.AF_UNIX) as observer:
            observer.settimeout(20)
            observer.connect(str(self.root / "var/run/mqtt_broker.sock"))
            return json.loads(observer.makefile().read())

    def cgi(self, page, body=b"", **variables):
        """Asks the web page as a web server does; header fields and text."""
        link = self.module / "www" / f"{page}.cgi"
        environment = {"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET",
                       "SCRIPT_NAME": f"/module/mqtt_broker/{page}.cgi", "PATH": os.environ["PATH"]} | variables
        done = self.run(self.module / "bin/cgi", name=str(link), env=environment, input=body)
        assert done.returncode == 0, done.stderr
        head, _, text = done.stdout.decode().partition("\r\n\r\n")
        return head, text

    def end(self):
        if self.broker:
            self.broker.kill()
            self.broker.wait()
        self.reserved.release()
        print((self.root / "log").read_text() if (self.root / "log").exists() else "")
        shutil.rmtree(self.root)


@pytest.fixture(scope="module", params=[name for name in platforms() if name in EMULATORS])
def board(request):
    board = Board(request.param)
    try:
        board.start()
        yield board
    finally:
        board.end()


LOGIN = ["-u", "house", "-P", "12345"]


@pytest.mark.parametrize("version", VERSIONS)
def test_it_serves_clients(board, version):
    topic = uuid.uuid4().hex
    words = ["-V", version, "-q", "2", *LOGIN]
    with Subscriber(board.port, *words, "-t", f"{topic}/#") as subscriber:
        publish(board.port, f"{topic}/a", *words, "-r", message="54")
        assert subscriber.next() == Message(2, 0, f"{topic}/a", b"54")
    with Subscriber(board.port, *words, "-t", f"{topic}/+") as late:
        assert late.next() == Message(2, 1, f"{topic}/a", b"54")


@pytest.mark.parametrize("version", VERSIONS)
def test_its_own_clients(board, version):
    topic, words = uuid.uuid4().hex, ["-V", version, "-q", "2", *LOGIN]
    assert board.client("mosquitto_pub", *words, "-t", topic, "-r", "-m", "54") == b""
    line = board.client("mosquitto_sub", *words, "-t", topic, "-C", "1", "-W", "100", "-F", "%t %q %r %l %p %U @Y")
    said = re.fullmatch(rf"{topic} 2 1 2 54 (\d+)\.\d{{9}} (\d{{4}})\n", line.decode())
    # The C library's time has 64 bits, also where a pointer has 32.
    assert said and abs(int(said[1]) - time.time()) < 200 and abs(int(said[2]) - time.localtime().tm_year) <= 1, line


def test_it_refuses_clients(board):
    publish(board.port, "x", "-u", "house", "-P", "wrong", message="x", expected_code=5)
    assert board.observe()["refusals"][0]["reason"]


def test_a_large_message(board, tmp_path):
    payload = os.urandom(900_000)
    (tmp_path / "payload").write_bytes(payload)
    with Subscriber(board.port, *LOGIN, "-q", "1", "-t", "large") as subscriber:
        publish(board.port, "large", *LOGIN, "-q", "1", "-f", str(tmp_path / "payload"))
        assert subscriber.next(60).payload == payload


def test_it_says_what_it_is_and_judges_settings(board):
    version = (board.module / "etc/version").read_text().split()[0]
    program = board.module / "bin/mqtt_broker"
    # OpenSSL is asked here, by a call.
    said = board.run(program, "--version").stdout.decode()
    assert re.fullmatch(rf"mqtt_broker {re.escape(version)}, OpenSSL \d+\.\d+\.\d+ \d\d? \w+ \d{{4}}\n", said), said
    assert board.run(program, "--enabled", board.settings_file).returncode == 0
    assert board.run(program, "--check", board.module / "etc/defaults").returncode == 0
    wrong = board.run(program, "--check", "-", "--json", input=b"MOD_MQTT_BROKER_PORT=99999\n")
    assert wrong.returncode == 1 and json.loads(wrong.stdout)["errors"][0]["key"] == "PORT"


def test_a_reload_and_an_orderly_end(board):
    board.settings_file.write_text(board.settings_file.read_text().replace("12345", "67890"))
    board.broker.send_signal(signal.SIGHUP)
    until(lambda: b"new settings" in (board.root / "log").read_bytes(), "they are in force")
    publish(board.port, "x", "-u", "house", "-P", "67890", message="x")
    board.broker.send_signal(signal.SIGTERM)
    assert board.broker.wait(30) == 0
    board.start()


def test_the_form(board):
    head, text = board.cgi("index")
    assert head.startswith("Status: 200")
    form = Form(text)
    assert form.value("mqtt_port") == str(board.port)
    assert form.value("mqtt_client_name") == "house" and form.value("mqtt_enabled") is True
    assert "12345" not in text and "67890" not in text


def test_the_overview_and_the_log(board):
    (board.root / "var/log/messages").write_text("Nov 23 00:00:00 router daemon.notice mqtt_broker[1]: to be seen\n")
    assert "Running" in board.cgi("status")[1]
    assert "to be seen" in board.cgi("slog")[1]


def test_a_form_without_a_token_changes_nothing(board):
    before = board.settings_file.read_bytes()
    body = b"mqtt_port=1"
    head, text = board.cgi("set", body, REQUEST_METHOD="POST", CONTENT_LENGTH=str(len(body)),
                           CONTENT_TYPE="application/x-www-form-urlencoded")
    assert head.startswith("Status: 403") and "Nothing was changed" in text
    assert board.settings_file.read_bytes() == before
