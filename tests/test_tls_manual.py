"""The manual's chapter 3.3 and its two examples, with Debian's clients and ours."""

import os
import re
import shlex
import shutil
import subprocess

import pytest

import pki
from app import observe, quoted
from conformance.broker import SETTINGS, Broker
from mosquitto import VERSIONS, Subscriber, publish
from router import scratch_root
from secure import KEY, MOSQUITTO_PSK, PSK
from waiting import until

EXAMPLE_1 = ("mosquitto_pub --host fc00:202::254 --port 1883 --psk "
             "b7e87d9b2074d5889a7969985d9fc3f04e4e5b8cb57956a812b2c52b6411abd8 --psk-identity test -u house -P 12345 "
             "-t SENSOR/ROOM8/TEMPERATURE -m 54")
EXAMPLE_2 = ("mosquitto_sub -C 1 --host router --port 1883 --cafile ca.crt --cert client.crt --key client.key "
             "-t factory/sensor/#")
LOGIN = ["-u", "house", "-P", "12345"]

pytestmark = pytest.mark.usefixtures("clients")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The directory in which the manual's commands were typed."""
    directory = tmp_path_factory.mktemp("manual")
    pki.by_the_manual(directory)
    return directory


@pytest.fixture(scope="module")
def keyed(program):
    """A broker with the settings of figure 4."""
    with Broker(program, **PSK, AUTHENTICATION="password", USERNAME="house", PASSWORD="12345") as broker:
        yield broker


@pytest.fixture(scope="module")
def certified(program, files):
    """A broker with the settings of figure 3."""
    with Broker(program, **pki.manual_settings(files)) as broker:
        yield broker


def shown(files, name="client"):
    """The words for a client's certificate, and for the CA's."""
    return ["--cafile", files / "ca.crt", "--cert", files / f"{name}.crt", "--key", files / f"{name}.key"]


def test_the_certificates_are_of_version_1(files):
    """Else the rest of this file would show less than it says: OpenSSL makes no others of these commands before 3.2."""
    if tuple(map(int, pki.run(files, "openssl", "version").split()[1].split(b".")[:2])) < (3, 2):
        assert b"Version: 1" in pki.run(files, "openssl", "x509", "-in", "broker.crt", "-noout", "-text")


def test_a_key_made_by_openssl(program, files):
    key = pki.run(files, "sh", "-c", "openssl rand -hex 32").decode().strip()
    with Broker(program, **PSK | {"PSK_KEY": key}) as broker:
        words = ["--psk", key, "--psk-identity", "test"]
        with Subscriber(broker.port, *words, "-t", "made") as subscriber:
            publish(broker.port, "made", *words, message="x")
            assert subscriber.next().payload == b"x"


def test_example_1(keyed):
    """mosquitto_pub with a pre-shared key, user name and password."""
    command = EXAMPLE_1.replace("fc00:202::254", "127.0.0.1").replace("1883", str(keyed.port))
    with Subscriber(keyed.port, *MOSQUITTO_PSK, *LOGIN, "-t", "SENSOR/+/TEMPERATURE") as subscriber:
        subprocess.run(shlex.split(command), check=True, timeout=20)
        message = subscriber.next()
    assert (message.topic, message.payload) == ("SENSOR/ROOM8/TEMPERATURE", b"54")


def test_example_2(certified, files):
    """mosquitto_sub with the client's certificate, which ends after one message."""
    command = EXAMPLE_2.replace("router", "localhost").replace("1883", str(certified.port))
    with subprocess.Popen(shlex.split(command), cwd=files, stdout=subprocess.PIPE) as subscriber:
        try:
            until(lambda: certified.observe()["subscriptions"] == 1, "it has subscribed")
            publish(certified.port, "factory/sensor/7", *shown(files), host="localhost", message="21.5")
            assert subscriber.communicate(timeout=20)[0] == b"21.5\n"
            assert subscriber.returncode == 0
        finally:
            subscriber.kill()


def test_the_broker_names_its_mistakes_by_the_forms_labels(program, files):
    """The CA's certificate instead of the broker's: the key does not belong to it."""
    with Broker(program, **pki.manual_settings(files)) as broker:
        broker.configure_in_vain(CERTIFICATE=(files / "ca.crt").read_text())
        assert broker.logged("settings not taken", "Broker Private Key does not belong to the Broker Certificate")
        publish(broker.port, "x", *shown(files), host="localhost", message="the old ones are in force")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("tls", ["tlsv1.2", "tlsv1.3"])
@pytest.mark.parametrize("mode", ["keyed", "certified"])
def test_every_version(request, files, mode, tls, version):
    broker = request.getfixturevalue(mode)
    words = ["-V", version, "--tls-version", tls, "-q", "2"]
    words += [*MOSQUITTO_PSK, *LOGIN] if mode == "keyed" else shown(files)
    topic = f"{tls}/{version}"
    with Subscriber(broker.port, *words, "-t", topic, host="localhost") as subscriber:
        publish(broker.port, topic, *words, host="localhost", message="x")
        assert subscriber.next().payload == b"x"


