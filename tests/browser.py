"""Chromium without a screen, driven as a person would use it."""

import base64
import hashlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from router import REPOSITORY
from waiting import until

NAMES = ["chromium", "chromium-browser", "google-chrome"]
FLAGS = ["--headless=new", "--no-sandbox", "--no-first-run", "--disable-gpu", "--disable-quic", "--disable-sync",
         "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
         "--password-store=basic"]
SCREENSHOTS = Path(os.environ.get("SCREENSHOTS", REPOSITORY / "target/screenshots"))


class Browser:
    """A browser with a profile of its own, as wide as a telephone or a desk has it, with or without JavaScript."""

    def __init__(self, site, width=1200, javascript=True, name="", flags=()):
        self.site, self.name, self.flags = site, name, (*FLAGS, *flags)
        self.profile = Path(tempfile.mkdtemp(prefix="browser-", dir="/tmp"))
        self.width, self.javascript = width, javascript
        self.driver = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.profile, ignore_errors=True)

    def start(self):
        options = webdriver.ChromeOptions()
        options.binary_location = next(filter(None, map(shutil.which, NAMES)))
        for flag in (*self.flags, f"--user-data-dir={self.profile}"):
            options.add_argument(flag)
        # A browser that knows itself under automation has its password manager switched off.
        options.add_experimental_option("excludeSwitches", ["enable-automation"])
        options.add_experimental_option("prefs", {
            "credentials_enable_service": True, "profile.password_manager_enabled": True,
            **({} if self.javascript else {"profile.managed_default_content_settings.javascript": 2})})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        self.driver.set_page_load_timeout(60)
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": self.width, "height": 900, "deviceScaleFactor": 1, "mobile": self.width < 600})

    def stop(self):
        if self.driver:
            self.driver.quit()
            self.driver = None

    # --- pages

    def log_in(self, user="root", password="root"):
        """Answers the browser's question for the router's login; the browser remembers it until it ends."""
        host, port = self.site.address
        self.driver.get(f"http://{user}:{password}@{host}:{port}/module.cgi")

    def open(self, page):
        self.driver.get(self.site.origin + page)

    def open_form(self):
        self.open("/module/mqtt_broker/index.cgi")

    def follow(self, text):
        """Clicks a link; returns when the next page is there."""
        self._leave(self.driver.find_element(By.LINK_TEXT, text))

    def press(self, text):
        """Presses a button that sends its form."""
        buttons = [button for button in self.all("button") if button.text == text]
        assert len(buttons) == 1, f"{len(buttons)} buttons named {text}"
        self._leave(buttons[0])

    def _leave(self, element):
        before = self.all("html")
        element.click()

        def is_there():
            return self.all("html") not in ([], before) and self.driver.execute_script(
                "return document.readyState") == "complete"
        until(is_there, "the next page is there", 60)

    @property
    def text(self):
        return self.driver.find_element(By.TAG_NAME, "body").text

    @property
    def address(self):
        return self.driver.current_url.removeprefix(self.site.origin)

    def box(self):
        """The colour and the text of the result box."""
        box = self.driver.find_element(By.CSS_SELECTOR, "section.result")
        title = box.find_element(By.TAG_NAME, "h2")
        return title.value_of_css_property("background-color"), box.text

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def control(self, name):
        return self.driver.find_element(By.ID, name)

    def is_shown(self, name):
        return self.control(name).is_displayed()

    def value(self, name):
        return self.control(name).get_property("value")

    def type(self, name, text):
        control = self.control(name)
        control.clear()
        control.send_keys(text)

    def choose(self, name, label):
        Select(self.control(name)).select_by_visible_text(label)

    def tick(self, name):
        if not self.control(name).is_selected():
            self.control(name).click()

    # --- what a person sees

    def overhang(self):
        """The elements that reach beyond the right edge, so that one would have to scroll sideways."""
        return self.driver.execute_script("""
            const width = document.documentElement.clientWidth;
            const found = [...document.body.querySelectorAll("*")].filter(element => {
                const box = element.getBoundingClientRect();
                return box.width > 1 && box.right > width + 0.5;
            });
            const wide = document.documentElement.scrollWidth > width ? ["the page"] : [];
            return wide.concat(found.map(element => element.tagName + "#" + element.id + "." + element.className));
        """)

    def broken_words(self, selector):
        """The words below such elements that go on in another line."""
        return self.driver.execute_script("""
            const found = [];
            for (const element of document.querySelectorAll(arguments[0])) {
                const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
                while (walker.nextNode()) {
                    for (const word of walker.currentNode.data.matchAll(/\\S+/g)) {
                        const range = document.createRange();
                        range.setStart(walker.currentNode, word.index);
                        range.setEnd(walker.currentNode, word.index + word[0].length);
                        if (new Set([...range.getClientRects()].map(box => box.top)).size > 1)
                            found.push(word[0]);
                    }
                }
            }
            return found;
        """, selector)

    def complaints(self):
        """What the browser has to complain of: a policy that is broken, a script that failed."""
        return [entry["message"] for entry in self.driver.get_log("browser")
                if entry["level"] in ("SEVERE", "WARNING") and "favicon.ico" not in entry["message"]]

    def screenshot(self, name):
        """The whole page as a picture, for people to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        (SCREENSHOTS / f"{self.name}-{name}.png").write_bytes(base64.b64decode(shot["data"]))

    # --- the password manager

    def remember_login(self, page, user, password):
        """Puts a login into the profile as the password manager stores it when a person says "Save"."""
        assert self.driver is None, "the browser must not run"
        # What os_crypt does on Linux without a key ring ("basic"): AES-128-CBC under a key that is no secret.
        key = hashlib.pbkdf2_hmac("sha1", b"peanuts", b"saltysalt", 1, 16)
        sealed = subprocess.run(["openssl", "enc", "-aes-128-cbc", "-K", key.hex(), "-iv", "20" * 16],
                                input=password.encode(), capture_output=True, check=True, timeout=30).stdout
        store = self.profile / "Default/Login Data"
        assert store.exists(), "the browser makes it when it first starts"
        # In microseconds since 1601.
        date = 13_300_000_000_000_000
        row = {
            "origin_url": self.site.origin + page, "action_url": self.site.origin + page,
            "signon_realm": self.site.origin + "/", "username_element": "username", "username_value": user,
            "password_element": "password", "password_value": b"v10" + sealed, "submit_element": "", "times_used": 1,
            "date_created": date, "date_last_used": date, "date_password_modified": date,
        }
        database = sqlite3.connect(store)
        with database:
            known = database.execute("PRAGMA table_info(logins)").fetchall()
            for _, name, kind, _, default, is_key in known:
                if name not in row and not is_key and default is None:
                    row[name] = {"BLOB": b"", "INTEGER": 0}.get(kind, "")
            database.execute(f"INSERT INTO logins ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
                             list(row.values()))
        database.close()
