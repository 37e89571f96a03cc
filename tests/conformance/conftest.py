"""One broker for each file, and names that no other test uses, so that tests need nothing of one another.

A file may state settings of its own: SETTINGS = {"MAX_QOS": 1}."""

import uuid

import pytest

from conformance.broker import Broker
from conformance.client import Client


@pytest.fixture(scope="module")
def broker(program, request):
    """The broker of this file's tests."""
    with Broker(program, **getattr(request.module, "SETTINGS", {})) as broker:
        yield broker


@pytest.fixture
def name():
    """Makes names for topics and Client Identifiers: 20 letters and digits, each new."""
    return lambda: uuid.uuid4().hex[:20]


@pytest.fixture
def topic(name):
    """A Topic Name of this test's own."""
    return name()


@pytest.fixture
def dial(broker, level, name):
    """Opens a Network Connection on which nothing is said yet: dial(identifier)."""
    opened = []

    def dial(identifier=None):
        client = Client(broker.port, level, name() if identifier is None else identifier)
        opened.append(client)
        return client

    yield dial
    for client in opened:
        client.socket.close()


@pytest.fixture
def connect(dial):
    """A Client that the broker has accepted: connect(identifier, **what wire.connect takes)."""
    def connect(identifier=None, **options):
        return dial(identifier).connect(**options)

    return connect
