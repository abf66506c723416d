"""TLS with a CA of one's own and client certificates asked for, against a server that insists on both."""

import copy

import pytest
from cryptography import x509

from laboratory.certificates import PASSPHRASE
from laboratory.processes import wait_until
from laboratory.web import Reply


@pytest.fixture
def configuration(tls_lab, tmp_path):
    made = tls_lab.configuration(tmp_path, address=tls_lab.tls_url)
    certificates = tls_lab.certificates
    made["vault"]["tls"] = {
        "ca_cert": str(certificates.authority),
        "client_cert": str(certificates.client.certificate),
        "client_key": str(certificates.client.key),
    }
    return made


def start(tls_lab, tmp_path, configuration, **tls):
    changed = copy.deepcopy(configuration)
    changed["vault"]["tls"].update(tls)
    changed["vault"]["tls"] = {key: value for key, value in changed["vault"]["tls"].items() if value is not None}
    return tls_lab.agent(folder=tmp_path, configuration=changed)


def test_a_token_comes_over_mutual_tls_and_is_renewed(tls_lab, tmp_path, configuration):
    tls_lab.role("short", ttl="12s")
    configuration["tokens"][0]["auth"]["role"] = "short"
    run = start(tls_lab, tmp_path, configuration)
    token = run.wait_for_token(10)
    run.wait_for_log("Token renewed", 20)
    assert run.token() == token and tls_lab.bao.remaining(token) is not None
    run.stop()


def test_without_ca_cert_the_cas_of_the_systems_openssl_count_and_with_it_they_do_not(tls_lab, tmp_path, configuration):
    certificates = tls_lab.certificates
    systems = {"SSL_CERT_FILE": str(certificates.authority)}
    configuration["vault"]["tls"]["ca_cert"] = str(certificates.other_authority)
    run = tls_lab.agent(folder=tmp_path / "other", configuration=configuration, environment=systems)
    run.wait_for_log("certificate", 10)
    assert run.token() is None
    run.stop()
    del configuration["vault"]["tls"]["ca_cert"]
    run = tls_lab.agent(folder=tmp_path, configuration=configuration, environment=systems)
    run.wait_for_token(10)
    run.stop()


def test_a_key_pair_that_is_replaced_counts_from_the_next_request_on(tls_lab, tmp_path, configuration):
    tls_lab.role("short", ttl="12s")
    configuration["tokens"][0]["auth"]["role"] = "short"
    paths = {"client_cert": tmp_path / "client.pem", "client_key": tmp_path / "client.key"}

    def put(*, certificate, key):
        for path, content in zip(paths.values(), (certificate.read_bytes(), key.read_bytes()), strict=True):
            new = path.with_suffix(".new")
            new.write_bytes(content)
            new.rename(path)

    first, second = tls_lab.certificates.client, tls_lab.certificates.issue("second-client", [])
    put(certificate=first.certificate, key=first.key)
    run = start(tls_lab, tmp_path, configuration, **{key: str(path) for key, path in paths.items()})
    token = run.wait_for_token(10)
    # Half of a replacement: the new certificate stands beside the old key. It has no use, and is said with its name.
    put(certificate=second.certificate, key=first.key)
    run.wait_for_log(f"client key {paths['client_key']}.*does not belong to the certificate", 10)
    put(certificate=second.certificate, key=second.key)
    wait_until(lambda: serial(second) in shown(tls_lab, run), 20, "a request with the new pair")
    serials = shown(tls_lab, run)
    assert set(serials[: serials.index(serial(second))]) == {serial(first)}
    replaced = serials.index(serial(second))
    # Over the new pair the newest token lives on.
    wait_until(lambda: len(shown(tls_lab, run)) >= replaced + 2, 20, "two more requests")
    assert set(shown(tls_lab, run)[replaced:]) == {serial(second)}
    assert tls_lab.bao.remaining(run.token()) is not None, (token, run.log)
    run.stop()


