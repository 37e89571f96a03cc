"""TLS: what is trusted, what is shown, and what fails."""

import re
import ssl

from compliance.case import PUB, SUB, Case, Originally, table, usage, wrong
from compliance.packets import BYE, message, published, subscribed, whole
from compliance.script import NO_HANDSHAKE, WHATEVER, PreShared, Reply, Secure

TRUST = "--cafile {pki}/ca.crt -t t -m x"
MISTAKE = re.compile(r"(?s)(Error|Unable).*")


def secure(data=re.compile(rb"TLSv1\.3 .*"), certificate="server", script=None, **options):
    return [Secure(data, certificate, tuple(options.items())), *(whole(published()) if script is None else script)]


def failed(certificate="server", **options):
    return secure(NO_HANDSHAKE, certificate, [], **options)


def note(version="TLSv1.3", alpn=None, name=None, client=""):
    return f"{version} {alpn} {name} {client}".encode()


FAILED = re.compile(r"(?s)Error: A TLS error occurred\.\n.+\n")
EITHER_WAY = Originally("A failure of TLS has one code whatever the moment, and is explained", code=(1, 8),
                        err=re.compile(
    r"(Error: A TLS error occurred\.|Unable to connect \(A TLS error occurred\.\)\.)\n"))


def refused(name, words, script, tool=PUB, **more):
    """A handshake that fails."""
    return Case(name, tool, words, [script], err=FAILED, code=8, differs=EITHER_WAY, **more)


test_trust = table(
    Case("a CA in a file", PUB, TRUST, [secure()]),
    Case("subscribing", SUB, "--cafile {pki}/ca.crt -t t -C 1", [secure(script=subscribed(message(), BYE))],
         out=b"x\n"),
    Case("the host's name", PUB, f"-h localhost -p {{port}} {TRUST}", [secure(note(name="localhost"))], dial=""),
    Case("the host's address", PUB, TRUST, [secure(note(name=None))], differs=Originally(
        "An address is no Server Name Indication (RFC 6066, section 3)", scripts=[secure(note(name="127.0.0.1"))])),
    Case("--tls-version tlsv1.2 is the lowest", PUB, f"{TRUST} --tls-version tlsv1.2", [secure()]),
    Case("--tls-version tlsv1.2 with a broker of 1.2", PUB, f"{TRUST} --tls-version tlsv1.2",
         [secure(re.compile(rb"TLSv1\.2 .*"), version=ssl.TLSVersion.TLSv1_2)]),
    Case("--tls-version tlsv1.3", PUB, f"{TRUST} --tls-version tlsv1.3", [secure()]),
    Case("a broker of TLS 1.2", PUB, TRUST, [secure(re.compile(rb"TLSv1\.2 .*"), version=ssl.TLSVersion.TLSv1_2)]),
    Case("a protocol by ALPN", PUB, f"-h localhost -p {{port}} {TRUST} --tls-alpn mqtt",
         [secure(note(alpn="mqtt", name="localhost"), alpn=["mqtt"])], dial=""),
    Case("a client's certificate", PUB,
         f"-h localhost -p {{port}} {TRUST} --cert {{pki}}/client.crt --key {{pki}}/client.key",
         [secure(note(client="Data collector", name="localhost"), verify=True)], dial=""),
    Case("another name, insecurely", PUB, f"--insecure {TRUST}", [secure(certificate="other")]),
    Case("a URL", PUB, "--cafile {pki}/ca.crt -L mqtts://localhost:{port}/t -m x", [secure(note(name="localhost"))],
         dial=""),
    Case("the default port", PUB, f"--insecure -h {{host}} {TRUST}", [secure()], dial="", listen=8883),
    Case("the default port of a URL", PUB, "--insecure --cafile {pki}/ca.crt -L mqtts://{host}/t -m x", [secure()],
         dial="", listen=8883),
    refused("no common version", f"{TRUST} --tls-version tlsv1.3", failed(version=ssl.TLSVersion.TLSv1_2)),
    refused("a CA that did not sign", "--cafile {pki}/stranger.crt -t t -m x", failed()),
    refused("a CA that did not sign, insecurely", "--insecure --cafile {pki}/stranger.crt -t t -m x", failed()),
    refused("a CA that did not sign, subscribing", "--cafile {pki}/stranger.crt -t t", failed(), SUB),
    refused("another name", TRUST, failed("other")),
    refused("a certificate that has ended", TRUST, failed("old")),
    refused("port 8883 means TLS", "-h {host} -p 8883 -t t -m x", failed(), dial="", listen=8883),
    refused("no TLS at the other end", TRUST, [Reply(b"HTTP/1.1 400 Bad Request\r\n\r\n"), WHATEVER]),
)

