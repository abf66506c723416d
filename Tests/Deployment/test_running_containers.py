"""The containers as task definition and Deployment describe them, run by crun: user, environment, mounts, probes.

The image is the agent's own; that of the application is a static shell. All else is taken from the definitions; AWS and
Vault are the laboratory's.
"""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from containers import Container, Mounts, needs_crun

from laboratory.agent import PROJECT
from laboratory.config_map import ConfigMap
from laboratory.faults import Fault
from laboratory.laboratory import REGION, Laboratory

TASK = json.loads((PROJECT / "deploy" / "ecs" / "task-definition.json").read_text())
BASE = PROJECT / "deploy" / "kubernetes" / "base"
POD = yaml.safe_load((BASE / "deployment.yaml").read_text())["spec"]["template"]["spec"]
PLACEHOLDER = "https://vault.example.com:8200"
TOKEN = "/run/vault-token-agent/token"
PROGRAM = "/usr/bin/vault-token-agent"

pytestmark = needs_crun


@pytest.fixture(scope="module")
def application_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Not pytest's own folder, which no other user may enter.
    root = tmp_path_factory.mktemp("application") / "rootfs"
    for folder in ("bin", "proc", "dev"):
        (root / folder).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin" / "cat")
    return root


def read_by(image: Path, folder: Path, user: dict, volumes: Mounts) -> str:
    """The token as the application's container reads it."""
    with Container(image, folder, ["/bin/cat", TOKEN], user, {}, volumes) as reader:
        assert reader.process.wait(120) == 0, reader.log
        return reader.log


def test_an_ecs_task_is_healthy_once_it_has_its_token_and_stays_so_through_an_outage(
    lab: Laboratory, image: Path, application_image: Path, tmp_path: Path
):
    vault = lab.fault_proxy()
    agent, application = TASK["containerDefinitions"]
    identifiers = dict(zip(("uid", "gid"), map(int, agent["user"].split(":")), strict=True))
    volumes: Mounts = []
    for mount in agent["mountPoints"]:
        # As the image's VOLUME has it.
        directory = tmp_path / mount["sourceVolume"]
        lab.may_hold.update({directory / "token", tmp_path / "application" / "container.log"})
        directory.mkdir(mode=0o755)
        os.chown(directory, 10001, 10001)
        volumes.append((directory, mount["containerPath"], False))
    (variable,) = agent["environment"]
    environment = {
        **lab.environment(),
        "AWS_REGION": REGION,
        variable["name"]: variable["value"].replace(PLACEHOLDER, vault.url),
    }
    health = agent["healthCheck"]["command"][1:]
    vault.set(Fault.REFUSE)
    program = [PROGRAM, *agent["command"]]
    with Container(image, tmp_path / "first", program, identifiers, environment, volumes) as first:
        first.until((tmp_path / "vault-token" / "status.json").exists)
        assert first.probe(health) == 1  # the application waits
        vault.set(Fault.NONE)
        first.until(lambda: first.probe(health) == 0)
        user = dict(zip(("uid", "gid"), map(int, application["user"].split(":")), strict=True))
        shared = [(tmp_path / "vault-token", application["mountPoints"][0]["containerPath"], True)]
        token = read_by(application_image, tmp_path / "application", user, shared)
        assert lab.bao.remaining(token) is not None

        vault.set(Fault.REFUSE)
        first.until(lambda: first.probe([health[0], "healthcheck"]) == 1, 60)  # the token has run out
        assert first.probe(health) == 0
    # The restart policy starts the container anew, beside the same volumes, while Vault is still away.
    with Container(image, tmp_path / "second", program, identifiers, environment, volumes) as second:
        second.until(lambda: second.probe([health[0], "healthcheck", "--liveness"]) == 0)
        second.until(lambda: second.probe(health) == 0)


def test_a_pod_of_eks_hands_its_token_on_takes_it_over_after_a_restart_and_loads_a_changed_map(
    lab: Laboratory, image: Path, application_image: Path, tmp_path: Path
):
    lab.role("app", ttl="10m", max_ttl="1h")
    sidecar, application = POD["initContainers"][0], POD["containers"][0]
    group = POD["securityContext"]["fsGroup"]

    def user(container: dict) -> dict:
        context = container["securityContext"]
        return {"uid": context["runAsUser"], "gid": context["runAsGroup"], "additionalGids": [group]}

    places = {}
    for volume in POD["volumes"]:
        # As the kubelet makes an emptyDir for a pod with fsGroup.
        directory = tmp_path / volume["name"]
        lab.may_hold.update({directory / "token", directory / "token.json"})
        directory.mkdir()
        os.chown(directory, 0, group)
        directory.chmod(0o2777)
        places[volume["name"]] = directory
    configuration = (BASE / "config.json").read_text().replace(PLACEHOLDER, lab.front_door.url)
    mounted = ConfigMap(places["vault-token-agent"], configuration)

    def volumes(container: dict) -> Mounts:
        return [
            (places[mount["name"]], mount["mountPath"], mount.get("readOnly", False))
            for mount in container["volumeMounts"]
        ]

    environment = {**lab.environment(), "AWS_REGION": REGION}
    tokens = []
    for number in ("first", "second"):
        program = [PROGRAM, *sidecar["args"]]
        with Container(image, tmp_path / number, program, user(sidecar), environment, volumes(sidecar)) as container:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                command = sidecar[probe]["exec"]["command"]
                container.until(lambda it=container, command=command: it.probe(command) == 0)
            folder = tmp_path / f"{number}-application"
            lab.may_hold.add(folder / "container.log")
            tokens.append(read_by(application_image, folder, user(application), volumes(application)))
            if number == "first":
                logins = lab.logins()
            else:
                # A changed map reaches the running container, and the agent in it.
                other = json.loads(configuration)
                other["tokens"][0]["sinks"].append({"type": "file", "path": f"{TOKEN}.json", "format": "json"})
                mounted.put(json.dumps(other))
                container.until((places["vault-token"] / "token.json").exists)
    assert lab.bao.remaining(tokens[0]) is not None
    assert tokens[0] == tokens[1] and lab.logins() == logins
