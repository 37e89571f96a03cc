"""etc/init, etc/install and etc/uninstall with a daemon that does only what these scripts rely on.

Everything runs under BusyBox ash, and under dash with no other tools than a router has.
"""

import os
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "etc"

# What was seen on routers, and of that only what the scripts say they need.
ROUTER_TOOLS = "cat chmod cmp cp ln ls mkdir mv readlink rm rmdir sleep sync".split()

DEFAULTS = "MOD_MQTT_BROKER_ENABLED='0'\nMOD_MQTT_BROKER_PORT='1883'\n"
ENABLED = DEFAULTS.replace("ENABLED='0'", "ENABLED='1'")

FAKE_BROKER = """#!{python} -SE
import fcntl, os, signal, sys
argument = sys.argv[1]
root = os.path.dirname(sys.argv[0]) + "/../../.."
mode = open(root + "/mode").read()

def note(what):
    with open(root + "/notes", "a") as notes:
        notes.write(what + "\\n")

if argument == "--enabled":
    try:
        text = open(sys.argv[2]).read()
    except FileNotFoundError:
        sys.exit(1)
    sys.exit(2 if "broken" in text else 0 if "ENABLED='1'" in text else 1)
if argument == "--worker" or argument == "--client":
    signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "deaf" else signal.SIG_DFL)
    note(argument)
    while True:
        signal.pause()
assert sys.argv[1:3] == ["--supervise", "--syslog"] and sys.argv[3].endswith("/etc/settings")
if mode == "fails":
    sys.exit(1)
lock = os.open(root + "/var/run/mqtt_broker.pid", os.O_RDWR | os.O_CREAT, 0o600)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(3)
# Goes on when the other program runs; until then the child's command line would be that of this process.
worker = os.posix_spawn(sys.argv[0], [sys.argv[0], "--worker"], os.environ)

def end(number, frame):
    os.kill(worker, signal.SIGTERM)
    os.waitpid(worker, 0)
    sys.exit(0)

signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "deaf" else end)
signal.signal(signal.SIGHUP, lambda number, frame: note("hup"))
note("start")
os.truncate(lock, 0)
os.pwrite(lock, b"%d\\n" % os.getpid(), 0)
while True:
    signal.pause()
"""


