"""The numbered statements of the standards, and which test shows which.

`statements.tsv` has a line for each: version, number, whom it binds (server, client, both), what it means in our own
words, and for the few that no test can show from outside, why not.

A test named `test_mqtt_3_1_2_24_...` in `mqtt5/` shows [MQTT-3.1.2-24] of MQTT 5.0, one in `mqtt311/` that of 3.1.1.
One that shows others too says so: `@covers("3.1.2-25", "3.1.2-26")`."""

import importlib
import re
from collections import namedtuple
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DIRECTORIES = {"5.0": "mqtt5", "3.1.1": "mqtt311"}

Statement = namedtuple("Statement", "version number binds meaning excuse")


def covers(*numbers):
    """Marks a test that shows more statements than its name says."""
    return pytest.mark.covers(*numbers)


def statements():
    """All statements by version and number."""
    lines = (HERE / "statements.tsv").read_text().splitlines()[1:]
    found = {}
    for line in lines:
        statement = Statement(*line.split("\t"))
        key = statement.version, statement.number
        assert key not in found, f"{key} twice"
        found[key] = statement
    return found


def shown(version):
    """The tests of a version by the numbers that they show."""
    found = {}
    for file in sorted((HERE / DIRECTORIES[version]).glob("test_*.py")):
        module = importlib.import_module(f"conformance.{DIRECTORIES[version]}.{file.stem}")
        for name, test in vars(module).items():
            if not name.startswith("test_"):
                continue
            named = re.match(r"test_mqtt_(\d+)_(\d+)_(\d+)_(\d+)(?:_|$)", name)
            numbers = ["{}.{}.{}-{}".format(*named.groups())] if named else []
            for mark in getattr(test, "pytestmark", []):
                if mark.name == "covers":
                    numbers += mark.args
            for number in numbers:
                found.setdefault(number, []).append(f"{file.name}::{name}")
    return found
