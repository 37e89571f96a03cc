"""Authentication by user name and password: who gets in, who does not, and what is said about it."""

import uuid

import pytest

from mosquitto import VERSIONS, Subscriber, publish
from router import Router
from waiting import until

pytestmark = pytest.mark.usefixtures("unharmed")

NAME, PASSWORD = "house", "12'3\"4 5\\ü$(x)"
LOGIN = ["-u", NAME, "-P", PASSWORD]


@pytest.fixture(scope="module")
def router(host_package):
    with Router(host_package) as router:
        router.enable(mqtt_log_level="warning", mqtt_authentication="password", mqtt_client_name=NAME,
                      mqtt_client_secret=PASSWORD)
        yield router


@pytest.fixture
def topic():
    return f"test/{uuid.uuid4().hex}"


@pytest.mark.parametrize("version", VERSIONS)
def test_right(router, topic, version):
    with Subscriber(router.port, "-V", version, *LOGIN, "-t", topic) as subscriber:
        publish(router.port, topic, "-V", version, *LOGIN, message="x")
        assert subscriber.next().payload == b"x"


@pytest.mark.parametrize("login", [
    pytest.param([], id="none"),
    pytest.param(["-u", "house"], id="no password"),
    pytest.param(["-u", "house", "-P", "12345"], id="wrong password"),
    pytest.param(["-u", "house", "-P", ""], id="empty password"),
    pytest.param(["-u", "House", "-P", PASSWORD], id="wrong name"),
    pytest.param(["-u", "house", "-P", PASSWORD + "x"], id="longer password"),
    pytest.param(["-u", "house", "-P", PASSWORD[:-1]], id="shorter password"),
])
@pytest.mark.parametrize("version, code", [("mqttv31", 5), ("mqttv311", 5), ("mqttv5", 135)])
def test_wrong(router, version, code, login):
    before = sum(refusal["count"] for refusal in router.observe()["refusals"])
    said = publish(router.port, "x", "-V", version, *login, message="x", expected_code=code)
    assert b"ot authorised" in said or b"ot authorized" in said
    refusals = until(lambda: sum(one["count"] for one in router.observe()["refusals"]) > before
                     and router.observe()["refusals"], "the refusal is noted")
    assert refusals[0]["address"] == "127.0.0.1"


def test_refusals_are_told_in_words_and_without_secrets(router):
    publish(router.port, "x", "-u", "house", "-P", "hunter2", message="x", expected_code=5)
    assert len(router.logged("refused 127.0.0.1")) == 1, "one line an address and minute"
    overview = router.page("status")
    assert "127.0.0.1" in overview
    for secret in ("hunter2", PASSWORD):
        assert secret not in router.log() + overview