def until(condition, what):
    """Waits for a condition that must come true soon."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


class Router:
    """A scratch root with the module in it."""

    def __init__(self, root, shell, tools=None):
        self.root, self.shell, self.tools = root, shell, tools
        self.environment = {"PATH": os.environ["PATH"]}
        self.module = root / "opt/mqtt_broker"
        self.settings = self.module / "etc/settings"
        self.broker = self.module / "bin/mqtt_broker"
        self.pid_file = root / "var/run/mqtt_broker.pid"
        self.lock = root / "var/run/mqtt_broker.lock"
        self.saved = root / "var/run/mqtt_broker.upgrade"
        (root / "var/run").mkdir(parents=True)
        (root / "usr/bin").mkdir(parents=True)
        self.behave("")
        self.unpack()

    def unpack(self):
        (self.module / "etc").mkdir(parents=True)
        (self.module / "bin").mkdir()
        for script in ["init", "install", "uninstall"]:
            text = (SCRIPTS / script).read_text()
            if self.tools:
                text, found = re.subn("^PATH=.*", f"PATH='{self.tools}'", text, flags=re.MULTILINE)
                assert found == 1
            (self.module / "etc" / script).write_text(text)
            (self.module / "etc" / script).chmod(0o755)
        (self.module / "etc/defaults").write_text(DEFAULTS)
        self.broker.write_text(FAKE_BROKER.format(python=sys.executable))
        self.broker.chmod(0o755)

    def behave(self, mode):
        (self.root / "mode").write_text(mode)

    def enable(self):
        self.settings.write_text(ENABLED)

    def command(self, script, *arguments):
        return [*self.shell, str(self.module / "etc" / script), *arguments]

    def run(self, script, *arguments, **options):
        return subprocess.run(
            self.command(script, *arguments), env=self.environment, timeout=30,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)

    def init(self, action, expected_code=0):
        result = self.run("init", action)
        assert result.returncode == expected_code, result
        return result.stdout

    def processes(self, argument=None):
        found = []
        for directory in Path("/proc").glob("[0-9]*"):
            words = command_line(directory.name)
            if str(self.broker) in words and (argument is None or argument in words):
                found.append(int(directory.name))
        return found

    def supervisors(self):
        return self.processes("--supervise")

    def notes(self, what):
        notes = self.root / "notes"
        return notes.read_text().splitlines().count(what) if notes.exists() else 0

    def start_client(self):
        """A process of the same executable that is not the daemon."""
        seen = self.notes("--client")
        client = subprocess.Popen([self.broker, "--client"])
        until(lambda: self.notes("--client") > seen, "the client runs")
        return client


@pytest.fixture(params=["busybox ash", "dash"])
def router(request, tmp_path):
    program, *applet = request.param.split()
    shell = [shutil.which(program), *applet]
    tools = None
    if request.param == "dash":
        tools = tmp_path / "tools"
        tools.mkdir()
        for tool in ROUTER_TOOLS:
            (tools / tool).symlink_to(shutil.which("busybox"))
    router = Router(tmp_path / "a router's root", shell, tools)
    yield router
    for pid in router.processes():
        os.kill(pid, signal.SIGKILL)


def test_a_first_start_makes_the_settings_and_is_skipped(router):
    assert router.init("start") == "Starting module mqtt_broker: skipped\n"
    assert router.settings.read_text() == DEFAULTS
    assert stat.S_IMODE(router.settings.stat().st_mode) == 0o600
    assert router.supervisors() == []


def test_start_status_stop(router):
    router.enable()
    assert router.init("status", 1) == "Module mqtt_broker is stopped\n"
    assert router.init("start") == "Starting module mqtt_broker: done\n"
    assert [int(router.pid_file.read_text())] == router.supervisors()
    assert router.init("status") == "Module mqtt_broker is running\n"
    assert router.init("stop") == "Stopping module mqtt_broker: done\n"
    assert router.processes() == []
    assert router.init("status", 1) == "Module mqtt_broker is stopped\n"
    assert router.init("stop") == "Stopping module mqtt_broker: done\n"
    assert not router.lock.is_symlink()


def test_a_second_start_changes_nothing(router):
    router.enable()
    router.init("start")
    first = router.supervisors()
    assert router.init("start") == "Starting module mqtt_broker: done\n"
    assert router.supervisors() == first
    assert router.notes("start") == 1


def test_restart(router):
    router.enable()
    router.init("start")
    [first] = router.supervisors()
    said = "Stopping module mqtt_broker: done\nStarting module mqtt_broker: done\n"
    assert router.init("restart") == said
    [second] = router.supervisors()
    assert first != second
    router.init("stop")
    assert router.init("restart") == said


@pytest.mark.parametrize("action", ["", "begin", "--help"])
def test_an_unknown_action(router, action):
    usage = f"Usage: {router.module}/etc/init {{start|stop|restart|status|defaults}}\n"
    assert router.init(action, 1) == usage


def test_defaults(router):
    router.settings.write_text("MOD_MQTT_BROKER_PORT='2000'\n")
    router.init("defaults")
    assert router.settings.read_text() == DEFAULTS
    assert stat.S_IMODE(router.settings.stat().st_mode) == 0o600
    assert sorted(path.name for path in (router.module / "etc").iterdir()) == [
        "defaults", "init", "install", "settings", "uninstall"]


def test_defaults_follow_a_link_of_the_firmware(router):
    (router.root / "mnt").mkdir()
    (router.root / "mnt/settings").touch()
    router.settings.symlink_to("../../../mnt/settings")
    router.init("defaults")
    assert router.settings.is_symlink()
    assert (router.root / "mnt/settings").read_text() == DEFAULTS


def test_reload(router):
    router.enable()
    assert router.init("reload") == "Starting module mqtt_broker: done\n"
    first = router.supervisors()
    assert router.init("reload") == "Reloading module mqtt_broker: done\n"
    until(lambda: router.notes("hup") == 1, "the daemon is told")
    assert router.supervisors() == first
    router.settings.write_text(DEFAULTS)
    assert router.init("reload") == "Stopping module mqtt_broker: done\n"
    assert router.processes() == []
    assert router.init("reload") == "Stopping module mqtt_broker: done\n"


def test_a_broken_file_does_not_start_and_does_not_stop(router):
    router.settings.write_text("broken")
    assert router.init("start", 1) == "Starting module mqtt_broker: failed\n"
    assert router.init("reload", 1) == "Starting module mqtt_broker: failed\n"
    router.enable()
    router.init("start")
    first = router.supervisors()
    router.settings.write_text("broken")
    assert router.init("reload", 1) == "Reloading module mqtt_broker: failed\n"
    until(lambda: router.notes("hup") == 1, "the daemon is told")
    assert router.supervisors() == first


def test_a_daemon_that_fails(router):
    router.enable()
    router.behave("fails")
    assert router.init("start", 1) == "Starting module mqtt_broker: failed\n"
    router.broker.unlink()
    assert router.init("start", 1) == "Starting module mqtt_broker: failed\n"


def test_a_daemon_that_ignores_sigterm_is_killed_with_its_worker(router):
    router.enable()
    router.behave("deaf")
    router.init("start")
    until(lambda: router.notes("--worker") == 1, "the worker runs")
    began = time.monotonic()
    assert router.init("stop") == "Stopping module mqtt_broker: done\n"
    assert router.processes() == []
    assert time.monotonic() - began < 15
    assert router.init("start") == "Starting module mqtt_broker: done\n"


def test_a_worker_without_its_supervisor_is_ended(router):
    router.enable()
    router.init("start")
    until(lambda: router.notes("--worker") == 1, "the worker runs")
    [supervisor] = router.supervisors()
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: router.supervisors() == [], "the supervisor has ended")
    assert router.init("status", 1) == "Module mqtt_broker is stopped\n"
    router.init("stop")
    assert router.processes() == []


@pytest.mark.parametrize("content", ["", "\n", "0\n", "-1\n", "12 34\n", "$(touch hacked)\n", "99999999999999999999\n", "*\n"])
def test_a_pid_file_that_says_nothing(router, content):
    router.enable()
    router.pid_file.write_text(content)
    assert router.init("status", 1) == "Module mqtt_broker is stopped\n"
    assert router.init("stop") == "Stopping module mqtt_broker: done\n"
    assert router.init("start") == "Starting module mqtt_broker: done\n"
    # And while the daemon runs: it is found all the same, and there is never a second one.
    router.pid_file.write_text(content)
    assert router.init("status") == "Module mqtt_broker is running\n"
    assert router.init("start") == "Starting module mqtt_broker: done\n"
    assert len(router.supervisors()) == 1
    router.init("stop")
    assert router.processes() == []


def test_a_pid_file_of_a_process_that_has_ended(router):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    router.enable()
    router.pid_file.write_text(f"{ended.pid}\n")
    assert router.init("status", 1) == "Module mqtt_broker is stopped\n"
    assert router.init("start") == "Starting module mqtt_broker: done\n"
    assert int(router.pid_file.read_text()) == router.supervisors()[0]


def test_a_pid_that_belongs_to_another_process_now(router):
    stranger = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    client = router.start_client()
    try:
        router.enable()
        for process in [stranger, client]:
            router.pid_file.write_text(f"{process.pid}\n")
            assert router.init("status", 1) == "Module mqtt_broker is stopped\n"
            assert router.init("stop") == "Stopping module mqtt_broker: done\n"
            assert router.init("start") == "Starting module mqtt_broker: done\n"
            router.init("stop")
            assert process.poll() is None
    finally:
        for process in [stranger, client]:
            process.kill()
            process.wait()


def test_a_pid_file_that_was_deleted(router):
    router.enable()
    router.init("start")
    router.pid_file.unlink()
    assert router.init("start") == "Starting module mqtt_broker: done\n"
    assert len(router.supervisors()) == 1
    router.init("stop")
    assert router.processes() == []


def test_an_emulator_before_the_program(router):
    """As with qemu: the command line begins with the emulator and its options."""
    router.broker.rename(router.broker.with_suffix(".arm"))
    router.broker.write_text(f'#!/bin/sh\nexec {sys.executable} -SE "$0.arm" "$@"\n')
    router.broker.chmod(0o755)
    router.enable()
    assert router.init("start") == "Starting module mqtt_broker: done\n"
    pid = int(router.pid_file.read_text())
    assert command_line(pid)[2] == f"{router.broker}.arm"
    assert router.init("status") == "Module mqtt_broker is running\n"
    router.pid_file.unlink()
    assert router.init("status") == "Module mqtt_broker is running\n"
    router.init("stop")
    until(lambda: command_line(pid) == [], "it has ended")


def test_the_broker_of_another_root_is_left_alone(router, tmp_path):
    """The path of a router's own module is the end of the path of one below a scratch root."""
    name = f"{tmp_path}{router.broker}"
    other = subprocess.Popen(
        [name, "-c", "import signal; signal.pause()", "--supervise"], executable=sys.executable)
    try:
        until(lambda: "--supervise" in command_line(other.pid), "it runs")
        assert command_line(other.pid)[0] == name
        assert router.init("status", 1) == "Module mqtt_broker is stopped\n"
        router.init("stop")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("client", ["mosquitto_pub", "/usr/bin/mosquitto_sub", "{bin}/mosquitto_rr"])
