"""`init`: what it finds out, what it writes, and that Vault, told what it prints, lets the agent in."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from laboratory.agent import PROJECT, agent_binary, run_once
from laboratory.laboratory import REGION, SERVER_ID, Laboratory
from laboratory.openbao import bao_binary

ARN = "arn:aws:iam::123456789012:role/app"
NOWHERE = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nonexistent"}


@pytest.fixture
def own_lab() -> Iterator[Laboratory]:
    """One whose `aws` mount may be taken away."""
    with Laboratory() as made:
        yield made


def commands(text: str) -> str:
    """The lines for a shell in what `init` prints."""
    return "\n".join(re.findall(r"^(?:vault .*|    token_policies=.*)$", text, re.MULTILINE))


def assert_explained(configuration: dict) -> None:
    """What it writes says to its reader what it is for, in a form that editors take."""
    (token,) = configuration["tokens"]
    for part in (configuration, configuration["vault"], token["auth"], token["sinks"][0]):
        assert len(part["$comment"]) > 20
    jsonschema.validate(configuration, json.loads((PROJECT / "deploy" / "config.schema.json").read_text()))


def test_what_it_writes_and_prints_leads_to_a_token(own_lab: Laboratory, tmp_path: Path):
    lab = own_lab
    file, sink = tmp_path / "config.json", tmp_path / "token"
    arguments = ["init", "--yes", "--header-value", SERVER_ID, "--output", file]
    environment = {**lab.environment(), "VAULT_ADDR": lab.front_door.url, "AWS_REGION": REGION}
    done = run_once(arguments, environment)
    assert done.status == 0, done.log
    assert "Runs in: EC2" in done.log and "assumed-role/app/" in done.log
    assert f"bound_iam_principal_arn={ARN}" in done.output
    assert f'bound_principal_arns = ["{ARN}"]' in done.output

    # As an operator who pastes the commands, and a machine that has the group and the directory.
    lab.front_door.unmount("auth/aws")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "vault").symlink_to(bao_binary())
    told = subprocess.run(
        ["bash", "-euc", commands(done.output)],
        env={
            "PATH": f"{programs}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "BAO_ADDR": lab.front_door.url,
            "BAO_TOKEN": lab.bao.root_token,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    # Root writes it, and the service reads it as a user of its own.
    assert file.stat().st_mode & 0o777 == 0o644
    configuration = json.loads(file.read_text())
    assert_explained(configuration)
    written = configuration["tokens"][0]["sinks"][0]
    assert written.pop("group") == "vault-token-readers"
    written["path"] = str(sink)
    file.write_text(json.dumps(configuration))
    login = run_once(["login", "--config", file], environment)
    assert login.status == 0, login.log
    assert lab.bao.remaining(sink.read_text()) is not None

    again = run_once(arguments, environment)
    assert again.status == 73 and "Remove it first" in again.log


@pytest.mark.parametrize(
    ("variables", "place", "state"),
    [
        ({"ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/x"}, "ECS", "/var/lib/vault-token-agent"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "Kubernetes", "/var/lib/vault-token-agent"),
        ({}, "none of EC2, ECS and Kubernetes", None),
    ],
)
def test_the_place_decides(variables: dict, place: str, state: str | None):
    # No credentials: whose they are is not known, and said so; the rest is written all the same.
    arguments = ["init", "--yes", "--address", "https://vault:8200", "--role", "it's", "--output", "-"]
    done = run_once(arguments, {**NOWHERE, **variables})
    assert done.status == 0, done.log
    configuration = json.loads(done.output)
    assert place in done.log and "is not known" in done.log
    assert configuration.get("state_directory") == state
    assert_explained(configuration)
    assert ("group" in configuration["tokens"][0]["sinks"][0]) == (state is None)
    assert r"auth/aws/role/'it'\''s' auth_type=iam" in done.log


def test_terraform_reads_the_value_that_the_configuration_has():
    value = 'a$b %c $${d} %{e} "\\'
    arguments = ["init", "--yes", "--address", "https://vault:8200", "--role", "app", "--header-value", value]
    done = run_once([*arguments, "--output", "-"], NOWHERE)
    assert json.loads(done.output)["tokens"][0]["auth"]["header_value"] == value
    (module,) = re.findall(r"^  iam_server_id_header_value = .*$", done.log, re.MULTILINE)
    assert module == '  iam_server_id_header_value = "a$b %c $$${d} %%{e} \\"\\\\"'


def test_a_file_that_cannot_be_written_whole_is_not_left_behind(tmp_path: Path):
    file = tmp_path / "config.json"
    arguments = ["init", "--yes", "--address", "https://vault:8200", "--role", "app", "--output", file]
    small = ["sh", "-c", 'ulimit -f 0; trap "" XFSZ; exec "$0" "$@"', agent_binary(), *arguments]
    done = subprocess.run(small, env=NOWHERE, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 73 and "File too large" in done.stderr
    assert not file.exists()


def test_what_cannot_be_found_out_is_asked_by_the_name_of_its_flag():
    done = run_once(["init", "--yes", "--address", "https://vault:8200", "--output", "-"], NOWHERE)
    assert done.status == 64 and "give --role" in done.log
    done = run_once(["init", "--role", "app", "--output", "-"], NOWHERE)
    assert done.status == 64 and "give --address" in done.log
    done = run_once(["init", "--yes", "--role", "app", "--address", "ftp://vault", "--output", "-"], NOWHERE)
    assert done.status == 78 and done.output == ""
