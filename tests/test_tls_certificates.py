"""Certificate based TLS: which certificates of the broker and of clients are taken, and who is let in by one."""

import itertools
import ssl

import pytest

import pki
from conformance.broker import Broker
from pki import ALGORITHMS, LOCAL, Authority
from secure import Piped, Secure, context, greeting, s_client
from waiting import until
from wire import CONNACK, MQTT_3_1, MQTT_3_1_1, MQTT_5

V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
TLS_VERSIONS = [pytest.param(V1_2, id="TLS 1.2"), pytest.param(V1_3, id="TLS 1.3")]
LEVELS = [pytest.param(MQTT_3_1, id="3.1"), pytest.param(MQTT_3_1_1, id="3.1.1"), pytest.param(MQTT_5, id="5.0")]
NAME = "Data collector"


class World:
    """Two authorities, and identities that the first or the second has signed."""

    def __init__(self, directory):
        self.ca, self.other = Authority(directory / "ca"), Authority(directory / "other")
        self.broker = self.ca.sign("router", extensions=LOCAL)
        self.client = self.ca.sign(NAME)
        self.stranger = self.other.sign(NAME)
        self.namesake = self.ca.sign("Another")

    @property
    def settings(self):
        return {"TLS": "certificate", "CA_CERTIFICATES": self.ca.pem, **self.broker.broker_settings}


BY_NAME = {"AUTHENTICATION": "certificate_cn", "USERNAME": NAME}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def broker(program, world):
    """One that asks for certificates."""
    with Broker(program, **world.settings, **BY_NAME) as broker:
        yield broker


def assert_refused(broker, tls, reason, **how):
    """The client is refused in its handshake, or, in TLS 1.3, right after it; the broker says why."""
    before = dict(broker.refusals()).get(reason, 0)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with Secure(broker.port, tls, **how) as client:
            client.send_connect()
            # In TLS 1.3 the client learns of it when it reads.
            client.socket.recv(1)
            raise AssertionError("the handshake should have failed")
    until(lambda: dict(broker.refusals()).get(reason, 0) == before + 1, f"{reason!r} is noted")


# --- Certificate CN


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_the_right_name(broker, world, version, level):
    with Secure(broker.port, context(world.ca, world.client, version), level, "right") as client:
        # Neither a user name nor a password says more than the certificate does.
        client.connect(login=("somebody", "else"))
        client.subscribe("a", qos=1)
        client.publish("a", "x", qos=1)
        client.message(payload=b"x")


@pytest.mark.parametrize("level, code", [(MQTT_3_1, 5), (MQTT_3_1_1, 5), (MQTT_5, 0x87)])
@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_another_name(broker, world, version, level, code):
    """Refused at CONNECT, whatever user name it gives."""
    with Secure(broker.port, context(world.ca, world.namesake, version), level, "another") as client:
        client.send_connect(login=(NAME, ""))
        client.expect_refused(code)


@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_no_certificate(broker, version):
    assert_refused(broker, context(version=version), "it sent no certificate")


@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_a_certificate_of_another_ca(broker, world, version):
    """Of the same name, as the CA itself is."""
    reason = "its certificate is not signed by the CA in the settings"
    assert_refused(broker, context(None, world.stranger, version), reason)


@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_a_self_made_certificate(broker, version, tmp_path):
    """Of the right name, which anybody can write into one."""
    forged = Authority(tmp_path / "forged", NAME)
    assert_refused(broker, context(None, forged, version), "its certificate is not signed by the CA in the settings")


@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_a_certificate_without_its_key(broker, world, tmp_path, version):
    """Certificates are no secret: whoever shows one has to sign with its key."""
    forged = pki.with_another_key(world.client, world.namesake, tmp_path)
    assert_refused(broker, context(world.ca, forged, version),
                   "its certificate is another's: it does not hold the private key")
    # The same two files, made of one key, come in.
    true = pki.with_another_key(world.client, world.client, tmp_path)
    with Secure(broker.port, context(world.ca, true, version)) as client:
        client.connect()


@pytest.mark.parametrize("names", [["Data collector", "Another"], ["Another", "Data collector"]])
def test_the_first_of_several_names_counts(broker, world, names):
    """As in Mosquitto."""
    several = world.ca.sign("/CN=".join(names))
    subject = pki.run(several.directory, "openssl", "x509", "-in", several.certificate, "-noout", "-subject")
    # `openssl ca` may keep only the names that its policy has: this test needs both.
    if subject.count(b"CN = ") != 2:
        pytest.skip("the certificate has one name only")
    with Secure(broker.port, context(world.ca, several)) as client:
        client.send_connect()
        assert client.expect(CONNACK).reason == (0 if names[0] == NAME else 5)


