"""A broker for the tests of one file: the packed program in the foreground, by settings of its own."""

import shutil
import signal
import socket
import subprocess

from app import observe, quoted
from router import Port, scratch_root
from waiting import until

# The tests come from one address, as fast as they can.
SETTINGS = {"ENABLED": 1, "LOG_LEVEL": "info", "CONNECT_RATE": 0}


class Broker:
    """The process, as long as the context lasts. It must live until it is told to end, and end well."""

    def __init__(self, program, preexec_fn=None, **settings):
        self.program, self.preexec_fn, self.settings = program, preexec_fn, settings
        self.is_told = False

    def __enter__(self):
        self.root, self.reserved = scratch_root(), Port()
        self.port = self.reserved.number
        (self.root / "var/run").mkdir(parents=True)
        file = self._write_settings()
        with open(self.root / "log", "wb") as log:
            self.process = subprocess.Popen([self.program, "--root", self.root, file], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, preexec_fn=self.preexec_fn)
        try:
            until(self.is_serving, "the broker serves")
        except BaseException:
            self.__exit__()
            raise
        return self

    def stop(self):
        """Tells it to end. What it still says to its clients can be heard."""
        self.is_told = True
        self.process.send_signal(signal.SIGTERM)

    def __exit__(self, *_):
        ended = None if self.is_told else self.process.poll()
        try:
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            # Shown with whatever fails.
            print(self.log())
            shutil.rmtree(self.root)
            self.reserved.release()
        assert ended is None, f"the broker ended by itself with {ended}"
        assert code == 0, f"the broker ended with {code}"

    def is_serving(self):
        assert self.process.poll() is None, self.log()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def observe(self):
        """What the broker says about itself."""
        return observe(self.root)

    def log(self):
        """All that it has said."""
        return (self.root / "log").read_text(errors="replace")

    def logged(self, *words):
        """The lines of its log that have all these words."""
        return [line for line in self.log().splitlines() if all(word in line for word in words)]

    def refusals(self):
        """The reasons for the last refusals, newest first, with how often there was each."""
        return [(one["reason"], one["count"]) for one in self.observe()["refusals"]]

    def configure(self, **settings):
        """Changes these settings and no others, and is back when they are in force."""
        self.settings |= settings
        self._write_settings()
        self._reload("new settings in force")

    def configure_in_vain(self, **settings):
        """The same with settings that the broker does not take."""
        kept, self.settings = self.settings, self.settings | settings
        self._write_settings()
        self.settings = kept
        self._reload("settings not taken")

    def _write_settings(self):
        file = self.root / "settings"
        file.write_text(quoted(SETTINGS | {"PORT": self.port} | self.settings))
        return file

    def _reload(self, answer):
        before = len(self.logged(answer))
        self.process.send_signal(signal.SIGHUP)
        until(lambda: len(self.logged(answer)) > before, f"the log says {answer!r}")
