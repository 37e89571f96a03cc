"""WebSocket as what carries MQTT (chapter 6), which 5.0 has word for word."""

from conformance.mqtt5.test_websocket import (  # noqa: F401
    test_mqtt_6_0_0_1_only_binary_frames, test_mqtt_6_0_0_1_packets_come_in_binary_frames,
    test_mqtt_6_0_0_2_packets_need_not_align_with_frames, test_mqtt_6_0_0_4_the_subprotocol_mqtt, upgrade)
