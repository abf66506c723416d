"""The Terraform modules: they parse, they agree with each other and with the providers, and the user data works.

Terraform itself is not to be had on every machine. What it would find by `validate` is looked for here: names of
arguments and blocks against the providers' published ones (terraform-arguments.json), variables, outputs, references.
"""

import base64
import hashlib
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import hcl2
import pytest
from hcl2 import SerializationOptions
from private_systemd import UNITS, NotPossibleHere, PrivateSystemd

from laboratory.agent import PROJECT, agent_binary
from laboratory.laboratory import REGION, SERVER_ID, Laboratory

TERRAFORM = PROJECT / "deploy" / "terraform"
MODULES = sorted({path.parent for path in TERRAFORM.rglob("*.tf")})
PUBLISHED = json.loads((Path(__file__).parent / "terraform-arguments.json").read_text())
# What Terraform itself takes in every block of this kind.
META = {
    "resource": {"count", "for_each", "provider", "depends_on", "lifecycle"},
    "data": {"count", "for_each", "provider", "depends_on", "lifecycle"},
    "module": {"source", "version", "count", "for_each", "providers", "depends_on"},
}
TOKEN = "/run/vault-token-agent/token"

Blocks = list[tuple[tuple[str, ...], dict]]


def text_of(module: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(module.glob("*.tf")))


def parsed(module: Path) -> dict:
    options = SerializationOptions(with_comments=False, strip_string_quotes=True, explicit_blocks=False)
    found: dict = {}
    for path in sorted(module.glob("*.tf")):
        with path.open() as file:
            for kind, blocks in hcl2.load(file, serialization_options=options).items():
                found.setdefault(kind, []).extend(blocks)
    return found


def labelled(document: dict, kind: str, labels: int) -> Blocks:
    """Blocks of a kind with their labels: (("aws_instance", "agent"), {…})."""
    found: Blocks = [((), block) for block in document.get(kind, [])]
    for _ in range(labels):
        found = [((*path, name), inner) for path, block in found for name, inner in block.items()]
    return found


def names(module: Path, kind: str) -> set[str]:
    return {labels[0] for labels, _ in labelled(parsed(module), kind, 1)}


def check_block(block: dict, published: dict, meta: set[str], where: str) -> None:
    given = set(block) - meta - {"dynamic"}
    for dynamic in block.get("dynamic", []):
        for name, inner in dynamic.items():
            given.add(name)
            for content in inner["content"]:
                check_block(content, published[name]["block"], set(), f"{where} {name}")
    unknown = given - published.keys()
    assert not unknown, f"{where}: the provider has no {unknown}"
    missing = {name for name, facts in published.items() if facts["required"]} - given
    assert not missing, f"{where}: the provider wants {missing}"
    for name in given & block.keys():
        if isinstance(block[name], list) and "block" in published[name]:
            for inner in block[name]:
                check_block(inner, published[name]["block"], set(), f"{where} {name}")


def module_id(module: Path) -> str:
    return str(module.relative_to(TERRAFORM))


@pytest.mark.parametrize("module", MODULES, ids=module_id)
def test_every_argument_is_one_of_the_providers(module: Path):
    document = parsed(module)
    for category in ("resource", "data"):
        for (kind, name), block in labelled(document, category, 2):
            check_block(block, PUBLISHED[category][kind], META[category], f"{kind}.{name}")


@pytest.mark.parametrize("module", MODULES, ids=module_id)
def test_every_reference_leads_somewhere_and_every_variable_is_used_and_described(module: Path):
    document, text = parsed(module), text_of(module)
    # The words inside descriptions and scripts are no references.
    code = re.sub(r"^\s*(description|error_message) = .*$", "", text, flags=re.MULTILINE)
    variables = {labels[0]: block for labels, block in labelled(document, "variable", 1)}
    assert set(re.findall(r"\bvar\.(\w+)", code)) == set(variables)
    local = {name for block in document.get("locals", []) for name in block}
    assert set(re.findall(r"\blocal\.(\w+)", code)) == local
    resources = {labels for labels, _ in labelled(document, "resource", 2)}
    assert set(re.findall(r"(?<![.\w\"])((?:aws|vault)_\w+)\.(\w+)", code)) <= resources
    data = {labels for labels, _ in labelled(document, "data", 2)}
    assert set(re.findall(r"(?<![-\w])data\.(\w+)\.(\w+)", code)) == data
    for kind in ("variable", "output"):
        for labels, block in labelled(document, kind, 1):
            assert block.get("description"), labels
    for name, block in variables.items():
        assert block.get("type"), name


def test_the_example_gives_each_module_what_it_asks_for():
    example = TERRAFORM / "example"
    used = dict(re.findall(r"\bmodule\.(\w+)\.(\w+)", text_of(example)))
    for (name,), block in labelled(parsed(example), "module", 1):
        module = (example / block["source"]).resolve()
        variables = {labels[0]: facts for labels, facts in labelled(parsed(module), "variable", 1)}
        given = set(block) - META["module"]
        assert given <= variables.keys(), name
        assert {key for key, facts in variables.items() if "default" not in facts} <= given, name
        if name in used:
            assert used[name] in names(module, "output")


