"""Reaching an SFTP server, knowing it, being let in; and each way in which that fails, as what it is."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest

from kegbrowser.backends.errors import (
    AuthenticationFailed,
    Cancelled,
    ConnectionLost,
    HostKeyChanged,
    NotSupported,
    ServerFault,
    StorageError,
    UnknownHostKey,
)
from kegbrowser.backends.registry import ConnectionSpec, backend
from kegbrowser.backends.sftp import SFTPStorage
from tests.doubles.sftp_server import USER, SftpServerDouble, Ways
from tests.integration.sftp_places import make_key, opened, opened_double
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.process import HOST, free_port
from tests.servers.sshd import Sshd, SshdAddress

PASSWORD = "correct horse battery"


@pytest.fixture
def own_sshd() -> Iterator[Sshd]:
    """A server of one test's own."""
    with Sshd() as server:
        yield server


@pytest.fixture
def double(tmp_path: Path) -> Iterator[SftpServerDouble]:
    (tmp_path / "served").mkdir()
    with SftpServerDouble(tmp_path / "served", Ways(password=PASSWORD)) as running:
        yield running


def _error(storage: SFTPStorage) -> StorageError:
    with pytest.raises(StorageError) as refusal:
        storage.check()
    for secret in (PASSWORD, "wrong password", "open sesame, please"):
        assert secret not in f"{refusal.value} {refusal.value.hint} {refusal.value!r}"
    return refusal.value


# -- is it the server?


def test_an_unknown_host_key_is_told_with_its_fingerprint(sshd_server: SshdAddress, tmp_path: Path) -> None:
    public = tmp_path / "host.pub"
    _name, kind, key = Path(sshd_server.known_hosts_file).read_text().split()[:3]
    public.write_text(f"{kind} {key}\n")
    fingerprint = subprocess.run(["ssh-keygen", "-l", "-f", str(public)], capture_output=True, text=True, check=True)

    with opened(sshd_server, known_hosts_fpath=str(tmp_path / "none")) as storage:
        error = _error(storage)

    assert type(error) is UnknownHostKey
    assert isinstance(error, UnknownHostKey)
    assert error.fingerprint == fingerprint.stdout.split()[1]
    assert (error.host, error.key_type, error.key_base64) == (f"[{HOST}]:{sshd_server.port}", kind, key)
    assert not error.retryable


def test_an_accepted_host_key_lets_on(sshd_server: SshdAddress) -> None:
    with opened(sshd_server, known_hosts_fpath=None) as storage:
        error = _error(storage)
    assert isinstance(error, UnknownHostKey)
    line = f"{error.host} {error.key_type} {error.key_base64}"

    with opened(sshd_server, known_hosts_fpath=None, host_keys=("# a comment", line)) as storage:
        assert storage.list("") is not None


def test_a_changed_host_key_is_never_taken(sshd_server: SshdAddress, tmp_path: Path) -> None:
    make_key(tmp_path, "other", "-t", "ed25519")
    kind, key = (tmp_path / "other.pub").read_text().split()[:2]
    known = tmp_path / "known_hosts"
    known.write_text(f"[{HOST}]:{sshd_server.port} {kind} {key}\n")

    with opened(sshd_server, known_hosts_fpath=str(known)) as storage:
        error = _error(storage)

    assert type(error) is HostKeyChanged
    assert known.read_text() == f"[{HOST}]:{sshd_server.port} {kind} {key}\n"


def test_nothing_is_sent_to_a_server_that_is_not_known(double: SftpServerDouble) -> None:
    asked: list[str] = []
    double.ways.requests = asked

    with opened_double(double, host_keys=()) as storage:
        error = _error(storage)

    assert isinstance(error, UnknownHostKey)
    assert asked == []


def test_a_hashed_name_is_known(sshd_server: SshdAddress, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(Path(sshd_server.known_hosts_file).read_text())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True)
    assert HOST not in known.read_text()

    with opened(sshd_server, known_hosts_fpath=str(known)) as storage:
        storage.check()


# -- keys


