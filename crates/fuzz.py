"""Runs the fuzz targets in crates/*/fuzz on inputs that the last run left behind and those in their corpus.

A corpus is one text file for each target, an input a line, written as in a Rust byte string: it can be read and
reviewed. `--keep` adds those found that cover code which it does not; whoever mends a fault adds the input that
showed it.
"""

import argparse
import ast
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

CRATES = Path(__file__).resolve().parent
# Where all that is built and found lies.
PLACE = Path(os.environ.get("CARGO_TARGET_DIR", CRATES.parent / "target")).absolute() / "fuzz"
# Longer inputs find nothing that shorter ones don't, and take their time.
LONGEST = 600
# What `--keep` fills a corpus up to.
MOST = 150


class Target:
    def __init__(self, crate, name):
        self.crate, self.name = crate, name
        self.corpus = crate / "fuzz/corpus" / f"{name}.txt"
        self.inputs = PLACE / "corpus" / f"{crate.name}-{name}"
        self.faults = PLACE / "faults" / f"{crate.name}-{name}"

    def unpack(self, directory):
        directory.mkdir(parents=True, exist_ok=True)
        for line in self.corpus.read_text("ascii").splitlines():
            data = ast.literal_eval(f'b"{line}"')
            (directory / hashlib.sha1(data).hexdigest()).write_bytes(data)

    def run(self, seconds):
        """Returns whether all is well."""
        print(f"--- {self.crate.name}: {self.name}, {seconds} seconds", flush=True)
        self.unpack(self.inputs)
        self.faults.mkdir(parents=True, exist_ok=True)
        ran = subprocess.run([*self.command(), self.inputs, "--", f"-artifact_prefix={self.faults}/",
                              f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=10",
                              "-print_final_stats=1", "-verbosity=0"], cwd=self.crate)
        for fault in sorted(self.faults.iterdir()):
            print(f"{fault.name}: {escape(fault.read_bytes())}")
        return ran.returncode == 0

    def keep(self):
        """Adds to the corpus what covers code that nothing in it does."""
        kept = PLACE / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        self.unpack(kept)
        subprocess.run([*self.command(), kept, self.inputs, "--", "-set_cover_merge=1", "-use_counters=0",
                        f"-max_len={LONGEST}", "-verbosity=0"], cwd=self.crate, check=True)
        known = self.corpus.read_text("ascii").splitlines()
        found = {escape(path.read_bytes()) for path in kept.iterdir()}
        lines = [*known, *sorted(found - set(known), key=lambda line: (len(line), line))][:max(MOST, len(known))]
        self.corpus.write_text("".join(line + "\n" for line in lines), "ascii")
        print(f"{self.corpus}: {len(lines)} inputs, {len(lines) - len(known)} of them new")

    def command(self):
        # The code forbids `unsafe`, so an address sanitizer would watch over nothing, at half the speed.
        return ["cargo", "fuzz", "run", "--sanitizer=none", f"--target-dir={PLACE}/build", self.name]


def escape(data):
    """As `escape_ascii` of Rust writes it, but for spaces at the ends, which editors and reviewers lose."""
    special = {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r", 0x22: '\\"', 0x27: "\\'", 0x5C: "\\\\"}
    parts = [special.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}") for byte in data]
    for end in {0, len(parts) - 1} if parts else ():
        if parts[end] == " ":
            parts[end] = "\\x20"
    return "".join(parts)


def targets():
    for manifest in sorted(CRATES.glob("*/fuzz/Cargo.toml")):
        for binary in tomllib.loads(manifest.read_text())["bin"]:
            yield Target(manifest.parent.parent, binary["name"])


def check_tools():
    if subprocess.run(["cargo", "fuzz", "--version"], capture_output=True).returncode:
        sys.exit("cargo-fuzz is missing: run 'cargo install --locked cargo-fuzz', which takes a minute")
    if not shutil.which(os.environ.get("CXX", "c++")):
        sys.exit("a C++ compiler is missing, libFuzzer needs one: run 'apt-get install g++'")


def main():
    names = [target.name for target in targets()]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--keep", action="store_true", help="instead, add the best of what was found to the corpus")
    parser.add_argument("target", nargs="*", choices=[*names, []],
                        help=f"some of {', '.join(names)}; all if none is named")
    arguments = parser.parse_args()
    check_tools()
    chosen = [target for target in targets() if not arguments.target or target.name in arguments.target]
    if arguments.keep:
        for target in chosen:
            target.keep()
    elif not all([target.run(arguments.seconds) for target in chosen]):
        sys.exit(1)


main()
