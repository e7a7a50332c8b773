"""`SFTPRemoteFile` with nothing but a client of paramiko."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from kegbrowser.backends.base import FileMode
from kegbrowser.backends.errors import FileNotFoundInStorageError, IsAFolder, NotSupported, SourceChanged
from kegbrowser.backends.sftp import SFTPRemoteFile
from tests.conformance.content import content_of, digest
from tests.doubles.sftp_server import USER, SftpServerDouble, Ways
from tests.servers.process import HOST
from tests.servers.sshd import SshdAddress

CONTENT = content_of(3_000_000)


@pytest.fixture(params=["OpenSSH", "plain"])
def client(request: pytest.FixtureRequest, sshd_server: SshdAddress, tmp_path: Path) -> Iterator[paramiko.SFTPClient]:
    """A client in the folder `tmp_path`: of a server with all extensions, and of one with none."""
    with paramiko.SSHClient() as ssh, SftpServerDouble(tmp_path, Ways(password="secret")) as double:
        ssh.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        if request.param == "OpenSSH":
            ssh.connect(
                HOST, sshd_server.port, sshd_server.username, key_filename=sshd_server.key_file, allow_agent=False
            )
        else:
            ssh.connect(HOST, double.port, USER, "secret", allow_agent=False, look_for_keys=False)
        with ssh.open_sftp() as sftp:
            sftp.chdir(str(tmp_path) if request.param == "OpenSSH" else "/")
            yield sftp


def test_a_file_is_written_and_read(client: paramiko.SFTPClient, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o640)

    with SFTPRemoteFile(FileMode.write, "file", client) as file:
        for start in range(0, len(CONTENT), 700_000):
            file.write(CONTENT[start : start + 700_000])
        assert (tmp_path / "file").read_bytes() == b"old"
    with SFTPRemoteFile(FileMode.read, "file", client) as file:
        got = b"".join(file.iter_chunks(333_333))

    assert digest(got) == digest(CONTENT)
    assert digest((tmp_path / "file").read_bytes()) == digest(CONTENT)
    assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_client_may_be_used_in_between(client: paramiko.SFTPClient, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    got = b""
    with SFTPRemoteFile(FileMode.read, "file", client) as file, SFTPRemoteFile(FileMode.write, "copy", client) as copy:
        for chunk in file.iter_chunks(400_000):
            assert "file" in client.listdir()
            copy.write(chunk)
            assert client.stat("file").st_size == len(CONTENT)
            got += chunk

    assert digest(got) == digest((tmp_path / "copy").read_bytes()) == digest(CONTENT)
    assert client.listdir() == client.listdir()


def test_an_exception_publishes_nothing(client: paramiko.SFTPClient, tmp_path: Path) -> None:
    file = SFTPRemoteFile(FileMode.write, "file", client)
    file.write(CONTENT)
    with pytest.raises(ZeroDivisionError), file:
        raise ZeroDivisionError

    assert client.listdir() == []
    file.close()
    with pytest.raises(ValueError):
        file.write(b"x")


def test_a_dropped_writer_warns_and_publishes_nothing(client: paramiko.SFTPClient) -> None:
    file = SFTPRemoteFile(FileMode.write, "file", client)
    file.write(b"x")

    with pytest.warns(ResourceWarning, match="file"):
        del file

    assert client.listdir() == []


def test_an_empty_file_is_made(client: paramiko.SFTPClient, tmp_path: Path) -> None:
    SFTPRemoteFile(FileMode.write, "file", client).close()

    assert (tmp_path / "file").read_bytes() == b""
    assert SFTPRemoteFile(FileMode.read, "file", client).read(10) == b""


def test_errors_are_those_of_the_storage(client: paramiko.SFTPClient, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(FileNotFoundInStorageError, match="missing"):
        SFTPRemoteFile(FileMode.read, "missing", client)
    with pytest.raises(FileNotFoundInStorageError, match="file"):
        SFTPRemoteFile(FileMode.write, "missing/file", client)
    with pytest.raises(NotSupported):
        SFTPRemoteFile(FileMode.read | FileMode.write, "file", client)
    for mode in (FileMode.read, FileMode.write):
        with pytest.raises(IsAFolder, match="folder"):
            SFTPRemoteFile(mode, "folder", client)
    assert client.listdir() == ["folder"]


def test_modes_are_kept_apart(client: paramiko.SFTPClient, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")

    with SFTPRemoteFile(FileMode.read, "file", client) as reader, pytest.raises(io.UnsupportedOperation):
        reader.write(b"x")
    with SFTPRemoteFile(FileMode.write, "file", client) as writer, pytest.raises(io.UnsupportedOperation):
        writer.read(1)


def test_a_change_while_reading_is_noticed(client: paramiko.SFTPClient, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT * 3)
    with SFTPRemoteFile(FileMode.read, "file", client) as file:
        file.read(10)
        with (tmp_path / "file").open("ab") as more:
            more.write(b"x")

        with pytest.raises(SourceChanged, match="file"):
            file.read(-1)


def test_it_is_faster_than_the_clients_own_way(sshd_server: SshdAddress, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(24 << 20))
    with paramiko.SSHClient() as ssh:
        ssh.load_host_keys(sshd_server.known_hosts_file)
        ssh.connect(HOST, sshd_server.port, sshd_server.username, key_filename=sshd_server.key_file)
        client = ssh.open_sftp()
        begun = time.perf_counter()
        with client.open(f"{tmp_path}/file", "rb") as plain:
            while plain.read(1 << 20):
                pass
        theirs_s = time.perf_counter() - begun
        begun = time.perf_counter()
        with SFTPRemoteFile(FileMode.read, f"{tmp_path}/file", client) as file:
            assert sum(map(len, file)) == 24 << 20
        ours_s = time.perf_counter() - begun

    assert ours_s < theirs_s