def test_a_host_of_another_name(certified, files):
    """The CN should be the router's name, else clients refuse, unless they are told not to look."""
    words = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(certified.port), *shown(files), "-t", "x", "-m", "x"]
    refused = subprocess.run(words, capture_output=True, timeout=20)
    assert refused.returncode != 0 and b"TLS error" in refused.stderr
    publish(certified.port, "x", *shown(files), "--insecure", host="127.0.0.1", message="x")
    until(lambda: any("it refused the broker" in reason for reason, _ in certified.refusals()), "that is noted")


@pytest.mark.parametrize("version, code", [("mqttv31", 5), ("mqttv311", 5), ("mqttv5", 135)])
def test_another_common_name(certified, files, version, code):
    recipe = pki.CLIENT_RECIPE.replace("client.", "other.").replace("common_name", "Another")
    for line in recipe.splitlines():
        pki.run(files, "sh", "-c", line)
    said = publish(certified.port, "x", "-V", version, *shown(files, "other"), host="localhost", message="x",
                   expected_code=code)
    assert b"uthori" in said
    assert "Common Name" in certified.refusals()[0][0]


@pytest.mark.parametrize("login", [[], ["-u", "house"], ["-u", "house", "-P", "1234"]])
def test_the_key_is_not_enough(keyed, login):
    publish(keyed.port, "x", *MOSQUITTO_PSK, *login, message="x", expected_code=5)


def test_no_secret_is_told(keyed, files, certified):
    publish(keyed.port, "x", *MOSQUITTO_PSK, "-u", "house", "-P", "hunter2", message="x", expected_code=5)
    key = (files / "broker.key").read_text().splitlines()[1]
    for text in (keyed.log() + str(keyed.observe()), certified.log() + str(certified.observe())):
        assert re.search("listening|warnings", text)
        for secret in (KEY, "hunter2", "12345'", key):
            assert secret not in text


#: A network of its own, and names, in which the manual's router is this machine.
WORLD = """
ip link set lo up
ip address add fc00:202::254/128 dev lo nodad
mount --bind "$ROOT/hosts" /etc/hosts
exec "$@"
"""
SEPARATE = ["unshare", "--user", "--map-root-user", "--net", "--mount"]


class World:
    """The manual's router, and whoever types at the prompts around it."""

    def __init__(self, program, **settings):
        self.program, self.settings = program, settings

    def __enter__(self):
        self.root = scratch_root()
        (self.root / "hosts").write_text("127.0.0.1 localhost router.example.com router\n")
        (self.root / "var/run").mkdir(parents=True)
        (self.root / "settings").write_text(quoted(SETTINGS | {"PORT": 1883} | self.settings))
        command = [self.program, "--root", self.root, self.root / "settings"]
        self.process = subprocess.Popen([*SEPARATE, "sh", "-ec", WORLD, "sh", *command],
                                        stdin=subprocess.DEVNULL, env=os.environ | {"ROOT": str(self.root)})
        try:
            until(lambda: self.observe() and self.observe()["listening"], "the broker serves")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.root)

    def observe(self):
        assert self.process.poll() is None
        return observe(self.root)

    def type(self, command, directory):
        """Starts a command as it is printed."""
        enter = ["nsenter", f"--target={self.process.pid}", "--user", "--preserve-credentials", "--net", "--mount",
                 f"--wdns={directory}"]
        return subprocess.Popen([*enter, "sh", "-c", f"exec {command}"], stdout=subprocess.PIPE)


def is_possible():
    return subprocess.run([*SEPARATE, "ip", "link", "set", "lo", "up"], capture_output=True, timeout=20).returncode == 0


def typed(world, listening, telling, directory):
    """What the first command prints when the second one is typed."""
    listener = world.type(listening, directory)
    try:
        until(lambda: world.observe()["subscriptions"] == 1, "it has subscribed")
        assert world.type(telling, directory).wait(20) == 0
        printed = listener.communicate(timeout=20)[0]
        assert listener.returncode == 0
        return printed
    finally:
        listener.kill()
        listener.wait()


@pytest.mark.skipif(not is_possible(), reason="no namespaces for us here")
class TestVerbatim:
    """What a reader of the manual types, to the letter."""

    def test_example_1(self, program, files):
        psk = "--host localhost --psk " + KEY + " --psk-identity test -u house -P 12345"
        with World(program, **PSK, AUTHENTICATION="password", USERNAME="house", PASSWORD="12345") as world:
            assert EXAMPLE_1.split()[6] == KEY
            assert typed(world, f"mosquitto_sub {psk} -p 1883 -C 1 -v -t '#'", EXAMPLE_1, files) == (
                b"SENSOR/ROOM8/TEMPERATURE 54\n")

    def test_example_2(self, program, files):
        for line in pki.CLIENT_RECIPE.replace("client.", "router.").replace("common_name", "router").splitlines():
            pki.run(files, "sh", "-c", line)
        settings = pki.manual_settings(files) | {
            "CERTIFICATE": (files / "router.crt").read_text(), "PRIVATE_KEY": (files / "router.key").read_text()}
        with World(program, **settings) as world:
            telling = "mosquitto_pub --host router --port 1883 --cafile ca.crt --cert client.crt --key client.key"
            assert typed(world, EXAMPLE_2, f"{telling} -t factory/sensor/7 -m 21.5", files) == b"21.5\n"
