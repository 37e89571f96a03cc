"""Clients that speak MQTT through TLS: Python's ssl for certificates, and programs for pre-shared keys, of which Python
knows nothing."""

import socket
import ssl
import subprocess
import tempfile
from contextlib import suppress

from conformance.client import Client
from wire import MQTT_3_1_1

#: The pre-shared key of the manual's example.
KEY = "b7e87d9b2074d5889a7969985d9fc3f04e4e5b8cb57956a812b2c52b6411abd8"
PSK = {"TLS": "psk", "PSK_IDENTITY": "test", "PSK_KEY": KEY}
#: How mosquitto_pub and mosquitto_sub are told.
MOSQUITTO_PSK = ["--psk", KEY, "--psk-identity", "test"]


def context(authority=None, identity=None, version=None, **more):
    """What Python's client trusts and shows: files of an Authority and an Identity, and one version of TLS if it is
    to be that. Without an authority it trusts everyone."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    if authority:
        made.load_verify_locations(authority.certificate)
    else:
        made.verify_mode = ssl.CERT_NONE
    if identity:
        made.load_cert_chain(identity.certificate, identity.key)
    if version:
        made.minimum_version = made.maximum_version = version
    for name, value in more.items():
        setattr(made, name, value)
    return made


class Secure(Client):
    """A Client through Python's ssl. As its host it asks for localhost; other words go to wrap_socket."""

    def __init__(self, port, tls=None, level=MQTT_3_1_1, identifier="", source=None, **how):
        self.tls, self.source, self.how = tls or context(), source, how
        super().__init__(port, level, identifier)

    def _dial(self, host, port, seconds):
        if self.source:
            plain = socket.create_connection((host, port), seconds, (self.source, 0))
        else:
            plain = super()._dial(host, port, seconds)
        try:
            return self.tls.wrap_socket(plain, server_hostname="localhost", **self.how)
        except BaseException:
            plain.close()
            raise

    def say_farewell(self):
        """The end that TLS has (close_notify), without a DISCONNECT. Back when the broker has answered it."""
        with suppress(ssl.SSLError, ConnectionError):
            self.socket.unwrap()
        self.socket.close()


class Piped(Client):
    """A Client through a program that carries its input to the broker and what comes back to its output."""

    def __init__(self, command, level=MQTT_3_1_1, identifier=""):
        self.command = [str(word) for word in command]
        super().__init__(None, level, identifier)

    def _dial(self, _host, _port, seconds):
        here, there = socket.socketpair()
        here.settimeout(seconds)
        self.errors = tempfile.TemporaryFile()
        with there:
            self.process = subprocess.Popen(self.command, stdin=there, stdout=there, stderr=self.errors)
        return here

    def said(self):
        """What the program says about the connection."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def kill(self):
        """Ends the program at once: no farewell of any kind."""
        self.process.kill()
        self.process.wait()

    def __exit__(self, *_):
        self.kill()
        self.errors.close()
        super().__exit__()


def s_client(port, *words, quiet=True):
    """OpenSSL's client. Quiet, it carries bytes and says nothing."""
    return ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-nocommands", *(["-quiet"] if quiet else []),
            *words]


def with_key(port, *words, key=KEY, identity="test", quiet=True):
    """OpenSSL's client with a pre-shared key."""
    return s_client(port, "-psk", key, "-psk_identity", identity, *words, quiet=quiet)


def greeting(command):
    """What a program says about a handshake, with nothing said after it."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    return (done.stdout + done.stderr).decode(errors="replace")