KEY = "--psk abcd1234 --psk-identity me -t t -m x"
test_pre_shared_keys = table(
    Case("a key", PUB, KEY, [[PreShared(), *whole(published())]]),
    Case("a key in capitals", PUB, "--psk ABCD1234 --psk-identity me -t t -m x", [[PreShared(), *whole(published())]]),
    Case("a key with a zero in front", PUB, "--psk 00abcd --psk-identity me -t t -m x",
         [[PreShared(key="00abcd"), *whole(published())]]),
    Case("subscribing by a key", SUB, "--psk abcd1234 --psk-identity me -t t -C 1",
         [[PreShared(), *subscribed(message(), BYE)]], out=b"x\n"),
    Case("a key under TLS 1.2", PUB, KEY, [[PreShared(words=("-tls1_2",)), *whole(published())]]),
    Case("a key under TLS 1.3", PUB, KEY, [[PreShared(words=("-tls1_3",)), *whole(published())]]),
    refused("another key", "--psk abcd1235 --psk-identity me -t t -m x", [PreShared(NO_HANDSHAKE)]),
    refused("another identity", "--psk abcd1234 --psk-identity you -t t -m x", [PreShared(NO_HANDSHAKE)]),
)

test_mistakes = table(
    *(Case(f"no such {option}", PUB, f"{option} /nonexistent -t t -m x", code=1,
           err=re.compile("(?s)Error: Problem setting TLS options: File not found.*\n")) for option in ["--cafile"]),
    wrong("a certificate without its key", PUB, f"{TRUST} --cert {{pki}}/client.crt",
          "Both certfile and keyfile must be provided if one of them is set.*"),
    wrong("a key without its certificate", PUB, f"{TRUST} --key {{pki}}/client.key",
          "Both certfile and keyfile must be provided if one of them is set.*"),
    Case("a key's identity without the key", PUB, "--psk-identity me -t t -m x", code=1, err=usage(PUB, ".*psk.*"),
         differs=Originally("Who names an identity wants no plaintext", scripts=[whole(published())], err="", code=0)),
    Case("a certificate without TLS", PUB, "--cert {pki}/client.crt --key {pki}/client.key -t t -m x", code=1,
         err=re.compile("(?s)Error: .*"), differs=Originally(
             "Who shows a certificate wants no plaintext", scripts=[whole(published())], err="", code=0)),
    Case("another one's key", PUB, f"{TRUST} --cert {{pki}}/client.crt --key {{pki}}/server.key", code=1,
         err=MISTAKE),
    Case("a CA that is none", PUB, "--cafile {dir}/f -t t -m x", code=1, err=MISTAKE, files={"f": b"no PEM\n"}),
    Case("an unknown version", PUB, f"{TRUST} --tls-version tlsv9", code=1,
         err=re.compile("(?s)Error: Problem setting TLS options.*")),
    Case("unknown ciphers", PUB, f"{TRUST} --ciphers NONSENSE", code=1, err=MISTAKE),
    wrong("a key without identity", PUB, "--psk abcd -t t -m x", "--psk-identity required if --psk used.*"),
    wrong("a certificate and a pre-shared key", PUB, f"{TRUST} --psk abcd --psk-identity i",
          "Only one of --psk or --cafile/--capath may be used at once.*"),
    Case("a pre-shared key of odd length", PUB, "--psk abc --psk-identity i -t t -m x", code=1, err=MISTAKE),
    Case("a pre-shared key that is no number", PUB, "--psk xyz1 --psk-identity i -t t -m x", code=1, err=MISTAKE),
)
