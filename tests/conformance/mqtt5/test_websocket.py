"""WebSocket as what carries MQTT (chapter 6). What RFC 6455 asks for has its tests in tests/test_websocket.py."""

import pytest

import wire
from frames import BINARY, CLOSE, CONTINUATION, TEXT, WebSocket, frame
from wire import CONNACK, PINGRESP, SUBACK


@pytest.fixture
def upgrade(broker):
    """Opens a WebSocket on which no packet was sent yet: upgrade(**fields of the request)."""
    opened = []

    def upgrade(**fields):
        opened.append(WebSocket(broker.port, **fields))
        return opened[-1]

    yield upgrade
    for connection in opened:
        connection.socket.close()


@pytest.mark.parametrize("data", [frame(b"text", TEXT), frame(b"", TEXT), frame(b"text", TEXT, final=False)],
                         ids=["text", "empty", "first of several"])
@pytest.mark.parametrize("connected", [False, True], ids=["before CONNECT", "after CONNACK"])
def test_mqtt_6_0_0_1_only_binary_frames(upgrade, level, name, data, connected):
    connection = upgrade()
    if connected:
        connection.send(wire.connect(name(), level))
        connection.expect(CONNACK)
    connection.send_raw(data + frame(wire.PING))
    assert connection.until_closed() == b"", "what follows is not answered"
    assert connection.controls == [(CLOSE, (1003).to_bytes(2))]


def test_mqtt_6_0_0_1_packets_come_in_binary_frames(upgrade, level, name):
    connection = upgrade()
    connection.send(wire.connect(name(), level) + wire.PING)
    connection.expect(CONNACK)
    connection.expect(PINGRESP)
    assert connection.sizes and connection.controls == []


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("is_one_message", [False, True], ids=["messages", "fragments"])
def test_mqtt_6_0_0_2_packets_need_not_align_with_frames(upgrade, level, name, size, is_one_message):
    said = wire.connect(name(), level) + wire.subscribe(name(), level=level) + wire.PING
    pieces = [said[start:start + size] for start in range(0, len(said), size)]
    connection = upgrade()
    for number, piece in enumerate(pieces):
        opcode = CONTINUATION if is_one_message and number else BINARY
        connection.send_raw(frame(piece, opcode, final=not is_one_message or number == len(pieces) - 1))
    for kind in (CONNACK, SUBACK, PINGRESP):
        connection.expect(kind)


@pytest.mark.parametrize("offered", ["mqtt", "chat, mqtt", "mqttv3.1, mqtt", ["mqttv3.1", "mqtt"]])
def test_mqtt_6_0_0_4_the_subprotocol_mqtt(upgrade, level, name, offered):
    connection = upgrade(Sec_WebSocket_Protocol=offered)
    assert connection.answer.fields["Sec-WebSocket-Protocol"] == "mqtt"
    connection.send(wire.connect(name(), level))
    connection.expect(CONNACK)
