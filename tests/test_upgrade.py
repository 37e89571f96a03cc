"""The package comes, is updated and goes: on every kind of firmware its settings survive what they should."""

import gzip
import io
import itertools
import os
import stat
import tarfile
import uuid
import zlib

import pytest

import wire
from app import processes_of
from form import Form
from mosquitto import Subscriber, publish
from router import Router
from waiting import until
from wire import MQTT_5, connected

SECRET = "it's a $ecret \\ with \"everything\" in it"
LOGIN = ["-u", "house", "-P", SECRET]
FIRMWARES = list(itertools.product(["keep", "replace"], ["yes", "no"]))
# In memory on a router, so a deletion need not clear them.
IN_MEMORY = {"var", "tmp", "dev"}


def firmware(tree, uninstall):
    return ["--upgrade", tree, "--uninstall-on-upgrade", uninstall]


def configure(router):
    router.enable(mqtt_authentication="password", mqtt_client_name="house", mqtt_client_secret=SECRET)


def assert_serving(router):
    topic = uuid.uuid4().hex
    with Subscriber(router.port, *LOGIN, "-t", topic) as subscriber:
        publish(router.port, topic, *LOGIN, message="x")
        assert subscriber.next().payload == b"x"
    publish(router.port, topic, message="x", expected_code=5)


def upload(router, package):
    answer = router.upload(package.read_bytes())
    assert answer.status == 200 and "success" in answer.text, answer.text
    return answer.text


@pytest.mark.parametrize("tree, uninstall", FIRMWARES)
def test_an_upgrade_keeps_the_settings(host_package, tree, uninstall):
    with Router(host_package, options=firmware(tree, uninstall)) as router:
        configure(router)
        # A key of a version to come is kept as well.
        with router.settings_file.open("a") as file:
            file.write("MOD_MQTT_BROKER_LATER='x'\n")
        before, worker = router.settings_file.read_bytes(), router.worker()
        assert "successfully updated" in upload(router, host_package)
        assert router.settings_file.read_bytes() == before
        assert stat.S_IMODE(router.settings_file.stat().st_mode) == 0o600
        until(lambda: (seen := router.observe()) and seen["pid"] != worker and seen["listening"],
              "the new broker serves")
        assert_serving(router)
        assert not (router.root / "var/run/mqtt_broker.upgrade").exists(), "the copy is gone"
        assert len(processes_of(router.broker)) == 2


@pytest.mark.parametrize("tree, uninstall", FIRMWARES)
def test_an_upgrade_of_a_disabled_app(host_package, tree, uninstall):
    with Router(host_package, options=firmware(tree, uninstall)) as router:
        router.apply(mqtt_port=router.port, mqtt_psk_identity="kept")
        before = router.settings_file.read_bytes()
        upload(router, host_package)
        assert router.settings_file.read_bytes() == before
        assert router.observe() is None and processes_of(router.broker) == []


def test_clients_are_told_of_an_upgrade(host_package):
    with Router(host_package) as router:
        router.enable()
        client = connected(router.port, "client", MQTT_5)
        upload(router, host_package)
        said = client.until_closed()
        assert said[0] == wire.DISCONNECT and said[2] == 0x8B, "server shutting down"


def test_a_first_installation(host_package):
    """It starts from the defaults, disabled, through the upload page."""
    with Router() as router:
        assert "No router app is installed." in router.get("/module.cgi")
        assert "successfully added" in upload(router, host_package)
        page = router.get("/module.cgi")
        assert '<a href="/module/mqtt_broker/index.cgi">MQTT Broker</a>' in page
        assert "ask for no login" not in page
        assert router.settings_file.read_bytes() == (router.module / "etc/defaults").read_bytes()
        assert "Stopped" in router.page("status")
        assert processes_of(router.broker) == []


