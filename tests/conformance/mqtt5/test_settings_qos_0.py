"""A broker of QoS 0 alone."""

import pytest

from conformance.statements import covers
from wire import PUBLISH

SETTINGS = {"MAX_QOS": 0}


def test_mqtt_3_2_2_9_announced(connect):
    assert connect().connack.properties["maximum_qos"] == 0


def test_mqtt_3_2_2_10_subscriptions_of_every_qos(connect, topic):
    client = connect()
    assert client.subscribe((f"{topic}/0", 0), (f"{topic}/1", 1), (f"{topic}/2", 2)).reasons == [0, 0, 0]
    client.publish(f"{topic}/2", "x")
    client.expect(PUBLISH, payload=b"x", qos=0)


@pytest.mark.parametrize("qos", [1, 2])
@covers("3.2.2-12")
def test_mqtt_3_2_2_11_above_maximum_qos(connect, dial, topic, qos):
    client = connect()
    client.send_publish(topic, "x", qos=qos)
    client.expect_closed(0x9B)
    client = dial()
    client.send_connect(will=(topic, "x"), will_qos=qos)
    client.expect_refused(0x9B)