@pytest.mark.parametrize(
    "options",
    [
        ("-t", "ed25519"),
        ("-t", "ecdsa", "-b", "384"),
        ("-t", "rsa", "-b", "2048"),
        ("-t", "rsa", "-b", "2048", "-m", "PEM"),
    ],
)
@pytest.mark.parametrize("passphrase", ["", "open sesame, please"])
def test_each_kind_of_key_lets_in(own_sshd: Sshd, tmp_path: Path, options: tuple[str, ...], passphrase: str) -> None:
    address = own_sshd.start()
    key = make_key(tmp_path, "key", *options, passphrase=passphrase)
    (own_sshd.folder / "authorized_keys").write_bytes(Path(f"{key}.pub").read_bytes())

    with opened(address, key_filename=key, passphrase=passphrase or None) as storage:
        assert storage.check().startswith("Connected to")
    if passphrase:
        for wrong in (None, "wrong password"):
            with opened(address, key_filename=key, passphrase=wrong) as storage:
                error = _error(storage)
            assert type(error) is AuthenticationFailed
            assert "“key”" in str(error)
            assert "passphrase" in str(error)


def test_a_key_that_the_server_does_not_know_is_refused_by_name(sshd_server: SshdAddress, tmp_path: Path) -> None:
    key = make_key(tmp_path, "strange key", "-t", "ed25519")

    with opened(sshd_server, key_filename=key) as storage:
        error = _error(storage)

    assert type(error) is AuthenticationFailed
    assert "“strange key”" in str(error)
    assert sshd_server.username in str(error)
    assert not error.retryable


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n", "PuTTY"),
        (b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me\n", "public key"),
        (b"\x00\xff\xfegarbage", "no private key"),
        (b"", "no private key"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "cannot be read"),
        (b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", "cannot be read"),
    ],
)
def test_a_bad_key_file_is_told_as_what_it_is(
    sshd_server: SshdAddress, tmp_path: Path, content: bytes | None, words: str
) -> None:
    key = tmp_path / "the.key"
    if content is not None:
        key.write_bytes(content)

    with opened(sshd_server, key_filename=str(key)) as storage:
        error = _error(storage)

    assert type(error) is AuthenticationFailed
    assert "“the.key”" in str(error)
    assert words in str(error)


def test_an_unknown_user_is_refused(sshd_server: SshdAddress) -> None:
    with opened(sshd_server, username="nobody-of-that-name") as storage:
        error = _error(storage)

    assert type(error) is AuthenticationFailed
    assert "“nobody-of-that-name”" in str(error)


def test_without_password_and_key_nothing_is_tried(sshd_server: SshdAddress) -> None:
    with opened(sshd_server, key_filename=None) as storage:
        error = _error(storage)

    assert type(error) is AuthenticationFailed
    assert "no password and no key" in str(error)


# -- the agent


@contextmanager
def _agent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    place = f"/tmp/keg-agent-{os.getpid()}"  # a socket's path is short
    started = subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.PIPE)
    assert started.stdout is not None
    started.stdout.readline()
    monkeypatch.setenv("SSH_AUTH_SOCK", place)
    try:
        yield
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(10)
        started.stdout.close()


