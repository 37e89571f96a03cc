"""A broker that asks for user name and password (sections 3.1.3.5, 3.1.3.6, 4.12)."""

import pytest

from conformance.statements import covers

SETTINGS = {"AUTHENTICATION": "password", "USERNAME": "ärger", "PASSWORD": "s3cret"}
GOOD = ("ärger", "s3cret")


def test_let_in(connect):
    client = connect(login=GOOD)
    assert client.rest() == []


@pytest.mark.parametrize("login", [
    None, ("ärger", None), (None, "s3cret"), ("ärger", ""), ("", ""), ("ärger", "s3cret "), ("ärger", "S3CRET"),
    ("ärger", "s3cre"), ("ÄRGER", "s3cret"), ("a\u0308rger", "s3cret"), ("ärger", b"s3cret\0"), ("x", "y")])
@covers("4.12.0-4", "3.2.2-6", "3.2.2-7", "4.13.2-1")
def test_mqtt_3_1_4_2_refused(dial, login):
    client = dial()
    client.send_connect(login=login)
    assert client.expect_refused(0x86, 0x87).session_present is False


def test_mqtt_3_1_4_2_an_unknown_method_with_a_good_password(dial):
    """The method would have to be used (section 4.12)."""
    client = dial()
    client.send_connect(login=GOOD, authentication_method="m")
    client.expect_refused(0x8C)


def test_the_refused_disturbs_nobody(connect, dial):
    """Who is connected by that Client Identifier stays, since nothing was proved."""
    client = connect(login=GOOD)
    other = dial(client.identifier)
    other.send_connect(login=("x", "y"))
    other.expect_refused(0x86, 0x87)
    assert client.rest() == []


def test_the_refused_leaves_no_session(connect, dial):
    other = dial()
    other.send_connect(login=("x", "y"), session_expiry_interval=300)
    other.expect_refused(0x86, 0x87)
    assert connect(other.identifier, login=GOOD, clean=False).connack.session_present is False


def test_no_will_of_the_refused(connect, dial, topic):
    client = connect(login=GOOD)
    client.subscribe(topic)
    other = dial()
    other.send_connect(login=("x", "y"), will=(topic, "x"))
    other.expect_refused(0x86, 0x87)
    assert client.rest() == []
