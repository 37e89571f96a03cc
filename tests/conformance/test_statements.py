"""No statement that binds the broker is without a test, and no test without its statement."""

import pytest

from conformance.statements import DIRECTORIES, shown, statements

# The versions whose statements all have their tests.
COMPLETE = ["5.0", "3.1.1"]


@pytest.mark.parametrize("version", COMPLETE)
def test_every_statement_has_a_test(version):
    tests = shown(version)
    missing = [f"{one.number} {one.meaning}" for one in statements().values()
               if one.version == version and one.binds != "client" and not one.excuse and one.number not in tests]
    assert not missing, f"{len(missing)} statements of MQTT {version} have no test:\n" + "\n".join(missing)


@pytest.mark.parametrize("version", DIRECTORIES)
def test_every_test_has_its_statement(version):
    known = {one.number for one in statements().values() if one.version == version}
    unknown = {number: tests for number, tests in shown(version).items() if number not in known}
    assert not unknown, f"MQTT {version} has no such statements"


@pytest.mark.parametrize("version", DIRECTORIES)
def test_what_is_excused_has_no_test(version):
    tests = shown(version)
    both = [one.number for one in statements().values()
            if one.version == version and one.excuse and one.number in tests]
    assert not both, "an excuse for what is tested"


def test_the_table():
    """Whom a statement binds is one of three; its meaning and its excuse are words."""
    for one in statements().values():
        assert one.version in DIRECTORIES and one.binds in ("server", "client", "both"), one
        assert one.meaning and (not one.excuse or len(one.excuse.split()) > 3), one
