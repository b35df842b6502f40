"""Files through the official client, in strict mode, and by hand where the client would not go."""

from __future__ import annotations

import http.client
import io
import os
import time
from typing import TYPE_CHECKING, Any, BinaryIO

import httpx
import openai
import pytest

from pennyweight.server import upload
from pennyweight.store.blobs import stored_blobs
from pennyweight.store.files import Files

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.store.blob import Blob
    from tests.server.live import LiveServer

DATA = b'{"a": 1}\n' * 1000


@pytest.fixture(autouse=True)
def _emptied(loose_client: openai.OpenAI) -> None:
    for file in loose_client.files.list():  # the client's types do not know that files are for evals, too
        loose_client.files.delete(file.id)


def blobs_of(server: LiveServer) -> list[Any]:
    return list(stored_blobs(server.services.blobs._folder))


def post(server: LiveServer, **request: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/files", **request)


def test_from_create_to_delete(client: openai.OpenAI, server: LiveServer) -> None:
    file = client.files.create(file=("in.jsonl", DATA), purpose="batch")
    assert (file.filename, file.bytes, file.purpose, file.status) == ("in.jsonl", 9000, "batch", "processed")
    assert file.id.startswith("file-")
    assert abs(file.created_at - time.time()) < 60
    assert file.expires_at is None
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == DATA
    assert client.files.wait_for_processing(file.id) == file
    assert [item.id for item in client.files.list()] == [file.id]
    deleted = client.files.delete(file.id)
    assert (deleted.id, deleted.deleted) == (file.id, True)
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError, match="No such File object"):
            call(file.id)
    assert blobs_of(server) == []


def test_equal_bytes_are_kept_until_the_last_file_goes(client: openai.OpenAI, server: LiveServer) -> None:
    one, two = (client.files.create(file=(name, DATA), purpose="user_data") for name in "ab")
    assert len(blobs_of(server)) == 1
    client.files.delete(one.id)
    assert client.files.content(two.id).read() == DATA
    client.files.delete(two.id)
    assert blobs_of(server) == []


@pytest.mark.parametrize("purpose", upload.PURPOSES)
def test_purposes(purpose: Any, loose_client: openai.OpenAI) -> None:
    file = loose_client.files.create(file=("x", b"x"), purpose=purpose)
    assert [item.id for item in loose_client.files.list(purpose=purpose)] == [file.id]
    other = "vision" if purpose != "vision" else "batch"
    assert list(loose_client.files.list(purpose=other)) == []


def test_pages(client: openai.OpenAI) -> None:
    ids = [client.files.create(file=(str(n), b"x"), purpose="user_data").id for n in range(5)]
    first = client.files.list(limit=2)
    assert first.has_more
    newest = [file.id for file in client.files.list(limit=2)]  # the client turns the pages
    assert sorted(newest) == sorted(ids)
    assert [file.id for file in client.files.list(order="asc", limit=2)] == newest[::-1]
    after = client.files.list(after=newest[2], limit=1)
    assert [file.id for file in after.data] == [newest[3]]
    with pytest.raises(openai.BadRequestError, match="file-nowhere") as refused:  # perhaps deleted meanwhile
        client.files.list(after="file-nowhere")
    assert refused.value.param == "after"
    for wrong in ({"limit": 0}, {"limit": 10_001}, {"order": "up"}, {"extra_query": {"colour": "red"}}):
        with pytest.raises(openai.BadRequestError):
            client.files.list(**wrong)  # type: ignore[arg-type]


def test_a_file_past_its_time_does_not_exist(
    client: openai.OpenAI, server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    expires = {"anchor": "created_at", "seconds": 3600}
    file = client.files.create(file=("x", DATA), purpose="batch", expires_after=expires)  # type: ignore[arg-type]
    assert file.expires_at == file.created_at + 3600
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3601)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    assert list(client.files.list()) == []
    deadline = time.monotonic() + 30
    while blobs_of(server):
        assert time.monotonic() < deadline, "it was never swept away"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("expires", "param"),
    [
        ({"anchor": "created_at", "seconds": 3599}, "expires_after.seconds"),
        ({"anchor": "created_at", "seconds": 2_592_001}, "expires_after.seconds"),
        ({"anchor": "birth", "seconds": 3600}, "expires_after.anchor"),
    ],
)
def test_wrong_lifetimes(expires: Any, param: str, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.create(file=("x", b"x"), purpose="batch", expires_after=expires)
    assert caught.value.param == param


WRONG: list[tuple[dict[str, Any], str | None]] = [
    ({"data": {"purpose": "batch"}, "files": {"other": ("x", b"x")}}, "other"),
    ({"files": {"file": ("x", b"x")}}, "purpose"),
    ({"data": {"purpose": "weapons"}, "files": {"file": ("x", b"x")}}, "purpose"),
    ({"data": {"purpose": "batch" * 500}, "files": {"file": ("x", b"x")}}, "purpose"),
    ({"files": [("purpose", (None, b"batch"))]}, "file"),
    ({"files": [("file", (None, b"text")), ("purpose", (None, b"batch"))]}, "file"),
    ({"files": [("file", ("a", b"x")), ("file", ("b", b"x")), ("purpose", (None, b"batch"))]}, "file"),
    ({"json": {"purpose": "batch"}}, None),
    ({"content": b"--x\r\nnonsense", "headers": {"content-type": "multipart/form-data; boundary=x"}}, None),
    ({"content": b"", "headers": {"content-type": "multipart/form-data; boundary=x"}}, None),
    ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, None),
    ({"content": b"x", "headers": {"content-type": f"multipart/form-data; boundary={'b' * 999}"}}, None),
]


