"""The router's login that a browser has saved does not become the broker's."""

import io
import re
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


def without_defences(form):
    """The app's own form as a browser sees it that is told nothing about its fields."""
    form = re.sub(r' (autocomplete|data-[a-z0-9-]+)(="[^"]*")?', "", form)
    return re.sub(r"<script.*?</script>", "", form)


def neighbour(form):
    """A router app at the same origin, with an ordinary login, and with the form without its defences."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        def add(name, data=None):
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
            entry.mode, entry.size = 0o755 if data is None else 0o644, len(data or b"")
            archive.addfile(entry, io.BytesIO(data or b""))
        for directory in ("login", "login/etc", "login/www"):
            add(directory)
        add("login/etc/name", b"Login\n")
        add("login/etc/version", b"1.0 (2026-01-01)\n")
        add("login/www/index.html", LOGIN_PAGE)
        add("login/www/form.html", without_defences(form).encode())
    return buffer.getvalue()


def filled_in(browser):
    """What the browser has filled in, by field. A page gets it only when somebody is there: hence the click."""
    browser.driver.find_element(By.TAG_NAME, "h1").click()
    return {field.get_dom_attribute("id"): field.get_property("value") for field in browser.all(":autofill")}


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
@pytest.mark.parametrize("name", ["root", ""], ids=["the same name", "no name"])
def test_the_routers_saved_login_stays_out(host_package, javascript, name):
    """The browser knows the router's login and fills it in wherever nothing is done against it; but not into the form.

    It is what version 2.0.18-1 of the maker's app had to mend: the router's password became the broker's by an Apply.
    """
    with Router(host_package) as router, Browser(router, javascript=javascript, name="saved-login") as browser:
        router.apply(mqtt_authentication="password" if name else "none", mqtt_client_name=name,
                     mqtt_client_secret="the broker's own")
        assert router.upload(neighbour(router.page("index"))).status == 200
        browser.log_in()
        browser.stop()
        browser.remember_login("/module/login/index.html", "root", ROUTERS_PASSWORD)
        browser.start()
        browser.log_in()

        before = router.settings_file.read_bytes()
        browser.open_form()
        for field in ("mqtt_authentication", "mqtt_port"):
            browser.control(field).click()
        form = browser.driver.current_window_handle
        # Filling in takes a moment. Pages that are loaded later, and are filled in, show that it has passed.
        browser.driver.switch_to.new_window("tab")
        browser.open("/module/login/index.html")
        until(lambda: filled_in(browser) == {"username": "root", "password": ROUTERS_PASSWORD}, "it is filled in")
        browser.screenshot("login")
        browser.open("/module/login/form.html")
        until(lambda: ROUTERS_PASSWORD in filled_in(browser).values(), "the form without its defences is filled in")
        browser.screenshot("without-defences")
        browser.driver.close()
        browser.driver.switch_to.window(form)
        assert filled_in(browser) == {}
        assert browser.value("mqtt_client_name") == name
        for field in ("mqtt_client_secret", "mqtt_psk_identity", "mqtt_psk_key"):
            assert browser.value(field) == "", field
        browser.screenshot("form")
        browser.press("Apply")
        assert browser.box()[0] == GREEN
        assert router.settings_file.read_bytes() == before
        assert ROUTERS_PASSWORD not in router.settings_file.read_text()
