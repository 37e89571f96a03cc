"""The web pages in a real browser: on a telephone and on a desk, with JavaScript and without."""

import shutil
import socket
import subprocess
import uuid

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from browser import Browser
from mosquitto import Subscriber, publish
from pki import Authority, by_the_manual
from router import Router, has_ipv6
from waiting import until

GREEN, RED = "rgba(0, 128, 0, 1)", "rgba(128, 0, 0, 1)"
VIEWS = {
    "desk": (1200, True),
    "telephone": (320, True),
    "desk without JavaScript": (1200, False),
    "telephone without JavaScript": (320, False),
}
PSK = ["mqtt_psk_identity", "mqtt_psk_key"]
CERTIFICATE = ["mqtt_ca_certificates", "mqtt_certificate", "mqtt_private_key"]
LOGIN = ["mqtt_client_name", "mqtt_client_secret"]


@pytest.fixture(scope="module")
def router():
    """A router that has never seen the app."""
    with Router() as router:
        yield router


@pytest.fixture(scope="module", params=VIEWS)
def browser(request, router):
    width, javascript = VIEWS[request.param]
    with Browser(router, width, javascript, request.param.replace(" ", "-")) as browser:
        browser.log_in()
        yield browser


@pytest.fixture(autouse=True)
def nothing_to_complain_of(request):
    yield
    if "browser" in request.fixturenames:
        browser = request.getfixturevalue("browser")
        assert browser.complaints() == []


@pytest.fixture
def app(router, browser, host_package):
    """The app, installed, disabled, with the defaults; the form is open."""
    if not router.module.exists():
        router.upload(host_package.read_bytes())
    router.init("stop")
    router.init("defaults")
    browser.open_form()
    return router


def seen(browser, name):
    """A page as it is looked at: it fits, and there is a picture of it."""
    browser.screenshot(name)
    assert browser.overhang() == [], f"{name} must be scrolled sideways"


def test_from_the_upload_to_a_message(router, browser, host_package):
    if router.module.exists():
        router.delete()
        # What a reboot would forget.
        shutil.rmtree(router.root / "var/run/mqtt_broker.upgrade", ignore_errors=True)
    browser.open("/module.cgi")
    assert "No router app is installed." in browser.text
    browser.driver.find_element(By.ID, "file").send_keys(str(host_package))
    browser.press("Add or Update")
    assert "MQTT Broker" in browser.text and "successfully added" in browser.text
    browser.follow("Back")
    browser.follow("MQTT Broker")
    assert browser.value("mqtt_port") == "1883" and not browser.control("mqtt_enabled").is_selected()
    seen(browser, "1-first-sight")
    browser.tick("mqtt_enabled")
    browser.type("mqtt_port", str(router.port))
    browser.press("Apply")
    colour, text = browser.box()
    assert colour == GREEN and "Configuration successfully updated." in text
    seen(browser, "2-applied")
    router.await_listening()
    topic = uuid.uuid4().hex
    with Subscriber(router.port, "-q", "1", "-t", topic) as subscriber:
        publish(router.port, topic, "-q", "1", message="54")
        assert subscriber.next().payload == b"54"

    browser.follow("Overview")
    assert "Running" in browser.text and str(router.port) in browser.text
    seen(browser, "3-overview")
    browser.follow("System Log")
    assert f"listening on port {router.port}" in browser.text
    seen(browser, "4-log")
    browser.follow("Global")
    assert browser.control("mqtt_enabled").is_selected()
    browser.follow("Return")
    assert browser.address == "/module.cgi"


