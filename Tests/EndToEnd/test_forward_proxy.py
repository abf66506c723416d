"""Vault behind a forward proxy: HTTPS_PROXY with a login, NO_PROXY, and what never goes by a proxy.

The proxy is tinyproxy. It and the agent see an /etc/hosts in which vault.example.com is the laboratory: a proxy is
never used for loopback addresses.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from laboratory.laboratory import Laboratory
from laboratory.processes import Child, free_port, unshared, wait_until

VAULT = "vault.example.com"
USER, PASSWORD = "agent", "the-proxy-s-own-password"
NOWHERE = "http://127.0.0.1:1"


class ForwardProxy:
    """tinyproxy, which lets only those through who know the password."""

    def __init__(self, folder: Path, sees_hosts: tuple[str, ...]):
        folder.mkdir()
        self.port = free_port()
        configuration = folder / "tinyproxy.conf"
        configuration.write_text(
            f"Port {self.port}\nListen 127.0.0.1\nLogLevel Connect\nTimeout 30\nMaxClients 20\n"
            f"BasicAuth {USER} {PASSWORD}\n"
        )
        self._child = Child(
            [*sees_hosts, "tinyproxy", "-d", "-c", configuration],
            environment={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            output=folder / "log",
        )
        wait_until(self._listens, 10, "tinyproxy listening")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def tunnels(self) -> int:
        """How many it was asked for."""
        return self._child.output.read_text().count(f"CONNECT {VAULT}")

    def url(self, password: str = PASSWORD) -> str:
        return f"http://{USER}:{password}@127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._child.stop()


@pytest.fixture(scope="module")
def sees_hosts(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    hosts = tmp_path_factory.mktemp("hosts") / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {VAULT}\n")
    return (*unshared("--mount"), "sh", "-ec", 'mount --bind "$0" /etc/hosts; exec "$@"', str(hosts))


@pytest.fixture
def proxy(tls_lab: Laboratory, tmp_path: Path, sees_hosts: tuple[str, ...]) -> Iterator[ForwardProxy]:
    tls_lab.may_hold.add(tmp_path / "proxy" / "tinyproxy.conf")
    made = ForwardProxy(tmp_path / "proxy", sees_hosts)
    yield made
    made.stop()


@pytest.fixture
def start(tls_lab: Laboratory, tmp_path: Path, sees_hosts: tuple[str, ...]):
    """Starts an agent that knows Vault by its name, with more in its environment; all it ever logs is searched for the
    proxy's password.
    """
    tls_lab.keep_secret(PASSWORD)
    tls_lab.role("short", ttl="12s")
    certificates = tls_lab.certificates
    named = certificates.issue("forward-proxy", [x509.DNSName(VAULT)])
    url = tls_lab.front_door.listen(tls=tls_lab.server_tls(named)).url

    def started(environment: dict[str, str], command: tuple[str, ...] = ("run",)):
        folder = tmp_path / "agent"
        configuration = tls_lab.configuration(folder, address=url.replace("127.0.0.1", VAULT), role="short")
        configuration["log"]["level"] = "debug"
        configuration["vault"]["tls"] = {
            "ca_cert": str(certificates.authority),
            "client_cert": str(certificates.client.certificate),
            "client_key": str(certificates.client.key),
        }
        return tls_lab.agent(
            folder=folder,
            configuration=configuration,
            environment=environment,
            command=command,
            prefix=sees_hosts,
        )

    return started


def test_login_and_renewals_go_by_the_proxy_which_is_told_its_password(tls_lab, proxy, start):
    run = start({"HTTPS_PROXY": proxy.url(), "http_proxy": NOWHERE})
    token = run.wait_for_token(10)
    run.wait_for_log("Token renewed", 20)
    assert run.token() == token and tls_lab.bao.remaining(token) is not None
    assert proxy.tunnels > 0
    run.stop()


@pytest.mark.parametrize("password", ["wrong-password-of-a-proxy", PASSWORD], ids=["refused", "not there"])
def test_a_proxy_that_is_in_the_way_is_named_without_its_password(tls_lab, proxy, start, password):
    tls_lab.keep_secret(password)
    if password == PASSWORD:
        proxy.stop()
    run = start({"HTTPS_PROXY": proxy.url(password)})
    line = run.wait_for_log("vault_unreachable", 10)
    assert f"the proxy 127.0.0.1:{proxy.port} does not lead to {VAULT}" in line, line
    assert ("refused" if password == PASSWORD else "401") in line, line
    assert "HTTPS_PROXY" in line
    run.stop()
    finished = start({"HTTPS_PROXY": proxy.url(password)}, command=("doctor",)).finish()
    assert finished.status == 1 and f"the proxy 127.0.0.1:{proxy.port}" in finished.output


@pytest.mark.parametrize("exception", [VAULT, ".example.com", "*"])
def test_what_NO_PROXY_names_is_asked_directly(tls_lab, proxy, start, exception):
    run = start({"HTTPS_PROXY": proxy.url(), "NO_PROXY": f"other.test,{exception}"})
    assert tls_lab.bao.remaining(run.wait_for_token(10)) is not None
    assert proxy.tunnels == 0
    run.stop()
