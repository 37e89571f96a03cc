"""The house keeps to its plan: who may depend on whom, what lies at the top, and what every crate promises."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

# What each member may use of the others.
ALLOWED = {
    "mqtt": set(),
    "settings": set(),
    "tls": set(),
    "clients": {"mqtt", "tls"},
    "broker": {"mqtt", "settings", "tls", "clients"},
    "cgi": {"settings"},
    "simulator": set(),
    "openssl-build": set(),
    "bench": {"mqtt"},
}

TOP = {
    "Cargo.toml", "Cargo.lock", "Makefile", "README.md", "LICENSE", "deny.toml",
    "cross", "etc", "www", "merge", "broker", "cgi", "clients", "crates", "simulator", "bench", "tests",
}


@pytest.fixture(scope="module")
def members():
    """What Cargo says of our own packages, by name."""
    done = subprocess.run(["cargo", "metadata", "--format-version=1", "--no-deps", "--offline"], cwd=REPOSITORY,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return {package["name"]: package for package in json.loads(done.stdout)["packages"]}


@pytest.fixture(scope="module")
def locked():
    """Every package of ours and others, on whatever system it is used."""
    return tomllib.loads((REPOSITORY / "Cargo.lock").read_text())["package"]


def tracked():
    return subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True,
                          timeout=60).stdout.split("\0")[:-1]


def test_who_depends_on_whom(members):
    assert set(members) <= set(ALLOWED)
    for name, package in members.items():
        ours = {dependency["name"] for dependency in package["dependencies"]} & set(members)
        assert ours <= ALLOWED[name], f"{name} may use {ALLOWED[name] or 'nothing'} of ours"


def test_the_clients_are_reached_through_main_alone():
    """They share the broker's executable, not its code."""
    others = [path for path in (REPOSITORY / "broker/src").rglob("*.rs") if path.name != "main.rs"]
    assert [path for path in others if re.search(r"\bclients::", path.read_text())] == []


def test_no_tokio(locked):
    names = {package["name"] for package in locked}
    assert not {name for name in names if name == "tokio" or name.startswith("tokio-")}


def test_tls_libraries_are_named_in_one_place(locked, members):
    libraries = re.compile(r"(openssl|rustls|ring|webpki|foreign-types)\b")
    users = {name for name, package in members.items()
             if any(libraries.match(dependency["name"]) and dependency["kind"] != "dev"
                    for dependency in package["dependencies"])}
    assert users == {"tls", "openssl-build", "bench"}, "the one that uses them, the one that builds, the one that measures"
    # ring and OpenSSL are two already.
    assert not {package["name"] for package in locked if package["name"].startswith("aws-lc")}


def test_versions_are_stated_once(members):
    for name, package in members.items():
        manifest = tomllib.loads(Path(package["manifest_path"]).read_text())
        tables = [manifest, *manifest.get("target", {}).values()]
        for table in tables:
            for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
                for dependency, stated in table.get(kind, {}).items():
                    assert isinstance(stated, dict) and stated.get("workspace"), f"{name}: {dependency}"
                    assert not {"version", "git", "path"} & set(stated), f"{name}: {dependency}"
        for key in ("version", "edition", "license", "publish"):
            assert manifest["package"][key] == {"workspace": True}, f"{name}: {key}"
        assert manifest["lints"] == {"workspace": True}, name


def test_everything_comes_from_the_registry(locked, members):
    foreign = {package["name"] for package in locked if not package.get("source", "").startswith("registry+")}
    assert foreign == set(members)


def test_no_unsafe_code(members):
    """Every crate root forbids it; that of `tls` denies it, but for one place."""
    for name, package in members.items():
        lint = "(deny|forbid)" if name == "tls" else "forbid"
        for target in package["targets"]:
            if {"lib", "bin"} & set(target["kind"]):
                text = Path(target["src_path"]).read_text()
                assert re.search(rf"^#!\[{lint}\(unsafe_code\)\]$", text, re.MULTILINE), target["src_path"]
    unsafe = re.compile(r"\bunsafe\s*(?:\{|fn|impl|extern)|\ballow\(unsafe_code")
    spots = {path: len(unsafe.findall((REPOSITORY / path).read_text())) for path in tracked() if path.endswith(".rs")}
    # The permission and the block.
    assert {path: count for path, count in spots.items() if count} == {"crates/tls/src/psk.rs": 2}


def test_the_top_level():
    top = {path.split("/")[0] for path in tracked()}
    assert {name for name in top if not name.startswith(".")} <= TOP
    assert {name for name in top if name.startswith(".")} <= {".ci", ".gitignore", ".gitattributes", ".clippy.toml",
                                                              ".cargo", ".rustfmt.toml"}


def test_nothing_built_is_kept():
    built = re.compile(r"(^|/)(target|__pycache__|node_modules)/|\.(pyc|o|so|a|tgz)$")
    assert [path for path in tracked() if built.search(path)] == []
