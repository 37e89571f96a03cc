"""Other TLS settings while clients are connected: who stays, who has to go, and what newcomers meet."""

import signal
import ssl

import pytest

from conformance.broker import Broker
from conformance.client import Client
from pki import LOCAL, Authority
from router import Port
from secure import KEY, PSK, Piped, Secure, context, with_key
from waiting import until
from wire import MQTT_3_1_1, MQTT_5, Connection, connect

BY_NAME = {"AUTHENTICATION": "certificate_cn", "USERNAME": "one"}
ADMINISTRATIVE_ACTION, SHUTTING_DOWN = 0x98, 0x8B
LEVELS = [pytest.param(MQTT_3_1_1, id="3.1.1"), pytest.param(MQTT_5, id="5.0")]


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("world") / "ca")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("world") / "other", "Other CA")


@pytest.fixture
def certified(program, ca):
    own = ca.sign("router", extensions=LOCAL)
    with Broker(program, TLS="certificate", CA_CERTIFICATES=ca.pem, **own.broker_settings) as broker:
        yield broker


@pytest.fixture
def keyed(program):
    with Broker(program, **PSK) as broker:
        yield broker


def subject(client):
    """The Common Name that the broker's certificate has, and its serial number."""
    found = client.socket.getpeercert()
    return dict(field for part in found["subject"] for field in part)["commonName"], found["serialNumber"]


def test_a_new_certificate_ends_nobody(certified, ca):
    """Who is connected stays, even in the middle of a message; newcomers see the new one."""
    with Secure(certified.port, context(ca)) as old:
        old.connect().subscribe("a", qos=1)
        before = subject(old)
        certified.configure(**ca.sign("renewed", extensions=LOCAL).broker_settings)
        old.publish("a", "x" * 10_000, qos=1)
        old.message(payload=b"x" * 10_000)
        with Secure(certified.port, context(ca)) as new:
            new.connect()
            assert before[0] == "router" and subject(new)[0] == "renewed"


def test_another_kind_of_key(certified, ca):
    with Secure(certified.port, context(ca)) as old:
        old.connect()
        certified.configure(**ca.sign("renewed", "RSA", LOCAL).broker_settings)
        old.rest()
        with Secure(certified.port, context(ca)) as new:
            new.connect()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("by_name", [False, True])
def test_another_ca(program, ca, other, by_name, level):
    """It ends those whom the old one let in, and nobody where clients show no certificate."""
    client, own = ca.sign("one"), ca.sign("router", extensions=LOCAL)
    settings = {"TLS": "certificate", "CA_CERTIFICATES": ca.pem} | own.broker_settings | (BY_NAME if by_name else {})
    with Broker(program, **settings) as broker:
        with Secure(broker.port, context(ca, client), level) as old:
            old.connect()
            # The broker's own certificate is the old CA's still, which its root beside it allows.
            broker.configure(CA_CERTIFICATES=other.pem, CERTIFICATE=own.pem + ca.pem)
            if by_name:
                old.expect_closed(ADMINISTRATIVE_ACTION)
            else:
                old.rest()
        with Secure(broker.port, context(ca, other.sign("one"))) as new:
            new.connect()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("change", [{"PSK_KEY": KEY[::-1]}, {"PSK_IDENTITY": "another"}])
def test_another_key(keyed, change, level):
    with Piped(with_key(keyed.port), level) as old:
        old.connect()
        keyed.configure(**change)
        old.expect_closed(ADMINISTRATIVE_ACTION)
    with Piped(with_key(keyed.port)) as old:
        assert old.until_closed() == b"", "the old key does not open any more"
    key, identity = keyed.settings["PSK_KEY"], keyed.settings["PSK_IDENTITY"]
    with Piped(with_key(keyed.port, key=key, identity=identity)) as new:
        new.connect()


@pytest.mark.parametrize("level", LEVELS)
def test_every_change_of_mode(keyed, ca, level):
    """It ends everyone, and the same port speaks the other language at once."""
    certificate = {"TLS": "certificate", "CA_CERTIFICATES": ca.pem} | ca.sign("router", extensions=LOCAL).broker_settings

    def client():
        mode = keyed.settings["TLS"]
        if mode == "psk":
            return Piped(with_key(keyed.port), level)
        return Secure(keyed.port, context(ca), level) if mode == "certificate" else Client(keyed.port, level)

    for change in (certificate, {"TLS": "none"}, {"TLS": "psk"}, {"TLS": "none"}, certificate, {"TLS": "psk"}):
        with client() as old:
            old.connect()
            keyed.configure(**change)
            old.expect_closed(ADMINISTRATIVE_ACTION)
        with client() as new:
            new.connect().rest()
        if keyed.settings["TLS"] != "none":
            with Connection(keyed.port, connect("x")) as plain:
                assert plain.until_closed() == b"", "no plain text is left"


