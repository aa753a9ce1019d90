"""A server of files on this machine that fails as servers do."""

from __future__ import annotations

import hashlib
import io
import time
import zipfile
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import numpy as np


def zipped(seed: int, size: int = 300_000) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a/b.bin", np.random.default_rng(seed).bytes(size))
    return out.getvalue()


FILES = {"mug.zip": zipped(1), "duck.zip": zipped(2), "camera_param.json": b"{}"}

MD5 = {name: hashlib.md5(content).hexdigest() for name, content in FILES.items()}


class Handler(BaseHTTPRequestHandler):
    """Paths are /<behaviour>/<file>; what was asked is kept in `asked`."""

    protocol_version = "HTTP/1.0"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        _, how, name = url.path.split("/")
        self.state = self.server.state  # type: ignore[attr-defined]
        self.state.asked.append((self.path, self.headers.get("Range")))
        content = self.state.files.get(name)
        if content is None:
            self.send_error(404)
            return
        getattr(self, f"answer_{how}")(content, parse_qs(url.query))

    def head(self, code: int, length: int | None, kind: str = "application/zip", **more: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for key, value in more.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()

    def ranged(self, content: bytes, n: int | None = None) -> None:
        """All that was asked for, or the first `n` bytes of it."""
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            self.head(416, 0, Content_Range=f"bytes */{len(content)}")
            return
        more = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        self.head(206 if start else 200, len(content) - start, **more)
        self.wfile.write(content[start:][:n])

    def answer_good(self, content: bytes, _: dict) -> None:
        self.ranged(content)

    def answer_cut(self, content: bytes, _: dict) -> None:
        """Breaks off after 100 kB each time."""
        self.ranged(content, 100_000)

    def answer_norange(self, content: bytes, _: dict) -> None:
        """Knows no ranges, and breaks off the first time."""
        self.head(200, len(content))
        self.wfile.write(content if len(self.state.asked) > 1 else content[:70_000])

    def answer_slow(self, content: bytes, _: dict) -> None:
        """Falls silent in the middle, the first time."""
        if self.headers.get("Range"):
            self.ranged(content)
            return
        self.head(200, len(content))
        self.wfile.write(content[:50_000])
        self.wfile.flush()
        time.sleep(1.0)

    def answer_silent(self, content: bytes, _: dict) -> None:
        time.sleep(1.0)

    def answer_busy(self, content: bytes, _: dict) -> None:
        if len(self.state.asked) < 3:
            self.send_error(503)
        else:
            self.ranged(content)

    def answer_wrong(self, content: bytes, _: dict) -> None:
        self.ranged(content[:-1] + bytes([content[-1] ^ 1]))

    def answer_unsized(self, content: bytes, _: dict) -> None:
        """Neither length nor end: what arrives looks complete."""
        self.head(200, None)
        self.wfile.write(content[: len(content) // 2])

    def answer_shifted(self, content: bytes, _: dict) -> None:
        self.head(206, 10, Content_Range="bytes 7-16/99")
        self.wfile.write(bytes(10))

    def answer_huge(self, content: bytes, _: dict) -> None:
        self.head(200, 1 << 60)
        self.wfile.write(b"x")

    def answer_confirm(self, content: bytes, query: dict) -> None:
        """As for large files of Google Drive."""
        if query.get("confirm") == ["t"] and query.get("uuid") == ["1&2"]:
            self.ranged(content)
            return
        page = (
            b"<!DOCTYPE html><title>Virus scan warning</title><form action='/search'><input name=q></form>"
            b"<form id=download-form action='/confirm/mug.zip' method=get><input type=submit value=go>"
            b"<input type=hidden name=confirm value=t><input type=hidden name=uuid value='1&amp;2'></form>"
        )
        self.head(200, len(page), "text/html; charset=utf-8")
        self.wfile.write(page)

    def answer_link(self, content: bytes, query: dict) -> None:
        if "confirm" in query:
            self.ranged(content)
            return
        page = b"<html><a href='/'>home</a><a href='/link/mug.zip?confirm=x1'>Download anyway</a></html>"
        self.head(200, len(page), "text/html")
        self.wfile.write(page)

    def answer_quota(self, content: bytes, _: dict) -> None:
        page = b"<html><head><title>Google Drive - Quota exceeded</title></head>Too many users</html>"
        self.head(200, len(page), "text/html" if len(self.state.asked) < 2 else "application/zip")
        self.wfile.write(page)

    def answer_loop(self, content: bytes, _: dict) -> None:
        page = b"<html><title>again</title><a href='/loop/mug.zip?confirm=1'>yes</a></html>"
        self.head(200, len(page), "text/html")
        self.wfile.write(page)