@pytest.mark.parametrize(("request_", "param"), WRONG)
def test_what_is_no_upload(request_: dict[str, Any], param: str | None, server: LiveServer) -> None:
    answer = post(server, **request_)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert blobs_of(server) == []
    assert not list(server.services.blobs._incoming.iterdir())


def test_an_upload_cut_off_leaves_nothing(server: LiveServer) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc'
    kind = {"content-type": "multipart/form-data; boundary=x"}
    assert post(server, content=body, headers=kind).status_code == 400
    assert not list(server.services.blobs._incoming.iterdir())


def test_deleted_between_looking_up_and_opening(
    client: openai.OpenAI, server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = client.files.create(file=("a", b"x"), purpose="user_data").id
    database, blobs, really = server.services.database, server.services.blobs, server.services.blobs.open

    def deleted_first(blob: Blob) -> BinaryIO:
        unused = database.write_now(lambda link: Files().delete(link, blob.project_id, file, now=0))
        assert [blobs.collect(one) for one in unused] == [True]
        return really(blob)

    monkeypatch.setattr(blobs, "open", deleted_first)
    with pytest.raises(openai.NotFoundError):
        client.files.content(file)


def test_names_are_names(client: openai.OpenAI) -> None:
    for given, kept in (
        ("../../etc/passwd", "passwd"),
        ("C:\\a\\b.txt", "b.txt"),
        ("é\u4e2d.txt", "é\u4e2d.txt"),
    ):
        assert client.files.create(file=(given, b"x"), purpose="user_data").filename == kept


def test_a_large_upload_needs_little_memory(client: openai.OpenAI, server: LiveServer) -> None:
    """32 MiB through a server of which memory for a few chunks is asked."""
    import tracemalloc

    block = os.urandom(2**20)

    class Source(io.RawIOBase):
        left = 32

        def readable(self) -> bool:
            return True

        def read(self, _size: int = -1) -> bytes:
            self.left -= 1
            return block if self.left >= 0 else b""

    boundary = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    boundary += b'--b\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n'
    source = Source()

    def body() -> Any:
        yield boundary
        while data := source.read():
            yield data
        yield b"\r\n--b--\r\n"

    tracemalloc.start()
    try:
        answer = post(
            server, content=body(), headers={"content-type": "multipart/form-data; boundary=b"}, timeout=60
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.json()["bytes"] == 32 * 2**20, answer.text
    assert peak < 12 * 2**20
    assert client.files.content(answer.json()["id"]).read() == block * 32


def test_too_large(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from pennyweight.server.routes import files as routes

    assert upload.MAX_FILE_BYTES == 512 * 2**20
    monkeypatch.setattr(routes, "MAX_FILE_BYTES", 1000)
    answer = post(server, data={"purpose": "batch"}, files={"file": ("x", b"x" * 1001)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "content_too_large")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest("POST", "/v1/files")
    connection.putheader("content-length", str(2**31))
    connection.putheader("content-type", "multipart/form-data; boundary=x")
    connection.endheaders()
    assert connection.getresponse().status == 413, "before the first byte is sent"
    connection.close()


def test_a_full_disk_says_so(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from pennyweight.store.durability import storing
    from pennyweight.store.incoming import IncomingBlob

    def full(_self: IncomingBlob, _data: bytes) -> None:
        with storing():
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(IncomingBlob, "write", full)
    answer = post(server, data={"purpose": "batch"}, files={"file": ("x", b"x" * 100_000)})
    assert (answer.status_code, answer.headers["x-should-retry"]) == (507, "false")
    assert answer.json()["error"]["code"] == "storage_full"
    monkeypatch.undo()
    assert not list(server.services.blobs._incoming.iterdir())


def test_content_goes_on_while_the_file_is_deleted(
    client: openai.OpenAI, server: LiveServer, tmp_path: Path
) -> None:
    big = os.urandom(8 * 2**20)
    (tmp_path / "big").write_bytes(big)
    file = client.files.create(file=tmp_path / "big", purpose="user_data")
    with httpx.stream("GET", f"{server.url}/v1/files/{file.id}/content") as answer:
        assert answer.headers["content-length"] == str(len(big))
        chunks = answer.iter_raw()
        read = next(chunks)
        client.files.delete(file.id)
        assert read + b"".join(chunks) == big
    assert blobs_of(server) == []
