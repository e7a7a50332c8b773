"""Containers for the tests of Azure Blob, requests as no SDK would send them, and a server that answers by script."""

from __future__ import annotations

import http.client
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from azure.storage.blob import BlobServiceClient, ContainerClient

from kegbrowser.backends.azure import AzureStorage
from tests.servers.azurite import ACCOUNT, KEY, AzureAddress

API_VERSION = "2023-11-03"


@dataclass(frozen=True, slots=True)
class Box:
    """A container of the real server, and ways to it that do not pass the code under test."""

    address: AzureAddress
    name: str
    client: ContainerClient

    def names(self) -> list[str]:
        return sorted(blob.name for blob in self.client.list_blobs())

    def put(self, path: str, content: bytes = b"x", **more: Any) -> None:
        self.client.upload_blob(path, content, overwrite=True, **more)

    def content(self, path: str) -> bytes:
        content: bytes = self.client.download_blob(path).readall()
        return content

    def send(
        self, method: str, encoded_path: str, body: bytes = b"", query: str = "", **headers: str
    ) -> tuple[int, bytes]:
        """Send a request whose path is exactly this, with a signature of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.address.port, timeout=20)
        sas = self.address.sas("rwdlac")
        connection.putrequest(method, f"/{self.address.account}/{self.name}/{encoded_path}?{sas}{query}")
        all_headers = {"x-ms-version": API_VERSION, "Content-Length": str(len(body))}
        if method == "PUT" and not query:
            all_headers["x-ms-blob-type"] = "BlockBlob"
        for key, value in (all_headers | headers).items():
            connection.putheader(key, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def uncommitted(self, path: str) -> list[str]:
        """The ids of the blocks that nobody has committed."""
        return [block.id for block in self.client.get_blob_client(path).get_block_list("uncommitted")[1]]


@contextmanager
def new_box(address: AzureAddress) -> Iterator[Box]:
    """A container of the real server, gone afterwards with all that is in it."""
    with BlobServiceClient(address.endpoint, credential=address.key) as service:
        name = f"box-{secrets.token_hex(6)}"
        client = service.create_container(name)
        try:
            yield Box(address, name, client)
        finally:
            client.delete_container()


@contextmanager
def storage_at(address: AzureAddress, container: str | None, *, port: int = 0, **more: Any) -> Iterator[AzureStorage]:
    """A storage on the real server, by its key if nothing else is given; through a proxy with `port`."""
    endpoint = address.endpoint.replace(f":{address.port}/", f":{port or address.port}/")
    key = None if more.keys() & {"sas_token", "connection_string", "key"} else address.key
    more = {"endpoint": endpoint, "key": key} | more
    storage = AzureStorage(address.account, more.pop("key"), container, **more)
    try:
        yield storage
    finally:
        storage.shutdown()


def put(storage: AzureStorage, path: str, content: bytes = b"x", **more: Any) -> None:
    """Write one file."""
    with storage.open_writer(path, **more) as file:
        file.write(content)


# -- a server by script ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Told:
    """An answer. `stated_length` lies about the length of the body, and the connection ends after it."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    stated_length: int | None = None


@dataclass(slots=True)
class ScriptedServer:
    """Answers each request by what `answer` says of it."""

    answer: Callable[[Asked], Told]
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"


def refusal(status: int, code: str, message: str = "", **headers: str) -> Told:
    """An answer as the service refuses something."""
    xml = f'\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    named = {"x-ms-error-code": code} if code else {}
    return Told(status, xml.encode(), {"Content-Type": "application/xml"} | named | headers)


@contextmanager
def scripted_server(answer: Callable[[Asked], Told], *, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    script = ScriptedServer(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = Asked(self.command, self.path, dict(self.headers.items()), body)
            script.asked.append(asked)
            told = script.answer(asked)
            if "Date" in told.headers:
                self.send_response_only(told.status)
            else:
                self.send_response(told.status)
            length = len(told.body) if told.stated_length is None else told.stated_length
            lengths = {} if "Transfer-Encoding" in told.headers else {"Content-Length": str(length)}
            for key, value in (lengths | told.headers).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(told.body)
            if told.stated_length is not None:
                self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

        def log_request(self, *_details: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    script.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def scripted_storage(server: ScriptedServer, container: str | None = "box", **more: Any) -> Iterator[AzureStorage]:
    """A storage on the server by script."""
    key = None if more.keys() & {"sas_token", "key"} else KEY
    more = {"endpoint": server.endpoint, "key": key} | more
    storage = AzureStorage(ACCOUNT, more.pop("key"), container, **more)
    try:
        yield storage
    finally:
        storage.shutdown()
