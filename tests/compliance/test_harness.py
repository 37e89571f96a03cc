"""The ground that the cases stand on: what a program does otherwise is noticed."""

import pytest

from compliance.case import PUB, SUB, Case, Originally, check
from compliance.packets import BYE, accepted, hello, message, published, subscribed, whole
from compliance.script import CLOSE, NO_HANDSHAKE, Secure, Silence

RIGHT = whole(published())
WRONG = {
    "another packet": Case("", PUB, "-t t -m x", [whole(published(payload=b"y"))]),
    "a packet missing": Case("", PUB, "-t t -m x", [whole(published(), published())]),
    "a packet too many": Case("", PUB, "-t t -m x", [accepted(published())]),
    "a packet too soon": Case("", PUB, "-t t -m x", [[hello(), Silence(0.01), *RIGHT[1:2], Silence(1), *RIGHT[2:]]]),
    "a connection missing": Case("", PUB, "-t t -m x", [RIGHT, RIGHT]),
    "a connection too many": Case("", SUB, "-t t -C 1", [[hello(), CLOSE]]),
    "a connection where none was due": Case("", PUB, "-t t -m x", [], err="Error: Connection refused\n", code=0),
    "other output": Case("", SUB, "-t t -C 1", [subscribed(message(), BYE)], out=b"y\n"),
    "output where none was due": Case("", SUB, "-t t -C 1", [subscribed(message(), BYE)]),
    "other errors": Case("", PUB, "-t t -m x", err="Error: something\n", code=1),
    "errors where none were due": Case("", PUB, "-t t -m x", code=1),
    "another code": Case("", PUB, "-t t -m x", [RIGHT], code=1),
    "TLS where none is": Case("", PUB, "-t t -m x", [[Secure(), *RIGHT]], code=1),
    "no TLS where some is": Case("", PUB, "-t t -m x --cafile {pki}/ca.crt", [[Secure(NO_HANDSHAKE), *RIGHT]]),
    "a mark that is not true": Case("", PUB, "-t t -m x", [RIGHT], differs=Originally("It does not", scripts=[RIGHT])),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_what_is_wrong_fails(case, sides, tmp_path, pki):
    for side in sides.items():
        directory = tmp_path / f"alone-{side[0]}"
        directory.mkdir()
        with pytest.raises(pytest.fail.Exception):
            check(case, dict([side]), directory, pki)


def test_what_is_right_does_not(sides, tmp_path, pki):
    check(Case("", PUB, "-t t -m x", [RIGHT]), sides, tmp_path, pki)
