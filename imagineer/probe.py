"""Asks a running web process whether it is well: `python -m imagineer.probe` ends with 0 when it is.

Standard library only, so that a container's health check costs milliseconds.
"""

import http.client
import os
import sys
from contextlib import closing

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, never bound


def is_healthy(host: str, port: int, *, site: str = "localhost", timeout: float = 3.0) -> bool:
    """`site` is the Host header: one that ALLOWED_HOSTS accepts."""
    connection = http.client.HTTPConnection(reachable(host), port, timeout=timeout)
    with closing(connection):
        try:
            connection.request("GET", "/healthz", headers={"Host": site, "X-Forwarded-Proto": "https"})
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False


def reachable(host: str) -> str:
    """An address that leads to a server which listens on `host`."""
    return EVERYWHERE.get(host, host)


def site_name(allowed: list[str]) -> str:
    """A name for the Host header, from ALLOWED_HOSTS: `*` allows any, `.example.org` the domain itself."""
    first = allowed[0] if allowed else "*"
    return "localhost" if first == "*" else first.lstrip(".")


def main() -> int:
    allowed = os.environ.get("ALLOWED_HOSTS", "").replace(",", " ").split()
    host, port = os.environ.get("HOST") or "127.0.0.1", int(os.environ.get("PORT") or 8000)
    return 0 if is_healthy(host, port, site=site_name(allowed)) else 1


if __name__ == "__main__":
    sys.exit(main())
