"""The version that the tests of this directory speak."""

import pytest

import wire


@pytest.fixture(scope="session")
def level():
    """The Protocol Version of MQTT 3.1.1."""
    return wire.MQTT_3_1_1