@pytest.mark.parametrize("tree, uninstall", FIRMWARES)
def test_a_deletion_leaves_nothing(host_package, tree, uninstall):
    with Router(options=firmware(tree, uninstall)) as router:
        def on_flash():
            return {str(path.relative_to(router.root)): path.read_bytes() if path.is_file() else None
                    for path in router.root.rglob("*")
                    if path.relative_to(router.root).parts[0] not in IN_MEMORY | {"stderr", ".simulator"}}
        before = on_flash()
        upload(router, host_package)
        configure(router)
        assert "deleted" in router.delete().text
        assert on_flash() == before
        assert processes_of(router.broker) == []
        assert "No router app is installed." in router.get("/module.cgi")
        # What is left in memory for an upgrade that this might have been, nobody else can read.
        for path in (router.root / "var").rglob("*"):
            if path.is_file() and SECRET.encode()[-20:] in path.read_bytes():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
                assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert not {path.name for path in (router.root / "var/run").iterdir()} - {"mqtt_broker.upgrade"}
        # After the next boot nothing at all is known of it.
        router.switch_off()
        router.switch_on()
        upload(router, host_package)
        assert router.settings_file.read_bytes() == (router.module / "etc/defaults").read_bytes()


def test_after_a_reboot_it_serves_again(host_package):
    with Router() as router:
        upload(router, host_package)
        configure(router)
        before = router.settings_file.read_bytes()
        router.switch_off()
        router.switch_on()
        router.await_listening()
        assert_serving(router)
        assert router.settings_file.read_bytes() == before


def test_a_token_lives_as_long_as_the_router_is_on(host_package):
    with Router() as router:
        upload(router, host_package)
        form = router.form()
        assert router.form().value("token") == form.value("token")
        router.switch_off()
        router.switch_on()
        assert router.post(form, mqtt_port=router.port).status == 403
        router.apply(mqtt_port=router.port)


HIDEABLE = ["HTTP_HOST", "HTTP_ORIGIN", "HTTP_REFERER"]


@pytest.mark.parametrize("hidden", [",".join(names) for count in (1, 2, 3)
                                    for names in itertools.combinations(HIDEABLE, count)])
def test_whatever_the_web_server_hides_the_form_works(host_package, hidden):
    with Router(host_package, options=["--hide", hidden]) as router:
        sender = {"Origin": router.origin, "Referer": f"{router.origin}/module/mqtt_broker/index.cgi"}
        form = router.form()
        answer = router.post(form, sender, mqtt_psk_identity="applied")
        assert answer.status == 303, Form(answer.text).errors
        assert router.settings()["PSK_IDENTITY"] == "applied"
        answer = router.post(form, token="0" * 32, mqtt_psk_identity="not applied")
        assert answer.status == 403, "the token counts whatever is hidden"


# --- packages that are none

