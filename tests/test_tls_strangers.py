"""Strangers at a TLS port: silent, slow or gone in the middle, they keep no client out and cost little."""

import multiprocessing
import os
import signal
import socket
import ssl
import threading
import time
from contextlib import ExitStack

import pytest

from bounded import SLACK, descriptors, memory
from conformance.broker import Broker
from libssl import V1_2, V1_3, Link, Offer
from pki import LOCAL, Authority
from secure import PSK, Piped, Secure, context, with_key
from waiting import until
from wire import Connection

STRANGERS = 200


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Settings for certificates."""
    ca = Authority(tmp_path_factory.mktemp("world") / "ca")
    return {"TLS": "certificate", "CA_CERTIFICATES": ca.pem} | ca.sign("router", extensions=LOCAL).broker_settings


@pytest.fixture(scope="module", params=["certificate", "psk"])
def settings(certificates, request):
    return certificates if request.param == "certificate" else PSK


def newcomer(broker):
    """A client that is about to connect."""
    return Piped(with_key(broker.port)) if broker.settings["TLS"] == "psk" else Secure(broker.port)


def hello():
    """A ClientHello as Python's client says it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("said", ["nothing", "half a ClientHello", "a ClientHello"])
def test_silent_strangers_keep_nobody_out(program, settings, said):
    """Two hundred at once. They lose their places one after the other, and cost memory and descriptors only so long."""
    text = {"nothing": b"", "half a ClientHello": hello()[:100], "a ClientHello": hello()}[said]
    if said == "a ClientHello" and settings is PSK:
        pytest.skip("without a key it is refused at once")
    with Broker(program, **settings) as broker, ExitStack() as strangers:
        with newcomer(broker) as client:
            client.connect()
        memory_before, descriptors_before = memory(broker), descriptors(broker)
        for _ in range(STRANGERS):
            strangers.enter_context(Connection(broker.port, text))
        for _ in range(3):
            start = time.monotonic()
            with newcomer(broker) as client:
                client.connect().rest()
            waited = time.monotonic() - start
            print(f"waited {waited:.3f} s")
            # Two seconds, and what a busy machine takes for the client's program.
            assert waited < 2.5, f"a client was kept out for {waited:.1f} s"
        assert memory(broker) - memory_before < SLACK + STRANGERS * 32 * 1024
        assert descriptors(broker) - descriptors_before <= STRANGERS + 8
        strangers.close()
        until(lambda: descriptors(broker) <= descriptors_before, "they are forgotten")


def test_strangers_who_trickle_keep_nobody_out(program, settings):
    """A byte now and then is no progress."""
    text, over = hello(), threading.Event()
    with Broker(program, **settings) as broker, ExitStack() as opened:
        strangers = [opened.enter_context(Connection(broker.port, text[:1])) for _ in range(STRANGERS)]

        def trickle():
            for byte in text[1:100]:
                for stranger in strangers:
                    stranger.try_to_send(bytes([byte]))
                if over.wait(0.2):
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            for _ in range(3):
                start = time.monotonic()
                with newcomer(broker) as client:
                    client.connect().rest()
                waited = time.monotonic() - start
                print(f"waited {waited:.3f} s")
                assert waited < 2.5, f"a client was kept out for {waited:.1f} s"
        finally:
            over.set()
            thread.join()


def test_drop_by_drop(program, certificates):
    """A handshake that comes byte by byte is taken, and who is in is served meanwhile."""
    with Broker(program, **certificates) as broker, newcomer(broker) as old:
        old.connect()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with Connection(broker.port) as slow:
            slow.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    for byte in outgoing.read():
                        slow.send(bytes([byte]))
                    old.rest()
                    incoming.write(slow.socket.recv(65536))
            assert broker.refusals() == []


