"""Writes what is in a built agent, and what it loads, as a software bill of materials: SPDX 2.3, JSON.

usage: tools/write-sbom.py BINARY >vault-token-agent.spdx.json

The same binary and sources give the same document. Swift packages are those of Package.swift, static libraries those of
.libraries/contents, patches those that the binary itself names; what it loads is read from its dynamic section.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
NAME = "vault-token-agent"


def output(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def package(name: str, version: str, licence: str, **more: object) -> dict:
    identifier = re.sub(r"[^A-Za-z0-9.-]", "-", name)
    return {
        "SPDXID": f"SPDXRef-{identifier}",
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": licence,
        "licenseDeclared": licence,
        "copyrightText": "NOASSERTION",
        **more,
    }


def inside(binary: Path) -> list[dict]:
    """What is linked into the binary."""
    toolchain = re.search(r"Swift version (\S+)", output("swiftc", "--version")).group(1)
    packages = [package("swift-runtime", toolchain, "Apache-2.0 WITH Swift-exception")]
    for url, version in re.findall(r'url: "([^"]+)", exact: "([^"]+)"', (PROJECT / "Package.swift").read_text()):
        licence = "Apache-2.0 WITH Swift-exception" if url.endswith("argument-parser") else "Apache-2.0"
        packages.append(package(url.rsplit("/", 1)[1], version, licence, downloadLocation=f"git+{url}@{version}"))
    patches = re.search(r"^patches +(.*)$", output(binary, "version", "--verbose"), re.MULTILINE).group(1)
    for line in (PROJECT / ".libraries" / "contents").read_text().splitlines():
        name, version, licence = line.split()
        more = {"comment": f"With the distribution's patches: {patches}"} if name == "curl" else {}
        licence = licence.replace("-with-GCC-exception", " WITH GCC-exception-3.1")
        packages.append(package(name, version, licence, **more))
    return packages


def loaded(binary: Path) -> list[dict]:
    """What the system must bring: versions are the system's."""
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "--dynamic", "--wide", binary))
    return [package(name, "of the system", "NOASSERTION") for name in sorted(needed)]


def document(binary: Path) -> dict:
    digest = hashlib.sha256(binary.read_bytes()).hexdigest()
    moment = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    version = output(binary, "--version").strip()
    agent = package(NAME, version, "Apache-2.0", checksums=[{"algorithm": "SHA256", "checksumValue": digest}])
    parts = [(part, "STATIC_LINK") for part in inside(binary)] + [(part, "DYNAMIC_LINK") for part in loaded(binary)]
    relations = [(agent["SPDXID"], link, part["SPDXID"]) for part, link in parts]
    relations.insert(0, ("SPDXRef-DOCUMENT", "DESCRIBES", agent["SPDXID"]))
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{NAME}-{version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/{NAME}-{version}-{digest}",
        "creationInfo": {
            "created": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: {NAME}-write-sbom"],
        },
        "packages": [agent, *(part for part, _ in parts)],
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
            for one, kind, other in relations
        ],
    }


if __name__ == "__main__":
    json.dump(document(Path(sys.argv[1]).resolve()), sys.stdout, indent=2)
    print()
