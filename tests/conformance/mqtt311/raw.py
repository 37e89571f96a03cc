"""CONNECT of 3.1.1 and 3.1 from parts that need not fit."""

from wire import CONNECT, MQTT_3_1_1, packet, string


def raw_connect(flags=0x02, payload=string("raw"), name="MQTT", level=MQTT_3_1_1, keep_alive=b"\0\x3c"):
    """These Connect Flags, this payload, and what stands before them."""
    return packet(CONNECT, string(name) + bytes([level, flags]) + keep_alive + payload)
