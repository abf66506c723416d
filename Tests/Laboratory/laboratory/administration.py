"""What an operator writes to Vault's `aws` auth method, for the front door: mount, client configuration, roles.

OpenBao has no such method built in, so `vault auth enable aws` and `vault write auth/aws/…` are answered here, for the
root token alone, by what the front door can do. Everything else of an operator's commands is OpenBao's own.
"""

import json
from typing import TYPE_CHECKING

from .aws_login import AwsRole
from .web import Reply, Request

if TYPE_CHECKING:
    from .front_door import FrontDoor

# What a role has besides its token_ settings, with the names that the front door has for it.
ROLE_KEYS = {"auth_type", "bound_iam_principal_arn", "resolve_aws_unique_ids"}


def administer(door: "FrontDoor", request: Request, path: str) -> Reply | None:
    """None: not of the `aws` method; OpenBao answers."""
    if request.method not in ("POST", "PUT") or not request.body:
        return None
    fields = json.loads(request.body)
    if path.startswith("sys/auth/") and fields.get("type") == "aws":
        door.mount(path.removeprefix("sys/"))
        return Reply(204)
    mount = door.mounted(path)
    if mount is None:
        return None
    below = path.removeprefix(f"{mount.path}/")
    if below == "config/client":
        mount.logins.server_id = fields.get("iam_server_id_header_value")
        return Reply(204)
    name = below.removeprefix("role/")
    if name == below or "auth_type" not in fields:
        return None
    token = {key.removeprefix("token_"): value for key, value in fields.items() if key.startswith("token_")}
    unknown = fields.keys() - ROLE_KEYS - {f"token_{key}" for key in token}
    if unknown:
        return Reply.json(400, {"errors": [f"the front door does not know {', '.join(sorted(unknown))}"]})
    principals = fields.get("bound_iam_principal_arn", [])
    who = AwsRole(fields["auth_type"], principals.split(",") if isinstance(principals, str) else principals)
    mount.role(name, who, **token)
    return Reply(204)
