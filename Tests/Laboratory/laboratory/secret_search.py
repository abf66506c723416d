"""Looks for secrets where none may stand: logs, output, status files, command lines."""

import base64
import urllib.parse
from collections.abc import Iterable

SHORTEST = 8


def forms(secret: str) -> set[str]:
    """A secret as it stands, and as it looks when it was encoded on its way."""
    raw = secret.encode()
    found = {secret, urllib.parse.quote(secret, safe=""), raw.hex()}
    # Base64 depends on what stands before: three alignments, less the characters that neighbours take part in.
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        found.add(encoded[(shift * 8 + 5) // 6 : -1])
    return {form for form in found if len(form) >= SHORTEST}


def secrets_in(text: str, secrets: Iterable[str]) -> list[str]:
    """Which secrets stand in a text: each by its first four characters and length, so that the report holds none."""
    found = []
    for secret in secrets:
        if len(secret) >= SHORTEST and any(form in text for form in forms(secret)):
            found.append(f"{secret[:4]}… ({len(secret)} characters)")
    return found
