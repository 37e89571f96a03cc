"""Settings files by any hand: what the broker says of them, and what it does when it meets one while it runs."""

import json
import os
import re
import signal
import socket
import subprocess

import pytest

import wire
from app import PREFIX, is_alive, quoted
from mosquitto import publish
from router import Port, Router, has_ipv6
from waiting import until
from wire import MQTT_3_1_1, MQTT_5, Connection, connected

VALID, INVALID, UNREADABLE = 0, 1, 2
# The broker's own exit code.
SETTINGS_UNUSABLE = 4
ON, OFF, BROKEN = 0, 1, 2


def line(key, value):
    return f"{PREFIX}{key}={value}\n".encode()


ENABLED = line("ENABLED", "'1'")
LOGIN = line("AUTHENTICATION", "password") + line("USERNAME", "house")

# What is in the file, what --check says and what --enabled says.
FILES = {
    "nothing": (b"", VALID, OFF),
    "one empty line": (b"\n", VALID, OFF),
    "enabled alone": (ENABLED, VALID, ON),
    "bare values": (line("ENABLED", 1) + line("PORT", 1884), VALID, ON),
    "double quotes": (line("ENABLED", '"1"') + LOGIN + line("PASSWORD", '"a b"'), VALID, ON),
    "keys in lower case": (ENABLED.lower(), VALID, ON),
    "no line end at the end": (ENABLED.rstrip(), VALID, ON),
    "line ends of DOS": (b"\r\n".join([b"", line("ENABLED", 1).strip(), line("PORT", 1884).strip(), b""]), VALID, ON),
    "a byte order mark": (b"\xef\xbb\xbf" + ENABLED, VALID, ON),
    "comments": (b"# x\n\n  # it's\n" + ENABLED, VALID, ON),
    "an unknown key of ours": (ENABLED + line("LATER", "'x'"), VALID, ON),
    "another app's keys": (ENABLED + b"MOD_OTHER_PORT=0\nPATH=/tmp\nLD_PRELOAD=/tmp/x.so\n", VALID, ON),
    "a key twice": (line("ENABLED", 0) + ENABLED, VALID, ON),
    "a switch that is none": (line("ENABLED", "yes"), INVALID, BROKEN),
    "an empty switch": (line("ENABLED", ""), INVALID, BROKEN),
    "disabled and wrong": (line("ENABLED", 0) + line("PORT", 0), INVALID, OFF),
    "no assignment": (ENABLED + b"rm -rf /\n", INVALID, BROKEN),
    "a key with blanks": (ENABLED + b"MOD_MQTT_BROKER_PORT = 1883\n", INVALID, BROKEN),
    "an open single quote": (ENABLED + line("PASSWORD", "'x"), INVALID, BROKEN),
    "an open double quote": (ENABLED + line("PASSWORD", '"x'), INVALID, BROKEN),
    "a command after the value": (ENABLED + line("PORT", "'1883'; reboot"), INVALID, BROKEN),
    "a value over two lines": (ENABLED + line("PASSWORD", "'x\ny'"), INVALID, BROKEN),
    "a lone backslash": (ENABLED + line("PASSWORD", r"'a\b'"), INVALID, BROKEN),
    "NUL": (ENABLED + line("USERNAME", "'a\0b'"), INVALID, BROKEN),
    "half a file": (ENABLED + line("PRIVATE_KEY", "'-----BEGIN PRIVATE KEY-----\\nMIIE")[:-1], INVALID, BROKEN),
    "another encoding": (ENABLED + LOGIN + b"MOD_MQTT_BROKER_PASSWORD='\xfc'\n", INVALID, BROKEN),
    "an ELF file": (b"\x7fELF\x01\x01\x01\0" * 100, INVALID, BROKEN),
    "zeros": (bytes(4096), INVALID, BROKEN),
    "megabytes of lines": (b"x\n" * 1_000_000, INVALID, BROKEN),
    "one line of 3 MiB": (ENABLED + LOGIN + line("PASSWORD", "'" + "x" * (3 << 20) + "'"), INVALID, BROKEN),
    "too large": (b"#" * ((4 << 20) + 1), UNREADABLE, BROKEN),
}