def test_a_client_that_speaks_of_the_broker_is_not_the_broker(router, client):
    name = client.format(bin=router.broker.parent)
    other = subprocess.Popen(
        [name, "-c", "import signal; signal.pause()", "-m", f"{router.broker} --supervise"], executable=sys.executable)
    try:
        until(lambda: name in command_line(other.pid), "it runs")
        router.enable()
        router.pid_file.write_text(f"{other.pid}\n")
        assert router.init("status", 1) == "Module mqtt_broker is stopped\n"
        router.init("stop")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("action", ["start", "restart", "reload"])
def test_several_at_once_leave_one_daemon(router, action):
    router.enable()
    several = [
        subprocess.Popen(router.command("init", action), env=router.environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)]
    said = [process.communicate(timeout=60)[0] for process in several]
    assert [process.returncode for process in several] == [0] * 4, said
    assert len(router.supervisors()) == 1
    # A slow one may still be about to write its file.
    until(lambda: router.pid_file.read_text().strip() == str(router.supervisors()[0]), "the file names it")
    assert not router.lock.is_symlink()


def test_a_lock_whose_holder_has_ended_is_broken_by_one(router):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    router.enable()
    router.lock.symlink_to(str(ended.pid))
    test_several_at_once_leave_one_daemon(router, "start")
    assert router.notes("start") == 1


