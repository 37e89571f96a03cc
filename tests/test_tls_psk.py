"""PSK based TLS: every cipher suite and every kind of client that is to get in, and who is not."""

import subprocess
import uuid

import pytest

from conformance.broker import Broker
from mosquitto import VERSIONS, Subscriber, publish
from secure import KEY, MOSQUITTO_PSK, PSK, Piped, greeting, s_client, with_key
from waiting import until
from wire import MQTT_3_1, MQTT_3_1_1, MQTT_5

# Best first, as the broker chooses where the client leaves it the choice.
TLS_1_2 = ["ECDHE-PSK-CHACHA20-POLY1305", "ECDHE-PSK-AES128-CBC-SHA256", "PSK-AES128-GCM-SHA256",
           "PSK-AES256-GCM-SHA384", "PSK-CHACHA20-POLY1305", "PSK-AES128-CCM", "PSK-AES128-CCM8",
           "PSK-AES128-CBC-SHA256", "PSK-AES256-CBC-SHA384", "ECDHE-PSK-AES256-CBC-SHA384"]
TLS_1_3 = ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"]
LEVELS = [pytest.param(MQTT_3_1, id="3.1"), pytest.param(MQTT_3_1_1, id="3.1.1"), pytest.param(MQTT_5, id="5.0")]
WRONG_KEY = "its pre-shared key is not the one in the settings"
UNKNOWN = 'its PSK identity "{}" is not the one in the settings'


@pytest.fixture(scope="module")
def broker(program):
    with Broker(program, **PSK) as broker:
        yield broker


def talk(command, level=MQTT_3_1_1):
    """A conversation of a client that speaks through a program."""
    with Piped(command, level, uuid.uuid4().hex[:20]) as client:
        client.connect().subscribe("a", qos=2)
        client.publish("a", "x" * 20_000, qos=2)
        client.message(payload=b"x" * 20_000)


def noted(broker, reason, before=0):
    until(lambda: dict(broker.refusals()).get(reason, 0) > before, f"{reason!r} is noted")


# --- OpenSSL's client


@pytest.mark.parametrize("suite", TLS_1_2)
def test_suites_of_tls_1_2(broker, suite):
    words = ["-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0"]
    assert f"Cipher is {suite}\n" in greeting(with_key(broker.port, *words, quiet=False))
    talk(with_key(broker.port, *words))


@pytest.mark.parametrize("suite", TLS_1_3)
@pytest.mark.parametrize("exchange", [[], ["-allow_no_dhe_kex"]])
def test_suites_of_tls_1_3(broker, suite, exchange):
    words = ["-tls1_3", "-ciphersuites", suite, *exchange]
    assert f"TLSv1.3, Cipher is {suite}\n" in greeting(with_key(broker.port, *words, quiet=False))
    talk(with_key(broker.port, *words))


@pytest.mark.parametrize("level", LEVELS)
def test_versions_of_mqtt(broker, level):
    talk(with_key(broker.port), level)


@pytest.mark.parametrize("words, chosen", [
    (["-tls1_2", "-cipher", "PSK"], "ECDHE-PSK-CHACHA20-POLY1305"),
    (["-tls1_2", "-cipher", "DEFAULT"], "ECDHE-PSK-CHACHA20-POLY1305"),
    (["-tls1_2", "-cipher", "ECDHE-PSK-AES256-CBC-SHA384:PSK-AES128-GCM-SHA256"], "PSK-AES128-GCM-SHA256"),
    (["-tls1_3"], "TLS_CHACHA20_POLY1305_SHA256|TLS_AES_128_GCM_SHA256"),
])
def test_the_brokers_choice(broker, words, chosen):
    said = greeting(with_key(broker.port, *words, quiet=False))
    assert any(f"Cipher is {one}\n" in said for one in chosen.split("|")), said


