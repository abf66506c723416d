"""Looks for secrets where none may stand, in every form in which one may have got there."""

import base64
import functools
import json
import urllib.parse
from collections.abc import Iterable, Mapping

# Shorter ones stand everywhere by chance.
SHORTEST = 8


class SecretLeaked(AssertionError):
    """A secret stood where none may."""


@functools.lru_cache(maxsize=100_000)
def forms(secret: str) -> frozenset[bytes]:
    """A secret as it stands, and as it looks when it was encoded on its way: for URLs, in hex, in base64, in JSON."""
    raw = secret.encode()
    quoted = urllib.parse.quote(secret, safe="")
    escaped = json.dumps(secret)[1:-1]
    found = {secret, quoted, quoted.lower(), urllib.parse.quote_plus(secret), urllib.parse.quote(secret)}
    found |= {"".join(f"%{byte:02X}" for byte in raw), "".join(f"%{byte:02x}" for byte in raw)}
    found |= {raw.hex(), raw.hex().upper(), raw.hex(" "), raw.hex(":")}
    found |= {escaped, escaped.replace("/", "\\/")}
    for digits in ("{:04x}", "{:04X}"):
        found.add("".join(f"\\u{digits.format(ord(each))}" for each in secret))
        found.add("".join(each if each.isalnum() else f"\\u{digits.format(ord(each))}" for each in secret))
    # Base64 depends on what stands before: three alignments, less the characters that neighbours take part in.
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            encoded = encode(b"\0" * shift + raw).decode().rstrip("=")
            found.add(encoded[(shift * 8 + 5) // 6 : -1])
    return frozenset(form.encode() for form in found if len(form) >= SHORTEST)


def secrets_in(data: bytes | str, secrets: Iterable[str]) -> list[str]:
    """Which secrets stand there: each by its first four characters and length, so that the report holds none."""
    if isinstance(data, str):
        data = data.encode(errors="surrogateescape")
    found = []
    for secret in secrets:
        if len(secret) >= SHORTEST and any(form in data for form in forms(secret)):
            found.append(f"{secret[:4]}… ({len(secret)} characters)")
    return found


def insist_on_none(places: Mapping[str, bytes], secrets: Iterable[str]) -> None:
    """SecretLeaked: which of the secrets stand where."""
    secrets = set(secrets)
    # Nearly always there are none: one search through all.
    if not secrets_in(b"\0".join(places.values()), secrets):
        return
    told = {place: secrets_in(data, secrets) for place, data in places.items()}
    raise SecretLeaked("; ".join(f"in {place}: {', '.join(found)}" for place, found in told.items() if found))
