"""A router on this machine: the simulator with packages in it, seen as a person and as MQTT clients see it."""

import base64
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

from form import Form
from waiting import until

REPOSITORY = Path(__file__).resolve().parent.parent
PREFIX = "MOD_MQTT_BROKER_"
LOGIN = ("root", "root")
FORM_TYPE = "application/x-www-form-urlencoded"


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


class Answer:
    """What the web server answered."""

    def __init__(self, response):
        self.status = response.status
        self.fields = response.headers
        self.body = response.read()

    @property
    def text(self):
        return self.body.decode()


class Router:
    """A simulated router, switched on as long as the context lasts."""

    def __init__(self, *packages, options=(), root=None, prepare=None):
        self.root = root or scratch_root()
        self.options = [*options, *(word for path in packages for word in ("--install", str(path)))]
        self.prepare = prepare
        self.reserved = Port()
        self.port = self.reserved.number
        self.module = self.root / "opt/mqtt_broker"
        self.broker = self.module / "bin/mqtt_broker"
        self.settings_file = self.module / "etc/settings"
        self.process = None

    def __enter__(self):
        self.switch_on()
        return self

    def __exit__(self, *_):
        try:
            self.switch_off()
        finally:
            self.show_log()
            for pid in processes_of(self.broker):
                os.kill(pid, signal.SIGKILL)
            self.reserved.release()
            shutil.rmtree(self.root, ignore_errors=True)

    # --- the machine

    def switch_on(self):
        with open(self.root / "stderr", "ab") as errors:
            self.process = subprocess.Popen(
                [simulator(), "--root", self.root, *self.options],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, preexec_fn=self.prepare)
        ready, _, _ = select.select([self.process.stdout], [], [], 60)
        line = self.process.stdout.readline().decode() if ready else ""
        found = re.fullmatch(r"listening on (http://(127\.0\.0\.1):(\d+)/)\n", line)
        if not found:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the simulator said {line!r} and {(self.root / 'stderr').read_text()}")
        self.url, self.address = found[1], (found[2], int(found[3]))

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

    def show_log(self):
        print(f"--- system log of {self.root}\n{self.log()}")

    def log(self):
        """The system log, oldest line first."""
        files = [self.root / "var/log" / name for name in ("messages.1", "messages")]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def logged(self, *words):
        """The broker's own lines that contain all these words."""
        lines = [line for line in self.log().splitlines() if " mqtt_broker[" in line]
        return [line for line in lines if all(word in line for word in words)]

    # --- its web pages

    def ask(self, method, path, body=None, fields=None, login=LOGIN):
        """One request, one answer. The path is taken as it is."""
        fields = dict(fields or {})
        if login:
            fields.setdefault("Authorization", "Basic " + base64.b64encode(":".join(login).encode()).decode())
        connection = HTTPConnection(*self.address, timeout=60)
        try:
            connection.request(method, path, body, fields)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path):
        answer = self.ask("GET", path)
        assert answer.status == 200, (path, answer.status, answer.text)
        return answer.text

    def page(self, name):
        return self.get(f"/module/mqtt_broker/{name}.cgi")

    def form(self):
        return Form(self.page("index"))

    def post(self, form, fields=None, **changes):
        """Sends the form as a browser would, with these controls changed; the answer, a redirect not followed."""
        body = urlencode(form.sent(changes))
        return self.ask("POST", "/module/mqtt_broker/set.cgi", body, {"Content-Type": FORM_TYPE} | (fields or {}))

    def apply(self, **changes):
        """Fills in the form, presses Apply and is content only with the green box."""
        answer = self.post(self.form(), **changes)
        assert answer.status == 303, (answer.status, Form(answer.text).errors)
        page = self.get("/module/mqtt_broker/" + answer.fields["Location"])
        assert "Configuration successfully updated." in page

    def upload(self, package, page=None):
        """Uploads a package on the Router Apps page; the answer."""
        token = Form(page or self.get("/module.cgi")).first("token")
        boundary = "----------1f0c9a7e5b3d"
        head = (f'--{boundary}\r\nContent-Disposition: form-data; name="token"\r\n\r\n{token}\r\n'
                f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="mqtt_broker.tgz"\r\n'
                "Content-Type: application/gzip\r\n\r\n")
        body = head.encode() + package + f"\r\n--{boundary}--\r\n".encode()
        return self.ask("POST", "/module.cgi", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})

    def delete(self, name="mqtt_broker"):
        token = Form(self.get("/module.cgi")).first("token")
        return self.ask("POST", "/module.cgi", urlencode({"token": token, "delete": name}), {"Content-Type": FORM_TYPE})

    # --- its broker

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
        try:
            with socket.socket(socket.AF_UNIX) as observer:
                observer.settimeout(10)
                observer.connect(str(self.root / "var/run/mqtt_broker.sock"))
                return json.loads(observer.makefile().read())
        except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, json.JSONDecodeError):
            return None

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
        """Writes the settings and has the broker read them; what it says once it serves clients."""
        self.write_settings(**values)
        self.init("reload")
        return self.await_listening(values.get("PORT"))
