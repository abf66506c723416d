"""Rules of the sources that no compiler knows: who closes descriptors, who asks for errno's text, what may trap."""

import re
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "Sources"
# What only simulates may trap: nobody's token depends on it.
SIMULATION = ("SimulatedWorld", "simulation")

# Traps that no kernel, server, file or operator can reach, and why; by file and the words of the trap.
UNREACHABLE = {
    ("HTTPClient/WebAddress.swift", "not the path of a URL"): "paths are the rooms' own words or checked configuration",
    ("VaultAPI/VaultConnection.swift", "a Vault server has at least one address"): "the configuration insists on one",
    ("Configuration/Checker.swift", "has no flag"): "flags are the command line's own constants",
    ("Configuration/CheckedSection.swift", "has no key"): "keys are the table's own constants",
    ("EventLoop/EventLoop.swift", "is Dispatch's to run"): "the process runs the loop that it made of its main thread",
    ("HTTPServer/ListenAddress+Socket.swift", "an address has a size"): "a struct of a fixed size",
    ("Crypto/AuthenticatedEncryption.swift", "takes 32 and 12 bytes"): "both are made beside the call",
    ("Crypto/AuthenticatedEncryption.swift", "out of memory"): "CryptoLibrary.check() has found AES-256-GCM",
    ("Crypto/Random.swift", "no seed"): "CryptoLibrary.check() has found it seeded",
    ("Crypto/KeyAgreement.swift", "out of memory"): "the key was made by the same library the line before",
    ("Crypto/KeyAgreement.swift", "has 32 bytes"): "the key is made beside the call",
    ("Crypto/Digest.swift", "out of memory"): "CryptoLibrary.check() has found SHA-256 and HMAC",
}


def lines(*, outside=()):
    """Every line of code: file and text, without comments."""
    for path in sorted(SOURCES.rglob("*.swift")):
        name = str(path.relative_to(SOURCES))
        if not name.startswith(outside):
            for text in path.read_text().splitlines():
                if not text.lstrip().startswith("//"):
                    yield name, text


def test_descriptors_are_closed_by_their_owner_alone():
    closing = re.compile(r"(?<![\w.])(?:Glibc\.)?close\((?!\))")
    assert [each for each in lines(outside=("SystemCalls/",)) if closing.search(each[1])] == []


def test_the_text_of_errno_has_one_place():
    asking = re.compile(r"(?<!\w)strerror")
    assert [each for each in lines(outside=("SystemCalls/",)) if asking.search(each[1])] == []


def test_nothing_traps_that_the_world_outside_can_reach():
    trap = re.compile(r"\b(?:precondition|preconditionFailure|fatalError|assert|assertionFailure)\(|\btry!|\bas!")
    found = [each for each in lines(outside=SIMULATION) if trap.search(each[1])]
    known = [(file, words) for file, text in found for file_, words in UNREACHABLE if file == file_ and words in text]
    assert [
        each for each in found if not any(each[0] == file and words in each[1] for file, words in UNREACHABLE)
    ] == []
    assert set(UNREACHABLE) <= set(known), "a trap that is gone stands in the list"