def test_errors_stand_beside_their_fields(app, browser):
    browser.tick("mqtt_enabled")
    browser.type("mqtt_port", "port 1883")
    browser.choose("mqtt_log_level", "Debug")
    browser.choose("mqtt_authentication", "Username/password")
    browser.type("mqtt_client_name", "Data \"collector\" <1> & 'more'")
    browser.press("Apply")
    colour, text = browser.box()
    assert colour == RED and "Nothing was changed" in text
    seen(browser, "5-errors")
    for name in ("mqtt_port", "mqtt_client_secret"):
        error, field = browser.control(f"{name}_error"), browser.control(name)
        assert error.is_displayed() and len(error.text) > 20
        row = field.find_element(By.XPATH, "ancestor::*[contains(concat(' ', @class, ' '), ' row ')]")
        assert error in row.find_elements(By.CSS_SELECTOR, "*"), "in the same row"
        assert error.value_of_css_property("color") == RED
        assert error.get_dom_attribute("id") in field.get_dom_attribute("aria-describedby").split()
    assert browser.driver.switch_to.active_element.get_dom_attribute("id") == "mqtt_port", "the first that is wrong"
    assert len(browser.all("[id$=_error]")) == 2

    # All that was typed is still there, and mending what was wrong is enough.
    assert browser.control("mqtt_enabled").is_selected()
    assert browser.value("mqtt_port") == "port 1883"
    assert browser.value("mqtt_log_level") == "debug"
    assert browser.value("mqtt_client_name") == "Data \"collector\" <1> & 'more'"
    browser.type("mqtt_client_secret", "s3cret $(x)")
    browser.press("Apply")
    assert browser.box()[0] == RED and browser.value("mqtt_client_secret") == "s3cret $(x)"
    browser.type("mqtt_port", str(app.port))
    browser.press("Apply")
    assert browser.box()[0] == GREEN
    settings = app.settings()
    assert (settings["PASSWORD"], settings["LOG_LEVEL"]) == ("s3cret $(x)", "debug")
    assert settings["USERNAME"] == "Data \"collector\" <1> & 'more'"
    app.await_listening()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """The files that the manual's commands make."""
    directory = tmp_path_factory.mktemp("certificates")
    by_the_manual(directory)
    return directory


def fill_in(browser, app, **fields):
    """Ticks Enable and types into the form."""
    browser.tick("mqtt_enabled")
    browser.type("mqtt_port", str(app.port))
    for name, text in fields.items():
        if name in ("mqtt_tls", "mqtt_authentication"):
            browser.choose(name, text)
        else:
            browser.type(name, text)


def converse(port, words, host="localhost"):
    """A message from mosquitto_pub to mosquitto_sub."""
    topic = f"factory/sensor/{uuid.uuid4().hex}"
    with Subscriber(port, "-q", "1", "-t", topic, *words, host=host) as subscriber:
        publish(port, topic, "-q", "1", *words, host=host, message="54")
        assert subscriber.next().payload == b"54"


def refused(browser, name, words):
    """That this sentence stands beside this field, where it can be seen."""
    error = browser.control(f"{name}_error")
    assert error.is_displayed() and error.text.count(words) == 1, (name, error.text)
    assert browser.box()[1].count(words) == 1, browser.box()[1]


def test_the_manuals_pre_shared_key(app, browser):
    """Figure 4, and what example 1 does with it."""
    fill_in(browser, app, mqtt_tls="PSK based", mqtt_psk_identity="test", mqtt_psk_key="7956a812b2c52b6411abd8",
            mqtt_authentication="Username/password", mqtt_client_name="house", mqtt_client_secret="12345")
    browser.press("Apply")
    colour, text = browser.box()
    assert colour == GREEN and "Please note" in text and "Pre-shared Key is short" in text
    seen(browser, "6-psk")
    assert browser.value("mqtt_psk_key") == "" and "7956a812" not in browser.driver.page_source
    app.await_listening()
    converse(app.port, ["--psk", "7956a812b2c52b6411abd8", "--psk-identity", "test", "-u", "house", "-P", "12345"])
    publish(app.port, "x", "-u", "house", "-P", "12345", host="localhost", message="plaintext", expected_code=7)
    browser.follow("Overview")
    assert "PSK based" in browser.text and "Pre-shared Key is short" in browser.text
    seen(browser, "6-psk-overview")


def test_the_manuals_certificates(app, browser, certificates):
    """Figure 3 with the files of chapter 3.3, and what example 2 does with it."""
    texts = [(certificates / name).read_text() for name in ("ca.crt", "broker.crt", "broker.key")]
    fill_in(browser, app, mqtt_tls="Certificate based", mqtt_authentication="Certificate CN",
            mqtt_client_name="Data collector", **dict(zip(CERTIFICATE, texts)))
    browser.press("Apply")
    colour, text = browser.box()
    assert colour == GREEN and "Configuration successfully updated." in text and "Please note" in text
    assert text.count("subjectAltName") == 1
    # Later versions of OpenSSL make version 3 of the same commands.
    described = subprocess.run(["openssl", "x509", "-noout", "-text", "-in", certificates / "broker.crt"],
                               capture_output=True, check=True, text=True, timeout=30).stdout
    assert text.count("is of the old version 1") == ("Version: 1 " in described)
    seen(browser, "9-certificates")
    assert browser.value("mqtt_certificate") == texts[1]
    assert browser.value("mqtt_private_key") == "" and texts[2].splitlines()[1] not in browser.driver.page_source
    app.await_listening()
    words = ["--cafile", certificates / "ca.crt"]
    converse(app.port, [*words, "--cert", certificates / "client.crt", "--key", certificates / "client.key"])
    # Neither without a certificate nor in plaintext.
    for without in (words, []):
        assert subprocess.run(["mosquitto_pub", "-h", "localhost", "-p", str(app.port), "-t", "x", "-m", "x", *without],
                              capture_output=True, timeout=60).returncode != 0
    browser.follow("Overview")
    assert "Certificate based" in browser.text and "Broker Certificate names its host in the Common Name" in browser.text
    seen(browser, "9-certificates-overview")


