"""SECURITY.md as what it says it is: each claim names a test, and each of those is there and is run."""

import ast
import re

from laboratory.agent import PROJECT

TEXT = (PROJECT / "SECURITY.md").read_text()
# What stands in the last column of a table of claims: `FILE::NAME`, or a folder with a case.
NAMED = re.compile(r"`(Tests/[^`:]+)(?:::([^`]+))?`")


def claims() -> list[str]:
    """The rows of all tables whose last column says where the claim is tried."""
    rows, inside = [], False
    for line in TEXT.splitlines():
        if line.startswith("|"):
            inside = inside or line.endswith("| tried in |")
            if inside and not line.startswith(("| tries to", "|---")):
                rows.append(line)
        else:
            inside = False
    return rows


def is_there(path: str, name: str | None) -> bool:
    place = PROJECT / path
    if name is None:
        # A case of the tests of AWS's chain, which run every folder that has one.
        return (place / "case.json").is_file()
    if not place.is_file():
        return False
    text = place.read_text()
    if place.suffix == ".py":
        functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
        return name.startswith("test_") and any(function.name == name for function in functions)
    quoted = re.escape(name)
    return re.search(rf"@Test\b(?:(?!@Test).)*?\bfunc (?:{quoted}|`{quoted}`)\(", text, re.DOTALL) is not None


def test_each_claim_names_tests_that_exist():
    rows = claims()
    assert len(rows) > 30
    assert not [row for row in rows if not NAMED.search(row.split("|")[-2])], "claims without a test"
    absent = {match[0] for match in NAMED.finditer(TEXT) if not is_there(match[1], match[2])}
    assert not absent


def test_a_name_that_is_no_tests_is_noticed():
    swift = "Tests/FileSystemTests/DirectoryTests.swift"
    assert is_there(swift, "a lock is seen by others for as long as it is held")
    assert not is_there(swift, "a lock is seen by nobody")
    assert is_there("Tests/TokenSinksTests/SocketSinkTests.swift", "peers")
    # A helper of the tests is no test.
    assert not is_there("Tests/Deployment/test_security.py", "claims")
    assert not is_there("Tests/AWSIdentityTests/Cases/no-such-case", None)
