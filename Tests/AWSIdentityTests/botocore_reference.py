"""What botocore makes of the same input: the reference that AWSIdentity is compared with.

    botocore_reference.py signatures COUNT   generated requests, and how botocore signs them
    botocore_reference.py endpoints          STS's endpoint for every region and preference
    botocore_reference.py files COUNT        generated INI files, and how botocore reads them
    botocore_reference.py words COUNT        generated command lines, and how botocore splits them
    botocore_reference.py answers CASES      what botocore's credential chain finds in each case's folder

Prints one JSON document a line. Nothing is sent: the wire under botocore's chain is played from the case.
"""

import contextlib
import datetime
import itertools
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import unittest.mock
import warnings
from urllib.parse import urlsplit

import botocore
import botocore.auth
import botocore.awsrequest
import botocore.compat
import botocore.configloader
import botocore.credentials
import botocore.endpoint_provider
import botocore.exceptions
import botocore.httpsession
import botocore.loaders
import botocore.session
import botocore.utils

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


# Signatures


def frozen(moment):
    """Has botocore sign at that moment; the function's place has moved between its versions."""
    modules = [m for m in (botocore.auth, botocore.compat) if hasattr(m, "get_current_datetime")]
    patches = contextlib.ExitStack()
    for module in modules:
        patches.enter_context(
            unittest.mock.patch.object(module, "get_current_datetime", lambda **_: moment.replace(tzinfo=None))
        )
    return patches


def random_request(chance):
    word = lambda low, high, more="": "".join(  # noqa: E731
        chance.choice(LETTERS + more) for _ in range(chance.randint(low, high))
    )
    host = chance.choice(["sts.amazonaws.com", "sts.eu-west-1.amazonaws.com", "127.0.0.1:5000", "[fd00:ec2::1]:8443"])
    host = chance.choice([host, f"{word(1, 12)}.example:443", f"{word(1, 12)}.example:80"])
    segments = [
        chance.choice([word(0, 6, "-._~"), word(1, 6, "%20%2F"[:3]), ".", "..", "", "a%20b", "x=y", "(q)", "a:b,c;d"])
        for _ in range(chance.randint(0, 5))
    ]
    path = "/" + "/".join(segments) if segments else chance.choice(["", "/"])
    pairs = [
        chance.choice([word(1, 5), word(1, 5) + "=", word(1, 5) + "=" + word(0, 8, "-._~"), "a=%2F%20", "a", "a=b=c"])
        for _ in range(chance.choice([0, 0, 1, 2, 5]))
    ]
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    for _ in range(chance.randint(0, 4)):
        name = "X-" + word(1, 10, "-")
        value = chance.choice([word(0, 20), "  two   spaces ", "tab\there", word(3, 9) + " , " + word(3, 9), "a;b:c=d"])
        headers[name] = value
    method = chance.choice(["GET", "POST", "PUT"])
    return {
        "method": method,
        "url": f"{chance.choice(['https', 'http'])}://{host}{path}" + ("?" + "&".join(pairs) if pairs else ""),
        "headers": headers,
        "body": "" if method == "GET" else chance.choice(["", word(1, 200, "&=%+ "), "Action=GetCallerIdentity"]),
        "region": chance.choice(["us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1"]),
        "service": chance.choice(["sts", "iam", "ec2", "execute-api"]),
        "access_key_id": "AKIA" + word(12, 16),
        "secret_access_key": word(1, 60, "/+="),
        "session_token": chance.choice([None, word(1, 600, "/+=")]),
        "time": f"20{chance.randint(10, 60)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}T"
        f"{chance.randint(0, 23):02}:{chance.randint(0, 59):02}:{chance.randint(0, 59):02}Z",
    }


def signed(case):
    credentials = botocore.credentials.Credentials(
        case["access_key_id"], case["secret_access_key"], case["session_token"]
    )
    request = botocore.awsrequest.AWSRequest(
        method=case["method"], url=case["url"], data=case["body"].encode() or None, headers=case["headers"]
    )
    moment = datetime.datetime.fromisoformat(case["time"].replace("Z", "+00:00"))
    with frozen(moment):
        botocore.auth.SigV4Auth(credentials, case["service"], case["region"]).add_auth(request)
    return {**case, "authorization": request.headers["Authorization"]}


def signatures(count):
    chance = random.Random(20261121)
    return [signed(random_request(chance)) for _ in range(int(count))]


# Endpoints


