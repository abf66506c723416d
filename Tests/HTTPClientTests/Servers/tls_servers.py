#!/usr/bin/env python3
"""HTTPS servers on free loopback ports, one for each arrangement that the tests need.

Makes its certificates with the openssl command in a temporary directory, prints `dir PATH` and one `NAME PORT` line for
each server, then `ready`, and serves until its standard input ends.

Every answer's body says, a line each: the request's method and path, the TLS version, the SNI name, the Host field, the
client certificate's common name, the token sent, and which of the server's connections it came by. A path beginning
with /redirect?URL is answered with a 307 to that URL. Where nghttpd is installed, it serves HTTP/2 as `http2`.
"""

import contextlib
import http.server
import os
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

CA_CONFIG = """
[ca]
default_ca = ca
[ca]
database = {dir}/index.txt
new_certs_dir = {dir}
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
"""


class Authority:
    """A certificate authority of the openssl command's `ca` application, which can set dates in the past."""

    def __init__(self, directory, name):
        self.directory = directory
        self.name = name
        (directory / f"{name}-db").mkdir()
        (directory / f"{name}-db" / "index.txt").touch()
        self.config = directory / f"{name}.cnf"
        self.config.write_text(CA_CONFIG.format(dir=directory / f"{name}-db"))
        openssl(
            "req",
            "-x509",
            *new_key(directory / f"{name}.key"),
            "-out",
            directory / f"{name}.pem",
            "-subj",
            f"/CN=Test CA {name}",
            "-days",
            "2",
            "-addext",
            "keyUsage=keyCertSign",
        )

    def issue(self, name, subject_alt_name=None, start="20200101000000Z", end="20491231235959Z"):
        extension = ["-addext", f"subjectAltName={subject_alt_name}"] if subject_alt_name else []
        base = self.directory / name
        openssl("req", "-new", *new_key(f"{base}.key"), "-out", f"{base}.csr", "-subj", f"/CN={name}", *extension)
        openssl(
            "ca",
            "-batch",
            "-notext",
            "-config",
            self.config,
            "-in",
            f"{base}.csr",
            "-out",
            f"{base}.pem",
            "-cert",
            self.directory / f"{self.name}.pem",
            "-keyfile",
            self.directory / f"{self.name}.key",
            "-startdate",
            start,
            "-enddate",
            end,
        )


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"openssl {arguments}: {done.stderr}")


def new_key(path):
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path]


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        try:
            self.request.do_handshake()
        except (ssl.SSLError, OSError) as error:
            # Read on to the end: closed with bytes unread, the connection would be reset, and the alert with it.
            with socket.socket(fileno=self.request.detach()) as plain:
                if self.server.curt:
                    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    raise ConnectionAbortedError from error
                plain.shutdown(socket.SHUT_WR)
                while plain.recv(4096):
                    pass
            raise ConnectionAbortedError from error
        self.server.accepted += 1
        self.number = self.server.accepted
        super().setup()

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        subject = (self.connection.getpeercert() or {}).get("subject", ())
        name = next((value for part in subject for key, value in part if key == "commonName"), "-")
        lines = [
            f"{self.command} {self.path}",
            self.connection.version(),
            getattr(self.connection, "sni", None) or "-",
            self.headers.get("Host", "-"),
            name,
            self.headers.get("X-Vault-Token", "-"),
            str(self.number),
        ]
        body = "\n".join(lines).encode()
        if self.path.startswith("/redirect?"):
            self.send_response(307)
            self.send_header("Location", self.path.split("?", 1)[1])
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    accepted = 0
    # Whether it resets a connection whose handshake fails, so that the alert may get lost.
    curt = False

    def handle_error(self, request, address):
        pass


def serve(name, context, curt=False):
    def remember_name(connection, server_name, _):
        connection.sni = server_name

    context.sni_callback = remember_name
    server = Server(("127.0.0.1", 0), Answer)
    server.curt = curt
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(name, server.server_address[1])


def serve_http2(directory):
    """nghttpd, which speaks HTTP/2 only; Debian's package nghttp2-server. Absent where that is not installed."""
    program = shutil.which("nghttpd")
    if not program:
        return None
    (directory / "site").mkdir()
    (directory / "site" / "file").write_text("over HTTP/2\n")
    # It cannot choose a free port and say which. This one is held, without listening, until nghttpd listens there too.
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind(("127.0.0.1", 0))
    port = place.getsockname()[1]
    process = subprocess.Popen(
        [
            program,
            "--address=127.0.0.1",
            "--htdocs",
            directory / "site",
            "--echo-upload",
            str(port),
            directory / "good.key",
            directory / "good.pem",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            print("http2", port)
            place.close()
            return process
        time.sleep(0.02)
    sys.exit("nghttpd did not start")


def main():
    # Whatever connections of the tests were inherited: held here, they would stay open when the tests close them.
    os.closerange(3, 4096)
    with tempfile.TemporaryDirectory(prefix="vault-token-agent-tls-") as temporary:
        directory = pathlib.Path(temporary)

        def context(certificate, client_certificates=False):
            made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            made.load_cert_chain(directory / f"{certificate}.pem", directory / f"{certificate}.key")
            if client_certificates:
                made.verify_mode = ssl.CERT_REQUIRED
                made.load_verify_locations(directory / "main.pem")
            return made

        main_ca, other_ca = Authority(directory, "main"), Authority(directory, "other")
        main_ca.issue("good", "DNS:vault.test,IP:127.0.0.1")
        main_ca.issue("elsewhere", "DNS:a.example,DNS:b.example,IP:192.0.2.1")
        main_ca.issue("past", "IP:127.0.0.1", end="20200102000000Z")
        main_ca.issue("future", "IP:127.0.0.1", start="20481231235959Z")
        other_ca.issue("stranger", "IP:127.0.0.1")
        for client in ["client", "client2"]:
            main_ca.issue(client)
        other_ca.issue("client-of-other")
        (directory / "passphrase").write_text("open sesame\n")
        (directory / "wrong-passphrase").write_text("open barley\n")
        openssl(
            "pkcs8",
            "-topk8",
            "-in",
            directory / "client.key",
            "-out",
            directory / "client-encrypted.key",
            "-passout",
            f"file:{directory / 'passphrase'}",
        )
        (directory / "both.pem").write_text(
            (directory / "client.pem").read_text() + (directory / "client.key").read_text()
        )
        (directory / "empty").touch()
        (directory / "text.pem").write_text("no certificate\n")
        (directory / "authorities").mkdir()
        (directory / "authorities" / "README").write_text("Our CAs, one a file.\n")
        for ca in ["main", "other"]:
            (directory / "authorities" / f"{ca}.pem").symlink_to(directory / f"{ca}.pem")
        (directory / "authorities" / "0a1b2c3d.0").symlink_to(directory / "main.pem")
        (directory / "no-authorities").mkdir()

        print("dir", directory)
        for name in ["good", "elsewhere", "past", "future", "stranger"]:
            serve(name, context(name))
        serve("mutual", context("good", client_certificates=True))
        mutual12 = context("good", client_certificates=True)
        mutual12.maximum_version = ssl.TLSVersion.TLSv1_2
        serve("mutual12", mutual12)
        serve("curt", context("good", client_certificates=True), curt=True)
        serve("curt12", mutual12, curt=True)
        old = context("good")
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        serve("old", old)
        http2 = serve_http2(directory)
        print("ready", flush=True)
        sys.stdin.read()
        if http2:
            http2.kill()
            http2.wait()


if __name__ == "__main__":
    main()
