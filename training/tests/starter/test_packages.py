import base64
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from training.starter import packages
from training.starter.packages import Package, PackageError, fetch_package


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("package/icons.json", "package/index.js", "package/icons.json/../../../evil", "../icons.json"):
            entry = tarfile.TarInfo(name)
            entry.size = 2
            tar.addfile(entry, io.BytesIO(b"{}"))
        link = tarfile.TarInfo("package/icons.json.link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return buffer.getvalue()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A registry on loopback that serves one small package."""
    folder = tmp_path / "registry"
    (folder / "@test/set/-").mkdir(parents=True)
    (folder / "@test/set/-/set-1.0.0.tgz").write_bytes(archive())
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(packages, "REGISTRY", f"http://127.0.0.1:{server.server_port}")
        yield folder
        server.shutdown()


def package(sha512: str | None = None) -> Package:
    right = base64.b64encode(hashlib.sha512(archive()).digest()).decode()
    return Package("@test/set", "1.0.0", sha512 or right, "MIT", ("icons.json",))


@pytest.mark.usefixtures("registry")
def test_only_wanted_regular_files_are_unpacked(tmp_path: Path):
    folder = fetch_package(package(), tmp_path)
    assert folder.name == "test-set-1.0.0"
    assert [path.name for path in folder.rglob("*")] == ["icons.json"]
    assert not (tmp_path / "evil").exists()


@pytest.mark.usefixtures("registry")
def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path):
    with pytest.raises(PackageError, match="not the pinned file"):
        fetch_package(package("A" * 86 + "=="), tmp_path)
    assert not list(tmp_path.glob("test-*"))


def test_a_package_that_is_there_is_not_fetched_again(registry: Path, tmp_path: Path):
    fetch_package(package(), tmp_path)
    (registry / "@test/set/-/set-1.0.0.tgz").unlink()
    assert fetch_package(package(), tmp_path).is_dir()


@pytest.mark.usefixtures("registry")
def test_a_missing_package_is_one_sentence(tmp_path: Path):
    missing = Package("@test/none", "2.0.0", "A" * 88, "MIT", ())
    with pytest.raises(PackageError, match=r"@test/none 2\.0\.0 could not be downloaded"):
        fetch_package(missing, tmp_path)