def test_a_lock_that_is_held_is_waited_for(router):
    holder = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()", "etc/init"])
    router.enable()
    until(lambda: "etc/init" in command_line(holder.pid), "the holder runs")
    router.lock.symlink_to(str(holder.pid))
    starting = subprocess.Popen(router.command("init", "start"), env=router.environment)
    with pytest.raises(subprocess.TimeoutExpired):
        starting.wait(1)
    assert router.supervisors() == []
    assert router.lock.readlink() == Path(str(holder.pid))
    holder.kill()
    holder.wait()
    assert starting.wait(20) == 0
    assert len(router.supervisors()) == 1


def test_it_is_found_by_any_name(router):
    router.enable()
    link = router.root / "S99mqtt"
    link.symlink_to("opt/mqtt_broker/etc/init")
    for where, name in [(router.root, "S99mqtt"), (router.module / "etc", "init"), (router.module, "./etc/init")]:
        result = subprocess.run([*router.shell, name, "restart"], cwd=where, env=router.environment, timeout=30)
        assert result.returncode == 0
        assert len(router.supervisors()) == 1


def test_it_works_only_in_its_module(router, tmp_path):
    stray = tmp_path / "init"
    shutil.copy(SCRIPTS / "init", stray)
    result = subprocess.run([*router.shell, stray, "start"], env=router.environment, capture_output=True, text=True)
    assert result.returncode == 1
    assert "opt/mqtt_broker/etc" in result.stderr


