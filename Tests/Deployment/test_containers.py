"""Image, ECS and EKS: well formed, in agreement with each other, and in words that the agent understands."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from laboratory.agent import agent_binary

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROGRAM = "/usr/bin/vault-token-agent"
OWNER = "10001"

Manifest = dict


def eks() -> dict[str, Manifest]:
    return {document["kind"]: document for document in yaml.safe_load_all((DEPLOY / "eks" / "pod.yaml").read_text())}


def ecs() -> Manifest:
    return json.loads((DEPLOY / "ecs" / "task-definition.json").read_text())


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, continued lines joined."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "docker" / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def commands() -> dict[str, list[str]]:
    """Every command line of the agent in a deployment file, without the program."""
    found: dict[str, list[str]] = {}
    sidecar = eks()["Pod"]["spec"]["initContainers"][0]
    found["eks args"] = sidecar["args"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        program, *found[f"eks {probe}"] = sidecar[probe]["exec"]["command"]
        assert program == PROGRAM
    agent = ecs()["containerDefinitions"][0]
    found["ecs command"] = agent["command"]
    kind, program, *found["ecs healthCheck"] = agent["healthCheck"]["command"]
    assert (kind, program) == ("CMD", PROGRAM)
    for name, text in instructions():
        if name == "CMD":
            found["image CMD"] = json.loads(text)
        if name == "HEALTHCHECK":
            program, *found["image HEALTHCHECK"] = json.loads(text[text.index("[") :])
            assert program == PROGRAM
    for unit in sorted((DEPLOY / "systemd").glob("vault-token-agent*.service")):
        for number, line in enumerate(re.findall(rf"^Exec\w+={PROGRAM} (.*)$", unit.read_text(), re.MULTILINE)):
            found[f"{unit.name} {number}"] = line.split()
    return found


@pytest.mark.parametrize(("place", "arguments"), commands().items())
def test_the_agent_knows_the_command(place: str, arguments: list[str]):
    words = [word for word in arguments if re.fullmatch(r"[a-z]+", word)]
    flags = [word for word in arguments if word.startswith("--")]
    done = subprocess.run([agent_binary(), *words, "--help"], capture_output=True, text=True, timeout=80, check=False)
    assert done.returncode == 0, done.stderr
    assert f"vault-token-agent {' '.join(words)}" in done.stdout
    for flag in flags:
        assert re.search(rf"{flag}\b", done.stdout), f"{place}: {flag}"


@pytest.mark.parametrize("source", ["ecs/config.json", "eks/pod.yaml"])
def test_the_agent_accepts_the_configuration(source: str, tmp_path: Path):
    text = (DEPLOY / source).read_text() if source.endswith(".json") else eks()["ConfigMap"]["data"]["config.json"]
    file = tmp_path / "config.json"
    file.write_text(text)
    done = subprocess.run(
        [agent_binary(), "config", "check", "--config", file], capture_output=True, text=True, timeout=80, check=False
    )
    # The directory that the file sink writes to is the container's.
    complaints = [line for line in done.stderr.splitlines() if "/run/vault-token-agent" not in line]
    assert not complaints, done.stderr


def test_the_image_runs_the_agent_as_nobody_else_and_with_everything_it_links():
    steps = instructions()
    assert ("USER", f"{OWNER}:{OWNER}") in steps
    assert ("ENV", "SWIFT_BACKTRACE=enable=no LIBDISPATCH_LOG=NO") in steps
    assert ("ENTRYPOINT", f'["{PROGRAM}"]') in steps
    final = steps[[name for name, _ in steps].index("FROM", 1) :]
    installed = set(re.search(r"no-install-recommends\s+(.*?)\s+&&", final[1][1]).group(1).split())
    linked = subprocess.run(["ldd", agent_binary()], capture_output=True, text=True, timeout=80, check=True).stdout
    libraries = {Path(path).resolve() for path in re.findall(r"=> (/\S+)", linked)}
    # Swift's own are linked statically in the image's build.
    for library in {path for path in libraries if "swift" not in str(path)}:
        owner = subprocess.run(
            ["dpkg", "-S", f"*/{library.name}"], capture_output=True, text=True, timeout=80, check=False
        )
        package = owner.stdout.split(":")[0]
        direct = re.search(r"lib(curl|crypto|ssl|expat|systemd|stdc\+\+|gcc_s)\b", library.name)
        assert not direct or package in installed, f"{library} of {package}"


def test_application_and_agent_share_the_token_and_nothing_else():
    task = ecs()
    agent, application = task["containerDefinitions"]
    assert application["dependsOn"] == [{"containerName": agent["name"], "condition": "HEALTHY"}]
    assert application["mountPoints"][0]["readOnly"] is True
    assert {agent["user"].split(":")[1], application["user"].split(":")[1]} == {OWNER}
    pod = eks()["Pod"]["spec"]
    sidecar, container = pod["initContainers"][0], pod["containers"][0]
    assert sidecar["restartPolicy"] == "Always"
    assert str(pod["securityContext"]["fsGroup"]) == OWNER
    assert container["volumeMounts"] == [{**sidecar["volumeMounts"][0], "readOnly": True}]
    assert pod["volumes"][0]["emptyDir"]["medium"] == "Memory"
    assert pod["serviceAccountName"] == eks()["ServiceAccount"]["metadata"]["name"]
