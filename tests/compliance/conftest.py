"""The programs of both sides, and certificates."""

import os
import subprocess
import warnings
from pathlib import Path

import pytest

import pki as made

THEIRS = Path("/usr/bin")
#: The version that the cases know the originals by.
VERSION = "2.0.11"


@pytest.fixture(scope="session")
def sides(request):
    """The directories of the programs, by whose they are. With COMPLIANCE=theirs in the environment they are the
    originals alone, to write cases by; where the originals are of another version, ours alone."""
    sides = {"theirs": THEIRS}
    found = subprocess.run([THEIRS / "mosquitto_pub", "--version"], capture_output=True, text=True, timeout=20).stdout
    if VERSION not in found.split():
        warnings.warn(f"not compared with Mosquitto {VERSION}, since here is {found}", stacklevel=2)
        sides = {}
    if os.environ.get("COMPLIANCE") != "theirs":
        sides["ours"] = request.getfixturevalue("program").parent
    return sides


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """A CA (ca), a broker (server), one of another name (other), a client; and a CA that signed nothing (stranger)."""
    directory = tmp_path_factory.mktemp("pki")
    authority = made.Authority(directory / "authority")
    stranger = made.Authority(directory / "stranger")
    identities = {
        "ca": authority, "stranger": stranger,
        "server": authority.sign("localhost", extensions="subjectAltName = DNS:localhost, IP:127.0.0.1"),
        "other": authority.sign("elsewhere", extensions="subjectAltName = DNS:elsewhere"),
        "old": authority.sign("localhost", extensions="subjectAltName = DNS:localhost, IP:127.0.0.1",
                              starts="20000101000000Z", ends="20010101000000Z"),
        "client": authority.sign("Data collector"),
    }
    for name, identity in identities.items():
        (directory / f"{name}.crt").symlink_to(identity.certificate)
        (directory / f"{name}.key").symlink_to(identity.key)
    return directory