def test_a_reader_that_has_gone_stops_nothing(router):
    router.enable()
    router.init("start")
    [first] = router.supervisors()
    reading, writing = os.pipe()
    os.close(reading)
    subprocess.run(router.command("init", "restart"), env=router.environment, stdout=writing, stderr=writing, timeout=30)
    os.close(writing)
    assert len(router.supervisors()) == 1
    assert router.supervisors() != [first]
    assert not router.lock.is_symlink()


# A web server hands down a descriptor of its own, one with a low number.
CALLER = """
import os, sys
os.dup2(int(sys.argv[1]), 5)
os.close(int(sys.argv[1]))
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_the_daemon_keeps_nothing_of_its_caller(router):
    router.enable()
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    subprocess.run(
        [sys.executable, "-c", CALLER, str(writing), *router.command("init", "start")],
        env=router.environment, pass_fds=[writing], stdout=subprocess.DEVNULL, timeout=30, cwd=router.root, check=True)
    os.close(writing)
    assert select.select([reading], [], [], 10)[0], "nobody holds the other end"
    os.close(reading)
    [supervisor] = router.supervisors()
    assert os.readlink(f"/proc/{supervisor}/cwd") == "/"
    if router.tools is None:
        assert os.getsid(supervisor) != os.getsid(0)


def test_a_root_without_var_run(router):
    router.enable()
    (router.root / "var/run").rmdir()
    assert router.init("start") == "Starting module mqtt_broker: done\n"


# --- install and uninstall


def upgrade(router, tree="replaced", uninstall=True):
    """What a firmware may do when a newer package is uploaded."""
    if uninstall:
        assert router.run("uninstall", str(router.root)).returncode == 0
    if tree == "replaced":
        shutil.rmtree(router.module)
        router.unpack()
    result = router.run("install", str(router.root))
    assert result.returncode == 0
    return result


def test_a_first_installation(router):
    result = router.run("install", str(router.root))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert not router.settings.exists()
    assert list((router.root / "usr/bin").iterdir()) == []


@pytest.mark.parametrize("tree", ["kept", "replaced"])
def test_the_settings_survive_an_upgrade(router, tree):
    router.enable()
    router.run("uninstall", str(router.root))
    assert stat.S_IMODE(router.saved.stat().st_mode) == 0o700
    assert stat.S_IMODE((router.saved / "settings").stat().st_mode) == 0o600
    upgrade(router, tree)
    assert router.settings.read_text() == ENABLED
    if tree == "replaced":
        assert stat.S_IMODE(router.settings.stat().st_mode) == 0o600
    assert not router.saved.exists()
    assert router.supervisors() == [], "what did not run is not started"


def test_settings_that_are_the_defaults_are_replaced_by_the_saved_ones(router):
    router.enable()
    router.run("uninstall", str(router.root))
    router.settings.write_text(DEFAULTS)
    router.run("install", str(router.root))
    assert router.settings.read_text() == ENABLED


def test_the_settings_survive_a_firmware_that_only_stops_the_broker(router):
    router.enable()
    router.init("start")
    router.init("stop")
    upgrade(router, uninstall=False)
    assert router.settings.read_text() == ENABLED


def test_an_upgrade_does_not_undo_a_return_to_the_defaults(router):
    router.enable()
    router.init("stop")
    router.init("defaults")
    router.init("stop")
    upgrade(router, uninstall=False)
    assert not router.settings.exists() or router.settings.read_text() == DEFAULTS


def test_settings_that_the_firmware_kept_count(router):
    router.enable()
    router.run("uninstall", str(router.root))
    router.settings.write_text(ENABLED.replace("1883", "2000"))
    router.run("install", str(router.root))
    assert "2000" in router.settings.read_text()
    assert not router.saved.exists()


@pytest.mark.parametrize("uninstall", [True, False])
def test_what_ran_runs_after_an_upgrade_and_is_the_new_program(router, uninstall):
    router.enable()
    router.init("start")
    [first] = router.supervisors()
    upgrade(router, "replaced" if uninstall else "kept", uninstall)
    [second] = router.supervisors()
    assert second != first
    assert not router.saved.exists()


def test_a_deletion_stops_the_broker_and_leaves_only_the_copy_in_memory(router):
    router.enable()
    router.init("start")
    for name in ["sock", "token"]:
        (router.root / f"var/run/mqtt_broker.{name}").touch()
    router.run("uninstall", str(router.root))
    assert router.processes() == []
    assert [path.name for path in (router.root / "var/run").iterdir()] == ["mqtt_broker.upgrade"]


def plant_link(router):
    elsewhere = router.root / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "settings").write_text("bait")
    router.saved.symlink_to(elsewhere)
    return elsewhere / "settings"


def plant_dangling_link(router):
    router.saved.symlink_to(router.root / "elsewhere")
    return None


def plant_file(router):
    router.saved.write_text("bait")
    return router.saved


def plant_open_directory(router):
    router.saved.mkdir()
    router.saved.chmod(0o777)
    (router.saved / "settings").write_text("bait")
    return router.saved / "settings"


def plant_foreign_directory(router):
    if os.getuid() != 0:
        pytest.skip("only root can give a directory away")
    router.saved.mkdir(mode=0o700)
    (router.saved / "settings").write_text("bait")
    os.chown(router.saved, 12345, 12345)
    return router.saved / "settings"


@pytest.mark.parametrize(
    "plant", [plant_link, plant_dangling_link, plant_file, plant_open_directory, plant_foreign_directory])
def test_a_place_that_is_not_ours_is_neither_written_nor_believed(router, plant):
    bait = plant(router)
    router.enable()
    result = router.run("uninstall", str(router.root))
    assert (result.returncode, "not kept" in result.stderr) == (0, True)
    router.settings.unlink()
    result = router.run("install", str(router.root))
    assert (result.returncode, "nothing is taken" in result.stderr) == (0, True)
    assert not router.settings.exists()
    assert not (router.root / "elsewhere").exists() or plant is plant_link
    assert bait is None or bait.read_text() == "bait"


def test_a_link_in_the_place_of_the_copy_is_not_followed(router):
    victim = router.root / "victim"
    victim.write_text("bait")
    router.saved.mkdir(mode=0o700)
    router.saved.chmod(0o700)
    (router.saved / "settings").symlink_to(victim)
    router.run("install", str(router.root))
    assert not router.settings.exists()
    assert not router.saved.exists()
    router.saved.mkdir(mode=0o700)
    (router.saved / "settings").symlink_to(victim)
    router.enable()
    router.run("uninstall", str(router.root))
    assert victim.read_text() == "bait"
    assert (router.saved / "settings").read_text() == ENABLED


CLIENTS = ["mosquitto_pub", "mosquitto_rr", "mosquitto_sub"]


def test_the_clients_are_linked_only_where_free(router):
    for client in CLIENTS:
        (router.module / "bin" / client).symlink_to("mqtt_broker")
    others = router.root / "usr/bin"
    (others / "mosquitto_pub").write_text("somebody else's")
    (others / "mosquitto_rr").symlink_to("../../opt/other/bin/mosquitto_rr")
    for _ in range(2):
        router.run("install", str(router.root))
        assert sorted(path.name for path in others.iterdir()) == CLIENTS
        assert (others / "mosquitto_sub").resolve() == router.broker
        assert (others / "mosquitto_pub").read_text() == "somebody else's"
    router.run("uninstall", str(router.root))
    assert sorted(path.name for path in others.iterdir()) == ["mosquitto_pub", "mosquitto_rr"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_links_go_under_the_prefix(router, slash):
    """As for a firmware that is not running yet: the broker that runs is not touched."""
    (router.module / "bin/mosquitto_sub").symlink_to("mqtt_broker")
    router.enable()
    router.init("start")
    running = router.supervisors()
    prefix = router.root / "new firmware"
    router.run("install", str(prefix) + slash)
    assert os.readlink(prefix / "usr/bin/mosquitto_sub") == "../../opt/mqtt_broker/bin/mosquitto_sub"
    assert list((router.root / "usr/bin").iterdir()) == []
    router.run("uninstall", str(prefix) + slash)
    assert list((prefix / "usr/bin").iterdir()) == []
    assert router.supervisors() == running


def test_without_a_prefix_the_links_stay_below_the_root(router):
    (router.module / "bin/mosquitto_sub").symlink_to("mqtt_broker")
    router.run("install")
    assert (router.root / "usr/bin/mosquitto_sub").is_symlink()
