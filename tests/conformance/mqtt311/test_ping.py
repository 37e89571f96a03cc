"""PINGREQ and PINGRESP (section 3.12)."""

from wire import PING, PINGRESP


def test_mqtt_3_12_4_1_ping(connect):
    client = connect()
    client.send(PING * 3)
    for _ in range(3):
        client.expect(PINGRESP)
    assert client.rest() == []