# Key, value, and whether it is legal.
VALUES = [
    ("PORT", "1", True), ("PORT", "65535", True), ("PORT", "0", False), ("PORT", "65536", False), ("PORT", "", False),
    ("PORT", "-1", False), ("PORT", "+1883", False), ("PORT", "1883 ", False), ("PORT", "0x75b", False),
    ("PORT", "1e3", False), ("PORT", "١٨٨٣", False), ("PORT", "99999999999999999999", False),
    ("PORT", "18 83", False), ("PORT", "1883\n", False),
    ("LOG_LEVEL", "debug", True), ("LOG_LEVEL", "Debug", False), ("LOG_LEVEL", "", False),
    ("LOG_LEVEL", "trace", False),
    ("TLS", "none", True), ("TLS", "ssl", False), ("TLS", "", False), ("TLS", "none ", False),
    ("AUTHENTICATION", "none", True), ("AUTHENTICATION", "password", False),
    ("AUTHENTICATION", "certificate_cn", False),
    ("AUTHENTICATION", "$(reboot)", False),
    ("BIND", "::1", True), ("BIND", "127.0.0.1", True), ("BIND", "", True), ("BIND", "localhost", False),
    ("BIND", "300.0.0.1", False), ("BIND", "1", False),
    ("MAX_CLIENTS", "0", True), ("MAX_CLIENTS", "-5", False), ("MAX_CLIENTS", "many", False),
    ("MAX_QOS", "2", True), ("MAX_QOS", "3", False),
    ("MAX_INFLIGHT", "65535", True), ("MAX_INFLIGHT", "65536", False),
    ("RETAIN_AVAILABLE", "2", False),
]


def check(program, data, *words):
    done = subprocess.run([program, "--check", "-", *words], input=data, capture_output=True, timeout=30)
    assert done.returncode in (VALID, INVALID, UNREADABLE), done
    return done.returncode, done.stdout.decode()


@pytest.mark.parametrize("name", FILES)
def test_check_and_enabled(program, tmp_path, name):
    data, code, enabled = FILES[name]
    file = tmp_path / "settings"
    file.write_bytes(data)
    done = subprocess.run([program, "--check", file], capture_output=True, text=True, timeout=30)
    assert done.returncode == code or (code, done.returncode) == (UNREADABLE, INVALID), done
    assert all(re.match("(error|warning): .", said) for said in done.stdout.splitlines())
    assert bool(code) == ("error: " in done.stdout + done.stderr)
    # A file of garbage need not be described line by line, nor repeated.
    assert len(done.stdout) < 10_000
    assert subprocess.run([program, "--enabled", file], capture_output=True, timeout=30).returncode == enabled
    if code != UNREADABLE:
        assert check(program, data) == (done.returncode, done.stdout), "the same from standard input"
        verdict = json.loads(check(program, data, "--json")[1])
        assert bool(verdict["errors"]) == bool(code)
        assert all(set(found) == {"key", "label", "message"} for kind in verdict.values() for found in kind)


@pytest.mark.parametrize("key, value, legal", VALUES)
def test_values(program, key, value, legal):
    code, said = check(program, quoted({"ENABLED": 1, key: value}).encode(), "--json")
    errors = json.loads(said)["errors"]
    assert (code == VALID) == legal, said
    # It names its own field, or the one that is missing beside it.
    assert legal or errors and all(error["label"] for error in errors), said


def test_all_errors_at_once(program):
    broken = {"PORT": 0, "LOG_LEVEL": "loud", "TLS": "maybe", "AUTHENTICATION": "password", "MAX_QOS": 7, "BIND": "x"}
    code, said = check(program, quoted(broken).encode(), "--json")
    keys = [error["key"] for error in json.loads(said)["errors"]]
    assert code == INVALID
    assert keys == ["PORT", "LOG_LEVEL", "TLS", "USERNAME", "PASSWORD", "BIND", "MAX_QOS"]


