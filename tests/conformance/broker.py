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

    def __enter__(self):
        self.root, self.reserved = scratch_root(), Port()
        self.port = self.reserved.number
        (self.root / "var/run").mkdir(parents=True)
        file = self.root / "settings"
        file.write_text(quoted(SETTINGS | {"PORT": self.port} | self.settings))
        with open(self.root / "log", "wb") as log:
            self.process = subprocess.Popen([self.program, "--root", self.root, file], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, preexec_fn=self.preexec_fn)
        try:
            until(self.is_serving, "the broker serves")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        ended = self.process.poll()
        try:
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            # Shown with whatever fails.
            print((self.root / "log").read_text(errors="replace"))
            shutil.rmtree(self.root)
            self.reserved.release()
        assert ended is None, f"the broker ended by itself with {ended}"
        assert code == 0, f"the broker ended with {code}"

    def is_serving(self):
        assert self.process.poll() is None, (self.root / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def observe(self):
        """What the broker says about itself."""
        return observe(self.root)
