"""make run, as the person does who has just cloned the repository."""

import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

import router as desk
from app import App
from mosquitto import publish
from router import REPOSITORY, Port, Router, scratch_root
from waiting import until

NOBODY = 65534


def commands_with(word):
    """The processes whose command line holds this word."""
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            continue
        if os.fsencode(word) in command:
            found[int(directory.name)] = command.decode(errors="replace")
    return found


def read_until(stream, word, seconds):
    """What is printed, up to the line with this word."""
    said, deadline = "", time.monotonic() + seconds
    while word not in said:
        ready, _, _ = select.select([stream], [], [], deadline - time.monotonic())
        assert ready, f"no {word!r} within {seconds} s: {said}"
        data = os.read(stream.fileno(), 65536).decode()
        assert data, f"it ended: {said}"
        said += data
    return said


@pytest.fixture
def running():
    """make run on ports and files of its own; what it printed, its process and its app."""
    root, port = scratch_root(), Port()
    # Run by make itself, it must not take part in that one's work.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    process = subprocess.Popen(
        ["make", "--no-print-directory", "run", "HTTP_PORT=0", f"PORT={port.number}", f"ROUTER={root}"],
        cwd=REPOSITORY, env=environment, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    try:
        said = read_until(process.stdout, "Ctrl-C", 600)
        yield said, process, App(root, port.number)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        process.stdout.close()
        port.release()
        shutil.rmtree(root, ignore_errors=True)


def test_from_the_first_line_to_ctrl_c(running):
    said, process, app = running
    page = re.search(r"http://(127\.0\.0\.1):(\d+)(/module/mqtt_broker/index\.cgi)\s", said)
    app.address = page[1], int(page[2])
    login = re.search(r"login:\s+(\S+), password (\S+)\n", said)
    assert app.ask("GET", page[3], login=None).status == 401
    assert app.ask("GET", page[3], login=(login[1], login[2])).status == 200

    # The port is that of the two lines already: all there is to do is tick and apply.
    form = app.form()
    assert form.value("mqtt_port") == str(app.port) and form.value("mqtt_enabled") is False
    app.apply(mqtt_enabled="on")
    app.await_listening()
    subscribe, publish_ = (shlex.split(re.search(rf"^ *({name} .*)$", said, re.MULTILINE)[1])
                           for name in ("mosquitto_sub", "mosquitto_pub"))
    subscriber = subprocess.Popen(["stdbuf", "-oL", *subscribe], stdout=subprocess.PIPE)
    try:
        until(lambda: app.observe()["subscriptions"] == 1, "it is subscribed")
        assert subprocess.run(publish_, timeout=30).returncode == 0
        assert read_until(subscriber.stdout, "\n", 20) == f"{publish_[publish_.index('-t') + 1]} {publish_[-1]}\n"
    finally:
        subscriber.kill()
        subscriber.wait()
        subscriber.stdout.close()

    assert commands_with(app.root)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(30)
    until(lambda: not commands_with(app.root), "everything it started has ended")
    for number in (app.port, app.address[1]):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", number)) != 0
    # What was set is there the next time.
    assert app.settings()["ENABLED"] == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="everything here runs without root already")
def test_root_is_not_needed(host_package):
    """The app in the simulator, for a user with no rights at all."""
    copies = scratch_root()
    copies.chmod(0o755)
    program = shutil.copy(desk.simulator(), copies / "simulator")
    package = shutil.copy(host_package, copies / "package.tgz")
    router = Router(package, program=program, user=NOBODY, group=NOBODY, extra_groups=[])
    os.chown(router.root, NOBODY, NOBODY)
    try:
        with router:
            router.enable()
            assert Path(f"/proc/{router.worker()}").stat().st_uid == NOBODY
            publish(router.port, "x", message="x")
            assert router.delete().status == 200
    finally:
        shutil.rmtree(copies)