def member(name, data=b"", kind=tarfile.REGTYPE, mode=0o644, link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(data), link
    return entry, data


def named(path):
    """A file whose true name stands in a record before it (POSIX pax)."""
    entry, data = member("mqtt_broker/harmless", b"x")
    entry.pax_headers = {"path": path}
    return entry, data


def archive(*members, name="mqtt_broker"):
    """A package that would be one, but for these members."""
    good = [member(name, kind=tarfile.DIRTYPE, mode=0o755), member(f"{name}/etc", kind=tarfile.DIRTYPE, mode=0o755),
            member(f"{name}/etc/name", b"Evil\n"), member(f"{name}/etc/version", b"1.0 (2026-01-01)\n")]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as packed:
        for entry, data in (*good, *members):
            packed.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def bomb():
    """Little that becomes a gigabyte."""
    entry, _ = member("mqtt_broker/bin/mqtt_broker")
    entry.size = 1 << 30
    packer = zlib.compressobj(9, wbits=31)
    start = packer.compress(member("mqtt_broker", kind=tarfile.DIRTYPE, mode=0o755)[0].tobuf() + entry.tobuf())
    start += packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush the same input has the same output.
    megabyte = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + 1024 * megabyte


def crowd():
    """Empty files without end."""
    entries = (member(f"mqtt_broker/{number}")[0].tobuf(tarfile.USTAR_FORMAT) for number in range(20_000))
    first = member("mqtt_broker", kind=tarfile.DIRTYPE, mode=0o755)[0].tobuf()
    return gzip.compress(first + b"".join(entries) + bytes(10_240), 1)


EVIL = "mqtt_broker"
PACKAGES = {
    "nothing": lambda good: b"",
    "one byte": lambda good: b"\x1f",
    "text": lambda good: b"hello\n" * 100,
    "zeros": lambda good: bytes(10_000),
    "random bytes": lambda good: os.urandom(10_000),
    "gzip of nothing": lambda good: gzip.compress(b""),
    "gzip of text": lambda good: gzip.compress(b"hello\n" * 1000),
    "gzip of zeros": lambda good: gzip.compress(bytes(10_240)),
    "half a package": lambda good: good[:len(good) // 2],
    "a package but for its last bytes": lambda good: good[:-10],
    "a changed byte": lambda good: good[:5000] + bytes([good[5000] ^ 1]) + good[5001:],
    "..": lambda good: archive(member(f"{EVIL}/../../outside", b"x")),
    ".. at the start": lambda good: archive(member("../outside", b"x")),
    "an absolute name": lambda good: archive(member("/outside", b"x")),
    "a name with NUL": lambda good: archive(named("a\0b")),
    "a long name with ..": lambda good: archive(named(f"{EVIL}/../../outside")),
    "two top directories": lambda good: archive(member("other", kind=tarfile.DIRTYPE, mode=0o755)),
    "a file at the top": lambda good: archive(member("file", b"x")),
    "a hyphen in the name": lambda good: archive(name="mqtt-broker"),
    "a name that is two dots": lambda good: archive(name=".."),
    "a link out": lambda good: archive(member(f"{EVIL}/etc/link", kind=tarfile.SYMTYPE, link="/etc/passwd")),
    "a relative link out": lambda good: archive(member(f"{EVIL}/etc/link", kind=tarfile.SYMTYPE, link="../../../etc")),
    "a file through a link": lambda good: archive(
        member(f"{EVIL}/link", kind=tarfile.SYMTYPE, link="../.."), member(f"{EVIL}/link/outside", b"x")),
    "the directory as a link": lambda good: archive(member(EVIL, kind=tarfile.SYMTYPE, link="..")),
    "a hard link": lambda good: archive(member(f"{EVIL}/hard", kind=tarfile.LNKTYPE, link=f"{EVIL}/etc/name")),
    "a hard link out": lambda good: archive(member(f"{EVIL}/hard", kind=tarfile.LNKTYPE, link="/etc/passwd")),
    "a device": lambda good: archive(member(f"{EVIL}/device", kind=tarfile.BLKTYPE)),
    "a character device": lambda good: archive(member(f"{EVIL}/device", kind=tarfile.CHRTYPE)),
    "a pipe": lambda good: archive(member(f"{EVIL}/pipe", kind=tarfile.FIFOTYPE)),
    "setuid": lambda good: archive(member(f"{EVIL}/root", b"x", mode=0o4755)),
    "setgid": lambda good: archive(member(f"{EVIL}/root", b"x", mode=0o2755)),
    "the router's passwords": lambda good: archive(
        member(f"{EVIL}/www/.htpasswd", kind=tarfile.SYMTYPE, link="/etc/shadow")),
    "a bomb": lambda good: bomb(),
    "twenty thousand files": lambda good: crowd(),
}


class TestHostilePackages:
    @pytest.fixture(scope="class")
    @classmethod
    def router(cls, host_package):
        with Router(host_package) as router:
            configure(router)
            yield router

    @pytest.mark.parametrize("name", PACKAGES)
    def test_refused(self, router, host_package, name):
        def all_files():
            return {str(path.relative_to(router.root)): path.lstat().st_mtime_ns for path in router.root.rglob("*")
                    if path.relative_to(router.root).parts[0] != "var" and path.name not in ("stderr", "opt")}
        before = all_files(), router.settings_file.read_bytes(), router.supervisor(), router.worker()
        answer = router.upload(PACKAGES[name](host_package.read_bytes()))
        assert answer.status in (400, 413), answer.text
        page = answer.text
        assert "<p>" in page and len(page.split("<p>")[1].split("<p>")[0]) > 15, "a sentence says why"
        assert (all_files(), router.settings_file.read_bytes(), router.supervisor(), router.worker()) == before
        assert not (router.root.parent / "outside").exists()

    def test_without_the_pages_token(self, router, host_package):
        answer = router.upload(host_package.read_bytes(), page='<input name="token" value="x">')
        assert answer.status == 403

    def test_the_good_one_is_still_taken(self, router, host_package):
        upload(router, host_package)
        router.await_listening()
        assert_serving(router)
