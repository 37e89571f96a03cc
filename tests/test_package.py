"""The packages as they are shipped: what is in them, and that they need nothing of the router's system."""

import gzip
import os
import re
import struct
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest

from router import REPOSITORY, package

DIRECTORIES = {"mqtt_broker", *(f"mqtt_broker/{name}" for name in ("bin", "doc", "etc", "license", "www"))}
EXECUTABLES = {f"mqtt_broker/{name}" for name in (
    "bin/mqtt_broker", "bin/cgi", "etc/init", "etc/install", "etc/uninstall")}
TEXTS = {f"mqtt_broker/etc/{name}" for name in ("name", "version", "summary", "description", "defaults")} | {
    f"mqtt_broker/doc/{name}.txt" for name in ("mosquitto_pub", "mosquitto_sub", "mosquitto_rr")}
LINKS = {f"mqtt_broker/www/{page}.cgi": "../bin/cgi" for page in ("index", "set", "status", "slog")} | {
    "mqtt_broker/www/.htpasswd": "/etc/htpasswd"} | {
    f"mqtt_broker/bin/{name}": "mqtt_broker" for name in ("mosquitto_pub", "mosquitto_sub", "mosquitto_rr")}

# Word size and machine of the ELF header (System V ABI), and the floating-point flag of ARM.
X86_64, AARCH64, ARM = 62, 183, 40
MACHINES = {"v2i": (32, ARM), "v3": (32, ARM), "v4": (64, AARCH64), "v4i": (64, AARCH64),
            "host": (64, {"x86_64": X86_64, "aarch64": AARCH64}.get(os.uname().machine))}
PT_DYNAMIC, PT_INTERP, DT_NEEDED = 2, 3, 1
EF_ARM_ABI_FLOAT_SOFT, EF_ARM_ABI_FLOAT_HARD = 0x200, 0x400


def platforms():
    """Host and v3 must be there; the others are looked at when they were built."""
    further = [name for name in ("v2i", "v4", "v4i")
               if os.environ.get(f"PACKAGE_{name.upper()}") or
               (REPOSITORY / f"target/packages/mqtt_broker.{name}.tgz").exists()]
    return ["host", "v3", *further]


@pytest.fixture(scope="module", params=platforms())
def platform(request):
    return request.param


@pytest.fixture(scope="module")
def archive(platform):
    with tarfile.open(package(platform)) as archive:
        yield archive


@pytest.fixture(scope="module")
def entries(archive):
    return {entry.name: entry for entry in archive.getmembers()}


def content(archive, name):
    return archive.extractfile(f"mqtt_broker/{name}").read()


class Elf:
    """As much of an ELF file as tells what it needs of a system."""

    def __init__(self, data):
        assert data[:4] == b"\x7fELF"
        self.data, self.bits, self.order = data, {1: 32, 2: 64}[data[4]], "<" if data[5] == 1 else ">"
        half = "IIIIIHHHHHH" if self.bits == 32 else "IQQQIHHHHHH"
        kind, self.machine, _, _, start, _, self.flags, _, size, count, *_ = struct.unpack_from(
            self.order + "HH" + half, data, 16)
        self.kind = kind
        self.segments = [self._segment(start + number * size) for number in range(count)]

    def _segment(self, at):
        if self.bits == 32:
            kind, offset, _, _, size, *_ = struct.unpack_from(self.order + "8I", self.data, at)
        else:
            kind, _, offset, _, _, size, *_ = struct.unpack_from(self.order + "II6Q", self.data, at)
        return kind, offset, size

    def needed(self):
        """How many libraries it wants to be loaded."""
        word = "Q" if self.bits == 64 else "I"
        pairs = [struct.iter_unpack(self.order + 2 * word, self.data[offset:offset + size])
                 for kind, offset, size in self.segments if kind == PT_DYNAMIC]
        return sum(tag == DT_NEEDED for entries in pairs for tag, _ in entries)


def test_one_top_directory(entries):
    assert next(iter(entries)) == "mqtt_broker", "the directory itself comes first"
    assert {name.split("/")[0] for name in entries} == {"mqtt_broker"}
    assert not [name for name in entries if name.startswith("/") or ".." in name.split("/")]


def test_all_that_is_expected_is_there(entries):
    assert (DIRECTORIES | EXECUTABLES | TEXTS | set(LINKS)) <= set(entries)
    assert "mqtt_broker/etc/settings" not in entries, "settings are the router's own"


def test_nothing_else_is_there(entries):
    expected = DIRECTORIES | EXECUTABLES | TEXTS | set(LINKS)
    other = {name for name in set(entries) - expected
             if not re.fullmatch(r"mqtt_broker/(license/[\w.+-]+\.txt|www/[\w-]+\.(css|js|svg|png|ico))", name)}
    assert other == set()


def test_modes_and_owners(entries):
    for name, entry in entries.items():
        assert (entry.uid, entry.gid) == (0, 0), name
        assert entry.isdir() or entry.isfile() or entry.issym(), name
        if not entry.issym():
            expected = 0o755 if entry.isdir() or name in EXECUTABLES else 0o644
            assert entry.mode == expected, f"{name} has {entry.mode:o}"


def test_one_date(entries):
    assert len({entry.mtime for entry in entries.values()}) == 1


