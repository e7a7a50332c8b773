"""The interface that the Keg-Storage 0.4.1 documentation gives: each class, parameter, default and method, and their use."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import paramiko
import pytest
from azure.storage.blob import BlobServiceClient

from kegbrowser.backends.azure import AzureReader, AzureStorage, AzureWriter
from kegbrowser.backends.base import FileMode, ListEntry, RemoteFile, StorageBackend
from kegbrowser.backends.errors import FileNotFoundInStorageError, StorageError
from kegbrowser.backends.s3 import S3FileBase, S3Reader, S3Storage, S3Writer
from kegbrowser.backends.sftp import SFTPRemoteFile, SFTPStorage
from tests.conformance.content import content_of, digest
from tests.conformance.fixtures.s3 import plain_client
from tests.conformance.place import Place
from tests.servers.azurite import AzureAddress
from tests.servers.seaweed import S3Address
from tests.servers.sshd import SshdAddress

NEEDED = inspect.Parameter.empty
MIB = 1024 * 1024

CONSTRUCTORS: dict[tuple[str, str], list[tuple[str, Any]]] = {
    ("base", "RemoteFile"): [("mode", NEEDED)],
    ("base", "StorageBackend"): [("name", NEEDED)],
    ("s3", "S3Storage"): [
        ("bucket", NEEDED),
        ("aws_region", NEEDED),
        ("aws_access_key_id", None),
        ("aws_secret_access_key", None),
        ("aws_profile", None),
        ("name", "s3"),
    ],
    ("s3", "S3FileBase"): [("mode", NEEDED), ("bucket", NEEDED), ("filename", NEEDED), ("client", NEEDED)],
    ("s3", "S3Reader"): [("bucket", NEEDED), ("filename", NEEDED), ("client", NEEDED)],
    ("s3", "S3Writer"): [("bucket", NEEDED), ("filename", NEEDED), ("client", NEEDED), ("chunk_size", 10485760)],
    ("azure", "AzureStorage"): [("account", NEEDED), ("key", NEEDED), ("bucket", NEEDED), ("name", "azure")],
    ("azure", "AzureFile"): [
        ("container_name", NEEDED),
        ("path", NEEDED),
        ("mode", NEEDED),
        ("service", NEEDED),
        ("chunk_size", 10485760),
    ],
    ("azure", "AzureReader"): [
        ("container_name", NEEDED),
        ("path", NEEDED),
        ("mode", NEEDED),
        ("service", NEEDED),
        ("chunk_size", 10485760),
    ],
    ("azure", "AzureWriter"): [
        ("container_name", NEEDED),
        ("path", NEEDED),
        ("mode", NEEDED),
        ("service", NEEDED),
        ("chunk_size", 4194304),
    ],
    ("sftp", "SFTPStorage"): [
        ("host", NEEDED),
        ("username", NEEDED),
        ("key_filename", NEEDED),
        ("known_hosts_fpath", NEEDED),
        ("allow_agent", False),
        ("look_for_keys", False),
        ("name", "sftp"),
    ],
    ("sftp", "SFTPRemoteFile"): [("mode", NEEDED), ("path", NEEDED), ("client", NEEDED)],
}

METHODS: dict[tuple[str, str], dict[str, list[tuple[str, Any]]]] = {
    ("base", "RemoteFile"): {
        "read": [("size", NEEDED)],
        "write": [("data", NEEDED)],
        "close": [],
        "iter_chunks": [("chunk_size", 10485760)],
        "__iter__": [],
        "__enter__": [],
    },
    ("base", "StorageBackend"): {
        "list": [("path", NEEDED)],
        "open": [("path", NEEDED), ("mode", NEEDED)],
        "delete": [("path", NEEDED)],
        "get": [("path", NEEDED), ("dest", NEEDED)],
        "put": [("path", NEEDED), ("dest", NEEDED)],
    },
    ("s3", "S3Storage"): {
        "list": [("path", NEEDED)],
        "open": [("path", NEEDED), ("mode", NEEDED)],
        "delete": [("path", NEEDED)],
    },
    ("s3", "S3Reader"): {"read": [("size", NEEDED)], "close": []},
    ("s3", "S3Writer"): {"write": [("data", NEEDED)], "close": [], "abort": []},
    ("azure", "AzureStorage"): {
        "list": [("path", NEEDED)],
        "open": [("path", NEEDED), ("mode", NEEDED), ("buffer_size", 10485760)],
        "delete": [("path", NEEDED)],
    },
    ("azure", "AzureReader"): {"read": [("size", NEEDED)], "close": []},
    ("azure", "AzureWriter"): {"write": [("data", NEEDED)], "close": []},
    ("sftp", "SFTPStorage"): {
        "list": [("path", NEEDED)],
        "open": [("path", NEEDED), ("mode", NEEDED)],
        "delete": [("path", NEEDED)],
    },
    ("sftp", "SFTPRemoteFile"): {"read": [("size", NEEDED)], "write": [("data", NEEDED)], "close": []},
}

PARENTS: dict[tuple[str, str], str] = {
    ("s3", "S3Storage"): "StorageBackend",
    ("s3", "S3FileBase"): "RemoteFile",
    ("s3", "S3Reader"): "S3FileBase",
    ("s3", "S3Writer"): "S3FileBase",
    ("azure", "AzureStorage"): "StorageBackend",
    ("azure", "AzureFile"): "RemoteFile",
    ("azure", "AzureReader"): "AzureFile",
    ("azure", "AzureWriter"): "AzureFile",
    ("sftp", "SFTPStorage"): "StorageBackend",
    ("sftp", "SFTPRemoteFile"): "RemoteFile",
}


def _class(module: str, name: str) -> type:
    found = getattr(import_module(f"kegbrowser.backends.{module}"), name)
    assert isinstance(found, type)
    return found


def _parameters(call: Callable[..., Any]) -> tuple[list[tuple[str, Any]], list[inspect.Parameter]]:
    """Those that can be given by position (without self), and all others."""
    parameters = list(inspect.signature(call).parameters.values())[1:]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return (
        [(one.name, one.default) for one in parameters if one.kind is kind],
        [one for one in parameters if one.kind is not kind],
    )


@pytest.mark.parametrize(("module", "name"), CONSTRUCTORS, ids=lambda text: text)
def test_constructors_take_the_documented_parameters_in_order(module: str, name: str) -> None:
    documented, newer = _parameters(_class(module, name).__init__)  # type: ignore[misc]  # the signature is all we want

    assert documented == CONSTRUCTORS[module, name]
    assert {one.kind for one in newer} <= {inspect.Parameter.KEYWORD_ONLY}
    assert [one.name for one in newer if one.default is NEEDED] == []


@pytest.mark.parametrize(("module", "name"), METHODS, ids=lambda text: text)
def test_methods_take_the_documented_parameters_in_order(module: str, name: str) -> None:
    for method, expected in METHODS[module, name].items():
        documented, newer = _parameters(getattr(_class(module, name), method))

        assert documented == expected, method
        assert {one.kind for one in newer} <= {inspect.Parameter.KEYWORD_ONLY}, method
        assert [one.name for one in newer if one.default is NEEDED] == [], method


@pytest.mark.parametrize(("module", "name"), PARENTS, ids=lambda text: text)
def test_classes_inherit_as_documented(module: str, name: str) -> None:
    assert PARENTS[module, name] in [parent.__name__ for parent in _class(module, name).__mro__[1:]]


def test_reader_and_writer_are_no_one_class() -> None:
    assert not issubclass(S3Writer, S3Reader)
    assert not issubclass(AzureWriter, AzureReader)


def test_list_entries_begin_with_the_documented_fields() -> None:
    assert [one.name for one in fields(ListEntry)][:3] == ["name", "last_modified", "size"]
    entry = ListEntry("name", None, 5)
    assert (entry.name, entry.last_modified, entry.size) == ("name", None, 5)


def test_file_modes_are_flags_with_their_text() -> None:
    assert str(FileMode.read) == "rb"
    assert str(FileMode.write) == "wb"
    assert str(FileMode.read | FileMode.write) == "rwb"
    assert FileMode.as_mode("rb") is FileMode.read
    assert FileMode.as_mode("w") is FileMode.write
    assert FileMode.as_mode("rwb") == FileMode.read | FileMode.write
    assert FileMode.as_mode(FileMode.write) is FileMode.write


def _use(storage: StorageBackend, folder: Path) -> None:
    """All that the documentation shows of a storage."""
    content = content_of(100_000)
    source, target = folder / "source", folder / "target"
    source.write_bytes(content)
    with storage.open("file", "wb") as file:
        assert file.mode is FileMode.write
        file.write(content[:40_000])
        file.write(content[40_000:])
    with storage.open("file", FileMode.read) as file:
        assert file.mode is FileMode.read
        assert b"".join(iter(lambda: file.read(7000), b"")) == content
        assert file.read(1) == b""
    with storage.open("file", "rb") as file:
        assert [len(chunk) for chunk in file.iter_chunks(40_000)] == [40_000, 40_000, 20_000]
    file = storage.open("file", "rb")
    assert b"".join(file) == content
    file.close()
    file.close()
    storage.put(str(source), "second")
    storage.get("second", str(target))
    assert target.read_bytes() == content
    entries = {entry.name: entry.size for entry in storage.list("")}
    assert entries == {"file": len(content), "second": len(content)}
    storage.delete("file")
    assert [entry.name for entry in storage.list("")] == ["second"]
    with pytest.raises(FileNotFoundInStorageError):
        storage.open("file", "rb")


def test_every_storage_is_used_as_documented(place: Place, tmp_path: Path) -> None:
    _use(place.storage, tmp_path)


def test_the_names_of_storages_are_the_documented_ones(place: Place) -> None:
    assert place.storage.name == place.kind


def _write_and_read(write: Callable[[], RemoteFile], read: Callable[[], RemoteFile], size: int) -> None:
    content = content_of(size)
    with write() as file:
        for start in range(0, len(content), 300_000):
            file.write(content[start : start + 300_000])
    with pytest.raises(ValueError):
        file.write(b"more")
    with read() as file:
        got = b"".join(iter(lambda: file.read(1 << 20), b""))
    file.close()
    with pytest.raises(ValueError):
        file.read(1)
    assert digest(got) == digest(content)


@pytest.fixture
def s3(s3_server: S3Address) -> Iterator[tuple[str, Any]]:
    """A bucket and a client of boto3."""
    client = plain_client(s3_server)
    client.create_bucket(Bucket="shared-keg-interface")
    yield "shared-keg-interface", client
    client.delete_bucket(Bucket="shared-keg-interface")
    client.close()


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, 12 * MIB])
def test_s3_files_work_with_a_client_of_boto3(s3: tuple[str, Any], size: int) -> None:
    bucket, client = s3

    _write_and_read(lambda: S3Writer(bucket, "a key", client, 5 * MIB), lambda: S3Reader(bucket, "a key", client), size)

    assert client.head_object(Bucket=bucket, Key="a key")["ContentLength"] == size


def test_an_s3_upload_begins_late_and_is_aborted_without_traces(s3: tuple[str, Any]) -> None:
    bucket, client = s3
    writer = S3Writer(bucket, "a key", client, chunk_size=5 * MIB)

    writer.write(content_of(MIB))
    begun_early = client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    writer.write(content_of(11 * MIB))
    begun = client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    writer.abort()

    assert not begun_early
    assert len(begun) == 1
    assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_an_s3_file_is_not_read_and_written_at_once(s3: tuple[str, Any]) -> None:
    bucket, client = s3

    with pytest.raises(StorageError):
        S3FileBase(FileMode.read | FileMode.write, bucket, "a key", client)


def test_s3_storage_takes_its_documented_arguments_by_position(
    s3: tuple[str, Any], s3_server: S3Address, tmp_path: Path
) -> None:
    storage = S3Storage(
        s3[0],
        s3_server.region,
        s3_server.admin.access_key,
        s3_server.admin.secret_key,
        None,
        "by position",
        endpoint_url=s3_server.endpoint,
    )

    assert storage.name == "by position"
    _use(storage, tmp_path)
    storage.shutdown()


@pytest.fixture
def azure(azure_server: AzureAddress) -> Iterator[tuple[str, BlobServiceClient]]:
    """A container and a client of the SDK."""
    service = BlobServiceClient(azure_server.endpoint, credential=azure_server.key)
    service.create_container("keg-interface")
    yield "keg-interface", service
    service.delete_container("keg-interface")
    service.close()


@pytest.mark.parametrize("size", [0, 1, MIB, 3 * MIB + 5])
def test_azure_files_work_with_a_client_of_the_sdk(azure: tuple[str, BlobServiceClient], size: int) -> None:
    container, service = azure

    _write_and_read(
        lambda: AzureWriter(container, "a blob", FileMode.write, service, MIB),
        lambda: AzureReader(container, "a blob", FileMode.read, service, MIB),
        size,
    )

    assert service.get_blob_client(container, "a blob").get_blob_properties().size == size


def test_an_azure_reader_gives_a_missing_blob_its_own_error(azure: tuple[str, BlobServiceClient]) -> None:
    container, service = azure

    with pytest.raises(FileNotFoundInStorageError, match="missing"):
        AzureReader(container, "missing", FileMode.read, service).read(1)


def test_azure_storage_takes_its_documented_arguments_by_position(
    azure: tuple[str, BlobServiceClient], azure_server: AzureAddress, tmp_path: Path
) -> None:
    storage = AzureStorage(
        azure_server.account, azure_server.key, azure[0], "by position", endpoint=azure_server.endpoint
    )

    assert storage.name == "by position"
    _use(storage, tmp_path)
    with storage.open("buffered", "wb", 100_000) as file:
        file.write(content_of(250_000))
    with storage.open("buffered", "rb", buffer_size=100_000) as file:
        assert digest(b"".join(file)) == digest(content_of(250_000))
    storage.shutdown()


@pytest.fixture
def sftp(sshd_server: SshdAddress) -> Iterator[tuple[str, paramiko.SFTPClient]]:
    """A folder of the server and a client of paramiko."""
    folder = Path(sshd_server.root) / "keg-interface"
    folder.mkdir()
    with paramiko.SSHClient() as ssh:
        ssh.load_host_keys(sshd_server.known_hosts_file)
        ssh.connect(
            sshd_server.host,
            sshd_server.port,
            sshd_server.username,
            key_filename=sshd_server.key_file,
            allow_agent=False,
            look_for_keys=False,
        )
        yield str(folder), ssh.open_sftp()
    for left in folder.iterdir():
        left.unlink()
    folder.rmdir()


@pytest.mark.parametrize("size", [0, 1, 32 * 1024, 2 * MIB + 5])
def test_sftp_files_work_with_a_client_of_paramiko(sftp: tuple[str, paramiko.SFTPClient], size: int) -> None:
    folder, client = sftp

    _write_and_read(
        lambda: SFTPRemoteFile(FileMode.write, f"{folder}/file", client),
        lambda: SFTPRemoteFile(FileMode.read, f"{folder}/file", client),
        size,
    )

    assert [path.name for path in Path(folder).iterdir()] == ["file"]
    assert Path(folder, "file").stat().st_size == size


def test_an_sftp_file_appears_only_when_it_is_closed(sftp: tuple[str, paramiko.SFTPClient]) -> None:
    folder, client = sftp
    Path(folder, "file").write_bytes(b"old")

    file = SFTPRemoteFile(FileMode.write, f"{folder}/file", client)
    file.write(b"new content")
    assert Path(folder, "file").read_bytes() == b"old"
    file.close()
    file.close()
    assert Path(folder, "file").read_bytes() == b"new content"

    aborted = SFTPRemoteFile(FileMode.write, f"{folder}/file", client)
    aborted.write(b"half")
    aborted.abort()
    assert Path(folder, "file").read_bytes() == b"new content"
    assert [path.name for path in Path(folder).iterdir()] == ["file"]


def test_a_missing_sftp_file_is_its_own_error(sftp: tuple[str, paramiko.SFTPClient]) -> None:
    folder, client = sftp

    with pytest.raises(FileNotFoundInStorageError, match="missing"):
        SFTPRemoteFile(FileMode.read, f"{folder}/missing", client).read(1)


def test_sftp_storage_takes_its_documented_arguments_by_position(
    sftp: tuple[str, paramiko.SFTPClient], sshd_server: SshdAddress, tmp_path: Path
) -> None:
    storage = SFTPStorage(
        sshd_server.host,
        sshd_server.username,
        sshd_server.key_file,
        sshd_server.known_hosts_file,
        False,
        False,
        "by position",
        port=sshd_server.port,
        root=sftp[0],
    )

    assert storage.name == "by position"
    _use(storage, tmp_path)
    storage.shutdown()
