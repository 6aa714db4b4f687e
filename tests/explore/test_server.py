"""The live server: who may ask, what may be sent, and that a newer request ends a slow one."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import uvicorn
from PIL import Image

from ventralstream.errors import VentralError
from ventralstream.explore import server, studio
from ventralstream.explore.request import Asked, Occluder, asked, occluded, presentation_of

MODEL = "rcnn_cifar:cifar10"
TOKEN = "t0ken"
CLIENT = {"X-Client": "0123456789abcdef"}


@pytest.fixture(scope="module")
def live():
    """A running server: its studio, and a function that sends it a request and gives (status, body, headers)."""
    made = studio.Studio([MODEL])
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    config = uvicorn.Config(server.application(made, port, TOKEN), log_level="warning", lifespan="off", ws="none")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()

    def send(path, body=None, headers=None, method=None, host=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        given = {"Host": host or f"127.0.0.1:{port}", **(headers or {})}
        connection.request(method or ("GET" if body is None else "POST"), path, data, given)
        reply = connection.getresponse()
        found = reply.status, reply.read(), dict(reply.headers)
        connection.close()
        return found

    send.port = port
    yield made, send
    running.should_exit = True
    thread.join(20)


def png(width, height):
    data = io.BytesIO()
    flat = Image.new("1", (width, height)) if width > 9999 else Image.new("L", (width, height), 90)
    flat.save(data, "PNG")
    return data.getvalue()


def header_of(body):
    line, _, rest = body.partition(b"\n")
    return json.loads(line), gzip.decompress(rest)


def test_the_page_is_given_with_the_token_only(live):
    _, send = live
    status, body, headers = send(f"/{TOKEN}/")
    assert status == 200 and b"ventralstream explorer" in body
    assert "default-src 'none'" in headers["content-security-policy"]
    for path in ("/", "/wrong/", f"/{TOKEN}", f"/{TOKEN}x/", "/wrong/trace"):
        assert send(path)[0] in (404, 405, 307), path
        assert b"explorer" not in send(path)[1]
    assert send("/wrong/trace", {"model": MODEL, "image": "example-0"}, CLIENT)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.2", ""])
def test_another_host_is_refused(live, host):
    _, send = live
    status, body, _ = send(f"/{TOKEN}/", host=host or " ")
    assert status in (400, 421) and b"explorer" not in body


def test_another_page_s_requests_are_refused(live):
    _, send = live
    ask = {"model": MODEL, "image": "example-0"}
    assert send(f"/{TOKEN}/trace", ask, CLIENT | {"Origin": "https://evil.example"})[0] == 421
    assert send(f"/{TOKEN}/trace", ask, CLIENT | {"Origin": f"http://127.0.0.1:{send.port}"})[0] == 200
    assert send(f"/{TOKEN}/", host=f"localhost:{send.port}")[0] == 200


@pytest.mark.parametrize(
    "path", ["../../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "assets/main.js", "..%5c..%5c", "image/../../x"]
)
def test_no_path_leads_to_a_file(live, path):
    _, send = live
    status, body, _ = send(f"/{TOKEN}/{path}")
    assert status in (404, 405) and b"root:" not in body


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": "/etc/passwd"}, "unknown network"),
        ({"model": "rgc_shallow:published"}, "unknown network"),
        ({"image": "../../secret.png"}, "not there any more"),
        ({"steps": 10**9}, "from 0 to 200"),
        ({"on": -1}, "from 0 to 200"),
        ({"on": 5, "soa": 2}, "while the image is shown"),
        ({"occluder": {"x": 7}}, "from 0 to 1"),
        ({"cut": ["nothing"]}, "unknown part to cut"),
        ({"path": "x"}, "unknown option 'path'"),
    ],
)
def test_what_cannot_be_is_one_sentence(live, change, sentence):
    _, send = live
    status, body, _ = send(f"/{TOKEN}/trace", {"model": MODEL, "image": "example-0"} | change, CLIENT)
    assert status == 400 and sentence in json.loads(body)["error"]


def test_what_is_no_request_is_one_sentence(live):
    _, send = live
    for body in (b"not json", b"[]", b"[" * 5000, b"\xff\xfe"):
        assert send(f"/{TOKEN}/trace", body, CLIENT)[0] == 400
    status, body, _ = send(f"/{TOKEN}/trace", b" " * 20_000, CLIENT)
    assert status == 400 and "at most 0.01 MB" in json.loads(body)["error"]
    assert "names its client" in json.loads(send(f"/{TOKEN}/trace", {"model": MODEL, "image": "x"})[1])["error"]


def test_uploads_are_limited_in_bytes_pixels_and_kind(live):
    _, send = live
    for data, sentence in (
        (png(20_000, 20_000), "it has more than 25,000,000 pixels"),
        (png(10_000, 3_000), "it has 10000 x 3000 pixels, more than 25,000,000"),
        (b"a text that is called .png", "it is not an image in JPEG, PNG"),
        (b"", "it is empty"),
        (png(900, 900)[:-60], "cut off"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is not an image"),
    ):
        status, body, _ = send(f"/{TOKEN}/image", data, {"X-Name": "..%2F..%2Fnot%0Aan%20image.png"}, "POST")
        assert status == 400 and sentence in json.loads(body)["error"]
        assert "\n" not in json.loads(body)["error"]
    status, body, _ = send(f"/{TOKEN}/image", bytes(server.MOST_UPLOAD + 1), method="POST")
    assert status == 400 and "at most 10 MB" in json.loads(body)["error"]


def test_a_long_upload_is_not_read_to_its_end(live):
    _, send = live
    with socket.create_connection(("127.0.0.1", send.port), timeout=20) as raw:
        head = f"POST /{TOKEN}/image HTTP/1.1\r\nHost: 127.0.0.1:{send.port}\r\nTransfer-Encoding: chunked\r\n\r\n"
        raw.sendall(head.encode())
        chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
        sent = 0
        try:
            for sent in range(1, 40):  # noqa: B007
                raw.sendall(chunk)
        except OSError:
            pass
        reply = b""
        with contextlib.suppress(OSError):
            reply = raw.recv(4000)
        assert b"400" in reply[:20] or sent < 39


def test_an_upload_becomes_a_trace(live):
    made, send = live
    key = json.loads(send(f"/{TOKEN}/image", png(70, 50), {"X-Name": "grey%20field.png"}, "POST")[1])["image"]
    header, block = header_of(send(f"/{TOKEN}/trace", {"model": MODEL, "image": key}, CLIENT)[1])
    assert header["traces"][0]["images"]["names"] == ["grey field.png"]
    place = header["traces"][0]["images"]["image"]
    assert set(block[place["at"] : place["at"] + 3072]) == {90}
    assert header["gallery"]["keys"][0] == key
    for _ in range(studio.MOST_UPLOADS):
        made.upload(png(4, 4), "x")
    status, body, _ = send(f"/{TOKEN}/trace", {"model": MODEL, "image": key}, CLIENT)
    assert status == 400 and "not there any more" in json.loads(body)["error"]


def test_two_clients_at_once_get_their_own_answers(live):
    _, send = live

    def ask(i):
        client = {"X-Client": f"{i:016x}"}
        return header_of(send(f"/{TOKEN}/trace", {"model": MODEL, "image": f"example-{i}", "steps": i + 1}, client)[1])[
            0
        ]

    with ThreadPoolExecutor(4) as pool:
        for i, header in enumerate(pool.map(ask, range(4))):
            assert header["gallery"]["chosen"] == header["gallery"]["keys"].index(f"example-{i}")
            assert header["traces"][0]["steps"] == i + 1


def test_a_slow_request_is_ended_by_the_next_of_its_client(live, monkeypatch):
    _, send = live
    running = threading.Event()

    def slow(*args, **kwargs):
        running.set()
        x = torch.ones(1)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            x = x + 1
        raise AssertionError("nobody ended it")

    quick = studio.traced
    monkeypatch.setattr(studio, "traced", slow)
    ask = {"model": MODEL, "image": "example-0"}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, f"/{TOKEN}/trace", ask, CLIENT)
        assert running.wait(20)
        monkeypatch.setattr(studio, "traced", quick)
        assert send(f"/{TOKEN}/trace", ask, {"X-Client": "f" * 16})[0] == 200  # another client's ends nothing
        assert not first.done()
        assert send(f"/{TOKEN}/trace", ask, CLIENT)[0] == 200
        assert first.result(20)[0] == 409


def test_requests_say_what_is_shown_when(net):
    request = asked({"model": "m", "image": "i", "on": 2, "soa": 5, "mask": 3})
    shown = presentation_of(request, net.spec)
    assert [shown.frame(t).shows for t in range(9)] == ["image"] * 2 + ["blank"] * 3 + ["mask"] * 3 + ["blank"]
    assert shown.frame(2).value == 0.0  # the network's own blank
    assert presentation_of(Asked("m", "i"), net.spec) == net.spec.presentation
    with pytest.raises(VentralError):
        Asked("m", "i", soa=3, on=0)
    pixels = occluded(torch.zeros(1, 1, 10, 10, dtype=torch.uint8), Occluder(0.5, 0.0, 0.4), (0.5,))
    assert int((pixels == 128).sum()) == 4 * 2 and (pixels[0, 0, :2, 3:7] == 128).all()


def test_the_command_serves_until_ctrl_c():
    started = subprocess.Popen(
        [sys.executable, "-m", "ventralstream", "explore"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert started.stdout is not None and started.stderr is not None
        address = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/([\w-]{20,})/\n", started.stdout.readline())
        assert address
        connection = http.client.HTTPConnection("127.0.0.1", int(address[1]), timeout=30)
        connection.request("GET", f"/{address[2]}/")
        assert connection.getresponse().status == 200
        with socket.create_connection(("127.0.0.1", int(address[1]))) as left:  # in the middle of an upload
            head = f"POST /{address[2]}/image HTTP/1.1\r\nHost: 127.0.0.1:{address[1]}\r\nContent-Length: 100\r\n\r\n"
            left.sendall(head.encode() + b"half")
        time.sleep(0.5)
        os.kill(started.pid, signal.SIGINT)
        assert started.wait(30) == 0
        assert "Traceback" not in started.stderr.read()
    finally:
        started.kill()
        started.wait()


def test_a_port_that_is_taken_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(VentralError, match=f"port {port} cannot be used"):
            server.serve(studio.Studio([MODEL]), port)
        with pytest.raises(VentralError, match="port 99999 cannot be used"):
            server.serve(studio.Studio([MODEL]), 99999)
