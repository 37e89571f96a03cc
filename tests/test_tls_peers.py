"""Certificate based TLS with other people's programs, and what of TLS the broker does not do."""

import socket
import ssl
import subprocess
import uuid

import pytest

from conformance.broker import Broker
from mosquitto import Subscriber, publish
from pki import LOCAL, Authority
from secure import Piped, Secure, context, greeting, s_client
from test_paho import VERSIONS, Client
from waiting import until

SUITES = {
    "RSA": ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"],
    "P-256": ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"],
}
TLS_1_3 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]


@pytest.fixture(scope="module", params=["RSA", "P-256"])
def broker(program, tmp_path_factory, request):
    """One with a key of this kind. Its CA is in `ca`."""
    ca = Authority(tmp_path_factory.mktemp("world") / "ca", algorithm=request.param)
    own = ca.sign("router", request.param, LOCAL)
    with Broker(program, TLS="certificate", CA_CERTIFICATES=ca.pem, **own.broker_settings) as broker:
        broker.ca, broker.algorithm = ca, request.param
        yield broker


def talk(command):
    with Piped(command) as client:
        client.connect().subscribe("a", qos=2)
        client.publish("a", "x" * 20_000, qos=2)
        client.message(payload=b"x" * 20_000)


def test_openssls_client(broker):
    """Every suite of the broker's, by itself; the certificate must be good."""
    trust = ["-CAfile", broker.ca.certificate, "-verify_return_error", "-verify_hostname", "localhost"]
    for words, name in [*((["-tls1_2", "-cipher", one], one) for one in SUITES[broker.algorithm]),
                        *((["-tls1_3", "-ciphersuites", one], one) for one in TLS_1_3)]:
        said = greeting(s_client(broker.port, *trust, *words, quiet=False))
        assert f"Cipher is {name}\n" in said and "Verification: OK" in said, said
        talk(s_client(broker.port, *trust, *words))


@pytest.mark.parametrize("words", [
    pytest.param(["-tls1", "-cipher", "ALL:@SECLEVEL=0"], id="TLS 1.0"),
    pytest.param(["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], id="TLS 1.1")])
def test_old_versions(broker, words):
    said = greeting(s_client(broker.port, *words, quiet=False))
    assert "alert protocol version" in said, said
    until(lambda: "it offers no TLS version from 1.2 on" in dict(broker.refusals()), "that is noted")


@pytest.mark.parametrize("suite", ["AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA",
                                   "aNULL:@SECLEVEL=0", "PSK"])
def test_suites_that_are_not_there(broker, suite):
    said = greeting(s_client(broker.port, "-tls1_2", "-cipher", suite, "-psk", "00", quiet=False))
    assert "handshake failure" in said, said
    reason = "it offers no cipher suite, group or signature that the broker has"
    until(lambda: reason in dict(broker.refusals()), "that is noted")


def test_renegotiation(broker):
    """Refused: the connection is not used for another handshake."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{broker.port}", "-tls1_2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        try:
            # A line with R asks for it.
            said, _ = client.communicate(b"R\n", timeout=20)
        finally:
            client.kill()
    assert b"RENEGOTIATING" in said and b"no renegotiation" in said, said


@pytest.mark.parametrize("priority", ["NORMAL", "NORMAL:-VERS-ALL:+VERS-TLS1.2", "NORMAL:-VERS-ALL:+VERS-TLS1.3",
                                      "SECURE128", "PFS"])
def test_gnutls(broker, tmp_path, priority):
    talk(["gnutls-cli", "--logfile", tmp_path / "log", "--x509cafile", broker.ca.certificate, "--priority", priority,
          "-p", broker.port, "localhost"])


@pytest.mark.parametrize("tls", [[], ["--tls-version", "tlsv1.2"], ["--tls-version", "tlsv1.3"],
                                 ["--ciphers", "ECDHE+AESGCM", "--tls-version", "tlsv1.2"],
                                 ["--tls-alpn", "mqtt"]])
def test_mosquittos_clients(broker, tls):
    words = ["--cafile", broker.ca.certificate, *tls, "-q", "1"]
    with Subscriber(broker.port, *words, "-t", "m", host="localhost") as subscriber:
        publish(broker.port, "m", *words, host="localhost", message="x")
        assert subscriber.next().payload == b"x"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("transport", ["tcp", "websockets"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_paho(broker, version, transport, qos):
    """Both ways, with small messages and large ones."""
    topic = uuid.uuid4().hex
    payloads = [f"{number}".encode() for number in range(100)] + [bytes(900_000), b""]
    with Paho(broker, version, transport=transport) as one, Paho(broker, version) as other:
        one.subscribe(f"{topic}/one", qos)
        other.subscribe(f"{topic}/other", qos)
        for payload in payloads:
            one.paho.publish(f"{topic}/other", payload, qos)
            other.paho.publish(f"{topic}/one", payload, qos)
        for client in (one, other):
            assert [client.next().payload for _ in payloads] == payloads


class Paho(Client):
    """A Paho client that checks the certificate."""

    def __init__(self, broker, version, **options):
        self.ca = broker.ca
        super().__init__(broker.port, version, **options)

    def prepare(self):
        self.paho.tls_set_context(context(self.ca, check_hostname=True))


def test_python_checks_the_host(broker):
    with Secure(broker.port, context(broker.ca, check_hostname=True)) as client:
        client.connect()
        assert client.socket.cipher()
    with socket.create_connection(("127.0.0.1", broker.port), 10) as plain:
        with pytest.raises(ssl.SSLCertVerificationError):
            context(broker.ca, check_hostname=True).wrap_socket(plain, server_hostname="router.example")
