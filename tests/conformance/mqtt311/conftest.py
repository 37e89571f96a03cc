"""The version that the tests of this directory speak, and who hears the Wills in them."""

import pytest

import wire


@pytest.fixture(scope="session")
def level():
    """The Protocol Version of MQTT 3.1.1."""
    return wire.MQTT_3_1_1


@pytest.fixture
def heir(connect, topic):
    """A Client that hears the Will Messages on `topic`."""
    heir = connect()
    heir.subscribe(topic, qos=2)
    return heir
