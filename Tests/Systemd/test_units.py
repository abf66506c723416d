"""The units as files: what systemd says of them without running them. Unmodified but for a program that is there."""

import re
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "deploy" / "systemd"
SERVICES = ("vault-token-agent.service", "vault-token-agent@.service")
# systemd-analyze counts in tenths: 15 is an exposure of 1.5.
HIGHEST_EXPOSURE = 15


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def settings(unit: str, section: str = "Service") -> list[tuple[str, str]]:
    """The unit's assignments in one section, in order."""
    found, current = [], ""
    for line in (UNITS / unit).read_text().splitlines():
        if line.startswith("["):
            current = line.strip("[]")
        elif current == section and line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.append((key, value))
    return found


@pytest.fixture
def checkable(tmp_path: Path) -> Path:
    """The units with programs that exist: `verify` looks for what they start."""
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.path")):
        text = re.sub(r"/usr(/local)?/bin/(vault-token-agent|example-application)\b", "/bin/true", unit.read_text())
        name = unit.name.replace("@.", "@check.")
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "unit",
    [
        "vault-token-agent.service",
        "vault-token-agent@check.service",
        "example-consumer.service",
        "example-consumer-token.service",
        "example-consumer-token.path",
    ],
)
def test_systemd_finds_nothing_to_complain_of(checkable: Path, unit: str):
    done = run("systemd-analyze", "verify", "--man=no", checkable / unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("unit", SERVICES)
def test_little_is_exposed(unit: str):
    done = run("systemd-analyze", "security", "--offline=true", f"--threshold={HIGHEST_EXPOSURE}", UNITS / unit)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("unit", SERVICES)
def test_the_backtracer_is_off_and_no_core_is_written(unit: str):
    assert ("Environment", "SWIFT_BACKTRACE=enable=no LIBDISPATCH_LOG=NO") in settings(unit)
    assert ("LimitCORE", "0") in settings(unit)


def test_the_template_differs_only_in_the_instance():
    """Every setting of the one is a setting of the other, names of files and directories apart."""

    def all_settings(unit: str) -> list[tuple[str, str]]:
        return [pair for section in ("Unit", "Service", "Install") for pair in settings(unit, section)]

    def plain(value: str) -> str:
        return value.replace("/%i.json", "/config.json").replace("/%i", "").replace(".%i", "").replace(" (%i)", "")

    assert all_settings(SERVICES[0]) == [(key, plain(value)) for key, value in all_settings(SERVICES[1])]


def test_the_users_and_groups_can_be_made(tmp_path: Path):
    (tmp_path / "etc").mkdir()
    done = run("systemd-sysusers", f"--root={tmp_path}", UNITS / "vault-token-agent.sysusers")
    # Outside a real root the file is given by its path, which sysusers takes as it is.
    assert done.returncode == 0, done.stderr
    assert re.search(r"^vault-token-agent:", (tmp_path / "etc/passwd").read_text(), re.MULTILINE)
    assert re.search(r"^vault-token-readers:.*:vault-token-agent$", (tmp_path / "etc/group").read_text(), re.MULTILINE)
