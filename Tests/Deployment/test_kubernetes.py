"""The Kustomize files: built by kustomize itself, valid for each version of Kubernetes, and right for what they run."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from laboratory.agent import PROJECT, run_once

KUBERNETES = PROJECT / "deploy" / "kubernetes"
KUBECTL = shutil.which("kubectl") or shutil.which("kubectl", path=PROJECT / ".venv" / "bin")
PROGRAM = "/usr/bin/vault-token-agent"
# The oldest with native sidecars on by default, and the newest that the validator knows.
VERSIONS = ["1.29", kubernetes_validate.latest_version().rpartition(".")[0]]
OVERLAYS = ["base", "overlays/irsa", "overlays/pod-identity"]

needs_kustomize = pytest.mark.skipif(KUBECTL is None, reason="no kubectl: tools/setup.sh could not fetch it")

Manifest = dict


def built(folder: Path) -> list[Manifest]:
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def own_overlay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The overlay that the guide tells readers to write, with a configuration of its own that is scraped."""
    (text,) = re.findall(r"```yaml\n(.*?)```", (KUBERNETES / "README.md").read_text(), re.DOTALL)
    copy = tmp_path_factory.mktemp("kubernetes") / "kubernetes"
    shutil.copytree(KUBERNETES, copy)
    folder = copy / "mine" / "app"
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text(text)
    plain = (KUBERNETES / "base" / "config.json").read_text()
    (folder / "config.json").write_text(plain.replace('"log":', '"metrics": { "listen": "0.0.0.0:9112" },\n  "log":'))
    return folder


@pytest.fixture(scope="module", params=[*OVERLAYS, "own"])
def manifests(request: pytest.FixtureRequest, own_overlay: Path) -> list[Manifest]:
    if KUBECTL is None:
        pytest.skip("no kubectl: tools/setup.sh could not fetch it")
    return built(own_overlay if request.param == "own" else KUBERNETES / request.param)


def one(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = (manifest for manifest in manifests if manifest["kind"] == kind)
    return found


def pod_of(manifests: list[Manifest]) -> Manifest:
    return one(manifests, "Deployment")["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(manifests: list[Manifest], version: str):
    for manifest in manifests:
        # The operator's own kind has no place in the schemas of Kubernetes.
        if manifest["kind"] != "PodMonitor":
            kubernetes_validate.validate(manifest, version, strict=True)


def test_the_validator_finds_a_key_that_is_none(manifests: list[Manifest]):
    deployment = yaml.safe_load(yaml.safe_dump(one(manifests, "Deployment")))
    deployment["spec"]["template"]["spec"]["initContainers"][0]["restartPolicyy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)


def test_the_agent_accepts_the_configuration_and_the_pod_mounts_it(manifests: list[Manifest], tmp_path: Path):
    config_map, pod = one(manifests, "ConfigMap"), pod_of(manifests)
    file = tmp_path / "config.json"
    file.write_text(config_map["data"]["config.json"])
    done = run_once(["config", "check", "--config", file], {})
    assert done.status == 0, done.log
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["vault-token-agent"]["configMap"]["name"] == config_map["metadata"]["name"]


def test_every_command_and_probe_is_one_of_the_agents(manifests: list[Manifest]):
    sidecar = pod_of(manifests)["initContainers"][0]
    commands = [sidecar["args"]]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        program, *arguments = sidecar[probe]["exec"]["command"]
        assert program == PROGRAM
        commands.append(arguments)
    for command in commands:
        words = [word for word in command if re.fullmatch(r"[a-z]+", word)]
        done = run_once([*words, "--help"], {})
        assert done.status == 0
        for flag in (word for word in command if word.startswith("--")):
            assert re.search(rf"{flag}\b", done.output), flag


def test_the_sidecar_is_one_and_the_restricted_standard_is_met(manifests: list[Manifest]):
    pod = pod_of(manifests)
    sidecar, application = pod["initContainers"][0], pod["containers"][0]
    assert sidecar["restartPolicy"] == "Always"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (sidecar, application):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True
        assert context["runAsUser"] != 0


def test_the_application_sees_the_token_and_not_the_state(manifests: list[Manifest]):
    pod = pod_of(manifests)
    mounts = {mount["name"]: mount for mount in pod["initContainers"][0]["volumeMounts"]}
    assert pod["containers"][0]["volumeMounts"] == [{**mounts["vault-token"], "readOnly": True}]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for name in ("vault-token", "vault-token-agent-state"):
        assert volumes[name]["emptyDir"]["medium"] == "Memory"
    assert mounts["vault-token-agent-state"]["mountPath"] == "/var/lib/vault-token-agent"


@needs_kustomize
def test_the_overlays_differ_in_how_the_pod_gets_its_role():
    irsa, association = (built(KUBERNETES / overlay) for overlay in OVERLAYS[1:])
    annotations = one(irsa, "ServiceAccount")["metadata"]["annotations"]
    assert annotations["eks.amazonaws.com/role-arn"].startswith("arn:aws:iam::")
    assert "annotations" not in one(association, "ServiceAccount")["metadata"]
    assert pod_of(irsa) == pod_of(association)


@needs_kustomize
def test_the_monitor_scrapes_the_port_at_which_the_agent_listens(own_overlay: Path):
    manifests = built(own_overlay)
    monitor, pod = one(manifests, "PodMonitor"), pod_of(manifests)
    ports = {port["name"]: port["containerPort"] for port in pod["initContainers"][0]["ports"]}
    endpoint = monitor["spec"]["podMetricsEndpoints"][0]
    assert f":{ports[endpoint['port']]}" in one(manifests, "ConfigMap")["data"]["config.json"]
    labels = one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert pod["initContainers"][0]["image"].startswith("123456789012.dkr.ecr.")


@needs_kustomize
def test_a_changed_configuration_is_loaded_by_the_running_pods(own_overlay: Path):
    before, after = built(KUBERNETES / "base"), built(own_overlay)
    assert one(before, "ConfigMap")["data"] != one(after, "ConfigMap")["data"]
    # The same map in the same pods, as a directory: a single file (subPath) would stay as it was.
    names = {one(manifests, "ConfigMap")["metadata"]["name"] for manifests in (before, after)}
    assert len(names) == 1
    for manifests in (before, after):
        assert json.loads(one(manifests, "ConfigMap")["data"]["config.json"])["reload_on_change"] is True
        mounts = pod_of(manifests)["initContainers"][0]["volumeMounts"]
        (mount,) = (mount for mount in mounts if mount["name"] == "vault-token-agent")
        assert "subPath" not in mount
