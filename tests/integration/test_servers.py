"""The tests' own servers really answer, refuse whom they should, and the proxy does to connections what it is told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import keyring.backends.SecretService
import paramiko
import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from tests.servers.azurite import AzureAddress, Azurite
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.keyring_service import KeyringAddress, KeyringService
from tests.servers.process import HOST, ServerDidNotStart, answers, descendants, find_program, free_port, wait_until
from tests.servers.seaweed import Identity, S3Address
from tests.servers.sshd import Sshd, SshdAddress
from tests.servers.xvfb import Xvfb

ROOT = Path(__file__).parents[2]


def s3_client(address: S3Address, identity: Identity) -> BaseClient:
    return boto3.client(
        "s3",
        endpoint_url=address.endpoint,
        region_name=address.region,
        aws_access_key_id=identity.access_key,
        aws_secret_access_key=identity.secret_key,
    )


def sftp_client(address: SshdAddress) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    client.load_host_keys(address.known_hosts_file)
    client.connect(address.host, address.port, address.username, key_filename=address.key_file, allow_agent=False)
    return client


class EchoServer:
    """Sends back what it gets, or `size` bytes to whoever connects."""

    def __init__(self, size: int = 0) -> None:
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._size = size
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                if self._size:
                    connection.sendall(b"x" * self._size)
                    return
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.close()


@pytest.fixture
def sender() -> Iterator[EchoServer]:
    """Sends 1 MiB to whoever connects."""
    server = EchoServer(1 << 20)
    yield server
    server.close()


def received(connection: socket.socket) -> int:
    count = 0
    while data := connection.recv(65536):
        count += len(data)
    return count


def send_all(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def test_s3_lets_the_administrator_do_everything(s3_server: S3Address) -> None:
    client = s3_client(s3_server, s3_server.admin)

    client.create_bucket(Bucket="servers-own")
    client.put_object(Bucket="servers-own", Key="a//b ü", Body=b"content")

    assert client.get_object(Bucket="servers-own", Key="a//b ü")["Body"].read() == b"content"


def test_s3_lets_the_reader_read_one_bucket_only(s3_server: S3Address) -> None:
    admin, reader = (s3_client(s3_server, identity) for identity in (s3_server.admin, s3_server.reader))
    for bucket in ("shared", "servers-other"):
        admin.create_bucket(Bucket=bucket)
        admin.put_object(Bucket=bucket, Key="servers-key", Body=b"content")

    assert reader.get_object(Bucket="shared", Key="servers-key")["Body"].read() == b"content"
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.put_object(Bucket="shared", Key="servers-new", Body=b"")
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.get_object(Bucket="servers-other", Key="servers-key")


def test_s3_refuses_who_has_no_rights_and_who_has_a_wrong_secret(s3_server: S3Address) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        s3_client(s3_server, s3_server.nobody).list_objects_v2(Bucket="shared")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        s3_client(s3_server, Identity(s3_server.admin.access_key, "wrong")).list_buckets()


def test_azure_serves_a_key_and_a_sas(azure_server: AzureAddress) -> None:
    with BlobServiceClient(azure_server.endpoint, azure_server.key) as by_key:
        container = by_key.create_container("servers-own")
        container.upload_blob("a//b ü", b"content")

    with BlobServiceClient(azure_server.endpoint, azure_server.sas("rl")) as by_sas:
        assert by_sas.get_blob_client("servers-own", "a//b ü").download_blob().readall() == b"content"
        with pytest.raises(HttpResponseError):
            by_sas.get_blob_client("servers-own", "new").upload_blob(b"")


def test_azure_refuses_a_wrong_key_and_an_expired_sas(azure_server: AzureAddress) -> None:
    wrong = "d3Jvbmcta2V5"

    for credential in (wrong, azure_server.sas("rl", valid_s=-60)):
        with BlobServiceClient(azure_server.endpoint, credential, retry_total=0) as client:
            with pytest.raises(HttpResponseError):
                list(client.list_containers())


def test_azure_on_disk_keeps_its_blobs_over_a_restart() -> None:
    with Azurite(in_memory=False) as server:
        address = server.start()
        with BlobServiceClient(address.endpoint, address.key) as client:
            client.create_container("kept").upload_blob("blob", b"content")
        server.stop_process()

        server.start()

        with BlobServiceClient(address.endpoint, address.key) as client:
            assert client.get_blob_client("kept", "blob").download_blob().readall() == b"content"


def test_sftp_reads_and_writes_with_the_key(sshd_server: SshdAddress) -> None:
    with sftp_client(sshd_server) as client, client.open_sftp() as sftp:
        with sftp.open(f"{sshd_server.root}/servers-own", "w") as file:
            file.write(b"content")

    assert Path(sshd_server.root, "servers-own").read_bytes() == b"content"


def test_sftp_refuses_a_password_and_a_foreign_key(sshd_server: SshdAddress, tmp_path: Path) -> None:
    foreign = paramiko.RSAKey.generate(2048)

    with paramiko.SSHClient() as client:
        client.load_host_keys(sshd_server.known_hosts_file)
        for credential in ({"password": "guess"}, {"pkey": foreign}):
            with pytest.raises(paramiko.SSHException):
                client.connect(
                    sshd_server.host, sshd_server.port, sshd_server.username,
                    allow_agent=False, look_for_keys=False, **credential,
                )  # fmt: skip


def test_read_only_sftp_refuses_writes(read_only_sshd_server: SshdAddress) -> None:
    with sftp_client(read_only_sshd_server) as client, client.open_sftp() as sftp:
        with pytest.raises(PermissionError):
            sftp.open(f"{read_only_sshd_server.root}/new", "w")


def test_a_stopped_sshd_drops_its_connections_and_comes_back_on_its_port() -> None:
    with Sshd() as server:
        address = server.start()
        with sftp_client(address) as client:
            server.stop_process()
            transport = client.get_transport()
            assert transport is not None
            wait_until(lambda: not transport.is_active(), "The end of the connection", 10)
            assert not answers(address.port)

        assert server.start() == address
        with sftp_client(address) as client, client.open_sftp() as sftp:
            assert sftp.listdir(address.root) == []


def test_the_keyring_keeps_a_secret_until_it_is_locked() -> None:
    with KeyringService() as server:
        address = server.start()
        assert kept_secret(address, "set_password('kegbrowser-servers', 'a', 'secret')") == "None"
        assert kept_secret(address, "get_password('kegbrowser-servers', 'a')") == "'secret'"

        server.lock()

        assert server.is_locked()


def kept_secret(address: KeyringAddress, call: str) -> str:
    module = keyring.backends.SecretService.__name__
    program = f"from {module} import Keyring; print(repr(Keyring().{call}))"
    answer = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | dict(address.env), capture_output=True, text=True, check=True
    )
    return answer.stdout.strip()


def shot(screen: Xvfb, path: Path) -> bytes:
    screen.screenshot(path)
    return path.read_bytes()


def test_the_screen_shows_what_is_drawn_on_it(screen: Xvfb, tmp_path: Path) -> None:
    picture = tmp_path / "picture.ppm"  # a format without a date in it
    before = shot(screen, picture)
    assert shot(screen, picture) == before

    screen.xdotool("mousemove", 300, 300, "click", 3)  # the window manager's menu

    wait_until(lambda: shot(screen, picture) != before, "The menu's appearance", 10)
    assert shot(screen, tmp_path / "picture.png")[:4] == b"\x89PNG"
    screen.xdotool("key", "Escape")


def test_the_proxy_passes_everything_when_it_has_no_faults(echo: EchoServer) -> None:
    sent = os.urandom(3 << 20)

    with FaultyProxy(echo.port) as proxy, socket.create_connection((HOST, proxy.port)) as connection:
        sending = threading.Thread(target=send_all, args=(connection, sent))
        sending.start()
        got = bytearray()
        while data := connection.recv(65536):
            got += data
        sending.join()

        assert bytes(got) == sent
        assert (proxy.bytes_up, proxy.bytes_down, proxy.connections) == (len(sent), len(sent), 1)


def test_the_proxy_delays_each_way_without_limiting_the_rate(echo: EchoServer, sender: EchoServer) -> None:
    with FaultyProxy(echo.port) as proxy, socket.create_connection((HOST, proxy.port)) as connection:
        proxy.faults.delay_s = 0.1
        begin = time.monotonic()
        connection.sendall(b"ping")
        assert connection.recv(4) == b"ping"
        assert 0.2 <= time.monotonic() - begin < 1

    with FaultyProxy(sender.port) as proxy:
        proxy.faults.delay_s = 0.1
        begin = time.monotonic()
        with socket.create_connection((HOST, proxy.port)) as connection:
            assert received(connection) == 1 << 20
        assert time.monotonic() - begin < 1  # 16 pieces of 64 KiB one after the other would take 1.6 s


def test_the_proxy_limits_the_rate(sender: EchoServer) -> None:
    with FaultyProxy(sender.port) as proxy:
        proxy.faults.bytes_per_s = 2 << 20
        begin = time.monotonic()
        with socket.create_connection((HOST, proxy.port)) as connection:
            assert received(connection) == 1 << 20
        assert 0.5 <= time.monotonic() - begin < 2


@pytest.mark.parametrize("place", [0, 1000, 300_000])
def test_the_proxy_cuts_after_exactly_so_many_bytes(sender: EchoServer, place: int) -> None:
    with FaultyProxy(sender.port) as proxy:
        proxy.faults.cut_down_after = place
        proxy.faults.gentle = True
        with socket.create_connection((HOST, proxy.port)) as connection:
            assert received(connection) == place


def test_the_proxy_resets_only_as_many_connections_as_it_may(sender: EchoServer) -> None:
    with FaultyProxy(sender.port) as proxy:
        proxy.faults.cut_down_after = 1000
        proxy.faults.cuts_left = 1
        with socket.create_connection((HOST, proxy.port)) as connection, pytest.raises(ConnectionResetError):
            received(connection)
        with socket.create_connection((HOST, proxy.port)) as connection:
            assert received(connection) == 1 << 20


def test_the_proxy_stalls_and_goes_on(sender: EchoServer) -> None:
    with FaultyProxy(sender.port) as proxy:
        proxy.faults.stall_down_after = 5000
        with socket.create_connection((HOST, proxy.port)) as connection:
            connection.settimeout(0.3)
            count = 0
            while count < 5000:
                count += len(connection.recv(65536))
            with pytest.raises(TimeoutError):
                connection.recv(1)
            assert count == 5000

            proxy.faults.stall_down_after = None
            connection.settimeout(10)
            assert received(connection) == (1 << 20) - 5000


def test_the_proxy_cuts_open_connections_and_refuses_new_ones(echo: EchoServer) -> None:
    with FaultyProxy(echo.port) as proxy, socket.create_connection((HOST, proxy.port)) as connection:
        connection.sendall(b"ping")
        assert connection.recv(4) == b"ping"

        proxy.faults.refuse = True
        proxy.cut_all()

        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        with socket.create_connection((HOST, proxy.port)) as late, pytest.raises(ConnectionResetError):
            late.recv(1)
        wait_until(lambda: proxy.open_connections == 0, "The end of all connections", 5)


def test_the_proxy_turns_one_byte(echo: EchoServer) -> None:
    with FaultyProxy(echo.port) as proxy, socket.create_connection((HOST, proxy.port)) as connection:
        proxy.faults.flip_byte_at = 2
        connection.sendall(b"\x00\x00\x00\x00")
        assert connection.recv(4) == b"\x00\x00\xff\x00"


def test_sftp_works_through_the_proxy(sshd_server: SshdAddress) -> None:
    with FaultyProxy(sshd_server.port) as proxy, sftp_client(sshd_server.at(proxy.port)) as client:
        with client.open_sftp() as sftp:
            assert sftp.normalize(".")


def test_a_server_that_cannot_start_says_why() -> None:
    with Sshd(options=("NoSuchOption yes",)) as server, pytest.raises(ServerDidNotStart, match="NoSuchOption"):
        server.start()
    with pytest.raises(ServerDidNotStart, match="no-such-program is not installed"):
        find_program("no-such-program")


def test_a_free_port_has_its_neighbour_free_as_well() -> None:
    port = free_port(also=(1,))
    with socket.create_server((HOST, port)), socket.create_server((HOST, port + 1)):
        assert free_port() not in (port, port + 1)


def test_all_servers_start_by_one_command_and_die_with_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.servers", "sshd", "azure"]
    env = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        with process.stdout as lines:
            printed = ""
            while "Ctrl+C" not in printed:
                line = lines.readline()
                assert line, printed
                printed += line
            children = descendants(process.pid)
            assert "sftp://" in printed
            assert "/devstoreaccount1" in printed
            assert len(children) >= 2
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "The servers' end", 10)
    finally:
        process.kill()
        process.wait()
