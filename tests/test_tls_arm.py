"""TLS in the packages for routers, on the processors they are for, as far as an emulator has them."""

import os
import signal
import ssl

import pytest

import pki
from app import quoted
from mosquitto import Subscriber, publish
from pki import LOCAL, Authority
from secure import MOSQUITTO_PSK, PSK, Secure, context
from test_arm import EMULATORS, Board
from test_package import platforms
from waiting import until


@pytest.fixture(scope="module", params=[name for name in platforms() if name in EMULATORS])
def board(request):
    board = Board(request.param)
    try:
        board.start()
        yield board
    finally:
        board.end()


def configure(board, **settings):
    """Other settings, taken while it runs."""
    log = board.root / "log"
    before = log.read_bytes().count(b"new settings in force")
    board.settings_file.write_text(quoted({"ENABLED": 1, "PORT": board.port, "LOG_LEVEL": "debug"} | settings))
    board.broker.send_signal(signal.SIGHUP)
    until(lambda: log.read_bytes().count(b"new settings in force") > before, "they are in force", seconds=60)


def exchange(board, *words):
    with Subscriber(board.port, *words, "-q", "1", "-t", "secure", host="localhost") as subscriber:
        publish(board.port, "secure", *words, "-q", "1", host="localhost", message="54")
        assert subscriber.next(60).payload == b"54"
    assert board.client("mosquitto_pub", *words, "-q", "1", "-t", "own", "-r", "-m", "55") == b""
    assert board.client("mosquitto_sub", *words, "-t", "own", "-C", "1", "-W", "100") == b"55\n"


@pytest.mark.parametrize("login", [False, True])
def test_pre_shared_key(board, login):
    more = {"AUTHENTICATION": "password", "USERNAME": "house", "PASSWORD": "12345"} if login else {}
    configure(board, **PSK, **more)
    for version in ("tlsv1.2", "tlsv1.3"):
        exchange(board, *MOSQUITTO_PSK, "--tls-version", version, *(["-u", "house", "-P", "12345"] if login else []))
    publish(board.port, "x", "--psk", "00", "--psk-identity", "test", message="x", expected_code=(1, 8))
    until(lambda: "its pre-shared key is not the one" in str(board.observe()["refusals"]), "that is noted")


def test_dates(board, tmp_path):
    """The C library's time has 64 bits on all of them, also where a pointer has 32."""
    ca = Authority(tmp_path / "ca")
    configure(board, TLS="certificate", CA_CERTIFICATES=ca.pem, AUTHENTICATION="certificate_cn", USERNAME="one",
              **ca.sign("router", extensions=LOCAL).broker_settings)
    old = ca.sign("one", starts="20200101000000Z", ends="20200201000000Z")
    with pytest.raises((ssl.SSLError, OSError)), Secure(board.port, context(None, old)) as client:
        client.socket.recv(1)
        raise AssertionError("it should have been refused")
    until(lambda: "its certificate expired on Feb  1 00:00:00 2020 GMT" in str(board.observe()["refusals"]),
          "that is noted", seconds=60)


def test_the_manuals_certificates(board, tmp_path):
    pki.by_the_manual(tmp_path)
    configure(board, **pki.manual_settings(tmp_path))
    words = ["--cafile", tmp_path / "ca.crt", "--cert", tmp_path / "client.crt", "--key", tmp_path / "client.key"]
    for version in ("tlsv1.2", "tlsv1.3"):
        exchange(board, *words, "--tls-version", version)


@pytest.mark.parametrize("algorithm", pki.ALGORITHMS)
def test_kinds_of_keys(board, tmp_path, algorithm):
    ca = Authority(tmp_path / "ca", algorithm=algorithm)
    own, client = ca.sign("router", algorithm, LOCAL), ca.sign("one", algorithm)
    configure(board, TLS="certificate", CA_CERTIFICATES=ca.pem, **own.broker_settings,
              AUTHENTICATION="certificate_cn", USERNAME="one")
    payload = os.urandom(900_000)
    with Secure(board.port, context(ca, client, check_hostname=True)) as one:
        one.connect().subscribe("large", qos=1)
        one.publish("large", payload, qos=1)
        assert one.message().payload == payload
