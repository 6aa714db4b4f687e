"""Published weights from a server that breaks off, stalls, refuses and lies: whole files or one sentence."""

from __future__ import annotations

import hashlib
import http.server
import resource
import shutil
import signal
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import ventralstream as vs
from ventralstream.models import registry
from ventralstream.published import PublishedFile, download
from ventralstream.published.download import downloaded

CONTENT = bytes(range(256)) * 8000  # 2 MB
DIGITS = hashlib.sha256(CONTENT).hexdigest()[:8]


def download_published(model: str, files: vs.published.Published) -> Path:
    """The first file, which somebody could read."""
    with downloaded(model, files) as path:
        return path


@dataclass
class Server:
    """An HTTP server on this machine; what it does is said by the first part of a path."""

    address: str = ""
    content: bytes = CONTENT
    redirect: str = ""
    asked: list[str] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)  # stops stalling

    def url(self, how: str, name: str = "w.pth") -> str:
        return f"{self.address}/{how}/{name}"


@contextmanager
def serving(secure: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            how = self.path.split("/")[1]
            server.asked.append(self.path)
            if how in ("404", "503"):
                self.send_error(int(how))
                return
            if how == "redirect":
                self.send_response(302)
                self.send_header("Location", server.redirect)
                self.end_headers()
                return
            content = b"something else" if how == "other" else server.content
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if how in ("cut", "stall", "interrupt"):
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                if how == "interrupt":  # once it waits for bytes; again if a destructor has swallowed it
                    while not server.enough.wait(0.3):
                        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                        server.enough.wait(3)
                if how == "stall":
                    server.enough.wait(20)
                self.close_connection = True
                return
            self.wfile.write(content)

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if secure is not None:
        listening.socket = secure.wrap_socket(listening.socket, server_side=True)
    server.address = f"http{'s' if secure else ''}://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.enough.set()
        listening.shutdown()
        thread.join()
        listening.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VENTRALSTREAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "published" / "cornet_z"


def published(*urls: str, sha256: str = DIGITS) -> vs.published.Published:
    known = registry.model_entry("cornet_z").published
    assert known is not None
    return replace(known, files=tuple(PublishedFile(url, sha256) for url in urls))


def test_it_is_downloaded_once_and_the_licence_comes_first(
    server: Server, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = download_published("cornet_z", published(server.url("good")))
    assert path == cache / "w.pth" and path.read_bytes() == CONTENT
    said = capsys.readouterr().err.splitlines()
    assert "licence: GPL-3.0" in said[0] and "dicarlolab/CORnet" in said[0]
    assert said[-1].startswith("downloading w.pth: 3/3 MB")
    assert sorted(p.name for p in cache.iterdir()) == ["SHA256SUMS", "w.pth"]
    assert path.stat().st_mode & 0o444 == 0o444, "a shared folder of downloads can be read by others"
    assert subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=cache, capture_output=True).returncode == 0
    assert download_published("cornet_z", published(server.url("good"))) == path
    assert len(server.asked) == 1 and not capsys.readouterr().err


BROKEN: dict[str, str] = {
    "404": "the server answers 404 Not Found",
    "503": "the server answers 503",
    "cut": "the transfer broke off",
    "stall": "nothing came for 0.3 s",
    "other": "is not the file expected: its SHA-256 is 0",
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_breaks_is_one_sentence_and_leaves_nothing(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(download, "TIMEOUT_S", 0.3)
    with pytest.raises(vs.VentralError) as caught:
        download_published("cornet_z", published(server.url(how)))
    told = str(caught.value)
    expected = BROKEN[how] if how != "other" else "is not the file expected: its SHA-256 is"
    assert told.startswith(f"'{server.url(how)}' ") and expected in told and told.isprintable()
    assert f"download it by other means to '{cache / 'w.pth'}' and do the same again" in told
    assert not list(cache.iterdir())
    (cache / "w.pth").write_bytes(CONTENT)  # by hand
    assert download_published("cornet_z", published(server.url(how))).read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_no_server(cache: Path) -> None:
    with serving() as server:
        url = server.url("good")
    with pytest.raises(vs.VentralError, match=r"the server cannot be reached \(is there a network\?\); download it by"):
        download_published("cornet_z", published(url))
    assert not list(cache.iterdir())


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python's own Ctrl-C, which a shell's background ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interruption_leaves_nothing(server: Server, cache: Path, ctrl_c: None) -> None:
    with pytest.raises(KeyboardInterrupt):
        download_published("cornet_z", published(server.url("interrupt")))
    server.enough.set()
    assert not list(cache.iterdir())
    assert download_published("cornet_z", published(server.url("good"))).read_bytes() == CONTENT


def test_a_full_disk(server: Server, cache: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(vs.VentralError, match=r"cannot be saved as .*w\.pth': file too large; .*CACHE") as caught:
            download_published("cornet_z", published(server.url("good")))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert server.url("good") in str(caught.value) and not list(cache.iterdir())


def test_a_place_that_cannot_be(server: Server, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    with pytest.raises(vs.VentralError, match=r"cannot be (saved|read)"):
        download_published("cornet_z", published(server.url("good")))
    cache.unlink()
    (cache / "w.pth").mkdir(parents=True)
    with pytest.raises(vs.VentralError, match=r"w\.pth' cannot be read: it is a folder"):
        download_published("cornet_z", published(server.url("good")))


def test_what_has_no_published_hash_is_recorded_and_checked(
    server: Server, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = published(server.url("good", "model.ckpt.index"), server.url("good", "model.ckpt.data"), sha256="")
    path = download_published("cornet_z", files)
    got = hashlib.sha256(CONTENT).hexdigest()
    said = capsys.readouterr().err
    assert said.count(f"has the SHA-256 {got}; its authors publish none") == 2
    assert (cache / "SHA256SUMS").read_text() == f"{got}  model.ckpt.index\n{got}  model.ckpt.data\n"

    path.write_bytes(CONTENT[:-1])  # damaged on this disk: what was recorded is got again
    assert download_published("cornet_z", files).read_bytes() == CONTENT
    assert "is damaged" in capsys.readouterr().err

    path.unlink()
    server.content = b"other weights"
    with pytest.raises(vs.VentralError, match=r"and .* was recorded when it was first downloaded") as caught:
        download_published("cornet_z", files)
    assert f"in '{cache / 'SHA256SUMS'}'; if its authors have replaced it, delete that record" in str(caught.value)
    assert not path.exists()

    (cache / "SHA256SUMS").unlink()
    (cache / "model.ckpt.data").unlink()
    assert download_published("cornet_z", files).read_bytes() == b"other weights"


def test_a_wrong_first_file_is_not_recorded(server: Server, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = published(server.url("good", "model.ckpt.index"), sha256="")
    server.content = b"<html>log in</html>"

    def read() -> None:
        with downloaded("cornet_z", files) as path:
            if path.read_bytes().startswith(b"<html>"):
                raise vs.VentralError("not a checkpoint")

    with pytest.raises(vs.VentralError, match=r"model.ckpt.index' cannot be used: not a checkpoint; it is not kept"):
        read()
    assert list(cache.iterdir()) == []
    server.content = CONTENT
    read()
    assert (cache / "SHA256SUMS").is_file() and "its authors publish none" in capsys.readouterr().err

    (cache / "SHA256SUMS").unlink()
    (cache / "model.ckpt.index").write_text("<html>by hand")  # what somebody has put there is left to them
    with pytest.raises(vs.VentralError, match=r"; delete model.ckpt.index there to have it downloaded again"):
        read()
    assert [p.name for p in cache.iterdir()] == ["model.ckpt.index"]


def test_a_file_of_other_digits_stays_until_there_is_another(server: Server, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "w.pth").write_bytes(b"by hand")
    with pytest.raises(vs.VentralError, match="the server answers 503"):
        download_published("cornet_z", published(server.url("503")))
    assert [(p.name, p.read_bytes()) for p in cache.iterdir()] == [("w.pth", b"by hand")]
    assert download_published("cornet_z", published(server.url("good"))).read_bytes() == CONTENT
    assert sorted(p.name for p in cache.iterdir()) == ["SHA256SUMS", "w.pth"]


def test_a_folder_that_may_only_be_read(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its administrator has put a file there, which is what the authors' digits say."""
    cache.mkdir(parents=True)
    (cache / "w.pth").write_bytes(CONTENT)

    def refused(*args: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pooch.utils.temporary_file", refused)
    assert download_published("cornet_z", published("http://127.0.0.1:9/w.pth")) == cache / "w.pth"
    with pytest.raises(vs.VentralError, match="SHA256SUMS' cannot be written: permission denied"):
        download_published("cornet_z", published("http://127.0.0.1:9/w.pth", sha256=""))


def test_a_record_that_is_none(server: Server, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "SHA256SUMS").write_text("nonsense")
    with pytest.raises(vs.VentralError, match=r"SHA256SUMS' cannot be read: .*; delete it"):
        download_published("cornet_z", published(server.url("good")))


def test_two_at_once(server: Server, cache: Path) -> None:
    found: list[Path | Exception] = []

    def get() -> None:
        try:
            found.append(download_published("cornet_z", published(server.url("good"))))
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / "w.pth"] * 4 and (cache / "w.pth").read_bytes() == CONTENT
    assert sorted(p.name for p in cache.iterdir()) == ["SHA256SUMS", "w.pth"]


def test_a_redirect_is_followed_but_not_out_of_encryption(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.redirect = server.url("good")
    assert download_published("cornet_z", published(server.url("redirect"))).read_bytes() == CONTENT
    shutil.rmtree(cache)

    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, so no certificate can be made")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    make += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(make, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(context) as secure:
        with pytest.raises(vs.VentralError, match="the server does not prove who it is"):
            download_published("cornet_z", published(secure.url("good")))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        secure.redirect = secure.url("good")
        assert download_published("cornet_z", published(secure.url("redirect"))).read_bytes() == CONTENT
        shutil.rmtree(cache)
        secure.redirect = server.url("good")
        before = len(server.asked)
        with pytest.raises(vs.VentralError, match=r"sends on to 'http://.*', which is not encrypted"):
            download_published("cornet_z", published(secure.url("redirect")))
        assert len(server.asked) == before and not list(cache.iterdir())


@pytest.fixture
def ours(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, list[str], str], None]:
    """Makes a registered model's authors publish on this machine."""

    def move(name: str, files: list[str], sha256: str) -> None:
        entry = registry.model_entry(name)
        assert entry.published is not None
        there = replace(entry.published, files=tuple(PublishedFile(server.url("good", f), sha256) for f in files))
        monkeypatch.setitem(registry._MODELS, name, replace(entry, published=there))

    return move


def test_create_model_and_convert_with_published_weights(
    server: Server, ours: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from models.test_convert import cornet_file
    from typer.testing import CliRunner

    from ventralstream.cli import app

    file = cornet_file(tmp_path / "z.pth")
    server.content = file.read_bytes()
    ours("cornet_z", ["cornet_z.pth"], hashlib.sha256(server.content).hexdigest()[:8])
    net = vs.create_model("cornet_z", weights="published")
    expected = torch.load(file, weights_only=True)["state_dict"]["module.V2.conv.weight"]
    assert torch.equal(net.areas["V2"].drive_layers.layers[0].conv.weight, expected) and not net.training
    x = torch.randn(1, 3, 64, 64)
    again = vs.create_model("cornet_z:published")
    assert torch.equal(again(x).output, net(x).output) and len(server.asked) == 1
    with pytest.warns(vs.FreshReadout, match="7 classes"):
        assert vs.create_model("cornet_z", weights="published", num_classes=7)(x).output.shape == (1, 7)

    done = CliRunner().invoke(app, ["convert", "--published", "cornet_z", "--out", str(tmp_path / "W")])
    assert done.exit_code == 0, done.output
    assert torch.equal(vs.load_network(tmp_path / "W")(x).output, net(x).output) and len(server.asked) == 1
    told = (tmp_path / "W" / "provenance.json").read_text()
    assert hashlib.sha256(server.content).hexdigest() in told and "GPL-3.0" in told


def test_a_published_checkpoint_of_tensorflow(server: Server, ours: Any, reference: Path, cache: Path) -> None:
    from ventralstream.models.convert import convert

    source = reference / "convrnns" / "timedecay_shallow.ckpt"
    parts = ["index", "data-00000-of-00001"]
    ours("timedecay_shallow", [f"model.ckpt.{part}" for part in parts], "")
    folder = cache.parent / "timedecay_shallow"
    folder.mkdir(parents=True)
    for part in parts:
        shutil.copy(f"{source}.{part}", folder / f"model.ckpt.{part}")
    net = vs.create_model("timedecay_shallow", weights="published")
    expected = convert(source, "timedecay_shallow", folder / "W")
    x = torch.randn(1, 3, 128, 128)
    assert torch.equal(net(x).output, expected(x).output) and not server.asked


def test_weights_of_which_no_file_is_published() -> None:
    with pytest.raises(vs.VentralError, match=r"of 'cornet_r' no weights .* at https://github.com/dicarlolab/CORnet"):
        vs.create_model("cornet_r", weights="published")
    with pytest.raises(vs.VentralError, match="no published weights are known of 'rgc_shallow_cifar'"):
        vs.create_model("rgc_shallow_cifar", weights="published")


def test_every_published_file_has_an_address_and_a_name() -> None:
    for name in vs.list_models(published=True):
        known = registry.model_entry(name).published
        assert known is not None and (known.files or name == "cornet_r")
        for file in known.files:
            assert file.url.startswith("https://") and file.name in file.url
            assert not file.sha256 or file.sha256 in file.name, "torch.hub's convention: the digits stand in the name"
        assert len(known.files) == (2 if known.format == "tensorflow" else len(known.files))