DAMAGED = {
    "nothing at all": ("certificate", {}, "Broker Private Key is missing"),
    "a damaged key": ("certificate", {"PRIVATE_KEY": lambda key: key[:60] + key[70:]}, "Broker Private Key is damaged"),
    "half a key": ("certificate", {"PRIVATE_KEY": lambda key: key[:200]}, "Broker Private Key is cut off"),
    "another key": ("certificate", {"PRIVATE_KEY": lambda key: OTHER_KEY}, "Broker Private Key does not belong"),
    "another CA": ("certificate", {"CA_CERTIFICATES": lambda _: OTHER_CA}, "Broker Certificate does not chain"),
    "a damaged certificate": ("certificate", {"CERTIFICATE": lambda text: text[:100] + text[200:]},
                              "Broker Certificate is damaged"),
    "no pre-shared key": ("psk", {"PSK_IDENTITY": "x", "PSK_KEY": ""}, "Pre-shared Key is missing"),
    "half a pre-shared key": ("psk", {"PSK_IDENTITY": "x", "PSK_KEY": "abc"}, "Pre-shared Key must have an even"),
}
OTHER_KEY = subprocess.run(["openssl", "genpkey", "-algorithm", "ED25519"], capture_output=True, check=True, text=True,
                           timeout=30).stdout
OTHER_CA = subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=x"],
                          capture_output=True, check=True, text=True, timeout=30).stdout


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A certificate and its key, as they stand in the settings."""
    directory = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "certificate",
                    "-subj", "/CN=localhost"], cwd=directory, capture_output=True, check=True, timeout=60)
    return {"CERTIFICATE": (directory / "certificate").read_text(), "PRIVATE_KEY": (directory / "key").read_text()}


def damaged(name, material):
    """Settings that name TLS and can't be used, and the sentence that says why."""
    tls, changes, words = DAMAGED[name]
    values = {"TLS": tls} | (material if changes and tls == "certificate" else {})
    for key, change in changes.items():
        values[key] = change(values.get(key)) if callable(change) else change
    return values, words


def nobody_listens(port):
    """Whether nothing can connect, over either family; the port is reserved, so nobody else can have it."""
    for host in ("127.0.0.1", "::1") if has_ipv6() else ("127.0.0.1",):
        try:
            socket.create_connection((host, port), timeout=5).close()
            return False
        except ConnectionRefusedError:
            pass
    return True


@pytest.mark.parametrize("name", DAMAGED)
def test_no_plaintext_where_the_settings_name_tls(program, tmp_path, name, material):
    """Settings that can't be served with TLS are not served."""
    port = Port()
    values, words = damaged(name, material)
    file = tmp_path / "settings"
    file.write_text(quoted({"ENABLED": 1, "PORT": port.number} | values))
    code, said = check(program, file.read_bytes())
    assert code == INVALID and said.count(words) == 1, said
    broker = subprocess.run([program, "--root", tmp_path, file], capture_output=True, text=True, timeout=30)
    port.release()
    assert broker.returncode == SETTINGS_UNUSABLE
    assert broker.stderr.count(words) == 1, broker.stderr


def test_files_that_are_none(program, tmp_path):
    missing = tmp_path / "missing"
    for path, enabled in ((missing, OFF), (tmp_path, BROKEN), (missing / "below", None)):
        assert subprocess.run([program, "--check", path], capture_output=True, timeout=30).returncode == UNREADABLE
        code = subprocess.run([program, "--enabled", path], capture_output=True, timeout=30).returncode
        assert code == enabled or enabled is None and code in (OFF, BROKEN)


def test_secrets_are_not_repeated(program, tmp_path):
    """Whoever reads the log or the answer of --check learns no password from a broken file."""
    secret = "hunter2hunter2"
    for text in ("'{}", '"{}', "'{}' {}", "'{}\\x'", "'{}\x01'", "{} x"):
        text = text.replace("{}", secret)
        data = ENABLED + LOGIN + line("PASSWORD", text) + line("PSK_KEY", text) + line("PORT", 0) + secret.encode()
        file = tmp_path / "settings"
        file.write_bytes(data)
        for words in (["--check", file], ["--check", "--json", file], ["--enabled", file], ["--root", tmp_path, file]):
            done = subprocess.run([program, *words], capture_output=True, text=True, timeout=30)
            assert done.returncode != 0
            assert secret not in done.stdout + done.stderr, (text, words)


