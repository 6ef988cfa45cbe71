"""TLS for a server that has none of its own: a certificate, and nginx in front."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.lab.parts import command, free_port, listens, require, running


@dataclass(frozen=True)
class Certificate:
    """PEM files."""

    certificate: Path
    key: Path


def self_signed(address: str, directory: Path) -> Certificate:
    """A certificate for an IP address that nobody has reason to trust."""
    require("openssl")
    made = Certificate(directory / "certificate.pem", directory / "key.pem")
    command(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-nodes", "-days", "2", "-subj", "/CN=lab", "-addext", f"subjectAltName=IP:{address}"),
        *("-keyout", str(made.key), "-out", str(made.certificate)),
    )
    return made


@contextlib.contextmanager
def nginx(upstream: str, address: str, certificate: Certificate, directory: Path) -> Iterator[str]:
    """The https URL at which nginx passes on to `upstream`, WebSockets too."""
    require("nginx")
    port = free_port(address)
    configuration = directory / "nginx.conf"
    configuration.write_text(
        _NGINX.format(
            directory=directory,
            address=address,
            port=port,
            certificate=certificate.certificate,
            key=certificate.key,
            upstream=urlsplit(upstream).netloc,
        )
    )
    words = ["nginx", "-p", str(directory), "-c", str(configuration), "-e", "stderr"]
    with running(words, directory / "nginx.txt", lambda: listens(address, port)):
        yield f"https://{address}:{port}"


_NGINX = """\
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; "" close; }}
    server {{
        listen {address}:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location / {{
            proxy_pass http://{upstream};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_buffering off;
            proxy_read_timeout 100s;
        }}
    }}
}}
"""