def test_wrong_certificates_stand_beside_their_fields(app, browser, certificates):
    ca, certificate, key, other = [(certificates / name).read_text()
                                   for name in ("ca.crt", "broker.crt", "broker.key", "client.key")]
    app.apply(mqtt_tls="certificate", mqtt_certificate=certificate, mqtt_private_key=key)
    before = app.settings()
    browser.open_form()
    # Mistakes of every kind are told at once: a number, text that is no PEM, a key that does not fit.
    fill_in(browser, app, mqtt_ca_certificates="ca.crt", mqtt_private_key=other, mqtt_authentication="Certificate CN")
    browser.type("mqtt_port", "0")
    browser.press("Apply")
    assert browser.box()[0] == RED and "Nothing was changed" in browser.box()[1]
    refused(browser, "mqtt_port", "must be a whole number")
    refused(browser, "mqtt_ca_certificates", "is not in PEM format")
    refused(browser, "mqtt_private_key", "does not belong to the Broker Certificate")
    refused(browser, "mqtt_client_name", "is missing")
    assert len(browser.all("[id$=_error]")) == 4
    seen(browser, "10-wrong-certificates")
    # What was typed is still there, the secret too; what is stored is not shown and not changed.
    assert browser.value("mqtt_port") == "0" and browser.value("mqtt_ca_certificates") == "ca.crt"
    assert browser.value("mqtt_certificate") == certificate and browser.value("mqtt_private_key") == other
    assert key.splitlines()[1] not in browser.driver.page_source
    assert app.settings() == before

    encrypted = subprocess.run(["openssl", "pkey", "-aes128", "-passout", "pass:secret"], input=key,
                               capture_output=True, check=True, text=True, timeout=30).stdout
    fill_in(browser, app, mqtt_ca_certificates=key, mqtt_private_key=encrypted, mqtt_client_name="Data collector")
    browser.press("Apply")
    refused(browser, "mqtt_ca_certificates", "holds a private key")
    refused(browser, "mqtt_private_key", "is protected by a password")
    assert len(browser.all("[id$=_error]")) == 2

    stranger = Authority(certificates / "stranger").pem
    fill_in(browser, app, mqtt_ca_certificates=stranger, mqtt_private_key="")
    browser.press("Apply")
    refused(browser, "mqtt_certificate", "does not chain to any of the CA Certificate(s)")
    assert len(browser.all("[id$=_error]")) == 1
    seen(browser, "10-another-ca")

    # Mended one after the other; the stored key is as good as one that is typed.
    fill_in(browser, app, mqtt_ca_certificates=ca, mqtt_private_key="", mqtt_tls="None")
    browser.press("Apply")
    refused(browser, "mqtt_authentication", "works only with TLS Support \"Certificate based\"")
    browser.choose("mqtt_tls", "Certificate based")
    browser.press("Apply")
    assert browser.box()[0] == GREEN, browser.box()
    assert app.settings()["PRIVATE_KEY"] == key
    app.await_listening()
    converse(app.port, ["--cafile", certificates / "ca.crt", "--cert", certificates / "client.crt",
                        "--key", certificates / "client.key"])


def test_refused_connections_can_be_read(app, browser):
    """When, who and why of each, without a word that breaks in its middle."""
    fill_in(browser, app, mqtt_authentication="Username/password", mqtt_client_name="house", mqtt_client_secret="12345")
    browser.press("Apply")
    app.await_listening()
    hosts = ["127.0.0.1", "::1"] if has_ipv6() else ["127.0.0.1"]
    for host in hosts:
        publish(app.port, "x", "-u", "house", "-P", "hunter2", host=host, message="x", expected_code=5)
        with socket.create_connection((host, app.port), 20) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\nHost: router\r\n\r\n")
            while stranger.recv(4096):
                pass
        with socket.create_connection((host, app.port), 20) as stranger:
            stranger.sendall(b"\x16\x03\x01\x00\x05hello")
            while stranger.recv(4096):
                pass
    browser.follow("Overview")
    rows = browser.all("table.list tbody tr")
    assert len(rows) == 3 * len(hosts) and all("ago" in row.text for row in rows)
    assert all(any(host in row.text for row in rows) for host in hosts)
    seen(browser, "12-refused")
    assert browser.broken_words("table.list") == []


