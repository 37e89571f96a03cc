"""What is said about clients that TLS keeps out: a line in words for each reason, one per address and minute."""

import ssl

import pytest

from conformance.broker import Broker
from pki import LOCAL, Authority
from secure import KEY, PSK, Piped, Secure, context, greeting, s_client, with_key
from waiting import until
from wire import Connection, connect


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("world") / "ca")


@pytest.fixture(scope="module")
def certified(program, ca):
    own = ca.sign("router", extensions=LOCAL)
    with Broker(program, TLS="certificate", CA_CERTIFICATES=ca.pem, **own.broker_settings,
                AUTHENTICATION="certificate_cn", USERNAME="one") as broker:
        yield broker


@pytest.fixture(scope="module")
def keyed(program):
    with Broker(program, **PSK, AUTHENTICATION="password", USERNAME="house", PASSWORD="12345") as broker:
        yield broker


@pytest.fixture(scope="module")
def plain(program):
    with Broker(program) as broker:
        yield broker


def fails(port, tls):
    """A client that is refused by TLS."""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with Secure(port, tls) as client:
            client.socket.recv(1)
            raise AssertionError("it should have been refused")


def noted(broker, *words):
    """Exactly one more refusal is noted, with these words in its reason."""
    refusals = until(lambda: [(reason, count) for reason, count in broker.refusals()
                              if all(word in reason for word in words)], f"{words} are noted")
    assert refusals == [(refusals[0][0], 1)]


def test_plaintext_on_a_tls_port(certified, keyed):
    for broker in (certified, keyed):
        with Connection(broker.port, connect("x")) as client:
            assert client.until_closed() == b"", "nothing is said in plain text"
        noted(broker, "it speaks MQTT without TLS, which this port demands")


def test_http_on_a_tls_port(certified, keyed):
    for broker in (certified, keyed):
        with Connection(broker.port, b"GET / HTTP/1.1\r\n\r\n") as client:
            assert client.until_closed() == b""
        noted(broker, "what it sends is not TLS, which this port demands")


def test_tls_on_a_plaintext_port(plain):
    fails(plain.port, context())
    noted(plain, "it speaks TLS, which this port does not (TLS Support is None)")


def test_no_common_cipher(certified):
    greeting(s_client(certified.port, "-tls1_2", "-cipher", "AES128-SHA", quiet=False))
    noted(certified, "it offers no cipher suite, group or signature that the broker has")


def test_no_common_group(certified):
    greeting(s_client(certified.port, "-curves", "X448", quiet=False))
    reason = "it offers no cipher suite, group or signature that the broker has"
    until(lambda: dict(certified.refusals()).get(reason) == 2, "the same is counted")


def test_no_common_cipher_of_a_key(keyed):
    greeting(with_key(keyed.port, "-tls1_2", "-cipher", "DHE-PSK-AES128-GCM-SHA256", quiet=False))
    noted(keyed, "it offers no pre-shared key, or no cipher suite for one that the broker has")


def test_unknown_identity(keyed):
    greeting(with_key(keyed.port, identity="nobody", quiet=False))
    noted(keyed, 'its PSK identity "nobody" is not the one in the settings')


def test_wrong_key(keyed):
    greeting(with_key(keyed.port, key=KEY[2:], quiet=False))
    noted(keyed, "its pre-shared key is not the one in the settings")


def test_wrong_password(keyed):
    with Piped(with_key(keyed.port)) as client:
        client.send_connect(login=("house", "wrong"))
        client.expect_refused(5)
    noted(keyed, "wrong user name or password")


def test_no_certificate(certified):
    fails(certified.port, context())
    noted(certified, "it sent no certificate")


def test_another_ca(certified, tmp_path):
    fails(certified.port, context(None, Authority(tmp_path / "other").sign("one")))
    noted(certified, "its certificate is not signed by the CA in the settings")


def test_expired(certified, ca):
    old = ca.sign("one", starts="20200101000000Z", ends="20200201000000Z")
    fails(certified.port, context(None, old))
    noted(certified, "its certificate expired on Feb  1 00:00:00 2020 GMT", "check the router's time")


def test_not_yet_valid(certified, ca):
    future = ca.sign("one", starts="20950101000000Z")
    fails(certified.port, context(None, future))
    noted(certified, "its certificate is valid from Jan  1 00:00:00 2095 GMT only", "check the router's time")


def test_another_name(certified, ca):
    with Secure(certified.port, context(None, ca.sign("two"))) as client:
        client.send_connect()
        client.expect_refused(5)
    noted(certified, "the Common Name of the client certificate is not the one allowed")


def test_more_certificates_than_a_chain_has(certified, ca):
    for number, reason in ((10, None), (11, "it sent 11 certificates, of which no more than 10 may lead")):
        client = ca.sign("one")
        client.certificate.write_text(client.certificate.read_text() + ca.pem * (number - 1))
        if reason:
            fails(certified.port, context(None, client))
            noted(certified, reason)
        else:
            with Secure(certified.port, context(None, client)) as one:
                one.connect()


def test_no_name(certified, ca):
    with Secure(certified.port, context(None, ca.sign("one", attribute="O"))) as client:
        client.send_connect()
        client.expect_refused(5)
    noted(certified, "the client certificate has no Common Name")


def test_a_message_that_does_not_exist(keyed):
    """OpenSSL's reason is told, not the place in its source."""
    with Connection(keyed.port, b"\x16\x03\x03\0\x04\x63\0\0\0") as client:
        client.until_closed()
    noted(keyed, "the TLS handshake failed: unexpected message")
    assert not [reason for reason, _ in keyed.refusals() if ".c:" in reason]


def test_a_client_that_does_not_trust_the_broker(certified, ca, tmp_path):
    other = Authority(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        Secure(certified.port, context(other, ca.sign("one")))
    noted(certified, "it refused the broker: it does not know the CA of the broker's certificate")


def test_leaving_in_the_middle(certified):
    """Said of a client that has begun; one that has not said a word, such as a probe of the port, is none."""
    with Connection(certified.port, b"\x16\x03\x01"):
        pass
    noted(certified, "it closed the connection during the TLS handshake")
    with Connection(certified.port):
        pass
    with Connection(certified.port, b"\x16\x03\x01"):
        pass
    until(lambda: certified.refusals()[0] == ("it closed the connection during the TLS handshake", 2), "both are noted")


def test_one_line_per_address_and_minute(program, ca):
    """The log's; the observer has them all."""
    own = ca.sign("router", extensions=LOCAL)
    with Broker(program, TLS="certificate", CA_CERTIFICATES=ca.pem, **own.broker_settings,
                AUTHENTICATION="certificate_cn", USERNAME="one") as broker:
        addresses = ["127.0.0.2", "127.0.0.3"]
        for number in range(10):
            for address in addresses:
                fails_from(broker.port, address)
        until(lambda: [count for _, count in broker.refusals()] == [10, 10], "all are noted")
        lines = broker.logged("refused")
        assert len(lines) == 2
        for line, address in zip(sorted(lines, key=lambda line: line.split("refused")[1]), addresses):
            assert line.endswith(f"[WARN] refused {address}: it sent no certificate")


def fails_from(port, address):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with Secure(port, source=address) as client:
            client.socket.recv(1)
            raise AssertionError("it should have been refused")