def test_a_key_of_the_agent_lets_in(own_sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = own_sshd.start()
    with _agent(tmp_path, monkeypatch), opened(address, key_filename=None, allow_agent=True) as storage:
        error = _error(storage)
        assert type(error) is AuthenticationFailed
        assert "agent holds no key" in str(error)

        subprocess.run(["ssh-add", "-q", address.key_file], check=True, capture_output=True)

        assert storage.check()


def test_more_keys_than_the_server_tries_are_told_as_that(
    own_sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = own_sshd.start()
    with _agent(tmp_path, monkeypatch), opened(address, key_filename=None, allow_agent=True) as storage:
        for number in range(8):
            key = make_key(tmp_path, f"key{number}", "-t", "ed25519")
            subprocess.run(["ssh-add", "-q", key], check=True, capture_output=True)

        error = _error(storage)

    assert type(error) is AuthenticationFailed
    assert "too many" in str(error)
    assert "key file" in error.hint


# -- passwords


@pytest.mark.parametrize("methods", ["password", "keyboard-interactive", "publickey,password"])
def test_a_password_lets_in(double: SftpServerDouble, methods: str) -> None:
    double.ways.methods = methods

    with opened_double(double) as storage:
        assert storage.list("") == []


@pytest.mark.parametrize("methods", ["password", "keyboard-interactive", "publickey,keyboard-interactive"])
def test_a_wrong_password_is_refused(double: SftpServerDouble, methods: str) -> None:
    double.ways.methods = methods

    with opened_double(double, password="wrong password") as storage:
        error = _error(storage)

    assert type(error) is AuthenticationFailed
    assert "refused the password" in str(error)
    assert f"“{USER}”" in str(error)


def test_a_server_that_wants_a_key_says_so(double: SftpServerDouble) -> None:
    double.ways.methods = "publickey"

    with opened_double(double) as storage:
        error = _error(storage)

    assert type(error) is AuthenticationFailed
    assert "wants a key" in str(error)


def test_key_and_password_let_in_where_both_are_wanted(double: SftpServerDouble, tmp_path: Path) -> None:
    path = make_key(tmp_path, "key", "-t", "ed25519")
    double.ways.key = paramiko.Ed25519Key.from_private_key_file(path)
    double.ways.methods, double.ways.second_step = "publickey", True

    with opened_double(double, key_filename=path) as storage:
        assert storage.list("") == []
    with opened_double(double, key_filename=path, password=None) as storage:
        error = _error(storage)

    assert type(error) is AuthenticationFailed
    assert "accepted the key “key”, but wants a password as well" in str(error)


def test_secrets_do_not_show_in_representations(double: SftpServerDouble) -> None:
    with opened_double(double, passphrase="open sesame, please") as storage:
        storage.check()

        shown = repr(storage) + repr(vars(storage)) + repr(vars(storage._sessions))

    assert PASSWORD not in shown
    assert "open sesame, please" not in shown


# -- not to be reached


def test_a_refused_connection_names_host_and_port() -> None:
    port = free_port()

    error = _error(SFTPStorage(HOST, "x", None, None, port=port, password="x"))

    assert type(error) is ConnectionLost
    assert f"{HOST}:{port}" in str(error)
    assert error.retryable


def test_an_unknown_host_is_told_as_that() -> None:
    error = _error(SFTPStorage("no-such-host.invalid", "x", None, None, password="x"))

    assert type(error) is ConnectionLost
    assert "no-such-host.invalid" in str(error)


def test_a_silent_server_is_given_up_in_time() -> None:
    with socket.create_server((HOST, 0)) as silent:
        port = silent.getsockname()[1]
        storage = SFTPStorage(HOST, "x", None, None, port=port, password="x", connect_timeout_s=0.7)
        error = _error(storage)
        storage.shutdown()

    assert type(error) is ConnectionLost
    assert f"{HOST}:{port}" in str(error)


def test_a_server_of_another_kind_is_told_as_that() -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            connection, _address = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)

        thread = threading.Thread(target=answer)
        thread.start()
        error = _error(SFTPStorage(HOST, "x", None, None, port=port, password="x"))
        thread.join()

    assert type(error) is ConnectionLost
    assert "SSH server" in str(error)


def test_a_server_without_sftp_is_told_as_that() -> None:
    with Sshd(sftp=False) as server, opened(server.start()) as storage:
        error = _error(storage)

    assert type(error) is NotSupported
    assert "SFTP" in str(error)


def test_a_login_script_that_prints_is_told_as_that() -> None:
    with Sshd(options=("ForceCommand echo Welcome to our server, dear user; cat",)) as server:
        with opened(server.start(), timeout_s=3.0) as storage:
            error = _error(storage)

    assert type(error) is ServerFault
    assert "not SFTP" in str(error)
    assert "login script" in error.hint


# -- stalled at any moment: banner, keys, sign-in, session, subsystem, greeting

MOMENTS = [0, 20, 500, 1100, 1300, 1500, 1700, 1900, 2050, 2200, 2400, 2600]


@pytest.mark.parametrize("after", MOMENTS)
def test_a_server_that_falls_silent_while_connecting_is_given_up(sshd_server: SshdAddress, after: int) -> None:
    with FaultyProxy(sshd_server.port) as proxy:
        proxy.faults.stall_down_after = after
        with opened(sshd_server.at(proxy.port), connect_timeout_s=0.5, timeout_s=0.5) as storage:
            begun = time.monotonic()
            error = _error(storage)

            assert time.monotonic() - begun < 5
    assert type(error) is ConnectionLost
    assert f"{HOST}:{proxy.port}" in str(error)


@pytest.mark.parametrize("after", MOMENTS)
def test_an_interrupt_ends_connecting_at_any_moment(sshd_server: SshdAddress, after: int) -> None:
    with FaultyProxy(sshd_server.port) as proxy:
        proxy.faults.stall_down_after = after
        with opened(sshd_server.at(proxy.port)) as storage:
            interrupted: list[float] = []

            def interrupt() -> None:
                interrupted.append(time.monotonic())
                storage.interrupt()

            timer = threading.Timer(0.5, interrupt)
            timer.start()
            with pytest.raises(Cancelled):
                storage.check()

            assert time.monotonic() - interrupted[0] < 1
            timer.join()


# -- pooled


def test_many_calls_need_one_connection(sshd_server: SshdAddress) -> None:
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port)) as storage:
        for number in range(30):
            with storage.open(f"many calls {number}", "wb") as file:
                file.write(b"x")
            storage.delete(f"many calls {number}")
            storage.list("")

        assert proxy.connections == 1


