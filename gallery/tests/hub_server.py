"""A model hub on loopback that speaks as much of the hub's protocol as a download needs."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34


class Hub(ThreadingHTTPServer):
    """Serves the files below `root` as the repository `hub_id`.

    `break_after` cuts the first download of a larger file off after so many bytes; `damage` sends other bytes of
    the same length. `asked` lists (method, path, Range header).
    """

    daemon_threads = True

    def __init__(self, root: Path, hub_id: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.hub_id = hub_id
        self.asked: list[tuple[str, str, str]] = []
        self.break_after: int | None = None
        self.damage = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def files(self) -> list[str]:
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that a test cuts off are no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append((self.command, path, self.headers.get("Range", "")))
        resolve = f"/{self.server.hub_id}/resolve/"
        if path.startswith(f"/api/models/{self.server.hub_id}/tree/"):
            self._send(200, json.dumps(self._tree()).encode(), body=body, kind="application/json")
        elif path.startswith(f"/api/models/{self.server.hub_id}"):
            self._send(200, json.dumps(self._info()).encode(), body=body, kind="application/json")
        elif path.startswith(resolve) and self._file(path, resolve).is_file():
            self._send_file(self._file(path, resolve), body=body)
        else:
            self._send(404, b"{}", body=body, extra={"X-Error-Code": "RepoNotFound"})

    def _file(self, path: str, resolve: str) -> Path:
        return self.server.root / path.removeprefix(resolve).partition("/")[2]

    def _tree(self) -> list[dict[str, Any]]:
        entries = []
        for sibling in self._info()["siblings"]:
            lfs = sibling.get("lfs")
            entry = {"type": "file", "path": sibling["rfilename"], "size": sibling["size"], "oid": sibling["blobId"]}
            entries.append({**entry, "lfs": {**lfs, "oid": lfs["sha256"]}} if lfs else entry)
        return entries

    def _info(self) -> dict[str, Any]:
        siblings = []
        for name in self.server.files():
            data = (self.server.root / name).read_bytes()
            entry: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
            if name.endswith(".safetensors"):
                entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            siblings.append(entry)
        card = {"license": "mit"}
        return {"id": self.server.hub_id, "sha": COMMIT, "siblings": siblings, "cardData": card, "tags": []}

    def _send_file(self, path: Path, *, body: bool) -> None:
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if self.server.damage and path.suffix == ".safetensors":
            data = data[:-1] + bytes([data[-1] ^ 1])
        extra = {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").partition("-")[0] or 0) if wanted else 0
        if start:
            extra["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cut = self.server.break_after
        if body and cut is not None and len(data) > cut:
            self.server.break_after = None
            self._send(200, data[start:], body=True, extra=extra, cut=cut)
            self.close_connection = True
            self.connection.close()
            return
        self._send(206 if start else 200, data[start:], body=body, extra=extra)

    def _send(
        self,
        status: int,
        data: bytes,
        *,
        body: bool,
        kind: str = "application/octet-stream",
        extra: dict[str, str] | None = None,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(extra or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data if cut is None else data[:cut])
            self.wfile.flush()


@contextmanager
def serving(root: Path, hub_id: str) -> Iterator[Hub]:
    hub = Hub(root, hub_id)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