@pytest.mark.parametrize("name", ["Data collector ", "data collector", "Data collector\\, x", "Data"])
def test_a_name_that_is_alike(broker, world, name):
    with Secure(broker.port, context(world.ca, world.ca.sign(name))) as client:
        client.send_connect()
        client.expect_refused(5)


def test_a_name_beyond_ascii(program, world):
    name = "Zähler 漢"
    with Broker(program, **world.settings, AUTHENTICATION="certificate_cn", USERNAME=name) as broker:
        directory = world.ca.directory
        pki.run(directory, "openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", "utf8.key", "-utf8", "-subj", f"/CN={name}", "-out", "utf8.csr")
        pki.run(directory, "openssl", "x509", "-req", "-in", "utf8.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                "-CAcreateserial", "-out", "utf8.crt")
        with Secure(broker.port, context(world.ca, pki.Identity(directory, "utf8"))) as client:
            client.connect()


# --- user names and passwords


@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_user_name_and_password(program, world, version):
    """No certificate is asked for; one that is sent all the same says nothing."""
    with Broker(program, **world.settings, AUTHENTICATION="password", USERNAME="house", PASSWORD="12345") as broker:
        assert "Acceptable client certificate CA names" not in greeting(s_client(broker.port, quiet=False))
        for identity in (None, world.client):
            tls = context(world.ca, identity, version)
            with Secure(broker.port, tls) as client:
                client.connect(login=("house", "12345"))
            for login in (None, ("house", "1234"), (NAME, "12345")):
                with Secure(broker.port, tls) as client:
                    client.send_connect(login=login)
                    client.expect_refused(5)


def test_none_accepts_who_passes_tls(program, world):
    with Broker(program, **world.settings) as broker, Secure(broker.port, context(world.ca)) as client:
        client.connect()


# --- kinds of certificates


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_kinds_of_keys(program, tmp_path, version, algorithm):
    """Of the broker, the client and the CA; with a subjectAltName, which Python checks."""
    ca = Authority(tmp_path / "ca", algorithm=algorithm)
    own = ca.sign("router", algorithm, LOCAL + "\nextendedKeyUsage = serverAuth")
    client = ca.sign(NAME, algorithm, "extendedKeyUsage = clientAuth")
    with Broker(program, TLS="certificate", CA_CERTIFICATES=ca.pem, **own.broker_settings, **BY_NAME) as broker:
        tls = context(ca, client, version, check_hostname=True)
        with Secure(broker.port, tls, MQTT_5) as one:
            one.connect()
            assert one.socket.version() == version.name.replace("v1_", "v1.")
        assert not broker.logged("WARN", "settings")


def test_a_certificate_for_servers_is_none_for_clients(broker, world):
    server = world.ca.sign(NAME, extensions="extendedKeyUsage = serverAuth")
    assert_refused(broker, context(world.ca, server), "its certificate is not meant for clients (extended key usage)")


@pytest.fixture(scope="module")
def intermediate(tmp_path_factory, world):
    return Authority(tmp_path_factory.mktemp("intermediate"), "Intermediate", signer=world.ca)


@pytest.mark.parametrize("where", ["CERTIFICATE", "CA_CERTIFICATES"])
@pytest.mark.parametrize("order", ["leaf first", "leaf last"])
@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_an_intermediate_of_the_brokers(program, world, intermediate, version, order, where):
    """In either field, in any order, it is sent: clients know the root alone."""
    own = intermediate.sign("router", extensions=LOCAL)
    fields = {"CERTIFICATE": [own.pem], "CA_CERTIFICATES": [world.ca.pem]}
    fields[where].insert(1 if order == "leaf first" else 0, intermediate.pem)
    settings = {key: "".join(parts) for key, parts in fields.items()}
    with Broker(program, TLS="certificate", PRIVATE_KEY=own.key_pem, **settings) as broker:
        with Secure(broker.port, context(world.ca, version=version, check_hostname=True)) as client:
            client.connect()
        assert not broker.logged("WARN", "settings")


def test_an_intermediate_of_the_clients(program, world, intermediate, tmp_path):
    """The client sends it, or the settings have it beside the root or alone."""
    client = intermediate.sign(NAME)
    chain = pki.Identity(tmp_path, "chain")
    chain.certificate.write_text(client.pem + intermediate.pem)
    chain.key.write_text(client.key_pem)
    # The broker's own root stands with its certificate, so that the intermediate alone may stand with the CAs.
    settings = world.settings | {"CERTIFICATE": world.broker.pem + world.ca.pem}
    with Broker(program, **settings, **BY_NAME) as broker:
        for authorities, identity in [(world.ca.pem, chain), (world.ca.pem + intermediate.pem, client),
                                      (intermediate.pem, client)]:
            if broker.settings["CA_CERTIFICATES"] != authorities:
                broker.configure(CA_CERTIFICATES=authorities)
            with Secure(broker.port, context(world.ca, identity)) as one:
                one.connect()
        # Not so its issuer's other certificates, when the intermediate alone is trusted.
        assert_refused(broker, context(world.ca, world.client),
                       "its certificate is not signed by the CA in the settings")


def test_text_around_the_pem_and_crlf(program, world):
    """As a browser on Windows sends what was pasted."""
    settings = {key: ("Bag Attributes\n" + text).replace("\n", "\r\n") if "-----" in text else text
                for key, text in world.settings.items()}
    with Broker(program, **settings, **BY_NAME) as broker:
        with Secure(broker.port, context(world.ca, world.client)) as client:
            client.connect()


# --- resumption


def resumed(broker, tls, session=None, reason=0):
    """Whether the broker went on with this session, and the one to go on with."""
    with Secure(broker.port, tls, session=session) as client:
        client.send_connect()
        assert client.expect(CONNACK).reason == reason
        return client.socket.session_reused, client.socket.session


@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_resumption_with_a_certificate(broker, world, version):
    """The name that the certificate had still counts, at every CONNECT."""
    for identity, reason in [(world.client, 0), (world.namesake, 5)]:
        tls = context(world.ca, identity, version)
        is_resumed, session = resumed(broker, tls, None, reason)
        assert not is_resumed
        for _ in range(3):
            is_resumed, session = resumed(broker, tls, session, reason)
            assert is_resumed


@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_resumption_without_a_certificate(program, world, version):
    with Broker(program, **world.settings) as broker:
        tls = context(world.ca, None, version)
        _, session = resumed(broker, tls)
        assert resumed(broker, tls, session)[0]


@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_a_ticket_does_not_outlive_the_settings(program, world, version):
    """It opens nothing after a reload: a client that may come in shakes hands anew."""
    with Broker(program, **world.settings, **BY_NAME) as broker:
        tls = context(world.ca, world.client, version)
        _, session = resumed(broker, tls)
        broker.configure(**world.ca.sign("renewed", extensions=LOCAL).broker_settings)
        is_resumed, session = resumed(broker, tls, session)
        assert not is_resumed
        assert resumed(broker, tls, session)[0]


@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_a_ticket_does_not_outlive_the_ca(program, world, version):
    """Who was let in by one CA is not by another, ticket or not."""
    with Broker(program, **world.settings, **BY_NAME) as broker:
        tls = context(None, world.client, version)
        _, session = resumed(broker, tls)
        broker.configure(CA_CERTIFICATES=world.other.pem, **world.other.sign("router").broker_settings)
        assert_refused(broker, tls, "its certificate is not signed by the CA in the settings", session=session)
        resumed(broker, context(None, world.stranger, version))


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_openssls_client_resumes(program, world, tmp_path, version, by_name):
    words = ["-tls" + version.replace(".", "_"), "-cert", world.client.certificate, "-key", world.client.key]
    ticket = tmp_path / "ticket"
    with Broker(program, **world.settings, **(BY_NAME if by_name else {})) as broker:
        # The ticket of TLS 1.3 comes after the handshake.
        with Piped(s_client(broker.port, *words, "-sess_out", ticket)) as client:
            client.connect().rest()
        for _ in range(2):
            assert f"Reused, TLSv{version}" in greeting(s_client(broker.port, *words, "-sess_in", ticket, quiet=False))
        with Piped(s_client(broker.port, *words, "-sess_in", ticket)) as client:
            client.connect().rest()


def test_openssls_client_reconnects(broker, world):
    """TLS 1.2 alone: it waits for no ticket of 1.3."""
    words = ["-tls1_2", "-reconnect", "-cert", world.client.certificate, "-key", world.client.key]
    said = greeting(s_client(broker.port, *words, quiet=False))
    assert said.count("\nNew, TLSv1.2") == 1 and said.count("\nReused, TLSv1.2") == 5, said


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_gnutls_resumes(program, world, version, by_name):
    words = ["--priority", f"NORMAL:-VERS-ALL:+VERS-TLS{version}", "--x509cafile", world.ca.certificate, "--x509certfile",
             world.client.certificate, "--x509keyfile", world.client.key]
    with Broker(program, **world.settings, **(BY_NAME if by_name else {})) as broker:
        said = greeting(["gnutls-cli", "--resume", *words, "-p", broker.port, "localhost"])
        assert "This is a resumed session" in said, said


def test_many_kinds_at_once(broker, world):
    """Clients of both versions of TLS and all of MQTT hear one another."""
    clients = []
    for version, level in itertools.product((V1_2, V1_3), (MQTT_3_1, MQTT_3_1_1, MQTT_5)):
        client = Secure(broker.port, context(world.ca, world.client, version), level, f"{version}{level}"[-20:])
        clients.append(client)
        client.connect().subscribe("all", qos=2)
    clients[0].publish("all", "x", qos=2)
    for client in clients:
        client.message(payload=b"x", qos=2)
        client.disconnect()
