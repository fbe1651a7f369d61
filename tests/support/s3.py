"""As much of an S3-compatible object store as copies of the library need, on a socket: for tests, in memory.

Objects, multipart uploads and lists (https://docs.aws.amazon.com/AmazonS3/latest/API/).  It does not check signatures;
it refuses another access key.  To run the same tests against a real one, name it: VERDELTA_TEST_S3=http://127.0.0.1:9000
with a bucket `dml`, the access key `key` and the secret key `secret`.
"""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

KEY, SECRET, BUCKET = "key", "secret", "dml"


class S3(ThreadingHTTPServer):
    """The store; `objects` are those of its one bucket, `uploads` the multipart uploads that are under way."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}

    @property
    def url(self) -> str:
        """Return its endpoint."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def an_object_store() -> Iterator[S3]:
    """Yield a store that runs until the block ends."""
    server = S3()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def endpoint_of_a_real_one() -> str:
    """Return the address of a real object store, if one was named."""
    return os.environ.get("VERDELTA_TEST_S3", "")


class _Handler(BaseHTTPRequestHandler):
    server: S3
    protocol_version = "HTTP/1.1"

    def _begin(self) -> tuple[str, dict[str, str], bytes]:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return unquote(parts.path).removeprefix(f"/{BUCKET}").lstrip("/"), query, body

    def do_GET(self) -> None:
        """Answer with an object or a list."""
        key, query, _ = self._begin()
        if self._is_refused():
            return
        if "list-type" in query:
            prefix = query.get("prefix", "")
            self._answer(200, _list({k: v for k, v in self.server.objects.items() if k.startswith(prefix)}).encode())
        elif key in self.server.objects:
            data = self.server.objects[key]
            self._answer(200, data, ETag=_etag(data), Last_Modified="Thu, 26 Nov 2026 02:14:07 GMT")
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        """Take an object, or a part of one."""
        key, query, body = self._begin()
        if self._is_refused():
            return
        if "uploadId" in query:
            self.server.uploads[query["uploadId"]][int(query["partNumber"])] = body
        else:
            self.server.objects[key] = body
        self._answer(200, b"", ETag=_etag(body))

    def do_POST(self) -> None:
        """Begin or complete an upload in parts."""
        key, query, _ = self._begin()
        if self._is_refused():
            return
        if "uploads" in query:
            number = str(len(self.server.uploads) + 1)
            self.server.uploads[number] = {}
            found = f"<Bucket>{BUCKET}</Bucket><Key>{escape(key)}</Key><UploadId>{number}</UploadId>"
            self._answer(200, f"<InitiateMultipartUploadResult>{found}</InitiateMultipartUploadResult>".encode())
        else:
            parts = self.server.uploads.pop(query["uploadId"])
            self.server.objects[key] = b"".join(parts[number] for number in sorted(parts))
            etag = escape(_etag(self.server.objects[key]))
            found = f"<Bucket>{BUCKET}</Bucket><Key>{escape(key)}</Key><ETag>{etag}</ETag>"
            self._answer(200, f"<CompleteMultipartUploadResult>{found}</CompleteMultipartUploadResult>".encode())

    def do_DELETE(self) -> None:
        """Abort an upload in parts."""
        _, query, _ = self._begin()
        self.server.uploads.pop(query.get("uploadId", ""), None)
        self._answer(204, b"")

    def _is_refused(self) -> bool:
        if f"Credential={KEY}/" in self.headers.get("Authorization", ""):
            return False
        self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        return True

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _list(objects: dict[str, bytes]) -> str:
    found = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-26T02:14:07.000Z</LastModified>"
        f"<ETag>{escape(_etag(data))}</ETag><Size>{len(data)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for key, data in sorted(objects.items())
    )
    return f"<ListBucketResult><Name>{BUCKET}</Name><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
