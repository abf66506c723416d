"""Writes terraform-arguments.json: what the published providers take in the blocks that deploy/terraform uses.

Run by hand when a module begins to use another kind of resource. The names come from HashiCorp's own bindings, which
are made from the providers' schemas and are too large for every machine's set-up (60 MB):

    pip download --no-deps cdktf-cdktf-provider-aws==21.22.1 cdktf-cdktf-provider-vault==15.6.1
    .venv/bin/python Tests/Deployment/terraform_arguments.py *.whl
"""

import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE / "terraform-arguments.json"
MODULES = HERE.parents[1] / "deploy" / "terraform"

Arguments = dict[str, dict]


def bindings(wheel: Path) -> tarfile.TarFile:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".jsii.tgz"))
        return tarfile.open(fileobj=io.BytesIO(archive.read(name)))


def interfaces(text: str) -> dict[str, str]:
    """The bodies of the file's interfaces, by name."""
    return dict(
        re.findall(r"^export interface (\w+)(?: extends [\w.]+)? \{\n(.*?)\n\}", text, re.MULTILINE | re.DOTALL)
    )


def arguments(name: str, bodies: dict[str, str]) -> Arguments:
    """An interface's members by their names in HCL; a member that is an interface itself is a block."""
    found: Arguments = {}
    pattern = r"/\*\*((?:(?!\*/).)*)\*/\s*readonly (\w+)(\??): (.*?);\n(?=\s*(?:/\*\*|$|\}))"
    for comment, member, optional, kind in re.findall(pattern, bodies[name] + "\n", re.DOTALL):
        link = re.search(r"#(\w+) \w+#\w+\}", comment)
        hcl = link.group(1) if link else re.sub(r"([A-Z])", lambda hit: "_" + hit.group(1).lower(), member)
        found[hcl] = {"required": not optional}
        block = re.match(r"\w*", kind).group(0)
        if block in bodies:
            found[hcl]["block"] = arguments(block, bodies)
    return found


def used() -> set[tuple[str, str]]:
    """The kinds of blocks in the modules: ("resource", "aws_instance")."""
    texts = [path.read_text() for path in MODULES.rglob("*.tf")]
    return {kind for text in texts for kind in re.findall(r'^(resource|data) "(\w+)"', text, re.MULTILINE)}


def main(wheels: list[Path]) -> None:
    document: dict = {"providers": {}, "resource": {}, "data": {}}
    for wheel in wheels:
        archive = bindings(wheel)
        for category, kind in sorted(used()):
            provider, _, name = kind.partition("_")
            if f"provider_{provider}-" not in wheel.name:
                continue
            folder = ("data-" + kind if category == "data" else name).replace("_", "-")
            text = archive.extractfile(f"package/lib/{folder}/index.d.ts").read().decode()
            version = re.search(rf"providers/hashicorp/{provider}/([\d.]+)/", text).group(1)
            document["providers"][f"hashicorp/{provider}"] = version
            bodies = interfaces(text)
            config = next(body for body in bodies if body.endswith("Config"))
            document[category][kind] = arguments(config, bodies)
    missing = {kind for category, kind in used()} - document["resource"].keys() - document["data"].keys()
    if missing:
        sys.exit(f"not in the wheels given: {', '.join(sorted(missing))}")
    TARGET.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