@pytest.mark.parametrize("words", [
    pytest.param(["-tls1", "-cipher", "ALL:@SECLEVEL=0"], id="TLS 1.0"),
    pytest.param(["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], id="TLS 1.1")])
def test_old_versions(broker, words):
    said = greeting(with_key(broker.port, *words, quiet=False))
    assert "alert protocol version" in said, said
    noted(broker, "it offers no TLS version from 1.2 on")


@pytest.mark.parametrize("suite", ["DHE-PSK-AES256-GCM-SHA384", "RSA-PSK-AES128-GCM-SHA256", "PSK-AES128-CBC-SHA",
                                   "ECDHE-RSA-AES128-GCM-SHA256"])
def test_suites_that_are_not_there(broker, suite):
    reason = "it offers no pre-shared key, or no cipher suite for one that the broker has"
    before = dict(broker.refusals()).get(reason, 0)
    said = greeting(with_key(broker.port, "-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0", quiet=False))
    assert "handshake failure" in said, said
    noted(broker, reason, before)


def test_renegotiation(broker):
    """Refused: it would let a client make the broker compute at will."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{broker.port}", "-psk", KEY, "-psk_identity", "test",
               "-tls1_2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        try:
            # A line with R asks for it.
            said, _ = client.communicate(b"R\n", timeout=20)
        finally:
            client.kill()
    assert b"RENEGOTIATING" in said and b"no renegotiation" in said, said


# --- wrong keys and names


@pytest.mark.parametrize("words", [["-tls1_2"], ["-tls1_2", "-cipher", "PSK-AES128-GCM-SHA256"], ["-tls1_3"]])
def test_wrong_key_and_unknown_name_look_alike(broker, words):
    """To a stranger; the log tells them apart."""
    def alert(**given):
        said = greeting(with_key(broker.port, *words, **given, quiet=False))
        lines = [line for line in said.splitlines() if "alert" in line]
        assert lines, said
        # Without the number of the program's thread.
        return [line.split(":", 1)[1] for line in lines]

    seen = dict(broker.refusals())
    wrong_key = alert(key=KEY[:-1] + "0")
    noted(broker, WRONG_KEY, seen.get(WRONG_KEY, 0))
    unknown = alert(identity="tesT")
    noted(broker, UNKNOWN.format("tesT"), seen.get(UNKNOWN.format("tesT"), 0))
    assert wrong_key == unknown


@pytest.mark.parametrize("identity", ["tes", "test2", "x" * 100, "te\nst"])
def test_other_names(broker, identity):
    greeting(with_key(broker.port, identity=identity, quiet=False))
    said = identity[:64] + ("…" if len(identity) > 64 else "")
    noted(broker, UNKNOWN.format(said.replace("\n", "\\n")))


def test_certificates_are_of_no_use(broker):
    said = greeting(s_client(broker.port, quiet=False))
    assert "alert" in said, said
    noted(broker, "it offers no pre-shared key, or no cipher suite for one that the broker has")


@pytest.mark.parametrize("identity, key", [
    ("hint", "BAD123"), ("x" * 128, "00" * 64), ("Zähler 漢", "ff" * 32), ("a b'\"\\$c", "0001")])
def test_kinds_of_names_and_keys(program, identity, key):
    with Broker(program, **PSK | {"PSK_IDENTITY": identity, "PSK_KEY": key}) as broker:
        for words in (["-tls1_2"], ["-tls1_3"]):
            talk(with_key(broker.port, *words, identity=identity, key=key))
        assert bool(broker.logged("WARN", "Pre-shared Key")) == (len(key) < 32)


# --- other programs


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("tls", [[], ["--tls-version", "tlsv1.2"], ["--tls-version", "tlsv1.3"]])
def test_mosquittos_clients(broker, tls, version):
    words = [*MOSQUITTO_PSK, *tls, "-V", version, "-q", "1"]
    topic = "/".join([version, *tls])
    with Subscriber(broker.port, *words, "-t", topic) as subscriber:
        publish(broker.port, topic, *words, message="x")
        assert subscriber.next().payload == b"x"


@pytest.mark.parametrize("priority", [
    "NORMAL:-KX-ALL:+PSK",  # in TLS 1.3 the exchange psk_ke alone
    "NORMAL:-KX-ALL:+ECDHE-PSK",
    "NORMAL:-KX-ALL:+PSK:-VERS-ALL:+VERS-TLS1.3",
    "NORMAL:-KX-ALL:+PSK:-VERS-ALL:+VERS-TLS1.2",
    "NORMAL:+PSK:+ECDHE-PSK",
])
def test_gnutls(broker, tmp_path, priority):
    """Not with ECDHE-PSK in TLS 1.2: gnutls-cli 3.7 crashes there, with OpenSSL's server as well."""
    talk(["gnutls-cli", "--logfile", tmp_path / "log", "--pskusername", "test", "--pskkey", KEY, "--priority",
          priority, "-p", broker.port, "127.0.0.1"])


def test_user_name_and_password(program):
    with Broker(program, **PSK, AUTHENTICATION="password", USERNAME="house", PASSWORD="12345") as broker:
        for words in (["-tls1_2"], ["-tls1_3"]):
            with Piped(with_key(broker.port, *words)) as client:
                client.connect(login=("house", "12345"))
            for level, code in ((MQTT_3_1_1, 5), (MQTT_5, 0x87)):
                for login in (None, ("house", "1234"), ("test", KEY)):
                    with Piped(with_key(broker.port, *words), level) as client:
                        client.send_connect(login=login)
                        client.expect_refused(code)
