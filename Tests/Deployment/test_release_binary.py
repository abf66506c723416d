"""The release binary as the loader sees it: where it starts, what it loads, how it is hardened, how big it is."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from release import LINK_MAP, is_lean, release_binary

# Names without a version: the libraries' own sonames. The loader is linux-vdso's and the C library's.
ALLOWED = {"libc", "libm", "libssl", "libcrypto", "ld-linux-x86-64", "ld-linux-aarch64"}
# What the oldest systems of docs/install.md have: Amazon Linux 2023 and RHEL 9 glibc 2.34, both OpenSSL 3.0.
NEWEST = {"GLIBC": (2, 34), "OPENSSL": (3, 0, 0)}
# 12.5 MB today, of which Swift's standard library is 5.
LARGEST = 13_000_000


def readelf(*options: str) -> str:
    command = ("readelf", "--wide", *options, release_binary())
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def test_it_loads_the_c_library_and_openssl_and_nothing_else():
    if not is_lean():
        pytest.skip("the set-up could not build a lean libcurl here")
    needed = re.findall(r"\(NEEDED\).*\[([^\]]*?)\.so[.\d]*\]", readelf("--dynamic"))
    assert needed and set(needed) <= ALLOWED, needed


def test_every_version_it_asks_for_is_old_enough():
    asked = re.findall(r"Name: ([A-Z]+)_([\w.]+)", readelf("--version-info"))
    assert ("GLIBC", "2.34") in asked or any(name == "GLIBC" for name, _ in asked), asked
    for name, version in asked:
        assert name in NEWEST, f"{name}_{version}"
        numbers = tuple(int(part) for part in version.split(".")) if re.fullmatch(r"[\d.]+", version) else None
        assert numbers is not None and numbers <= NEWEST[name], f"{name}_{version}"


def test_it_is_hardened():
    dynamic, segments = readelf("--dynamic"), readelf("--segments")
    assert "RUNPATH" not in dynamic and "RPATH" not in dynamic
    assert re.search(r"\(FLAGS\).*BIND_NOW|\(FLAGS_1\).*\bNOW\b", dynamic)
    assert re.search(r"\(FLAGS_1\).*\bPIE\b", dynamic) and "Elf file type is DYN" in segments
    assert "GNU_RELRO" in segments
    assert re.search(r"GNU_STACK .* RW  ", segments) and "RWE" not in segments
    assert "__stack_chk_fail" in readelf("--dyn-syms")


def test_a_library_planted_beside_it_is_not_loaded(tmp_path: Path):
    shutil.copy(release_binary(), tmp_path / "agent")
    for library in ("libssl.so.3", "libcrypto.so.3", "libm.so.6"):
        (tmp_path / library).write_text("planted")
    done = subprocess.run([tmp_path / "agent", "version"], cwd=tmp_path, capture_output=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr


def test_no_foundation_is_in_the_link_map_and_it_is_small():
    size = release_binary().stat().st_size
    objects = set(re.findall(r"lib\w+\.a(?=[:(])", LINK_MAP.read_text()))
    assert {"libswiftCore.a", "libdispatch.a"} <= objects, objects
    assert not {name for name in objects if "Foundation" in name} - {"libFoundationStandIn.a"}, objects
    assert size <= LARGEST


def test_it_holds_no_path_of_the_machine_it_was_built_on():
    folder = str(LINK_MAP.parents[1]).encode()
    assert folder not in release_binary().read_bytes()
