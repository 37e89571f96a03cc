"""MQTT through TLS once the handshake is over: large messages, slow readers, WebSocket, and every kind of end."""

import re
import socket
import ssl

import pytest

import frames
from bounded import MIB, SLACK, gives_back, memory
from conformance.broker import Broker
from conformance.client import Client
from pki import LOCAL, Authority
from secure import PSK, Piped, Secure, context, with_key
from waiting import until
from wire import CONNACK, MQTT_3_1_1, MQTT_5, PUBLISH, SUBACK, connect, publish, subscribe

V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
LARGE = bytes(range(256)) * 3516  # 900 KB


@pytest.fixture(scope="module", params=["certificate 1.2", "certificate 1.3", "psk 1.2", "psk 1.3"])
def broker(program, tmp_path_factory, request):
    """One for each way of TLS. `client(level)` makes a client of that way."""
    mode, version = request.param.split()
    if mode == "psk":
        settings = PSK
    else:
        ca = Authority(tmp_path_factory.mktemp("world") / "ca")
        settings = {"TLS": "certificate", "CA_CERTIFICATES": ca.pem}
        settings |= ca.sign("router", extensions=LOCAL).broker_settings
        tls = context(ca, version=V1_2 if version == "1.2" else V1_3)
    with Broker(program, **settings) as broker:
        def client(level=MQTT_3_1_1, identifier="", *words):
            if mode == "psk":
                words = ["-tls1_2" if version == "1.2" else "-tls1_3", *words]
                return Piped(with_key(broker.port, *words), level, identifier)
            return Secure(broker.port, tls, level, identifier)

        broker.client, broker.is_psk = client, mode == "psk"
        yield broker


def test_large_messages_both_ways(broker):
    with broker.client() as one, broker.client(MQTT_5) as other:
        one.connect().subscribe("one", qos=1)
        other.connect().subscribe("other", qos=2)
        for _ in range(3):
            one.publish("other", LARGE, qos=2)
            other.publish("one", LARGE, qos=1)
            assert one.message(topic="one").payload == LARGE
            assert other.message(topic="other").payload == LARGE


def test_many_packets_in_one_record_and_one_packet_in_many(broker):
    """Records and packets need not align."""
    with broker.client() as client:
        client.connect().subscribe("many")
        client.send(b"".join(publish("many", f"{number}") for number in range(1000)))
        assert client.payloads() == [f"{number}".encode() for number in range(1000)]
        packet = publish("many", "x" * 500)
        for start in range(0, len(packet), 7):
            client.send(packet[start:start + 7])
        assert client.payloads() == [b"x" * 500]


def test_more_than_the_brokers_buffers_at_once(broker):
    """Over 64 KiB that wait in TLS when the socket has been emptied: they are read on without a further byte."""
    with broker.client() as reader, broker.client() as writer:
        reader.connect().subscribe("big", qos=1)
        writer.connect()
        writer.send(b"".join(publish("big", bytes([number]) * 30_000, qos=1, identifier=number + 1)
                             for number in range(20)))
        for number in range(20):
            assert reader.message().payload == bytes([number]) * 30_000


def test_a_slow_reader(broker):
    """Megabytes wait for one that does not read; then it has them all, and in order, while others are served."""
    with broker.client() as slow, broker.client() as other, broker.client() as publisher:
        slow.connect().subscribe("slow", qos=1)
        other.connect().subscribe("other")
        publisher.connect()
        for number in range(12):
            publisher.send_publish("slow", bytes([number]) * 60_000, qos=1, identifier=number + 1)
            other.publish("other", "x")
            other.message(payload=b"x")
        for number in range(12):
            assert slow.message().payload == bytes([number]) * 60_000


def test_a_reader_that_stops_gives_its_memory_back(broker):
    before = memory(broker)
    with broker.client() as deaf, broker.client() as publisher:
        deaf.connect().subscribe("deaf")
        publisher.connect()
        for _ in range(40):
            publisher.send_publish("deaf", LARGE)
        publisher.rest()
        assert memory(broker) - before < 8 * MIB + SLACK
        deaf.kill() if broker.is_psk else deaf.cut()
    until(lambda: broker.observe()["clients"] == 0, "all have gone")
    gives_back(broker, before)


@pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_5])
@pytest.mark.parametrize("end", ["DISCONNECT", "close_notify", "end", "reset"])
def test_ends(broker, tmp_path, level, end):
    """Without a DISCONNECT the will is sent, however properly TLS or TCP were ended."""
    # What s_client says at the end of its input, and a file where it tells that.
    words = ["-no_ign_eof", "-msg", "-msgfile", tmp_path / "said"] if broker.is_psk and end == "close_notify" else []
    with broker.client(level) as heir, broker.client(level, f"testator{end}{level}", *words) as testator:
        heir.connect().subscribe("will")
        testator.connect(will=("will", end))
        if end == "DISCONNECT":
            testator.disconnect()
        elif words:
            testator.socket.shutdown(socket.SHUT_WR)
            assert testator.process.wait(20) == 0
            said = (tmp_path / "said").read_text()
            assert re.search(r">>> .*warning close_notify", said), said
        elif broker.is_psk:
            testator.kill()
        elif end == "close_notify":
            testator.say_farewell()
        elif end == "end":
            testator.lose()
        else:
            testator.cut()
        until(lambda: broker.observe()["clients"] == 1, "it has gone")
        expected = [] if end == "DISCONNECT" else [end.encode()]
        assert heir.payloads() == expected


def test_the_broker_ends_tls_properly(broker):
    """Whoever looks for an attacker that cuts connections short finds close_notify."""
    if broker.is_psk:
        pytest.skip("s_client does not tell")
    with broker.client() as client:
        client.connect()
        client.socket.suppress_ragged_eofs = False
        client.disconnect()


def test_garbage_after_the_handshake(broker):
    """A record that was tampered with ends this client, with its will, and no other."""
    if broker.is_psk:
        pytest.skip("the socket is s_client's")
    with broker.client() as heir, broker.client(identifier="tampered") as client:
        heir.connect().subscribe("will")
        client.connect(will=("will", "tampered"))
        raw = socket.socket(fileno=client.socket.detach())
        raw.settimeout(20)
        raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        while raw.recv(65536):
            pass
        raw.close()
        until(lambda: heir.payloads() == [b"tampered"], "the will comes")


class Web(frames.WebSocket):
    """A WebSocket inside of another client's connection."""

    def __init__(self, client, *said):
        self.client = client
        super().__init__(None, *said)

    def _dial(self, *_):
        return self.client.socket


def test_web_socket(broker):
    """wss, with a message large enough for several frames and records, and Close at the end."""
    with broker.client() as carrier, broker.client() as plain:
        web = Web(carrier, connect("web"), subscribe("web", qos=1))
        assert web.expect(CONNACK)[1] == 0
        web.expect(SUBACK)
        plain.connect().publish("web", LARGE, qos=1)
        assert web.expect(PUBLISH).endswith(LARGE)
        web.send(publish("none", LARGE))
        web.send_raw(frames.frame(b"hello", frames.PING))
        assert web.control() == (frames.PONG, b"hello")
        web.send_raw(frames.close())
        web.until_closed()


def test_plain_clients_are_kept_out(broker):
    with Client(broker.port) as client:
        client.send_connect()
        assert client.until_closed() == b""
