"""The saved connections as the window sees them: changed on threads, secrets only in the keyring and on its way to a job."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from keyring.errors import KeyringLocked
from pytestqt.qtbot import QtBot

from kegbrowser.backends.base import Capabilities
from kegbrowser.backends.errors import FileNotFoundInStorageError, StorageError
from kegbrowser.backends.locations import RemotePath
from kegbrowser.profiles.connections import Connection, ConnectionStore
from kegbrowser.profiles.secrets import SecretStore
from kegbrowser.services.connections import Connections, Saved
from kegbrowser.services.helper_pool import HelperPool
from kegbrowser.services.operations import Operation, OperationKind
from kegbrowser.transfer.events import ConnectionReport
from tests.doubles.dict_keyring import DictKeyring

OPTIONS = {"host": "example.org", "username": "me", "auth": "password", "password": "hunter2"}


class Pool(HelperPool):
    """Notes which connections it is told to forget; starts no helper."""

    def __init__(self) -> None:
        super().__init__()
        self.forgotten: list[str] = []

    def forget_connection(self, connection_id: str) -> None:
        self.forgotten.append(connection_id)


@pytest.fixture
def keyring() -> DictKeyring:
    return DictKeyring()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "connections.json"


@pytest.fixture
def pool() -> Pool:
    return Pool()


@pytest.fixture
def connections(qtbot: QtBot, file: Path, keyring: DictKeyring, pool: Pool) -> Iterator[Connections]:
    made = Connections(ConnectionStore(file), SecretStore(find_keyring=lambda: keyring), pool)
    made.load()
    yield made
    made.shut_down()


@pytest.fixture
def saved(connections: Connections, qtbot: QtBot) -> Connection:
    """A connection with a password, saved."""
    with qtbot.waitSignal(connections.connection_saved, timeout=5_000) as told:
        connections.save(Connection.new("sftp", "Server", OPTIONS), OPTIONS)
    assert told.args is not None
    connection = told.args[0]
    assert isinstance(connection, Connection)
    return connection


def names(connections: Connections) -> list[str]:
    return [one.name for one in connections.all()]


def test_saving_puts_the_secret_into_the_keyring_and_nothing_of_it_into_the_file(
    connections: Connections, saved: Connection, keyring: DictKeyring, file: Path
) -> None:
    assert names(connections) == ["Server"]
    assert saved.secret_keys == ("password",)
    assert "hunter2" in keyring.items.values()
    assert "hunter2" not in file.read_text()
    assert "example.org" in file.read_text()


def test_a_spec_has_the_secret_and_is_read_once(
    connections: Connections, saved: Connection, keyring: DictKeyring
) -> None:
    assert connections.spec(saved.connection_id).options["password"] == "hunter2"
    keyring.failure = KeyringLocked("locked")
    assert connections.spec(saved.connection_id).options["password"] == "hunter2"


def test_the_spec_of_a_connection_that_is_gone_is_an_error(connections: Connections) -> None:
    with pytest.raises(FileNotFoundInStorageError, match="removed"):
        connections.spec("0" * 32)


def test_a_spec_that_was_read_while_the_connection_changed_is_not_kept(
    connections: Connections, saved: Connection, keyring: DictKeyring, qtbot: QtBot
) -> None:
    read: list[str] = []
    keyring.prompt = threading.Event()
    reader = threading.Thread(target=lambda: read.append(connections.spec(saved.connection_id).options["host"]))
    reader.start()
    with qtbot.waitSignal(connections.connections_changed, timeout=5_000):
        changed = replace(saved, options=dict(saved.options) | {"host": "new.example.org"})
        connections._change(lambda: Saved(connections._store.update(changed), changed))
    keyring.prompt.set()
    reader.join()

    assert read == ["example.org"]
    assert connections.spec(saved.connection_id).options["host"] == "new.example.org"


def test_changing_a_connection_gives_a_new_spec_and_closes_what_is_open(
    connections: Connections, saved: Connection, pool: Pool, qtbot: QtBot
) -> None:
    connections.spec(saved.connection_id)
    pool.forgotten.clear()
    with qtbot.waitSignal(connections.connection_saved, timeout=5_000):
        connections.save(replace(saved, name="Other"), OPTIONS | {"password": "new secret"})

    assert connections.spec(saved.connection_id).options["password"] == "new secret"
    assert pool.forgotten == [saved.connection_id]
    assert names(connections) == ["Other"]


def test_the_forms_options_are_given_with_their_secrets(
    connections: Connections, saved: Connection, qtbot: QtBot
) -> None:
    changed: list[object] = []
    connections.connections_changed.connect(changed.append)
    with qtbot.waitSignal(connections.options_ready, timeout=5_000) as told:
        connections.read_options(saved)

    assert told.args is not None
    assert told.args[0]["password"] == "hunter2"
    assert changed == []


def test_removing_takes_the_secret_out_of_the_keyring(
    connections: Connections, saved: Connection, keyring: DictKeyring, pool: Pool, qtbot: QtBot
) -> None:
    with qtbot.waitSignal(connections.connections_changed, timeout=5_000):
        connections.remove(saved.connection_id)

    assert names(connections) == []
    assert keyring.items == {}
    assert saved.connection_id in pool.forgotten


def test_a_locked_keyring_keeps_the_connection_and_is_told(
    connections: Connections, saved: Connection, keyring: DictKeyring, qtbot: QtBot
) -> None:
    keyring.failure = KeyringLocked("locked")
    with qtbot.waitSignal(connections.change_failed, timeout=5_000) as told:
        connections.remove(saved.connection_id)

    assert told.args is not None
    assert isinstance(told.args[0], StorageError)
    assert told.args[0].message
    assert names(connections) == ["Server"]


def test_a_secret_that_cannot_be_kept_is_told_and_used_until_the_end(
    connections: Connections, keyring: DictKeyring, qtbot: QtBot, file: Path
) -> None:
    keyring.failure = KeyringLocked("locked")
    connection = Connection.new("sftp", "Server", OPTIONS)
    with qtbot.waitSignal(connections.notice_raised, timeout=5_000) as told:
        connections.save(connection, OPTIONS)

    assert told.args is not None
    assert "until Kegbrowser is closed" in told.args[0]
    assert connections.spec(connection.connection_id).options["password"] == "hunter2"
    assert "hunter2" not in file.read_text()


def test_renaming_and_reordering_change_the_file_and_the_list(
    connections: Connections, saved: Connection, qtbot: QtBot, file: Path
) -> None:
    other = Connection.new("local", "Folder", {"root": "/tmp"})
    with qtbot.waitSignal(connections.connection_saved, timeout=5_000):
        connections.save(other, {"root": "/tmp"})
    with qtbot.waitSignal(connections.connections_changed, timeout=5_000):
        connections.rename(saved.connection_id, "Renamed")
    with qtbot.waitSignal(connections.connections_changed, timeout=5_000):
        connections.reorder((other.connection_id, saved.connection_id))

    assert names(connections) == ["Folder", "Renamed"]
    assert [one.name for one in ConnectionStore(file).load()] == ["Folder", "Renamed"]


def test_an_accepted_host_key_goes_into_the_spec(connections: Connections, saved: Connection, qtbot: QtBot) -> None:
    connections.spec(saved.connection_id)
    with qtbot.waitSignal(connections.connection_saved, timeout=5_000):
        connections.accept_host_key(saved.connection_id, "example.org ssh-ed25519 AAAA")

    assert connections.spec(saved.connection_id).options["host_keys"] == "example.org ssh-ed25519 AAAA"


def test_what_connecting_found_is_kept_until_the_connection_changes(
    connections: Connections, saved: Connection, qtbot: QtBot
) -> None:
    operation = Operation(1, OperationKind.CONNECT, (RemotePath.folder(saved.connection_id),))
    report = ConnectionReport("Connected.", "home/", Capabilities())
    with qtbot.waitSignal(connections.report_changed, timeout=1_000):
        connections.take_report(operation, report)
    connections.take_report(Operation(2, OperationKind.TEST, ()), report)

    assert connections.home(saved.connection_id) == "home/"
    assert connections.capabilities(saved.connection_id) == report.capabilities
    with qtbot.waitSignal(connections.connection_saved, timeout=5_000):
        connections.save(saved, OPTIONS)
    assert connections.capabilities(saved.connection_id) is None


def test_a_disk_that_refuses_is_told_in_a_sentence(
    connections: Connections, saved: Connection, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ConnectionStore, "_change", refuse)
    with qtbot.waitSignal(connections.change_failed, timeout=5_000) as told:
        connections.rename(saved.connection_id, "x")

    assert told.args is not None
    assert told.args[0].message == "The connections could not be saved: No space left on device."
    assert names(connections) == ["Server"]


def test_changes_are_made_off_the_gui_thread(connections: Connections, keyring: DictKeyring, qtbot: QtBot) -> None:
    keyring.prompt = threading.Event()
    with qtbot.waitSignal(connections.connection_saved, timeout=5_000):
        connections.save(Connection.new("sftp", "Server", OPTIONS), OPTIONS)
        keyring.prompt.set()  # reached at once: the keyring's prompt does not hold this thread


def test_a_file_that_cannot_be_read_is_set_aside_with_a_notice(qtbot: QtBot, file: Path, pool: Pool) -> None:
    file.write_text("{ this is no JSON")
    connections = Connections(ConnectionStore(file), SecretStore(find_keyring=DictKeyring), pool)
    with qtbot.waitSignal(connections.notice_raised, timeout=1_000) as told:
        connections.load()

    assert told.args is not None
    assert "The saved connections" in told.args[0]
    assert connections.all() == ()
    assert any(path.read_text() == "{ this is no JSON" for path in file.parent.iterdir() if path != file)