def test_the_iam_policies_name_actions_that_aws_has():
    actions = re.findall(r'"(ec2|iam|sts):(\w+)"', text_of(TERRAFORM / "modules" / "aws-identity"))
    session = botocore.session.Session()
    known = {service: set(session.get_service_model(service).operation_names) for service, _ in actions}
    # A permission without an operation of its own.
    known["sts"].add("TagSession")
    assert [action for action in actions if action[1] not in known[action[0]]] == []
    wanted = {"DescribeInstances", "GetInstanceProfile", "GetUser", "GetRole", "AssumeRole", "GetCallerIdentity"}
    assert wanted | {"CreateAccessKey", "DeleteAccessKey", "UpdateAccessKey"} <= {name for _, name in actions}


def user_data(**values: str) -> str:
    """The template as Terraform renders it: the few of its constructs that are used, and no others."""
    text = (TERRAFORM / "modules" / "ec2-instance" / "user-data.sh.tftpl").read_text()
    text = re.sub(
        r'%\{ if (\w+) != "" ~\}\n(.*?)%\{ endif ~\}\n',
        lambda hit: hit.group(2) if values[hit.group(1)] else "",
        text,
        flags=re.DOTALL,
    )
    text = re.sub(r"\$\{basename\((\w+)\)\}", lambda hit: os.path.basename(values[hit.group(1)]), text)
    text = re.sub(r"\$\{(\w+)\}", lambda hit: values[hit.group(1)], text)
    assert "${" not in text and "%{" not in text
    return text


def test_the_template_is_given_every_value_that_it_uses():
    module = TERRAFORM / "modules" / "ec2-instance"
    call = re.search(r"templatefile\(.*?\{\n(.*?)\}\)", text_of(module), re.DOTALL)
    given = set(re.findall(r"^\s+(\w+) += ", call.group(1), re.MULTILINE))
    template = (module / "user-data.sh.tftpl").read_text()
    assert set(re.findall(r"\$\{(?:basename\()?(\w+)", template)) | set(re.findall(r"%\{ if (\w+)", template)) == given


@pytest.fixture
def machine(lab: Laboratory, deb: Path, tmp_path: Path) -> Iterator[PrivateSystemd]:
    """A booted machine that knows where the laboratory's AWS is, and holds the package."""
    variables = "\n".join(
        f"Environment={shlex.quote(f'{k}={v}')}" for k, v in {**lab.environment(), "AWS_REGION": REGION}.items()
    )
    surroundings = tmp_path / "laboratory.conf"
    surroundings.write_text(f"[Service]\n{variables}\n")
    try:
        booted = PrivateSystemd(
            UNITS / "example-consumer.service",
            agent_binary(),
            at="/opt/unused",
            files=[
                (deb, f"/srv/{deb.name}", "0644"),
                (surroundings, "/etc/systemd/system/vault-token-agent.service.d/laboratory.conf", "0644"),
            ],
        )
    except NotPossibleHere as reason:
        pytest.skip(f"no private systemd here: {reason}")
    with booted:
        yield booted


def example_configuration(address: str) -> str:
    """What the example has the instance run by, its references resolved."""
    (instance,) = (
        block for (name,), block in labelled(parsed(TERRAFORM / "example"), "module", 1) if name == "instance"
    )
    text = json.dumps(instance["configuration"])
    values = {"var.vault_address": address, "module.vault.mount_path": "auth/aws", "local.server_id": SERVER_ID}
    return re.sub(r"\$\{([\w.]+)\}", lambda hit: values[hit.group(1)], text)


def test_user_data_brings_a_new_instance_to_a_fresh_token(lab: Laboratory, deb: Path, machine: PrivateSystemd):
    script = user_data(
        package_url=f"file:///srv/{deb.name}",
        package_sha256=hashlib.sha256(deb.read_bytes()).hexdigest(),
        configuration=base64.b64encode(example_configuration(lab.front_door.url).encode()).decode(),
        vault_ca=base64.b64encode(b"no certificate is needed here\n").decode(),
        readers="nobody",
    )
    (machine.root / "root/user-data.sh").write_text(script)
    done = machine.run("sh", "/root/user-data.sh", seconds=120)
    assert done.ok, done.output
    active = "vault-token-agent.service"
    machine.wait_until(lambda: machine.systemctl("is-active", active).output.strip() == "active", "active", 60)
    assert lab.bao.remaining(machine.read(TOKEN)) is not None
    assert "vault-token-readers" in machine.run("id", "-Gn", "nobody").output.split()
    assert machine.systemctl("is-enabled", active).output.strip() == "enabled"
    assert "no certificate" in machine.read("/etc/vault-token-agent/vault-ca.pem")


def test_user_data_stops_at_a_package_that_is_another(deb: Path, machine: PrivateSystemd):
    script = user_data(
        package_url=f"file:///srv/{deb.name}", package_sha256="0" * 64, configuration="e30=", vault_ca="", readers=""
    )
    (machine.root / "root/user-data.sh").write_text(script)
    done = machine.run("sh", "/root/user-data.sh", seconds=120)
    assert not done.ok and "checksum did NOT match" in done.output
    assert not machine.run("dpkg-query", "--status", "vault-token-agent").ok
