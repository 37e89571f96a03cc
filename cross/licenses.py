#!/usr/bin/env python3
"""Writes the license texts of all crates that are linked into a package.

    licenses.py OUT TARGET PACKAGE...

OUT gets one file CRATE.txt for every crate that the packages link for TARGET; build scripts, macros and what
only tests need are no part of the program. Where a crate offers a choice of licenses the shortest common one is
taken. Crates without a text of their own get the standard one of cross/license/standard. A crate for which there
is no text at all ends the build. So does a crate that links a library of somebody else's, unless it is known here
where that library's license is: mimalloc's lies in the crate's sources, OpenSSL's in $OPENSSL_DIR.

Needs Python 3 and the cargo (in $CARGO) that builds the package.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

STANDARD = Path(__file__).resolve().parent / "license" / "standard"

# By preference, each with words that only its text has.
MARKS = {
    "MIT": "permission is hereby granted, free of charge",
    "BSD-2-Clause": "redistribution and use in source and binary forms",
    "BSD-3-Clause": "redistribution and use in source and binary forms",
    "ISC": "permission to use, copy, modify, and",
    "0BSD": "permission to use, copy, modify, and",
    "Zlib": "this software is provided 'as-is'",
    "Unlicense": "this is free and unencumbered software",
    "Unicode-3.0": "unicode license",
    "Apache-2.0 WITH LLVM-exception": "llvm exceptions to the apache 2.0 license",
    "Apache-2.0": "terms and conditions for use, reproduction, and distribution",
}

RULE = "\n\n" + "-" * 100 + "\n\n"

# What a crate says it links, where that is code of its own, under its own license: part of the crate's sources.
OWN_CODE = re.compile(r"ring_core_\w+")


def cargo(*arguments):
    command = [os.environ.get("CARGO", "cargo"), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked_crates(target, packages):
    """The (name, version) of everything that ends up in the programs, ourselves apart."""
    selection = [word for package in packages for word in ("--package", package)]
    tree = cargo("tree", "--locked", "--target", target, *selection, "--edges", "normal,no-proc-macro",
                 "--prefix", "none", "--format", "{p}")
    crates = set()
    for line in filter(None, tree.splitlines()):
        name, version, *rest = line.split()
        if not any(word.startswith("(/") for word in rest):
            crates.add((name, version.removeprefix("v")))
    return sorted(crates)


def choose(expression):
    """The licenses to obey, of an SPDX expression: of alternatives the preferred one."""
    words = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def alternatives():
        found = [conjunction()]
        while words and words[0] == "OR":
            words.pop(0)
            found.append(conjunction())
        return min(found, key=lambda terms: (len(terms), max(map(rank, terms))))

    def conjunction():
        found = term()
        while words and words[0] == "AND":
            words.pop(0)
            found = found | term()
        return found

    def term():
        word = words.pop(0)
        if word == "(":
            found = alternatives()
            words.pop(0)
            return found
        if words and words[0] == "WITH":
            words.pop(0)
            word += " WITH " + words.pop(0)
        return {word}

    return alternatives()


def rank(license_name):
    return list(MARKS).index(license_name) if license_name in MARKS else len(MARKS)


def read(path):
    return path.read_text(encoding="utf-8", errors="replace").strip("\ufeff").strip()


def files(directory, names):
    """The files of a crate whose names begin so, or that lie in a folder of such a name."""
    found = [path for path in sorted(directory.iterdir()) if re.match(names, path.name, re.IGNORECASE)]
    found += [path for folder in found if folder.is_dir() for path in sorted(folder.iterdir())]
    return [path for path in found if path.is_file()]


def authors(crate):
    return ", ".join(re.sub(r"\s*<.*?>", "", author) for author in crate["authors"])


def text_of(license_name, crate, texts):
    mark = MARKS.get(license_name)
    for text in texts:
        if mark and mark in " ".join(text.lower().split()):
            return text
    standard = STANDARD / f"{license_name}.txt"
    if standard.exists():
        return f"Copyright (c) {authors(crate) or 'the authors of ' + crate['name']}\n\n{read(standard)}"
    return None


def document(crate):
    directory = Path(crate["manifest_path"]).parent
    texts = [read(path) for path in files(directory, "(un)?licen[cs]e|copying|copyright")]
    if crate["license_file"]:
        texts.append(read(directory / crate["license_file"]))
    if not crate["license"]:
        # A license without a name is obeyed by its text.
        if not texts:
            return None
        terms, parts = {"its own license"}, texts
    else:
        terms = choose(crate["license"])
        parts = [text_of(term, crate, texts) for term in sorted(terms)]
        if None in parts:
            return None
        # What the Apache License calls a notice is to be handed on.
        parts += [read(path) for path in files(directory, "notice")]
    head = [f"{crate['name']} {crate['version']}"]
    if crate["repository"]:
        head.append(crate["repository"])
    if authors(crate):
        head.append(f"By {authors(crate)}")
    head.append(f"License: {crate['license'] or 'see below'}; used under {' and '.join(sorted(terms))}")
    return RULE.join(["\n".join(head), *dict.fromkeys(parts)]) + "\n"


def mimalloc(crate):
    """The license of the C sources that the crate bundles: those of version 2, as Cargo.toml chooses it."""
    directory = Path(crate["manifest_path"]).parent / "c_src/mimalloc/v2"
    numbers = re.search(r"#define MI_MALLOC_VERSION +(\d)(\d\d)(\d\d)", read(directory / "include/mimalloc.h")).groups()
    version = ".".join(str(int(number)) for number in numbers)
    head = f"mimalloc {version}\nhttps://github.com/microsoft/mimalloc\nLicense: MIT"
    return head + RULE + read(directory / "LICENSE") + "\n"


def openssl(_crate):
    """The license of the OpenSSL that is linked, with the name, version and authors that its headers state."""
    directory = Path(os.environ["OPENSSL_DIR"])
    headers = directory / "include/openssl"
    version = re.search(r'OPENSSL_VERSION_TEXT "(.*?)"', read(headers / "opensslv.h"))[1]
    authors = re.search(r"Copyright .* The OpenSSL Project Authors\..*", read(headers / "ssl.h"))[0]
    head = f"{version}\nhttps://www.openssl.org/\n{authors}\nLicense: Apache-2.0"
    return head + RULE + read(directory / "LICENSE.txt") + "\n"


LIBRARIES = {"mimalloc": ("libmimalloc.txt", mimalloc), "openssl": ("libopenssl.txt", openssl)}


def main():
    out, target, *packages = sys.argv[1:]
    crates = linked_crates(target, packages)
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", target))
    described = {(crate["name"], crate["version"]): crate for crate in metadata["packages"]}
    names = [name for name, _ in crates]
    missing = []
    for name, version in crates:
        text = document(described[name, version])
        if text is None:
            missing.append(f"{name} {version} ({described[name, version]['license']})")
            continue
        file = f"{name}.txt" if names.count(name) == 1 else f"{name}-{version}.txt"
        (Path(out) / file).write_text(text, encoding="utf-8")
        library = described[name, version]["links"]
        if library in LIBRARIES:
            file, text_of_library = LIBRARIES[library]
            (Path(out) / file).write_text(text_of_library(described[name, version]), encoding="utf-8")
        elif library and not OWN_CODE.fullmatch(library):
            sys.exit(f"licenses.py: {name} links {library}, whose license is not known here")
    if missing:
        sys.exit("licenses.py: no license text for " + ", ".join(missing)
                 + "; put the text of the license into cross/license/standard")


if __name__ == "__main__":
    main()