def test_readers_side_by_side_share_few_connections(sshd_server: SshdAddress) -> None:
    Path(sshd_server.root, "shared").write_bytes(b"content")
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port)) as storage:
        readers = [storage.open("shared", "rb") for _ in range(20)]
        for reader in readers:
            assert reader.read(-1) == b"content"
            reader.close()

        assert proxy.connections <= 3


def test_readers_that_are_left_do_not_use_connections_up(sshd_server: SshdAddress) -> None:
    Path(sshd_server.root, "large").write_bytes(bytes(8 << 20))
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port)) as storage:
        for _ in range(40):
            with storage.open("large", "rb") as reader:
                reader.read(10)

        assert proxy.connections == 1


@pytest.mark.parametrize("most", [1, 2])
def test_a_server_with_few_sessions_gets_more_connections(most: int) -> None:
    with Sshd(options=(f"MaxSessions {most}",)) as server:
        address = server.start()
        Path(address.root, "file").write_bytes(b"content")
        with opened(address) as storage:
            readers = [storage.open("file", "rb") for _ in range(5)]

            assert [reader.read(-1) for reader in readers] == [b"content"] * 5
            for reader in readers:
                reader.close()


def test_a_restarted_server_is_reached_anew(own_sshd: Sshd) -> None:
    address = own_sshd.start()
    with opened(address) as storage:
        assert storage.list("") == []
        own_sshd.stop_process()
        own_sshd.start()
        Path(address.root, "new").touch()

        assert [entry.name for entry in storage.list("")] == ["new"]


def test_a_connection_that_died_in_silence_is_noticed_before_it_is_used(
    sshd_server: SshdAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kegbrowser.backends.sftp.sessions.DOUBT_AFTER_S", 0.0)
    monkeypatch.setattr("kegbrowser.backends.sftp.sessions.PROBE_S", 0.5)
    with FaultyProxy(sshd_server.port) as proxy, opened(sshd_server.at(proxy.port)) as storage:
        storage.list("")
        proxy.faults.stalled = True
        threading.Timer(0.8, lambda: setattr(proxy.faults, "stalled", False)).start()

        storage.list("")

        assert proxy.connections == 2


def test_shutdown_ends_the_threads_of_the_connections(sshd_server: SshdAddress) -> None:
    before = set(threading.enumerate())
    with opened(sshd_server) as storage:
        storage.list("")
        assert set(threading.enumerate()) - before

    assert set(threading.enumerate()) - before == set()


# -- by the registry


def test_options_of_the_form_open_the_whole_server(sshd_server: SshdAddress) -> None:
    options = {
        "host": sshd_server.host,
        "port": str(sshd_server.port),
        "auth": "key",
        "key_filename": sshd_server.key_file,
        "host_keys": "\n".join(Path(sshd_server.known_hosts_file).read_text().splitlines()),
        "known_hosts": "/nonexistent",
        "start_folder": sshd_server.root,
    }
    storage = ConnectionSpec("", "sftp", "mine", options).open()
    try:
        assert storage.home() == f"{sshd_server.root.lstrip('/')}/"
        assert storage.check() == f"Connected to {HOST}:{sshd_server.port} as {getpass.getuser()}."
        assert "etc" in [entry.name for entry in storage.list("")]
    finally:
        storage.shutdown()


def test_urls_name_places_within_a_connection() -> None:
    info = backend("sftp")
    options = info.with_defaults({"host": "Example.org", "username": "me"})

    location = info.locate(options, "home/me/a b#c")

    assert location.url() == "sftp://me@Example.org/home/me/a%20b%23c"
    assert info.match(options, type(location).parse("sftp://me@example.org:22/home/x")) == "home/x"
    assert info.match(options, type(location).parse("sftp://you@example.org/home/x")) is None
    assert info.match(options, type(location).parse("sftp://me@example.org:2222/home/x")) is None
    assert info.from_location(type(location).parse("sftp://me@host:2222/x")) == {
        "host": "host",
        "username": "me",
        "port": "2222",
    }