def shown(tls_lab, run) -> list[int | None]:
    """Of the client certificates that came with the requests of this run, in order."""
    return [each.client for each in tls_lab.front_door.exchanges if each.at >= run.started]


def serial(pair) -> int:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes()).serial_number


def test_an_encrypted_key_with_a_passphrase_file(tls_lab, tmp_path, configuration):
    passphrase = tmp_path / "passphrase"
    passphrase.write_text(PASSPHRASE + "\n")
    passphrase.chmod(0o600)
    tls_lab.keep_secret(PASSPHRASE)
    run = start(
        tls_lab,
        tmp_path,
        configuration,
        client_key=str(tls_lab.certificates.client_encrypted.key),
        client_key_passphrase_file=str(passphrase),
    )
    run.wait_for_token(10)
    run.stop()


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        ({"ca_cert": "other"}, "certificate"),
        ({"client_cert": None, "client_key": None}, "client certificate|certificate required|handshake"),
    ],
    ids=["another CA", "no client certificate"],
)
def test_a_refusal_names_the_certificate_and_no_token_comes(tls_lab, tmp_path, configuration, tls, words):
    if tls.get("ca_cert") == "other":
        tls = {"ca_cert": str(tls_lab.certificates.other_authority)}
    run = start(tls_lab, tmp_path, configuration, **tls)
    run.wait_for_log(words, 10)
    assert run.child.running and run.token() is None
    run.stop()


def test_a_wrong_name_is_refused_and_server_name_overrides_it(tls_lab, tmp_path, configuration):
    configuration["vault"]["address"] = tls_lab.wrong_name_url
    run = start(tls_lab, tmp_path / "refused", configuration)
    run.wait_for_log("elsewhere.example.com|127.0.0.1", 10)
    assert run.token() is None
    run.stop()
    run = start(tls_lab, tmp_path, configuration, server_name="elsewhere.example.com")
    run.wait_for_token(10)
    run.stop()


def test_skipping_verification_warns_loudly(tls_lab, tmp_path, configuration):
    configuration["vault"]["address"] = tls_lab.wrong_name_url
    run = start(tls_lab, tmp_path, configuration, skip_verify=True, ca_cert=None)
    run.wait_for_token(10)
    run.wait_for_log("skip_verify|not verified", 5)
    run.stop()


def test_openbao_itself_is_spoken_to_in_http_2(tls_lab, tmp_path, configuration):
    # The front door, which takes the login, speaks HTTP/1.1; it sends all else on to OpenBao by 307, as a standby does.
    tls_lab.role("short", ttl="4s")
    configuration["tokens"][0]["auth"]["role"] = "short"
    for path in ("auth/token/renew-self", "auth/token/lookup-self"):
        there = Reply(307, b"", [("Location", f"{tls_lab.bao.url}/v1/{path}")])
        tls_lab.front_door.answer(path, there, times=1_000)
    run = start(tls_lab, tmp_path, configuration)
    run.wait_for_token(10)
    wait_until(lambda: tls_lab.bao.asked_in_http2("auth/token/renew-self") >= 2, 30, "two renewals in HTTP/2")
    assert tls_lab.bao.remaining(run.token() or "none") is not None
    run.stop()


def test_a_unix_socket_and_a_list_of_addresses(lab, tmp_path):
    socket = lab.folder / "front-door.sock"
    lab.front_door.listen(unix=socket)
    run = lab.agent(address=["http://127.0.0.1:1", f"unix://{socket}"])
    run.wait_for_token(10)
    run.stop()


def test_the_ca_may_come_as_text_in_a_variable(tls_lab, tmp_path, configuration):
    del configuration["vault"]["tls"]["ca_cert"]
    text = tls_lab.certificates.authority.read_text()
    run = tls_lab.agent(folder=tmp_path, configuration=configuration, environment={"VAULT_CACERT_BYTES": text})
    run.wait_for_token(10)
    run.stop()
