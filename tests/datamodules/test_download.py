"""Oracle: the bytes that a local server was given, whatever it does to them on the way."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from dexzoo.datamodules.download import ChecksumError, DownloadError, Fetcher, fetch, read_list
from dexzoo.datamodules.download.guides import GUIDES
from dexzoo.datamodules.download.pages import Page
from dexzoo.files.errors import BadFile
from tests.verbs import status_of


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


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    state = SimpleNamespace(asked=[], files=dict(FILES))
    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.state, web.daemon_threads = state, True  # type: ignore[attr-defined]
    threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True).start()
    state.url = f"http://127.0.0.1:{web.server_port}"
    yield state
    web.shutdown()
    web.server_close()


@pytest.fixture
def fetcher() -> Fetcher:
    return Fetcher(timeout=0.3, tries=3, pause=0.01)


@pytest.mark.parametrize("how", ["good", "cut", "norange", "slow", "busy", "confirm", "link"])
def test_the_file_arrives_whole(server, fetcher, tmp_path: Path, how: str) -> None:
    steps = []
    fetcher.progress = lambda done, total: steps.append((done, total))
    path = fetcher.fetch(f"{server.url}/{how}/mug.zip", tmp_path / "new" / "mug.zip", MD5["mug.zip"])
    assert path.read_bytes() == FILES["mug.zip"]
    assert [p.name for p in path.parent.iterdir()] == ["mug.zip"]
    assert steps[-1] == (len(FILES["mug.zip"]),) * 2


def test_only_the_rest_is_asked_for(server, fetcher, tmp_path: Path) -> None:
    (tmp_path / "mug.zip.part").write_bytes(FILES["mug.zip"][:123_456])
    fetcher.fetch(f"{server.url}/good/mug.zip", tmp_path / "mug.zip", MD5["mug.zip"])
    assert server.asked == [("/good/mug.zip", "bytes=123456-")]
    assert (tmp_path / "mug.zip").read_bytes() == FILES["mug.zip"]


@pytest.mark.parametrize("extra", [b"", b"more"])
def test_a_part_that_is_all_or_more(server, fetcher, tmp_path: Path, extra: bytes) -> None:
    """All of it, killed before it was renamed; or longer than the file, as of an older one: started over."""
    (tmp_path / "mug.zip.part").write_bytes(FILES["mug.zip"] + extra)
    fetcher.fetch(f"{server.url}/good/mug.zip", tmp_path / "mug.zip", MD5["mug.zip"])
    assert (tmp_path / "mug.zip").read_bytes() == FILES["mug.zip"]
    assert len(server.asked) == (2 if extra else 1)


def test_what_arrived_is_kept_when_it_is_given_up(server, fetcher, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Handler, "answer_cut", lambda self, content, _: self.ranged(content, 100 * self.fresh()))
    monkeypatch.setattr(Handler, "fresh", lambda self: not self.headers.get("Range"), raising=False)
    with pytest.raises(DownloadError, match=r"3 failed tries \(broke off after 100 of \d+ bytes\).*run it again"):
        fetcher.fetch(f"{server.url}/cut/mug.zip", tmp_path / "mug.zip")
    assert (tmp_path / "mug.zip.part").read_bytes() == FILES["mug.zip"][:100]
    assert len(server.asked) == 4  # the first one brought something
    assert not (tmp_path / "mug.zip").exists()


@pytest.mark.parametrize(("how", "md5"), [("wrong", True), ("unsized", True), ("unsized", False)])
def test_a_wrong_file_is_kept_aside_and_named(server, fetcher, tmp_path: Path, how: str, md5: bool) -> None:
    expected = rf"mug.zip: expected md5 {MD5['mug.zip']}, found" if md5 else "mug.zip: expected a complete zip"
    with pytest.raises(ChecksumError, match=rf"{expected}.*kept aside as mug.zip.bad"):
        fetcher.fetch(f"{server.url}/{how}/mug.zip", tmp_path / "mug.zip", MD5["mug.zip"] if md5 else None)
    assert [p.name for p in tmp_path.iterdir()] == ["mug.zip.bad"]


@pytest.mark.parametrize(
    ("how", "message", "n_asked"),
    [
        ("silent", r"silent/mug.zip: expected a file, found 3 failed tries .*is there a network", 3),
        ("quota", r"expected a file, found a web page, 'Google Drive - Quota exceeded'; .*open the URL in a brow", 1),
        ("loop", r"expected a file, found a web page, 'again'", 2),
        ("huge", r"mug.zip.part: expected \d+\.\d+ GB of free disk, found .*free some space", 1),
    ],
)
def test_what_can_not_be_had_says_why(server, fetcher, tmp_path: Path, how: str, message: str, n_asked: int) -> None:
    with pytest.raises(DownloadError, match=message):
        fetcher.fetch(f"{server.url}/{how}/mug.zip", tmp_path / "mug.zip")
    assert len(server.asked) == n_asked
    assert not list(tmp_path.iterdir())


def test_a_page_that_calls_itself_a_zip(server, fetcher, tmp_path: Path) -> None:
    server.asked.append("before")
    with pytest.raises(DownloadError, match="found a web page, 'Google Drive - Quota exceeded'"):
        fetcher.fetch(f"{server.url}/quota/mug.zip", tmp_path / "mug.zip")
    assert not list(tmp_path.iterdir())


def test_an_answer_from_another_place(server, fetcher, tmp_path: Path) -> None:
    (tmp_path / "mug.zip.part").write_bytes(b"12345")
    with pytest.raises(DownloadError, match=r"expected bytes from 5 on, found bytes 7-16/99"):
        fetcher.fetch(f"{server.url}/shifted/mug.zip", tmp_path / "mug.zip")


@pytest.mark.parametrize("name", ["absent.zip", None])
def test_no_such_file_and_other_schemes(server, fetcher, tmp_path: Path, name: str | None) -> None:
    url = f"{server.url}/good/{name}" if name else f"file://{Path(__file__)}"
    message = "found 404 .*has the publisher moved it" if name else "expected a URL with http"
    with pytest.raises(DownloadError, match=message):
        fetcher.fetch(url, tmp_path / "x")
    assert len(server.asked) == bool(name)  # no second try


def test_confirmation_is_found_in_form_and_link() -> None:
    form = "<form action='https://b.org/get?id=1'><input name=confirm value='a b'></form>"
    assert Page(form, "https://a.org/x").confirmed() == "https://b.org/get?id=1&confirm=a+b"
    assert Page("<a href='/y?confirm=z&id=2'>", "https://a.org/x").confirmed() == "https://a.org/y?confirm=z&id=2"
    assert Page("<form action='/s'><input name=q></form><a href='/unconfirmed'>", "https://a.org").confirmed() is None


class TestCommand:
    @pytest.fixture
    def listing(self, server, tmp_path: Path) -> Path:
        rows = [f"{md5}  bags/{name}" for name, md5 in MD5.items() if name != "camera_param.json"]
        server.files["md5.txt"] = "\n".join([*rows, ""]).encode()
        path = tmp_path / "list.json"
        names = ["duck.zip", "camera_param.json", "mug.zip", "md5.txt"]
        path.write_text(json.dumps([{"filename": n, "url": f"{server.url}/good/{n}"} for n in names]))
        return path

    def run(self, listing: Path | str, *more: str) -> int:
        out = Path(str(listing)).parent / "out" if isinstance(listing, Path) else Path(more[-1])
        return status_of("download", "realdex", "--out", str(out), "--list", str(listing), "--tries", "2", *more)

    def test_one_object_then_all(self, server, listing: Path, capsys) -> None:
        out = listing.parent / "out"
        assert self.run(listing, "--objects", "mug") == 0
        assert sorted(p.name for p in out.iterdir()) == ["camera_param.json", "md5.txt", "mug.zip"]
        assert "3 files downloaded, 0 already present, 0 failed" in (text := capsys.readouterr().out)
        assert "not checked: camera_param.json" in text
        server.asked.clear()
        assert self.run(listing, "--all") == 0
        assert [path for path, _ in server.asked] == ["/good/duck.zip"]
        assert "1 files downloaded, 3 already present" in capsys.readouterr().out
        assert {p.name: p.read_bytes() for p in out.iterdir()} == server.files

    def test_a_damaged_file_from_before_is_set_aside_and_got_anew(self, listing: Path) -> None:
        out = listing.parent / "out"
        out.mkdir()
        (out / "mug.zip").write_bytes(b"damaged")
        assert self.run(listing, "--objects", "mug") == 0
        assert (out / "mug.zip").read_bytes() == FILES["mug.zip"]
        assert (out / "mug.zip.bad").read_bytes() == b"damaged"

    def test_one_bad_file_stops_no_other(self, server, listing: Path, capsys) -> None:
        listing.write_text(listing.read_text().replace("good/duck", "wrong/duck"))
        assert self.run(listing, "--all") == 1
        text = capsys.readouterr().out
        assert "3 files downloaded, 0 already present, 1 failed" in text
        assert "duck.zip: expected md5" in text
        assert (listing.parent / "out/mug.zip").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((), "expected --objects or --all, found neither; there are: duck, mug"),
            (("--objects", "mugg"), "expected one of duck, mug, found 'mugg'; did you mean 'mug'"),
        ],
    )
    def test_what_to_get_must_be_said(self, listing: Path, capsys, arguments: tuple, message: str) -> None:
        assert self.run(listing, *arguments) == 1
        assert message in capsys.readouterr().err

    def test_without_a_list_it_says_where_that_is(self, tmp_path: Path, capsys) -> None:
        assert status_of("download", "realdex", "--out", str(tmp_path), "--all") == 1
        assert "download/gdown_path.json in the repository https://github.com/4DVLab/RealDex" in capsys.readouterr().err

    def test_a_name_that_is_none_gives_the_nearest(self, capsys) -> None:
        assert status_of("download", "graab") == 1
        assert "found 'graab'; did you mean 'grab'?" in capsys.readouterr().err
        assert status_of("download", "--help") == 0
        assert "realdex, grab, dexgraspnet or mano" in capsys.readouterr().out
        assert set(GUIDES) == {"grab", "dexgraspnet", "mano"}

    @pytest.mark.parametrize("name", ["grab", "mano", "dexgraspnet"])
    def test_guides(self, name: str, capsys) -> None:
        assert status_of("download", name) == 0
        text = capsys.readouterr().out
        for word in ("https://", "licence", "1. ", "then set", "expected tree"):
            assert word in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<!DOCTYPE html>", "expected a JSON array of .*URL of the raw file"),
        ("[]", "expected a JSON array"),
        ("[" * 100_000, "expected a JSON array"),
        ('[{"filename": "a.zip"}]', "entry 0: expected {filename, url}"),
        ('[{"filename": "../a.zip", "url": "http://x"}]', "entry 0: expected a plain file name"),
        ('[{"filename": "/etc/a", "url": "http://x"}]', "entry 0: expected a plain file name"),
        ('[{"filename": "a.zip", "url": "file:///etc/passwd"}]', "entry 0: expected a plain file name and an http URL"),
        (None, r"list.json: expected the list of files, found No such file"),
    ],
)
def test_a_bad_list(tmp_path: Path, fetcher, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "list.json").write_text(content)
    with pytest.raises(BadFile, match=message):
        read_list(str(tmp_path / "list.json"), fetcher)


def test_the_list_from_a_server(server, fetcher) -> None:
    server.files["list.json"] = json.dumps([{"filename": "a b.zip", "url": "http://x/y"}]).encode()
    assert read_list(f"{server.url}/good/list.json", fetcher).urls == {"a b.zip": "http://x/y"}
    assert read_list(f"{server.url}/good/list.json", fetcher).chosen(None) == ["a b.zip"]


def test_bad_checksums(tmp_path: Path) -> None:
    from dexzoo.datamodules.download.realdex import read_checksums

    (tmp_path / "md5.txt").write_text(f"{'a' * 32} *bags/mug.zip\n\nnot a checksum\n")
    with pytest.raises(BadFile, match=r"md5.txt, row 2: expected rows of md5 and file name, found 'not a checksum'"):
        read_checksums(tmp_path / "md5.txt")


def test_the_disk_keeps_a_margin(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: SimpleNamespace(free=fetch.MARGIN + 99))
    fetch.check_room(tmp_path, 99, tmp_path)
    with pytest.raises(DownloadError, match="free some space"):
        fetch.check_room(tmp_path, 100, tmp_path)
