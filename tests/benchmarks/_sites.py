"""The servers of a measurement, each with the same content, reached directly or over a long way."""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from awscrt import checksums

from kegbrowser.backends.registry import ConnectionSpec
from tests.benchmarks._fast_server import ACCOUNT, FastServer
from tests.servers.azurite import KEY
from tests.servers.process import HOST
from tests.servers.seaweed import Seaweed
from tests.servers.sshd import Sshd

BUCKET = "bench"
CIPHER = "aes128-gcm@openssh.com"
REGION = "us-east-1"
S3_KEY, S3_SECRET = "KEGACCESSKEY", "kegsecretkey0123456789"


class ContentDiffers(Exception):
    """Somebody who seemed quick did not do the work."""


class Site(Protocol):
    """A server with a file `big.bin` and a folder `tree`; whatever is uploaded goes to `up-N/`, once for each N.

    Attributes:
        kind: of the backend: s3, azure, sftp.
        label: of the server, for the table.
        port: of the server itself.
        pids: the programs whose processor time is the server's.
    """

    kind: str
    label: str
    port: int

    @property
    def pids(self) -> list[int]: ...

    def spec(self, port: int) -> ConnectionSpec:
        """For our engine, by a port: the server's own or a proxy's."""
        ...

    def publish(self, big: Path, tree: Path) -> None:
        """Have the content there."""
        ...

    def publish_tree(self, tree: Path) -> None:
        """Have another folder there."""
        ...

    def make_room(self, name: str) -> None:
        """Make the folder that is uploaded to, where there are folders."""
        ...

    def check_file(self, name: str, source: Path) -> None:
        """Compare an uploaded file with its source, to the last byte or by a checksum that the server made."""
        ...

    def check_tree(self, name: str, source: Path) -> None: ...

    def remove(self, name: str) -> None:
        """Remove an upload folder with all that is in it."""
        ...


