"""Keep Alive (section 3.1.2.10) and Server Keep Alive (3.2.2.3.14)."""

import pytest

from conformance.clock import Clock
from conformance.statements import covers
from wire import PING, PINGRESP, PUBACK, PUBLISH

SETTINGS = {"MAX_KEEP_ALIVE": 1}


@pytest.mark.parametrize("asked", [0, 1, 60])
@covers("3.2.2-22", "3.1.2-21", "3.2.2-21", "3.1.2-20", "3.1.2-8")
def test_mqtt_3_1_2_22_keep_alive(connect, topic, asked):
    """The Client's own of 1 s, and the 1 s that it is given for its own: closed after 1.5 s, with its will."""
    heir = connect()
    heir.subscribe(topic)
    clock = Clock()
    silent = connect(keep_alive=asked, will=(topic, "silent"))
    assert silent.connack.properties.get("server_keep_alive") == (None if asked == 1 else 1)
    clock.wait(0.9)
    assert heir.rest() == [], "not too early"
    silent.expect_closed(0x8D)
    assert 1.4 < clock.passed() < 8
    heir.expect(PUBLISH, payload=b"silent")


def test_a_client_that_is_heard_lives(connect, topic):
    """PINGREQ is enough, and so is every other packet."""
    pinging, publishing, clock = connect(), connect(), Clock()
    while clock.passed() < 3:
        pinging.send(PING)
        pinging.expect(PINGRESP)
        publishing.send_publish(topic, "x", qos=1, identifier=1)
        publishing.expect(PUBACK)
        clock.wait(clock.passed() + 0.5)
