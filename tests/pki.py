"""Certificates for tests, made by the openssl command: by the manual's own recipes, and of today's kind."""

import base64
import subprocess
from pathlib import Path

# Chapter 3.3.1 of the manual, steps 1 to 5, then 3.3.2, steps 1 to 3. The names in -subj are what it asks to replace.
CA_RECIPE = """\
openssl genpkey -algorithm RSA -out ca.key
openssl req -new -x509 -days 1826 -key ca.key -out ca.crt
"""
BROKER_RECIPE = """\
openssl genpkey -algorithm RSA -out broker.key
openssl req -new -out broker.csr -key broker.key -subj "/CN=router.example.com"
openssl x509 -req -in broker.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out broker.crt -days 360
"""
CLIENT_RECIPE = """\
openssl genpkey -algorithm RSA -out client.key
openssl req -new -out client.csr -key client.key -subj "/CN=common_name"
openssl x509 -req -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out client.crt -days 360
"""

ALGORITHMS = {
    "RSA": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "P-256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "Ed25519": ["ED25519"],
}
CA = "basicConstraints = critical, CA:TRUE"
#: What a browser or Python's ssl wants of a server.
LOCAL = "subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1"


def run(directory, *words, **options):
    done = subprocess.run(words, cwd=directory, capture_output=True, timeout=60, **options)
    assert done.returncode == 0, done
    return done.stdout


def by_the_manual(directory, host="localhost", common_name="Data collector"):
    """Types the manual's commands into a shell in this directory. Each question is answered with Enter."""
    recipe = CA_RECIPE + BROKER_RECIPE.replace("router.example.com", host)
    recipe += CLIENT_RECIPE.replace("common_name", common_name)
    for line in recipe.splitlines():
        run(directory, "sh", "-c", line, input=b"\n" * 10)


class Identity:
    """A certificate and its private key, as files."""

    def __init__(self, directory, name):
        self.directory = Path(directory)
        self.certificate, self.key = self.directory / f"{name}.crt", self.directory / f"{name}.key"

    @property
    def pem(self):
        return self.certificate.read_text()

    @property
    def key_pem(self):
        return self.key.read_text()

    @property
    def broker_settings(self):
        """The broker's own certificate and key in its settings."""
        return {"CERTIFICATE": self.pem, "PRIVATE_KEY": self.key_pem}

    @property
    def mosquitto(self):
        """The words with which mosquitto_pub and mosquitto_sub show it."""
        return ["--cert", self.certificate, "--key", self.key]


def with_another_key(identity, other, directory):
    """The certificate of one and a file that claims to be its key, but signs with the other's; both are P-256. OpenSSL
    compares public keys alone, which stand in both files."""
    forged = Identity(directory, "forged")
    forged.certificate.write_text(identity.pem)
    own, strange = (run(directory, "openssl", "ec", "-in", one.key, "-outform", "DER") for one in (identity, other))
    # RFC 5915: version, then the private key of 32 bytes, then curve and public key.
    assert own[5:7] == strange[5:7] == b"\x04\x20"
    der = own[:7] + strange[7:39] + own[39:]
    text = base64.encodebytes(der).decode()
    forged.key.write_text(f"-----BEGIN EC PRIVATE KEY-----\n{text}-----END EC PRIVATE KEY-----\n")
    return forged


class Authority(Identity):
    """A CA: a root, or signed by another one. Everything it signs lies in its directory."""

    def __init__(self, directory, common_name="Test CA", signer=None, algorithm="P-256"):
        directory.mkdir(parents=True, exist_ok=True)
        super().__init__(directory, "ca")
        if signer:
            made = signer.sign(common_name, algorithm, CA)
            made.certificate.rename(self.certificate)
            made.key.rename(self.key)
        else:
            run(directory, "openssl", "genpkey", "-algorithm", *ALGORITHMS[algorithm], "-out", "ca.key")
            run(directory, "openssl", "req", "-x509", "-key", "ca.key", "-out", "ca.crt", "-subj", f"/CN={common_name}",
                "-days", "3650")
        (directory / "index").touch()
        (directory / "config").write_text(
            "[ca]\ndefault_ca = this\n[this]\ndatabase = index\nunique_subject = no\nnew_certs_dir = .\n"
            "default_md = default\nrand_serial = yes\npolicy = any\ncopy_extensions = none\n"
            "[any]\ncommonName = optional\norganizationName = optional\n")

    def sign(self, common_name, algorithm="P-256", extensions="", starts=None, ends="20991231235959Z",
             attribute="CN"):
        """A certificate with this name, and its key. Times are written like 20991231235959Z."""
        name = f"{len(list(self.directory.iterdir()))}"
        files = Identity(self.directory, name)
        run(self.directory, "openssl", "genpkey", "-algorithm", *ALGORITHMS[algorithm], "-out", files.key)
        run(self.directory, "openssl", "req", "-new", "-key", files.key, "-subj", f"/{attribute}={common_name}",
            "-out", f"{name}.csr")
        (self.directory / f"{name}.ext").write_text(extensions + "\n")
        run(self.directory, "openssl", "ca", "-config", "config", "-batch", "-notext", "-in", f"{name}.csr",
            "-out", files.certificate, "-cert", "ca.crt", "-keyfile", "ca.key", "-extfile", f"{name}.ext",
            *(["-startdate", starts] if starts else []), "-enddate", ends)
        return files


def manual_settings(directory, **more):
    """The settings of the manual's figure 3, with the files that its commands have made in this directory."""
    text = {name: (directory / name).read_text() for name in ("ca.crt", "broker.crt", "broker.key")}
    return {"TLS": "certificate", "CA_CERTIFICATES": text["ca.crt"], "CERTIFICATE": text["broker.crt"],
            "PRIVATE_KEY": text["broker.key"], "AUTHENTICATION": "certificate_cn", "USERNAME": "Data collector"} | more
