"""The version that the tests of this directory speak."""

import pytest

import wire


@pytest.fixture(scope="session")
def level():
    """The Protocol Version of MQTT 5.0."""
    return wire.MQTT_5
