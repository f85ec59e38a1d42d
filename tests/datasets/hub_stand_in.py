"""A hub on this machine, its repositories folders.

It speaks as much of the hub's protocol as its library needs to list and read public files.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

COMMIT = "c0ffee" + "0" * 34
_API = re.compile(r"/api/datasets/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/[^/]+/?(.*))?")
_FILE = re.compile(r"/datasets/([^/]+/[^/]+)/resolve/[^/]+/(.*)")


@contextmanager
def hub(repos: Path) -> Generator[str]:
    """Serves `<repos>/OWNER/NAME/...` at the address that it returns."""

    class Handler(_Handler):
        folder = repos

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _said(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, thing: object) -> None:
        self._said(200, msgspec.json.encode(thing), Content_Type="application/json")

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        if match := _API.fullmatch(path):
            self._about(self.folder / match[1], match[2] or "revision", match[3] or "", body)
        elif match := _FILE.fullmatch(path):
            self._file(self.folder / match[1] / match[2])
        else:
            self._said(404, b"{}")

    do_GET = do_HEAD = do_POST = _answer

    def _about(self, repo: Path, what: str, inside: str, body: bytes) -> None:
        if not repo.is_dir():
            self._said(401, b"{}", X_Error_Code="RepoNotFound")
        elif what == "revision":
            files = [path for path in sorted(repo.rglob("*")) if path.is_file()]
            names = [{"rfilename": path.relative_to(repo).as_posix()} for path in files]
            self._json({"id": f"{repo.parent.name}/{repo.name}", "sha": COMMIT, "siblings": names})
        elif what == "paths-info":
            asked = parse_qs(body.decode()).get("paths", [])
            there = [repo / path for path in asked]
            self._json([_entry(repo, path) for path in there if path.exists()])
        elif (repo / inside).is_dir():
            self._json([_entry(repo, path) for path in sorted((repo / inside).iterdir())])
        else:
            self._said(404, b"{}", X_Error_Code="EntryNotFound")

    def _file(self, path: Path) -> None:
        if not path.is_file():
            self._said(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            return
        raw = path.read_bytes()
        headers = {"ETag": f'"{sha1(raw).hexdigest()}"', "X-Repo-Commit": COMMIT}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if self.command == "HEAD" or wanted is None:
            length = str(len(raw))
            self._said(200, raw, **{**headers, "Content-Length": length})
            return
        first, last = int(wanted[1]), min(int(wanted[2] or len(raw)), len(raw) - 1)
        part = f"bytes {first}-{last}/{len(raw)}"
        self._said(206, raw[first : last + 1], **{**headers, "Content-Range": part})


def _entry(repo: Path, path: Path) -> dict[str, object]:
    name = path.relative_to(repo).as_posix()
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": "0", "size": 0}
    raw = path.read_bytes()
    return {"type": "file", "path": name, "oid": sha1(raw).hexdigest(), "size": len(raw)}
