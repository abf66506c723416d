"""Image and ECS: well formed, in agreement with each other, and in words that the agent understands."""

import json
import re
import subprocess
from pathlib import Path

import botocore.session
import pytest
from botocore import validate
from botocore.model import Shape

from laboratory.agent import agent_binary, run_once

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROGRAM = "/usr/bin/vault-token-agent"
OWNER = "10001"
TASKS = ("task-definition.json", "task-definition-init.json")

Manifest = dict


def task(name: str) -> Manifest:
    return json.loads((DEPLOY / "ecs" / name).read_text())


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, continued lines joined."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "docker" / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def commands() -> dict[str, list[str]]:
    """Every command line of the agent in a deployment file, without the program."""
    found: dict[str, list[str]] = {}
    for form in TASKS:
        agent = task(form)["containerDefinitions"][0]
        found[f"{form} command"] = agent["command"]
        if "healthCheck" in agent:
            kind, program, *found[f"{form} healthCheck"] = agent["healthCheck"]["command"]
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


@pytest.mark.parametrize("form", TASKS)
def test_the_agent_accepts_the_configuration(form: str):
    (variable,) = task(form)["containerDefinitions"][0]["environment"]
    done = run_once(["config", "check", "--quiet"], {variable["name"]: variable["value"]})
    assert (done.status, done.log) == (0, "")


@pytest.mark.parametrize("form", TASKS)
def test_ecs_knows_every_key_of_the_task(form: str):
    model = botocore.session.Session().get_service_model("ecs").operation_model("RegisterTaskDefinition").input_shape
    report = validate.ParamValidator().validate(task(form), model)
    assert not report.has_errors(), report.generate_report()
    check_keys(task(form), model)


def check_keys(value: object, shape: Shape) -> None:
    """A key that a structure does not have is passed over by botocore's own check."""
    if shape.type_name == "structure":
        assert value.keys() <= shape.members.keys(), f"{shape.name} has no {value.keys() - shape.members.keys()}"
        for key, inner in value.items():
            check_keys(inner, shape.members[key])
    elif shape.type_name == "list":
        for inner in value:
            check_keys(inner, shape.member)
    elif getattr(shape, "enum", None):
        assert value in shape.enum


def stages() -> dict[str, list[tuple[str, str]]]:
    """The Dockerfile's instructions by stage, each with those of the stage it is from; "" is the default image."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, text in instructions():
        if name == "FROM":
            base, _, stage = text.partition(" AS ")
            found[stage] = [(name, base), *found.get(base, [])]
        elif found:
            found[stage].append((name, text))
    return found


def test_the_image_runs_the_agent_as_nobody_else_and_leaves_no_volume_behind():
    image = stages()[""]
    assert ("USER", f"{OWNER}:{OWNER}") in image
    assert ("ENV", "SWIFT_BACKTRACE=enable=no LIBDISPATCH_LOG=NO") in image
    assert ("ENTRYPOINT", f'["{PROGRAM}"]') in image
    # The build's base can be pinned by whoever builds; the image itself has none.
    assert [text for name, text in image if name == "FROM"] == ["agent", "scratch"]
    assert stages()["build"][0] == ("FROM", "${BASE}")
    assert not [name for name, _ in image if name == "VOLUME"]


def test_the_image_for_ecs_declares_the_directories_that_the_tasks_mount_with_their_owner():
    image = stages()["ecs"]
    owned = [text.split()[-1] for name, text in image if name == "COPY" and f"--chown={OWNER}:{OWNER}" in text]
    (volumes,) = (json.loads(text) for name, text in image if name == "VOLUME")
    assert sorted(owned) == sorted(volumes)
    for form in TASKS:
        for mount in task(form)["containerDefinitions"][0]["mountPoints"]:
            assert mount["containerPath"] in volumes


@pytest.mark.parametrize(("form", "condition"), [(TASKS[0], "HEALTHY"), (TASKS[1], "SUCCESS")])
def test_application_and_agent_share_the_token_and_nothing_else(form: str, condition: str):
    agent, application = task(form)["containerDefinitions"]
    assert application["dependsOn"] == [{"containerName": agent["name"], "condition": condition}]
    assert application["mountPoints"] == [{**agent["mountPoints"][0], "readOnly": True}]
    assert {agent["user"].split(":")[1], application["user"].split(":")[1]} == {OWNER}
    assert {mount["sourceVolume"] for mount in agent["mountPoints"]} == {v["name"] for v in task(form)["volumes"]}


def test_an_outage_replaces_no_task_and_a_configuration_that_cannot_work_is_not_tried_again():
    agent = task(TASKS[0])["containerDefinitions"][0]
    assert "--once-ready" in agent["healthCheck"]["command"]
    assert agent["essential"] and agent["restartPolicy"]["ignoredExitCodes"] == [78]
    assert not task(TASKS[1])["containerDefinitions"][0]["essential"]  # it ends before the application does