def test_no_line_of_the_file_is_executed(host_package):
    """The init script asks the broker about the file; it does not source it."""
    with Router(host_package) as router:
        trap = router.root / "executed"
        hostile = f"x=$(touch {trap})\n`touch {trap}`\ntouch {trap}\n" + f"MOD_MQTT_BROKER_PORT=$(touch {trap})\n"
        for text in (hostile, quoted({"ENABLED": 1, "USERNAME": f"'; touch {trap}; '", "PASSWORD": f"$(touch {trap})",
                                      "PORT": router.port})):
            router.settings_file.write_text(text)
            for action in ("start", "reload", "restart", "status", "stop"):
                subprocess.run([router.module / "etc/init", action], capture_output=True, timeout=60)
            assert not trap.exists()


def test_a_start_with_a_damaged_key(host_package, material):
    """As a reboot finds it: nothing listens, log, Overview and form say why, and other settings mend it."""
    with Router(host_package) as router:
        values, words = damaged("a damaged key", material)
        router.write_settings(**values)
        assert router.init("start") == "Starting module mqtt_broker: done\n"
        until(lambda: router.logged("the settings cannot be used"), "it gives up")
        assert router.logged(words) and nobody_listens(router.port)
        assert words in router.page("status") and "Stopped" in router.page("status")
        assert words in router.page("index")
        supervisor = router.supervisor()
        router.configure(TLS="certificate", **material)
        assert router.supervisor() == supervisor
        assert words not in router.page("status")


