"""The app as it is installed on a router: its files, its pages, its processes, and what it says of itself."""

import json
import os
import re
import socket
import subprocess
from pathlib import Path

from waiting import until
from website import Website

PREFIX = "MOD_MQTT_BROKER_"


def quoted(values):
    """The text of a settings file, as design and form write it."""
    lines = []
    for key, value in values.items():
        text = str(value).replace("\\", "\\\\").replace("\n", "\\n").replace("'", "'\\''")
        lines.append(f"{PREFIX}{key}='{text}'\n")
    return "".join(lines)


def unquoted(text):
    """What a settings file says, by key without prefix."""
    values = {}
    for line in text.splitlines():
        key, _, value = line.partition("=")
        value = value[1:-1].replace("'\\''", "'")
        values[key.removeprefix(PREFIX)] = re.sub(
            r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], value)
    return values


def is_alive(pid):
    """Whether the process runs; one that has ended and was not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes_of(path):
    """The processes that were started with this program or file, by their command line."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(path) in words and is_alive(directory.name):
            found.append(int(directory.name))
    return found


def observe(root):
    """What the broker below this root directory says about itself, or nothing while there is none."""
    try:
        with socket.socket(socket.AF_UNIX) as observer:
            observer.settimeout(10)
            observer.connect(str(root / "var/run/mqtt_broker.sock"))
            return json.loads(observer.makefile().read())
    except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, json.JSONDecodeError):
        return None


class App(Website):
    """The app on the router whose files are below `root`."""

    def __init__(self, root, port, address=None):
        super().__init__(address)
        self.root, self.port = root, port
        self.module = root / "opt/mqtt_broker"
        self.broker = self.module / "bin/mqtt_broker"
        self.settings_file = self.module / "etc/settings"

    def log(self):
        """The system log, oldest line first."""
        files = [self.root / "var/log" / name for name in ("messages.1", "messages")]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def logged(self, *words):
        """The broker's own lines that contain all these words."""
        lines = [line for line in self.log().splitlines() if " mqtt_broker[" in line]
        return [line for line in lines if all(word in line for word in words)]

    def enable(self, **changes):
        """Ticks Enable, applies and waits until the broker serves clients."""
        self.apply(mqtt_enabled="on", mqtt_port=self.port, **changes)
        self.await_listening()

    def await_listening(self, port=None):
        port = port or self.port
        return until(lambda: (seen := self.observe()) and seen["listening"] and seen["port"] == port and seen,
                     f"the broker listens on port {port}")

    def observe(self):
        """What the broker says about itself, or nothing while there is none."""
        return observe(self.root)

    def worker(self):
        """The process that serves clients."""
        return until(self.observe, "the broker answers")["pid"]

    def supervisor(self):
        """The process of the pid file."""
        return int((self.root / "var/run/mqtt_broker.pid").read_text())

    def init(self, action, code=0):
        """Calls the init script as the firmware does; what it says."""
        done = subprocess.run([self.module / "etc/init", action], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == code, done
        return done.stdout

    def settings(self):
        return unquoted(self.settings_file.read_text())

    def write_settings(self, **values):
        """Puts a settings file in the place of the one that is there, whole."""
        fresh = self.settings_file.with_suffix(".by-hand")
        fresh.write_text(quoted({"ENABLED": "1", "PORT": self.port} | values))
        fresh.chmod(0o600)
        fresh.rename(self.settings_file)

    def configure(self, **values):
        """Writes other settings and has the broker read them; what it says once it serves clients by them."""
        runs, taken = self.observe(), len(self.logged("new settings in force"))
        self.write_settings(**values)
        self.init("reload")
        if runs:
            until(lambda: len(self.logged("new settings in force")) > taken, "the new settings are in force")
        return self.await_listening(values.get("PORT"))