def test_a_wrong_pre_shared_key(app, browser):
    fill_in(browser, app, mqtt_tls="PSK based", mqtt_psk_key="7956a")
    browser.press("Apply")
    assert browser.box()[0] == RED
    refused(browser, "mqtt_psk_identity", "is missing")
    refused(browser, "mqtt_psk_key", "must have an even number of hexadecimal digits")
    assert browser.value("mqtt_psk_key") == "7956a" and app.settings()["TLS"] == "none"
    seen(browser, "11-wrong-psk")


def test_what_applies_is_shown(app, browser):
    """With a script only that; without one all of it."""
    every = PSK + CERTIFICATE + LOGIN
    if not browser.javascript:
        assert [name for name in every if not browser.is_shown(name)] == []
        return

    def shown():
        return [name for name in every if browser.is_shown(name)]

    assert shown() == []
    browser.choose("mqtt_tls", "PSK based")
    assert shown() == PSK
    browser.type("mqtt_psk_identity", "typed")
    browser.choose("mqtt_tls", "Certificate based")
    assert shown() == CERTIFICATE
    seen(browser, "7-certificate")
    browser.choose("mqtt_authentication", "Certificate CN")
    assert shown() == CERTIFICATE + LOGIN[:1]
    browser.choose("mqtt_tls", "None")
    browser.choose("mqtt_authentication", "Username/password")
    assert shown() == LOGIN
    browser.type("mqtt_client_name", "house")
    browser.type("mqtt_client_secret", "12345")
    # What is not shown is kept all the same.
    browser.press("Apply")
    assert browser.box()[0] == GREEN
    assert app.settings()["PSK_IDENTITY"] == "typed"
    assert shown() == LOGIN


def test_a_secret_can_be_looked_at_while_it_is_typed(app, browser):
    browser.choose("mqtt_authentication", "Username/password")
    browser.type("mqtt_client_secret", "12345")
    button = browser.driver.find_element(By.CSS_SELECTOR, "[data-reveals=mqtt_client_secret]")
    # Without a script it would do nothing, and is not there.
    assert button.is_displayed() == browser.javascript
    for kind in ("text", "password", "text") if browser.javascript else ():
        button.click()
        assert browser.control("mqtt_client_secret").get_property("type") == kind


def test_a_stored_secret(app, browser):
    """Untouched it stays; typed over it changes; ticked off it goes. It never comes back to the browser."""
    def password():
        return app.settings()["PASSWORD"]

    app.apply(mqtt_authentication="password", mqtt_client_name="house", mqtt_client_secret="first secret")
    browser.open_form()
    assert browser.value("mqtt_client_secret") == "" and "first secret" not in browser.driver.page_source
    assert "stored" in browser.control("mqtt_client_secret").get_dom_attribute("placeholder")
    seen(browser, "8-stored-secret")
    browser.press("Apply")
    assert browser.box()[0] == GREEN and password() == "first secret"
    browser.type("mqtt_client_secret", "second secret")
    browser.press("Apply")
    assert browser.box()[0] == GREEN and password() == "second secret"
    assert "second secret" not in browser.driver.page_source
    browser.choose("mqtt_authentication", "None")
    browser.open_form()
    # It can be removed only where it is not needed.
    browser.tick("mqtt_client_secret_clear")
    browser.press("Apply")
    assert browser.box()[0] == RED and password() == "second secret"
    assert browser.control("mqtt_client_secret_clear").is_selected(), "what was ticked is kept"
    app.apply(mqtt_authentication="none", mqtt_client_secret_clear="on")
    assert password() == ""


def test_the_enter_key(app, browser):
    browser.control("mqtt_port").clear()
    browser.control("mqtt_port").send_keys(str(app.port), Keys.ENTER)
    until(lambda: app.settings()["PORT"] == str(app.port), "it is stored")
    until(lambda: browser.all("section.result"), "the answer is there")
    assert browser.box()[0] == GREEN


def test_loading_the_answer_again_applies_nothing(app, browser):
    browser.type("mqtt_port", str(app.port))
    browser.press("Apply")
    assert browser.box()[0] == GREEN
    before = app.settings_file.stat().st_mtime_ns
    browser.driver.refresh()
    assert app.settings_file.stat().st_mtime_ns == before
    browser.driver.back()
    assert app.settings_file.stat().st_mtime_ns == before