def endpoints():
    loader = botocore.loaders.create_loader()
    partitions = loader.load_data("partitions")
    rules = loader.load_service_model("sts", "endpoint-rule-set-1")
    provider = botocore.endpoint_provider.EndpointProvider(rules, partitions)
    regions = {region for partition in partitions["partitions"] for region in partition["regions"]}
    # Pseudo regions but the one that STS's rules know; and regions that nobody has heard of yet.
    regions = {region for region in regions if not region.endswith("-global")}
    regions |= {"aws-global", "us-moon-1", "cn-moon-9"}
    found = []
    for region in sorted(regions):
        for fips, dual_stack, legacy in itertools.product((False, True), repeat=3):
            if region == "aws-global" and (fips or dual_stack):
                continue
            endpoint = provider.resolve_endpoint(
                Region=region, UseFIPS=fips, UseDualStack=dual_stack, UseGlobalEndpoint=legacy
            )
            schemes = endpoint.properties.get("authSchemes") or [{}]
            found.append(
                {
                    "region": region,
                    "fips": fips,
                    "dual_stack": dual_stack,
                    "legacy": legacy,
                    "url": endpoint.url + "/",
                    "signing_region": schemes[0].get("signingRegion", region),
                }
            )
    return found


# Files and command lines


def random_file(chance):
    """Made of pieces that meet each other in odd ways: indents, blank lines, comments, both separators."""
    pieces = ["[default]", "[profile a]", "[b]", "[profile 'x y'] # tail", "key = value", "key=", "other : v = w"]
    pieces += ["", "", "# comment", "; comment", "  indented = 1", "    deeper: 2", "\tby tab = 3", "  words only"]
    pieces += ["KEY = Ünïcode ✓", "= no key", "s3 =", "  a = b", "  c = d=e", "role_arn = arn:aws:iam::1:role/x", "]["]
    pieces += ["word", "k2 == x"]
    lines = [chance.choice(pieces) for _ in range(chance.randint(0, 9))]
    if chance.random() < 0.7:
        lines.insert(0, "[first]")
    # Duplicates make most files errors: numbers keep most keys apart.
    lines = [line.replace("key", f"key{chance.randint(0, 9)}", 1) for line in lines]
    return chance.choice(["\n", "\n", "\r\n"]).join(lines) + chance.choice(["", "\n"])


def files(count):
    chance = random.Random(20261122)
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / "file"
        for _ in range(int(count)):
            text = random_file(chance)
            path.write_bytes(text.encode())
            try:
                sections = botocore.configloader.raw_config_parse(str(path))
            except botocore.exceptions.ConfigParseError as error:
                yield {"text": text, "error": str(error)}
            else:
                yield {"text": text, "sections": sections}


def words(count):
    chance = random.Random(20261123)
    pieces = ["a", "b", " ", "  ", "'", '"', "\\", "$HOME", "#", "\t", "é"]
    for _ in range(int(count)):
        line = "".join(chance.choice(pieces) for _ in range(chance.randint(0, 12)))
        try:
            yield {"line": line, "words": botocore.compat.compat_shell_split(line)}
        except ValueError as error:
            yield {"line": line, "error": str(error)}


