"""What the agent has inside and what it loads: a lean libcurl of the distribution's patched source, in every build."""

import re
import subprocess

from laboratory.agent import PROJECT, agent_binary

# Nothing of these belongs into a process that holds credentials.
NOT_LOADED = r"lib(curl|nghttp2|expat|ldap|lber|sasl2|gssapi|krb5|ssh|rtmp|gnutls|nettle|idn2|psl|brotli|Foundation)"


def output(*command: object) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def test_libcurl_is_inside_with_the_distributions_patches_and_brings_no_other_library():
    said = output(agent_binary(), "version", "--verbose")
    assert re.search(r"^libcurl +libcurl/[\d.]+ OpenSSL/3[\d.]+ nghttp2/[\d.]+$", said, re.MULTILINE), said
    assert re.search(r"^source +\w+'s curl [\w.:+~-]+, nghttp2 [\w.:+~-]+$", said, re.MULTILINE), said
    assert "patches  " in said and re.search(r"CVE-\d{4}-\d+", said), said
    loaded = re.findall(r"^\s*(\S+)", output("ldd", agent_binary()), re.MULTILINE)
    assert not [name for name in loaded if re.match(NOT_LOADED, name) and "Foundation" not in name]


def test_the_headers_are_those_of_the_library():
    header = (PROJECT / ".libraries/include/curl/curlver.h").read_text()
    version = re.search(r'LIBCURL_VERSION "([\d.]+)"', header).group(1)
    assert f"libcurl/{version} " in output(agent_binary(), "version", "--verbose")
