"""A router on this machine: the simulator, with packages in it."""

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from app import App, processes_of

REPOSITORY = Path(__file__).resolve().parent.parent


def simulator():
    """The simulator's path: as the Makefile says, or where cargo puts it."""
    built = [REPOSITORY / "target" / profile / "simulator" for profile in ("release", "debug")]
    known = [Path(os.environ["SIMULATOR"])] if "SIMULATOR" in os.environ else built
    for path in known:
        if path.exists():
            return path.resolve()
    raise AssertionError(f"there is no {known[0]}: build it with cargo build --release -p simulator")


def package(platform):
    """A package's path: as the Makefile says, or where make package puts it."""
    default = REPOSITORY / "target/packages" / f"mqtt_broker.{platform}.tgz"
    path = Path(os.environ.get(f"PACKAGE_{platform.upper()}", default)).resolve()
    assert path.exists(), f"there is no {path}: build it with make package PLATFORM={platform}"
    return path


def scratch_root():
    """A directory whose path is short enough for the unix sockets below it."""
    return Path(tempfile.mkdtemp(prefix="router-", dir="/tmp"))


class Port:
    """A port that is ours for a while: bound, so that nobody else gets it, but not listening, so that a broker can."""

    def __init__(self):
        family = socket.AF_INET6 if has_ipv6() else socket.AF_INET
        self.holder = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET6:
            self.holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.holder.bind(("", 0))
        self.number = self.holder.getsockname()[1]

    def release(self):
        self.holder.close()


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


class Router(App):
    """A simulated router, switched on as long as the context lasts."""

    def __init__(self, *packages, options=(), program=None, **how):
        self.reserved = Port()
        super().__init__(scratch_root(), self.reserved.number)
        self.options = [*options, *(word for path in packages for word in ("--install", str(path)))]
        self.program, self.how = program or simulator(), how
        self.process = None

    def __enter__(self):
        self.switch_on()
        return self

    def __exit__(self, *_):
        try:
            self.switch_off()
        finally:
            # Shown with whatever fails.
            print(f"--- system log of {self.root}\n{self.log()}")
            for pid in processes_of(self.broker):
                os.kill(pid, signal.SIGKILL)
            self.reserved.release()
            shutil.rmtree(self.root, ignore_errors=True)

    def switch_on(self):
        with open(self.root / "stderr", "ab") as errors:
            self.process = subprocess.Popen(
                [self.program, "--root", self.root, *self.options],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, **self.how)
        ready, _, _ = select.select([self.process.stdout], [], [], 60)
        line = self.process.stdout.readline().decode() if ready else ""
        found = re.fullmatch(r"listening on http://127\.0\.0\.1:(\d+)/\n", line)
        if not found:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the simulator said {line!r} and {(self.root / 'stderr').read_text()}")
        self.address = "127.0.0.1", int(found[1])

    def switch_off(self, signal_number=signal.SIGTERM):
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(signal_number)
        try:
            code = process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            process.stdout.close()
        assert code == 0, f"the simulator ended with {code}"
        assert processes_of(self.broker) == [], "the simulator left a broker behind"