def test_ten_seconds_to_connect(program, certificates):
    """For handshake and CONNECT together, whatever of them came."""
    with Broker(program, **certificates) as broker, ExitStack() as opened:
        start = time.monotonic()
        clients = [Connection(broker.port), Connection(broker.port, hello()[:100]), Secure(broker.port)]
        for client in clients:
            opened.enter_context(client)
            client.socket.settimeout(20)
        for client in clients:
            client.until_closed()
            assert 9 < time.monotonic() - start < 13
        until(lambda: sum(count for reason, count in broker.refusals() if "within 10 seconds" in reason) == 3,
              "all three are noted")


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize("after", [0, 1, 100, 10_000])
def test_gone_in_the_middle(program, settings, after, how):
    """Hundreds of times; nothing is left of them."""
    with Broker(program, **settings) as broker:
        with newcomer(broker) as client:
            client.connect().rest()
        until(lambda: broker.observe()["clients"] == 0, "it has gone")
        before, bytes_before = descriptors(broker), memory(broker)
        text = hello()[:after]
        for _ in range(300):
            stranger = Connection(broker.port, text)
            stranger.cut() if how == "reset" else stranger.socket.close()
        until(lambda: descriptors(broker) <= before, "all are forgotten")
        assert memory(broker) - bytes_before < SLACK
        with newcomer(broker) as client:
            client.connect().rest()


def test_noise(program, settings):
    """What begins like TLS and is none."""
    with Broker(program, **settings) as broker:
        for size in (1, 3, 4, 50, 500, 5000, 16_384):
            for head in (b"\x16\x03\x01", b"\x16\x03\x03\x40\x00\x01", b"\x16\x03\x01\xff\xff", b"\x80\x2e\x01", b"\x00"):
                with Connection(broker.port) as stranger:
                    stranger.try_to_send(head + os.urandom(size))
                    stranger.socket.shutdown(socket.SHUT_WR)
                    stranger.until_closed()
        with newcomer(broker) as client:
            client.connect().rest()


# --- floods of those who have shaken hands, and have not said who they are


def flood(port, offer, reads, counter):
    """Changes of keys until the broker ends it, each of which wants one in return."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    stranger = Link(port, offer)
    if not reads:
        stranger.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    while stranger.update_key():
        counter.value += 1
        if reads:
            stranger.take_in()


@pytest.mark.parametrize("reads", [True, False])
def test_floods_of_key_updates(program, settings, reads):
    """Two at a time. They are ended after ten seconds, or before if they do not take the answers; who is in is served
    meanwhile, and nothing is kept for them."""
    with Broker(program, **settings) as broker, newcomer(broker) as client:
        client.connect().rest()
        before, descriptors_before = memory(broker), descriptors(broker)
        counters = [multiprocessing.Value("i", 0) for _ in range(2)]
        offer = Offer(V1_3, settings is PSK)
        strangers = [multiprocessing.Process(target=flood, args=(broker.port, offer, reads, counter))
                     for counter in counters]
        start = time.monotonic()
        for stranger in strangers:
            stranger.start()
        try:
            slowest, largest = 0, 0
            until(lambda: all(counter.value for counter in counters), "both have begun")
            # Ten seconds, and five for a farewell that they do not take.
            while descriptors(broker) > descriptors_before:
                asked = time.monotonic()
                client.rest()
                slowest = max(slowest, time.monotonic() - asked)
                largest = max(largest, memory(broker) - before)
                assert time.monotonic() - start < 20, "it goes on"
        finally:
            for stranger in strangers:
                stranger.kill()
                stranger.join()
        updates = sum(counter.value for counter in counters)
        print(f"{updates} updates, slowest answer {slowest:.3f} s, {largest} bytes")
        # Who does not read is ended once some answers wait, and the sooner the less the sockets hold.
        assert updates > (100 if reads else 10)
        assert slowest < 1 and largest < SLACK
        until(lambda: broker.observe()["clients"] == 1, "they have gone")


def test_floods_of_renegotiation(program, settings):
    """Each is refused, and costs no handshake but the one that its connection began with."""
    with Broker(program, **settings) as broker, newcomer(broker) as client:
        client.connect().rest()
        offer = Offer(V1_2, settings is PSK)
        Link(broker.port, offer).close()
        before = memory(broker)
        for _ in range(300):
            stranger = Link(broker.port, offer)
            assert not stranger.renegotiate()
            stranger.close()
        client.rest()
        assert memory(broker) - before < SLACK