@pytest.mark.parametrize("level", LEVELS)
def test_another_name_ends_those_of_the_old_one(program, ca, level):
    own = ca.sign("router", extensions=LOCAL)
    with Broker(program, TLS="certificate", CA_CERTIFICATES=ca.pem, **own.broker_settings, **BY_NAME) as broker:
        with Secure(broker.port, context(ca, ca.sign("one")), level) as old:
            old.connect()
            broker.configure(USERNAME="two")
            packet = old.expect_closed()
            assert level != MQTT_5 or packet.reason in (ADMINISTRATIVE_ACTION, 0x87)
        with Secure(broker.port, context(ca, ca.sign("two"))) as new:
            new.connect()


@pytest.mark.parametrize("level", LEVELS)
def test_certificates_of_clients_on_and_off(certified, ca, level):
    """With the rest of the settings as it was: who shows the right one comes in from then on, and nobody else; after
    that, everyone again."""
    one, two = (context(ca, ca.sign(name)) for name in ("one", "two"))
    with Secure(certified.port, one, level) as asked_for_nothing:
        asked_for_nothing.connect()
        certified.configure(**BY_NAME)
        packet = asked_for_nothing.expect_closed()
        assert level != MQTT_5 or packet.reason in (ADMINISTRATIVE_ACTION, 0x87)
    with Secure(certified.port, one, level) as named:
        named.connect().rest()
        with Secure(certified.port, two, level) as other:
            other.send_connect()
            other.expect_refused(5, 0x87)
        with pytest.raises((ssl.SSLError, OSError, AssertionError)), Secure(certified.port, context(ca), level) as unnamed:
            unnamed.connect()
        certified.configure(AUTHENTICATION="none")
        named.rest()
    with Secure(certified.port, context(ca), level) as anyone:
        anyone.connect().rest()


def test_who_is_in_its_handshake_meanwhile(certified, ca):
    """It was begun with the old certificate and ends well."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context(ca).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with Connection(certified.port) as stranger:
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        hello = outgoing.read()
        stranger.send(hello[:50])
        certified.configure(**ca.sign("renewed", extensions=LOCAL).broker_settings)
        stranger.send(hello[50:])
        while outgoing.pending == 0:
            incoming.write(stranger.socket.recv(65536))
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
        tls.write(connect("x"))
        stranger.send(outgoing.read())
        while True:
            incoming.write(stranger.socket.recv(65536))
            try:
                assert tls.read(4)[:1] == b"\x20"
                break
            except ssl.SSLWantReadError:
                pass


@pytest.mark.parametrize("mode", ["certified", "keyed"])
def test_another_port(request, ca, mode):
    """Clients of the old one stay, new ones come to the other, and nothing in plain text is at either."""
    broker = request.getfixturevalue(mode)

    def client():
        return Secure(broker.port, context(ca)) if mode == "certified" else Piped(with_key(broker.port))

    moved, first = Port(), broker.port
    try:
        with client() as old:
            old.connect()
            broker.configure(PORT=moved.number)
            broker.port = moved.number
            until(broker.is_serving, "it serves at the other port")
            old.rest()
            with client() as new:
                new.connect()
            with pytest.raises(OSError):
                Connection(first)
            with Connection(broker.port, connect("x")) as plain:
                assert plain.until_closed() == b""
    finally:
        moved.release()


def test_broken_settings_change_nothing(certified, ca, other):
    with Secure(certified.port, context(ca)) as old:
        old.connect()
        for change in ({"CERTIFICATE": ""}, {"PRIVATE_KEY": ""}, {"CERTIFICATE": "nonsense"},
                       {"PRIVATE_KEY": certified.settings["PRIVATE_KEY"][:100]}, {"TLS": "psk"},
                       {"PRIVATE_KEY": ca.sign("x").key_pem}, {"CA_CERTIFICATES": other.pem}, {"AUTHENTICATION": "certificate_cn"}):
            certified.configure_in_vain(**change)
            old.rest()
            with Secure(certified.port, context(ca)) as new:
                new.connect()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("mode", ["certified", "keyed"])
def test_shutdown(request, ca, mode, level):
    """Says why, to 5.0 clients, and ends TLS properly."""
    broker = request.getfixturevalue(mode)
    client = Secure(broker.port, context(ca), level) if mode == "certified" else Piped(with_key(broker.port), level)
    with client:
        client.connect()
        if mode == "certified":
            # An end without close_notify would be an error.
            client.socket.suppress_ragged_eofs = False
        broker.process.send_signal(signal.SIGHUP)  # nothing has changed: nobody is ended
        client.rest()
        broker.stop()
        client.expect_closed(SHUTTING_DOWN)
