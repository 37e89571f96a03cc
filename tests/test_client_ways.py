"""Our clients on ways that Debian's do not know, or that Debian has no peer for: WebSocket, proxy, a watched terminal."""

import asyncio
import hashlib
import os
import random
import re
import subprocess
import threading
import uuid
from contextlib import contextmanager

import pytest

from mosquitto import Message, Subscriber, publish


@pytest.fixture(scope="module", autouse=True)
def ours(program):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(program.parent), prepend=os.pathsep)
        yield


@pytest.fixture
def topic():
    return f"test/{uuid.uuid4().hex}"


class Proxy:
    """A SOCKS5 proxy that wants a user name and a password (RFC 1928, RFC 1929)."""

    USER, PASSWORD = b"house", b"12@5"

    def __init__(self):
        self.asked = []
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    async def end(self):
        self.server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader, writer):
        try:
            if await self._agree(reader, writer):
                await self._connect(reader, writer)
        finally:
            writer.close()

    async def _agree(self, reader, writer):
        _, count = await reader.readexactly(2)
        if 2 not in await reader.readexactly(count):
            writer.write(b"\x05\xff")
            await writer.drain()
            return False
        writer.write(b"\x05\x02")
        _, length = await reader.readexactly(2)
        user = await reader.readexactly(length)
        password = await reader.readexactly((await reader.readexactly(1))[0])
        is_known = (user, password) == (self.USER, self.PASSWORD)
        writer.write(b"\x01\x00" if is_known else b"\x01\x01")
        await writer.drain()
        return is_known

    async def _connect(self, reader, writer):
        kind = (await reader.readexactly(4))[3]
        assert kind == 3, "a name is looked up by the proxy"
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append(host)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.write(b"\x05\x05\x00\x01" + bytes(6))
            await writer.drain()
            return
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))

    async def _pass(self, reader, writer):
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@contextmanager
def proxy():
    proxy = Proxy()
    proxy.thread.start()
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.end(), proxy.loop).result(20)
        proxy.loop.call_soon_threadsafe(proxy.loop.stop)
        proxy.thread.join(20)
        proxy.loop.close()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_websocket(router, topic, qos):
    with Subscriber(router.port, "--ws", "-q", str(qos), "-t", topic) as subscriber:
        publish(router.port, topic, "--ws", "-q", str(qos), message="54")
        assert subscriber.next() == Message(qos, 0, topic, b"54")


def test_900_kilobytes_through_a_websocket(router, topic, tmp_path):
    payload = random.Random(topic).randbytes(900_000)
    (tmp_path / "payload").write_bytes(payload)
    with Subscriber(router.port, "--ws", "-q", "1", "-t", topic) as subscriber:
        publish(router.port, topic, "--ws", "-q", "1", "-f", tmp_path / "payload")
        assert hashlib.sha256(subscriber.next().payload).digest() == hashlib.sha256(payload).digest()


def test_a_url_of_a_websocket(router, topic):
    with Subscriber(router.port, "-t", topic) as subscriber:
        url = f"ws://127.0.0.1:{router.port}/{topic}"
        subprocess.run(["mosquitto_pub", "-L", url, "-m", "54"], check=True, timeout=60)
        assert subscriber.next().payload == b"54"


@pytest.mark.parametrize("more", [[], ["--ws"]])
def test_a_proxy(router, topic, more):
    """The broker's name is looked up by the proxy, and @ in a password is written %40."""
    with proxy() as between:
        through = ["--proxy", f"socks5h://house:12%405@127.0.0.1:{between.port}", *more]
        with Subscriber(router.port, "-t", topic, *through, host="router.invalid") as subscriber:
            publish(router.port, topic, *through, host="router.invalid", message="54")
            assert subscriber.next().payload == b"54"
        assert between.asked == ["router.invalid"] * 2


@pytest.mark.parametrize("user, said", [
    ("house:wrong@", b"Error: Proxy error: user name or password are wrong\n"),
    ("", b"Error: Proxy error: the proxy wants a user name and a password\n"),
])
def test_a_proxy_that_refuses(router, topic, user, said):
    with proxy() as between:
        url = f"socks5h://{user}127.0.0.1:{between.port}"
        assert publish(router.port, topic, "--proxy", url, message="54", expected_code=16) == said
        assert between.asked == []


def test_a_watched_terminal(router, topic):
    """A line for each topic, and nothing in a message that moves the cursor."""
    for name, payload in [("a", "\x1b[2J1"), ("b", "2")]:
        publish(router.port, f"{topic}/{name}", "-r", message=payload)
    done = subprocess.run(
        ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(router.port), "-t", f"{topic}/+", "--watch", "-C", "2"],
        stdout=subprocess.PIPE, check=True, timeout=60)
    out = done.stdout.decode()
    assert out.startswith("\x1b[2J\x1b[?7l\x1b[1;1HBroker: 127.0.0.1\x1b[3;1H")
    lines = re.findall(r"\x1b\[(\d+);1H([^\x1b]+)\x1b\[K", out)
    assert sorted(row for row, _ in lines) == ["3", "4"]
    assert sorted(text for _, text in lines) == [f"{topic}/a .[2J1", f"{topic}/b 2"]
    assert out.endswith("\x1b[?7h")