def expirations(count):
    """Times as programs write them, put together at random, and what botocore makes of each: seconds since 1970, or
    None where it fails, or is left without a zone and fails later."""
    chance = random.Random(20261128)
    dates = [
        "%Y-%m-%d",
        "%Y/%m/%d",
        "%Y%m%d",
        "%d %b %Y",
        "%a, %d %b %Y",
        "%d-%b-%Y",
        "%B %d, %Y",
        "%m/%d/%Y",
        "%a %b %d %Y",
    ]
    joints = ["T", " ", "t", "  ", ""]
    times = ["%H:%M:%S", "%H%M%S", "%H:%M", "%H", "%H:%M:%S.%f", "%H:%M:%S,%f", "%I:%M %p", "%I:%M:%S%p"]
    zones = [
        "Z",
        "z",
        "UTC",
        " UTC",
        " GMT",
        "+0000",
        "+00:00",
        "-0330",
        "+01",
        " +0100",
        " -08:00",
        "",
        " EST",
        "+00:00Z",
    ]
    for _ in range(int(count)):
        moment = datetime.datetime(2026, 1, 1) + datetime.timedelta(seconds=chance.randrange(10 * 365 * 86_400))
        text = moment.strftime(chance.choice(dates)) + chance.choice(joints)
        text += moment.strftime(chance.choice(times)) + chance.choice(zones)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read = botocore.credentials._parse_if_needed(text)
            except Exception:
                read = None
        yield {"text": text, "seconds": int(read.timestamp() // 1) if read is not None and read.tzinfo else None}


# Answers


class Wire:
    """Plays a case's exchanges under botocore. Order and headers are our own runner's to check: here a request gets the
    first reply left that was written for its method and URL."""

    FAILURES = {
        "refused": botocore.exceptions.EndpointConnectionError,
        "connect_timeout": botocore.exceptions.ConnectTimeoutError,
        "reply_timeout": botocore.exceptions.ReadTimeoutError,
        "lost": botocore.exceptions.ConnectionClosedError,
        "certificate": botocore.exceptions.SSLError,
        # botocore reads whatever comes; this is how it would end.
        "too_long": botocore.exceptions.ReadTimeoutError,
    }

    def __init__(self, exchanges):
        self.exchanges = list(exchanges)

    def send(self, request):
        for index, exchange in enumerate(self.exchanges):
            expected = exchange["request"]
            if (request.method, urlsplit(request.url)) == (expected["method"], urlsplit(expected["url"])):
                del self.exchanges[index]
                return self.reply(request, exchange["reply"])
        raise botocore.exceptions.ConnectTimeoutError(endpoint_url=request.url, error="nothing is written for this")

    def reply(self, request, reply):
        if "failure" in reply:
            raise self.FAILURES[reply["failure"]](endpoint_url=request.url, error="scripted")
        body = reply["body"].encode()
        headers = botocore.awsrequest.HeadersDict(reply["headers"])
        response = botocore.awsrequest.AWSResponse(request.url, reply["status"], headers, raw=None)
        response._content = body
        return response


@contextlib.contextmanager
def stopped_clock(moment):
    """botocore asks several functions for the time; some were bound when its classes were made."""
    with contextlib.ExitStack() as patches:
        botocore.credentials.case_time = moment
        botocore.credentials._local_now.__code__ = (lambda: case_time).__code__  # noqa: F821
        for module in (botocore.utils, botocore.auth, botocore.compat):
            if hasattr(module, "get_current_datetime"):
                patches.enter_context(
                    unittest.mock.patch.object(module, "get_current_datetime", lambda **_: moment.replace(tzinfo=None))
                )
        patches.enter_context(unittest.mock.patch("time.sleep", lambda _: None))
        patches.enter_context(unittest.mock.patch.object(botocore.utils.ContainerMetadataFetcher, "SLEEP_TIME", 0))
        yield


def answer(folder):
    """`none`, `error`, or the keys; and for people what botocore said."""
    with tempfile.TemporaryDirectory() as scratch:
        place = pathlib.Path(scratch) / "case"
        shutil.copytree(folder, place)
        case = json.loads((place / "case.json").read_text())
        environment = {
            "AWS_CONFIG_FILE": "${case}/config",
            "AWS_SHARED_CREDENTIALS_FILE": "${case}/credentials",
            "HOME": "${case}",
            "PATH": os.environ["PATH"],
        } | case.get("environment", {})
        environment = {name: value.replace("${case}", str(place)) for name, value in environment.items()}
        moment = datetime.datetime.fromisoformat(case.get("time", "2026-11-21T09:00:00Z").replace("Z", "+00:00"))
        wire = Wire(case["steps"][0].get("exchanges", []))
        with (
            unittest.mock.patch.dict(os.environ, environment, clear=True),
            unittest.mock.patch.object(
                botocore.httpsession.URLLib3Session, "send", lambda _, request: wire.send(request)
            ),
            stopped_clock(moment),
        ):
            try:
                session = botocore.session.Session(profile=case.get("settings", {}).get("profile"))
                credentials = session.get_credentials()
                if credentials is None:
                    return "none", ""
                frozen_keys = credentials.get_frozen_credentials()
            except Exception as error:
                return "error", f"{type(error).__name__}: {error}"
        keys = (frozen_keys.access_key, frozen_keys.secret_key, frozen_keys.token or "-")
        return " ".join(keys), credentials.method


def answers(folder):
    for place in sorted(path for path in pathlib.Path(folder).iterdir() if path.is_dir()):
        case = json.loads((place / "case.json").read_text())
        if "gives" not in case.get("botocore", {"gives": "the same"}) or "ask" in case["steps"][0]:
            continue
        found, detail = answer(place)
        yield {"case": place.name, "answer": found, "detail": detail}


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    commands = {function.__name__: function for function in (signatures, endpoints, files, words, expirations, answers)}
    for document in commands[command](*arguments):
        print(json.dumps(document))