def files_below(root: Path) -> Iterator[tuple[str, Path]]:
    """Relative names and paths, in order."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(root)), path


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def sha256_of_source(path: Path) -> str:
    """Of what does not change while the benchmark runs."""
    return sha256(path)


@cache
def digest_of_source_tree(root: Path) -> str:
    return digest_of_tree(root)


def digest_of_tree(root: Path) -> str:
    """One SHA-256 of all names and contents."""
    whole = hashlib.sha256()
    for name, path in files_below(root):
        whole.update(name.encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


@dataclass
class FastSite:
    """S3 or Azure by the fast server."""

    kind: str
    server: FastServer

    def __post_init__(self) -> None:
        self.label = "fast server"
        self.port = self.server.port

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.server.processes]

    def spec(self, port: int) -> ConnectionSpec:
        if self.kind == "s3":
            return s3_spec(port)
        options = {"account": ACCOUNT, "key": KEY, "endpoint": f"http://{HOST}:{port}/{ACCOUNT}"}
        return ConnectionSpec(f"azure-{port}", "azure", "Bench", options)

    def publish(self, big: Path, tree: Path) -> None:
        folder = self.server.content / BUCKET
        if not folder.exists():
            folder.mkdir()
            os.link(big, folder / big.name)
            self.publish_tree(tree)

    def publish_tree(self, tree: Path) -> None:
        target = self.server.content / BUCKET / tree.name
        if not target.exists():
            shutil.copytree(tree, target)
            self.server.storage.publish()

    def make_room(self, name: str) -> None:
        return None

    def check_file(self, name: str, source: Path) -> None:
        parts = self.server.storage.uploaded(f"{BUCKET}/{name}")
        if parts is None:
            raise ContentDiffers(f"{name} is not there")
        with source.open("rb") as file:
            for part in parts:
                if len(piece := file.read(part.size)) != part.size or checksums.crc64nvme(piece) != part.crc:
                    raise ContentDiffers(f"{name} is not as its source")
            if file.read(1):
                raise ContentDiffers(f"{name} ends too early")

    def check_tree(self, name: str, source: Path) -> None:
        for relative, path in files_below(source):
            self.check_file(f"{name}/{relative}", path)

    def remove(self, name: str) -> None:
        self.server.storage.forget_uploads()


@dataclass
class SeaweedSite:
    """S3 by SeaweedFS."""

    server: Seaweed

    def __post_init__(self) -> None:
        self.kind = "s3"
        self.label = "SeaweedFS"
        self.port = self.server.address.port
        self._has_content = False

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.server.processes]

    def spec(self, port: int) -> ConnectionSpec:
        return s3_spec(port)

    def publish(self, big: Path, tree: Path) -> None:
        if self._has_content:
            return
        client = self._client()
        client.create_bucket(Bucket=BUCKET)
        client.upload_file(str(big), BUCKET, big.name)
        self.publish_tree(tree)
        self._has_content = True

    def publish_tree(self, tree: Path) -> None:
        client = self._client()
        for relative, path in files_below(tree):
            client.put_object(Bucket=BUCKET, Key=f"{tree.name}/{relative}", Body=path.read_bytes())

    def make_room(self, name: str) -> None:
        return None

    def check_file(self, name: str, source: Path) -> None:
        with urllib.request.urlopen(
            self._client().generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": name})
        ) as answer:
            if hashlib.file_digest(answer, "sha256").hexdigest() != sha256_of_source(source):
                raise ContentDiffers(f"{name} is not as its source")

    def check_tree(self, name: str, source: Path) -> None:
        """By the MD5 that the server gives of each object of one part."""
        pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{name}/")
        there = {row["Key"]: row["ETag"].strip('"') for page in pages for row in page.get("Contents", ())}
        wanted = {
            f"{name}/{relative}": hashlib.md5(path.read_bytes()).hexdigest() for relative, path in files_below(source)
        }
        if there != wanted:
            raise ContentDiffers(f"{name} has {len(there)} objects that are not all as their {len(wanted)} sources")

    def remove(self, name: str) -> None:
        """Nothing: to delete ten thousand objects takes longer than to send them, and the server is thrown away soon."""

    def _client(self) -> Any:
        import boto3

        return boto3.client("s3", **s3_client_options(self.port))


@dataclass
class SshdSite:
    """SFTP by OpenSSH, with the one cipher that all use."""

    server: Sshd

    def __post_init__(self) -> None:
        self.kind = "sftp"
        self.label = "OpenSSH"
        self.port = self.server.address.port
        self.root = Path(self.server.address.root)

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.server.processes]

    def spec(self, port: int) -> ConnectionSpec:
        address = self.server.address.at(port)
        options = {
            "host": HOST,
            "port": str(port),
            "username": address.username,
            "auth": "key",
            "key_filename": address.key_file,
            "known_hosts": address.known_hosts_file,
        }
        return ConnectionSpec(f"sftp-{port}", "sftp", "Bench", options)

    def publish(self, big: Path, tree: Path) -> None:
        if not (self.root / tree.name).exists():
            os.link(big, self.root / big.name)
            self.publish_tree(tree)

    def publish_tree(self, tree: Path) -> None:
        if not (self.root / tree.name).exists():
            shutil.copytree(tree, self.root / tree.name)

    def make_room(self, name: str) -> None:
        (self.root / name).mkdir()

    def check_file(self, name: str, source: Path) -> None:
        if sha256(self.root / name) != sha256_of_source(source):
            raise ContentDiffers(f"{name} is not as its source")

    def check_tree(self, name: str, source: Path) -> None:
        if digest_of_tree(self.root / name) != digest_of_source_tree(source):
            raise ContentDiffers(f"{name} is not as its source")

    def remove(self, name: str) -> None:
        shutil.rmtree(self.root / name)


def s3_spec(port: int) -> ConnectionSpec:
    options = {
        "endpoint": f"http://{HOST}:{port}",
        "access_key_id": S3_KEY,
        "secret_access_key": S3_SECRET,
        "region": REGION,
    }
    return ConnectionSpec(f"s3-{port}", "s3", "Bench", options)


def s3_client_options(port: int) -> dict[str, str]:
    return {
        "endpoint_url": f"http://{HOST}:{port}",
        "aws_access_key_id": S3_KEY,
        "aws_secret_access_key": S3_SECRET,
        "region_name": REGION,
    }


def remote_base(site: Site) -> str:
    """The folder of the content, as our engine takes paths; ends in "/"."""
    return f"{str(site.root).lstrip('/')}/" if isinstance(site, SshdSite) else f"{BUCKET}/"


def container_of_azure(port: int) -> str:
    return f"http://{HOST}:{port}/{ACCOUNT}/{BUCKET}"