class TestReload:
    """A running broker and a file that changes under it."""

    @pytest.fixture
    def router(self, host_package):
        with Router(host_package) as router:
            router.configure(AUTHENTICATION="password", USERNAME="house", PASSWORD="12345", LOG_LEVEL="info")
            yield router

    @staticmethod
    def login(password="12345"):
        return {"login": ("house", password)}

    @staticmethod
    def assert_alive(connection):
        connection.send(wire.PING)
        connection.expect(wire.PINGRESP)

    def reload(self, router):
        os.kill(router.supervisor(), signal.SIGHUP)

    @pytest.mark.parametrize("name", [name for name, (_, code, _) in FILES.items() if code != VALID])
    def test_a_broken_file_changes_nothing(self, router, name):
        client = connected(router.port, "stays", **self.login())
        before = router.worker(), router.observe()["port"]
        router.settings_file.write_bytes(FILES[name][0])
        self.reload(router)
        until(lambda: router.logged("user.err") or router.logged(".err"), "the log says what is wrong")
        self.assert_alive(client)
        assert (router.worker(), router.observe()["port"]) == before
        connected(router.port, "comes", **self.login())
        client.cut()

    @pytest.mark.parametrize("name", DAMAGED)
    def test_tls_that_cannot_be_used_changes_nothing(self, router, name, material):
        """Neither does the broker go on in plaintext that was not asked for before, nor does it stop."""
        keep = {"AUTHENTICATION": "password", "USERNAME": "house", "PASSWORD": "12345"}
        router.configure(TLS="certificate", **material, **keep)
        worker = router.worker()
        values, words = damaged(name, material)
        router.write_settings(**values, **keep)
        self.reload(router)
        until(lambda: router.logged("the old ones stay", words), "the log says what is wrong")
        seen = router.observe()
        assert (seen["pid"], seen["tls"], seen["listening"]) == (worker, "certificate", True)
        assert f"The stored settings are not in force: {words}" in router.page("status")
        assert words in router.page("index")
        # With the old certificate, and not in plaintext.
        login = ["-u", "house", "-P", "12345"]
        authority = router.root / "certificate"
        authority.write_text(material["CERTIFICATE"])
        publish(router.port, "x", *login, "--cafile", authority, host="localhost", message="x")
        publish(router.port, "x", *login, host="localhost", message="x", expected_code=7)
        router.configure(TLS="certificate", **material, MAX_CLIENTS=10, **keep)
        assert "not in force" not in router.page("status")

    def test_the_log_level(self, router):
        client = connected(router.port, "stays", **self.login())
        router.configure(AUTHENTICATION="password", USERNAME="house", PASSWORD="12345", LOG_LEVEL="debug")
        self.assert_alive(client)
        connected(router.port, "shown", **self.login()).cut()
        until(lambda: router.logged("shown"), "the new level counts")
        router.configure(AUTHENTICATION="password", USERNAME="house", PASSWORD="12345", LOG_LEVEL="error")
        connected(router.port, "not to be seen", **self.login()).cut()
        self.assert_alive(client)
        assert not router.logged("not to be seen")

    @pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_5])
    @pytest.mark.parametrize("name, password", [("house", "new"), ("garden", "12345")])
    def test_another_login_ends_who_used_the_old_one(self, router, level, name, password):
        client = connected(router.port, "leaves", level, **self.login())
        router.configure(AUTHENTICATION="password", USERNAME=name, PASSWORD=password)
        said = client.until_closed()
        assert said == b"" if level == MQTT_3_1_1 else said[0] == wire.DISCONNECT and said[2] >= 0x80
        with Connection(router.port, wire.connect("old", **self.login())) as old:
            assert old.expect(wire.CONNACK) == bytes([0, 5])
        connected(router.port, "new", login=(name, password)).cut()

    def test_authentication_switched_on_ends_the_nameless(self, router):
        assert router.configure(AUTHENTICATION="none")["authentication"] == "none"
        nameless, named = connected(router.port, "nameless"), connected(router.port, "named", **self.login())
        router.configure(AUTHENTICATION="password", USERNAME="house", PASSWORD="12345")
        assert nameless.until_closed() == b""
        named.socket.close()

    def test_authentication_switched_off_ends_nobody(self, router):
        client = connected(router.port, "stays", **self.login())
        assert router.configure(AUTHENTICATION="none")["authentication"] == "none"
        self.assert_alive(client)
        connected(router.port, "nameless").cut()

    def test_another_port(self, router):
        """The listener moves; who is connected stays."""
        client, other = connected(router.port, "stays", **self.login()), Port()
        worker = router.worker()
        router.configure(PORT=other.number, AUTHENTICATION="password", USERNAME="house", PASSWORD="12345")
        self.assert_alive(client)
        connected(other.number, "comes", **self.login()).cut()
        publish(router.port, "x", message="x", expected_code=1)
        assert router.worker() == worker
        client.cut()
        other.release()

    def test_another_address(self, router):
        client = connected(router.port, "stays", **self.login())
        keep = {"AUTHENTICATION": "password", "USERNAME": "house", "PASSWORD": "12345"}
        router.configure(BIND="127.0.0.1", **keep)
        self.assert_alive(client)
        connected(router.port, "comes", **self.login()).cut()
        with pytest.raises(ConnectionRefusedError):
            Connection(router.port, host="127.0.0.2")
        client.cut()

    def test_disabled(self, router):
        client = connected(router.port, "leaves", MQTT_5, **self.login())
        supervisor, worker = router.supervisor(), router.worker()
        router.write_settings(ENABLED=0)
        self.reload(router)
        said = client.until_closed()
        assert said[0] == wire.DISCONNECT and said[2] == 0x8B
        client.socket.close()
        until(lambda: not is_alive(supervisor) and not is_alive(worker), "it has ended")
        assert router.init("status", 1) == "Module mqtt_broker is stopped\n"
        assert router.init("start") == "Starting module mqtt_broker: skipped\n"

    def test_the_file_is_gone(self, router):
        """No file means the defaults, and those are disabled."""
        supervisor = router.supervisor()
        router.settings_file.unlink()
        self.reload(router)
        until(lambda: not is_alive(supervisor), "it has ended")

    def test_many_at_once(self, router):
        """Reloads on the heels of each other leave one broker, with the last settings."""
        client = connected(router.port, "stays", **self.login())
        worker = router.worker()
        keep = {"AUTHENTICATION": "password", "USERNAME": "house", "PASSWORD": "12345"}
        for number in range(100):
            router.write_settings(MAX_CLIENTS=100 + number, **keep)
            self.reload(router)
        until(lambda: router.observe()["max_clients"] == 199, "the last settings are in force")
        self.assert_alive(client)
        assert router.worker() == worker
        client.cut()

    def test_sessions_and_retained_messages_outlive_it(self, router):
        publish(router.port, "kept", "-r", "-u", "house", "-P", "12345", message="x")
        with connected(router.port, "session", clean=False, **self.login()) as client:
            client.send(wire.subscribe("s", qos=1))
            client.expect(wire.SUBACK)
        seen = router.configure(AUTHENTICATION="password", USERNAME="house", PASSWORD="12345", LOG_LEVEL="debug")
        assert (seen["retained"], seen["sessions"], seen["subscriptions"]) == (1, 1, 1)