def test_links(entries):
    assert {name: entry.linkname for name, entry in entries.items() if entry.issym()} == LINKS


def test_what_the_firmware_reads(archive):
    assert content(archive, "etc/name") == b"MQTT Broker\n"
    version = content(archive, "etc/version").decode()
    assert re.fullmatch(r"\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)\n", version)
    manifest = (REPOSITORY / "Cargo.toml").read_text()
    assert version.split()[0] == re.search(r'^version = "(.*)"$', manifest, re.MULTILINE)[1]
    summary = content(archive, "etc/summary").decode()
    assert summary.endswith("\n") and summary.count("\n") == 1 and 10 < len(summary) < 200
    assert len(content(archive, "etc/description")) > 100


def test_the_defaults(archive, program, tmp_path):
    """A first install starts from them: legal, disabled, and the values of the table."""
    (tmp_path / "defaults").write_bytes(content(archive, "etc/defaults"))
    assert subprocess.run([program, "--check", tmp_path / "defaults"], timeout=30).returncode == 0
    assert subprocess.run([program, "--enabled", tmp_path / "defaults"], timeout=30).returncode == 1


def test_texts_have_the_line_ends_of_unix(archive, entries):
    for name, entry in entries.items():
        if entry.isfile() and not name.startswith("mqtt_broker/bin/"):
            data = archive.extractfile(entry).read()
            assert b"\r" not in data, name
            assert data.endswith(b"\n"), name
            data.decode()


def test_scripts_are_posix(archive):
    for name in ("init", "install", "uninstall"):
        script = content(archive, f"etc/{name}")
        assert script.startswith(b"#!/bin/sh\n")
        for shell in (["busybox", "ash"], ["dash"]):
            assert subprocess.run([*shell, "-n"], input=script, timeout=30).returncode == 0, (name, shell)


def test_licences(archive, entries):
    """A text for every crate that is linked, and for what the tool chain adds."""
    names = {name.removeprefix("mqtt_broker/license/") for name in entries if name.startswith("mqtt_broker/license/")}
    assert {"mqtt_broker.txt", "rust.txt"} <= names
    for name in names - {""}:
        assert len(content(archive, f"license/{name}").strip()) > 100, name
    every = " ".join(sorted(names))
    for crate in ("smol", "rustix", "serde", "simplelog", "log", "settings"):
        if crate != "settings":
            assert re.search(rf"(^| ){crate}\b", every), f"no licence of {crate} among {every}"


def test_openssl(archive):
    """What is linked is the version that is stated, and its licence is there, which is not that of the crate `openssl`."""
    lock = tomllib.loads((REPOSITORY / "Cargo.lock").read_text())
    stated = next(package["version"] for package in lock["package"] if package["name"] == "openssl-src").split("+")[1]
    name = re.compile(rb"OpenSSL \d[\w.-]+ \d\d? \w{3} \d{4}")
    linked = name.findall(content(archive, "bin/mqtt_broker"))
    assert {found.split()[1].decode() for found in linked} == {stated}
    licence = content(archive, "license/libopenssl.txt").decode()
    assert licence.startswith(linked[0].decode() + "\n")
    assert "The OpenSSL Project Authors" in licence and "TERMS AND CONDITIONS FOR USE" in licence
    assert not name.search(content(archive, "bin/cgi")), "the pages need none, and every click loads them"


@pytest.mark.parametrize("name", ["mqtt_broker", "cgi"])
class TestExecutables:
    def test_machine(self, archive, platform, name):
        elf = Elf(content(archive, f"bin/{name}"))
        assert (elf.bits, elf.machine) == MACHINES[platform]
        assert elf.order == "<"
        if platform == "v2i":
            assert not elf.flags & EF_ARM_ABI_FLOAT_HARD, "an ARM926 has no floating-point unit"

    def test_static(self, archive, name):
        elf = Elf(content(archive, f"bin/{name}"))
        assert PT_INTERP not in [kind for kind, _, _ in elf.segments], "it asks for a dynamic loader"
        assert elf.needed() == 0

    def test_where_it_was_built_is_nobodys_business(self, archive, name):
        data = content(archive, f"bin/{name}")
        cargo = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
        for path in {str(REPOSITORY), str(Path.home()), cargo, os.environ.get("CARGO_TARGET_DIR", "/nowhere/at/all")}:
            if path not in ("/", "/root"):
                assert path.encode() not in data, path
        assert b"/root/" not in data and b"/home/" not in data

    def test_stripped(self, archive, name):
        assert b".symtab\0" not in content(archive, f"bin/{name}")


def test_size(platform):
    """The router's flash is small; this machine's disk is not, and OpenSSL for it is larger."""
    size = package(platform).stat().st_size
    assert size < (5_000_000 if platform == "host" else 3_000_000), f"{size} bytes"


def test_no_time_nor_name_in_the_compression(platform):
    """The same input gives the same file, byte for byte (RFC 1952)."""
    head = package(platform).read_bytes()[:10]
    assert head[:3] == b"\x1f\x8b\x08"
    assert head[3] & 0x08 == 0, "no file name"
    assert head[4:8] == bytes(4), "no time"


def test_every_byte_is_the_archives(platform):
    """Nothing follows the end of the compressed data."""
    with gzip.open(package(platform)) as stream:
        while stream.read(1 << 20):
            pass
