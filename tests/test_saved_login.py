"""The router's login that a browser has saved does not become the broker's."""

import io
import tarfile

import pytest
from selenium.webdriver.common.by import By

from browser import Browser
from router import Router
from waiting import until

GREEN = "rgba(0, 128, 0, 1)"
ROUTERS_PASSWORD = "the routers own"
LOGIN_PAGE = b"""<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Login</title><h1>Login</h1>
<form method="post" action="index.html">
<input id="username" name="username" autocomplete="username">
<input id="password" name="password" type="password" autocomplete="current-password"><button>Log in</button></form>
"""


def login_page():
    """A router app whose page is a login of the ordinary kind, at the same origin."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        def add(name, data=None, link=None):
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.SYMTYPE if link else tarfile.DIRTYPE if data is None else tarfile.REGTYPE
            entry.mode, entry.size, entry.linkname = 0o755 if data is None else 0o644, len(data or b""), link or ""
            archive.addfile(entry, io.BytesIO(data or b""))
        add("login")
        add("login/etc")
        add("login/etc/name", b"Login\n")
        add("login/etc/version", b"1.0 (2026-01-01)\n")
        add("login/www")
        add("login/www/index.html", LOGIN_PAGE)
        add("login/www/.htpasswd", link="/etc/htpasswd")
    return buffer.getvalue()


def touched(browser, name):
    """The value of a field, after a click beside it: a page gets what was filled in only when somebody is there."""
    browser.driver.find_element(By.TAG_NAME, "h1").click()
    return browser.value(name)


@pytest.mark.parametrize("name, javascript", [("root", True), ("root", False), ("house", True)])
def test_the_routers_saved_login_stays_out(host_package, javascript, name):
    """The browser knows the router's login and fills it in where a login is asked for; but not into this form.

    It is what version 2.0.18-1 of the maker's app had to mend: the router's password became the broker's by an Apply.
    """
    with Router(host_package) as router, Browser(router, javascript=javascript, name="saved-login") as browser:
        assert router.upload(login_page()).status == 200
        router.apply(mqtt_authentication="password", mqtt_client_name=name, mqtt_client_secret="the broker's own")
        browser.log_in()
        browser.stop()
        browser.remember_login("/module/login/index.html", "root", ROUTERS_PASSWORD)
        browser.start()
        browser.log_in()

        before = router.settings_file.read_bytes()
        browser.open_form()
        for field in ("mqtt_client_secret", "mqtt_client_name", "mqtt_port"):
            browser.control(field).click()
        form = browser.driver.current_window_handle
        # Filling in takes a moment. A page that is loaded later, and is filled in, shows that it has passed.
        browser.driver.switch_to.new_window("tab")
        browser.open("/module/login/index.html")
        until(lambda: touched(browser, "password") == ROUTERS_PASSWORD, "the browser fills in the login it knows")
        assert browser.value("username") == "root"
        browser.screenshot("control")
        browser.driver.close()
        browser.driver.switch_to.window(form)
        browser.screenshot("form")
        assert touched(browser, "mqtt_client_name") == name
        for field in ("mqtt_client_secret", "mqtt_psk_identity", "mqtt_psk_key"):
            assert browser.value(field) == "", field
        assert browser.all(":autofill") == []
        browser.press("Apply")
        assert browser.box()[0] == GREEN
        assert router.settings_file.read_bytes() == before
        assert ROUTERS_PASSWORD not in router.settings_file.read_text()
