"""What tests can change in a laboratory that others use after them: read off, and put back.

A test may do with the laboratory what it likes; at its end all is as before, by `put_back`, and what cannot be put back
is that test's failure, not the next one's. OpenBao's own tokens and leases are no part of it: no test counts them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from .aws_login import Admission
from .front_door import Mount
from .openbao import OpenBao
from .processes import wait_until

if TYPE_CHECKING:
    from .laboratory import Laboratory

# What stands in OpenBao, by the path that reads it and writes it.
Written = dict[str, dict]

POLICIES, QUOTAS, QUOTA_RULES = "sys/policies/acl", "sys/quotas/rate-limit", "sys/quotas/config"
NAMESPACES, METHODS, ENGINES = "sys/namespaces", "sys/auth", "sys/mounts"


@dataclass(frozen=True)
class State:
    """One moment's. Two are equal where a test cannot tell them apart."""

    openbao: Written
    mounts: dict[str, tuple[Mount, Admission]]
    stand_ins: dict[str, object]  # switches and answers that wait in the front door and in AWS

    def differences(self, other: "State") -> list[str]:
        """In words, what `other` has otherwise."""
        found = []
        for mine, its in (
            (self.openbao, other.openbao),
            (self.mounts, other.mounts),
            (self.stand_ins, other.stand_ins),
        ):
            for name in sorted(mine.keys() | its.keys()):
                if mine.get(name) != its.get(name):
                    found.append(f"{name}: {its.get(name, 'gone')}, was {mine.get(name, 'not there')}")
        return found


def read(lab: "Laboratory") -> State:
    stand_ins = {
        "listeners": lab.front_door.listeners,
        "answers that wait in the front door": lab.front_door.canned_answers,
        "answers that wait in STS": lab.aws.waiting_answers,
        "keys of the user": tuple(lab.aws.user_keys),
        "fault of the metadata service": lab.imds.fault,
        "version 1 of the metadata service": lab.imds.version_1,
        "credentials of the metadata service": lab.imds.credentials,
        "they have expired": lab.aws.has_expired(lab.imds.credentials),
    }
    return State(_read_openbao(lab.bao), lab.front_door.mounts_now(), stand_ins)


def put_back(lab: "Laboratory", before: State) -> None:
    """Makes all that `read` reads what it was. AssertionError: what could not be."""
    lab.front_door.settle()
    lab.aws.settle()
    lab.front_door.answer_itself()
    lab.front_door.keep_listeners(before.stand_ins["listeners"])  # type: ignore[arg-type]
    lab.aws.answer_itself()
    lab.aws.keep_keys(before.stand_ins["keys of the user"])  # type: ignore[arg-type]
    # Before the service is settled: a fault may hold requests.
    lab.imds.fault = before.stand_ins["fault of the metadata service"]  # type: ignore[assignment]
    lab.imds.settle()
    lab.imds.version_1 = before.stand_ins["version 1 of the metadata service"]  # type: ignore[assignment]
    lab.imds.hand_out(before.stand_ins["credentials of the metadata service"])  # type: ignore[arg-type]
    if lab.bao.sealed:
        lab.bao.unseal()
    found = _read_openbao(lab.bao)
    if found != before.openbao:
        _put_back_openbao(lab.bao, found, before.openbao)
    lab.front_door.keep_mounts(before.mounts)
    differences = before.differences(read(lab))
    assert not differences, "the test leaves the laboratory changed: " + "; ".join(differences)


# OpenBao

_last: WeakKeyDictionary[OpenBao, tuple[int, Written]] = WeakKeyDictionary()


def _read_openbao(bao: OpenBao) -> Written:
    """Asked only where something has been written since it was asked last."""
    writes = bao.writes
    known = _last.get(bao)
    if known is None or known[0] != writes:
        known = _last[bao] = (writes, _ask(bao))
    return known[1]


def _ask(bao: OpenBao) -> Written:
    if bao.sealed:
        return {"sys/seal": {}}
    found: Written = {QUOTA_RULES: bao.expect("GET", QUOTA_RULES)["data"]}
    for methods in (METHODS, ENGINES):
        for path, mount in bao.expect("GET", methods)["data"].items():
            found[f"{methods}/{path.rstrip('/')}"] = {"type": mount["type"]}
            if mount["type"] == "approle":
                found |= _listed(bao, f"auth/{path}role", lambda key: key.startswith("token_"))
    found |= _listed(bao, POLICIES, lambda key: key == "policy")
    found |= _listed(bao, QUOTAS, lambda key: True)
    return found | {f"{NAMESPACES}/{name.rstrip('/')}": {} for name in bao.keys(NAMESPACES)}


def _listed(bao: OpenBao, place: str, wanted: Callable[[str], bool]) -> Written:
    found = {f"{place}/{name}": bao.expect("GET", f"{place}/{name}")["data"] for name in bao.keys(place)}
    return {path: {key: value for key, value in data.items() if wanted(key)} for path, data in found.items()}


def _put_back_openbao(bao: OpenBao, found: Written, before: Written) -> None:
    """What was not there goes, a role before its mount; what is otherwise is written, a mount before its roles."""
    for path in reversed(found):
        if path not in before:
            bao.call("DELETE", path)
    # A namespace goes when all that is in it has gone.
    expected = sorted(path.removeprefix(f"{NAMESPACES}/") + "/" for path in before if path.startswith(NAMESPACES))
    wait_until(lambda: sorted(bao.keys(NAMESPACES)) == expected, 10, "the namespaces that were there before")
    for path, value in before.items():
        if found.get(path) != value:
            bao.expect("POST", path, value)
