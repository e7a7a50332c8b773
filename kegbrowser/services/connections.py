"""The saved connections for the window: kept up to date, changed in the background, their secrets read off the GUI thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from PySide6.QtCore import QObject, Qt, QThread, Signal, Slot

from kegbrowser.backends.base import Capabilities
from kegbrowser.backends.errors import FileNotFoundInStorageError, StorageError
from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.profiles import specs
from kegbrowser.profiles.connections import Connection, ConnectionStore
from kegbrowser.profiles.secrets import Kept, SecretStore
from kegbrowser.services.helper_pool import HelperPool
from kegbrowser.services.operations import Operation, OperationKind
from kegbrowser.transfer.events import ConnectionReport


@dataclass(frozen=True, slots=True)
class Saved:
    """How a change ended: all connections as they are now, the one it was about, what the user should know, and what was read."""

    connections: tuple[Connection, ...]
    connection: Connection | None = None
    notice: str = ""
    options: Mapping[str, str] | None = None


class Connections(QObject):
    """GUI thread only, but for `spec`, which is for the threads of jobs.

    Args:
        store: the file; read once at the start, then only on threads.
        secrets: the keyring; only touched on threads.
        pool: told when what it holds open is out of date.
    """

    connections_changed = Signal(object)  # tuple[Connection, ...]
    connection_saved = Signal(object)  # Connection
    options_ready = Signal(object)  # Mapping[str, str], with secrets: for the form that asked, not to be kept
    change_failed = Signal(object)  # StorageError
    notice_raised = Signal(str)  # a sentence for the message bar
    report_changed = Signal(str)  # connection id: what it can do is known now

    def __init__(
        self, store: ConnectionStore, secrets: SecretStore, pool: HelperPool, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._store = store
        self._secrets = secrets
        self._pool = pool
        self._connections: tuple[Connection, ...] = ()
        self._reports: dict[str, ConnectionReport] = {}
        self._specs: dict[str, ConnectionSpec] = {}
        self._specs_lock = threading.Lock()
        self._threads: list[_ChangeThread] = []

    def load(self) -> None:
        """Read the file: small, so on this thread, once, before the first paint."""
        self._take(self._store.load())
        for notice in self._store.take_notices():
            self.notice_raised.emit(notice)

    def prepare(self, first_start: Callable[[], object]) -> None:
        """Run what the first start needs on a thread, then tell the connections, also if nothing changed."""

        def work() -> Saved:
            first_start()
            return Saved(self._store.load())

        self._change(work)

    def all(self) -> tuple[Connection, ...]:
        return self._connections

    def get(self, connection_id: str) -> Connection | None:
        return next((one for one in self._connections if one.connection_id == connection_id), None)

    def capabilities(self, connection_id: str) -> Capabilities | None:
        """What the connection can do; None before it was connected."""
        report = self._reports.get(connection_id)
        return report.capabilities if report is not None else None

    def home(self, connection_id: str) -> str | None:
        """The folder to show first; None before it was connected."""
        report = self._reports.get(connection_id)
        return report.home if report is not None else None

    def spec(self, connection_id: str) -> ConnectionSpec:
        """The connection with its secrets. Any thread but the GUI's: blocks while the keyring is read, the first time.

        Raises:
            FileNotFoundInStorageError: no such connection.
            StorageError: the keyring is locked.
        """
        with self._specs_lock:
            known = self._specs.get(connection_id)
        if known is not None:
            return known
        connection = self.get(connection_id)
        if connection is None:
            raise FileNotFoundInStorageError("This connection was removed.", hint="Choose another one.")
        spec = specs.spec_of(connection, self._secrets)
        with self._specs_lock:
            if self.get(connection_id) is connection:  # else it was changed while the keyring was read
                self._specs[connection_id] = spec
        return spec

    def save(self, connection: Connection, options: Mapping[str, str]) -> None:
        """Save a new or changed connection with its complete options; `connection_saved` or `change_failed` follows."""
        complete = dict(options)

        def work() -> Saved:
            saved, kept = specs.save(connection, complete, self._store, self._secrets)
            notice = ""
            if kept is Kept.SESSION:
                status = self._secrets.status()
                notice = f"The secrets of “{saved.name}” are kept until Kegbrowser is closed: {status.sentence}"
            return Saved(self._store.load(), saved, notice)

        self._change(work)

    def read_options(self, connection: Connection) -> None:
        """Read the connection's options with its secrets for its form; `options_ready` or `change_failed` follows."""
        self._change(lambda: Saved(self._connections, options=specs.spec_of(connection, self._secrets).options))

    def remove(self, connection_id: str) -> None:
        """Remove a connection and its secrets."""
        connection = self.get(connection_id)
        if connection is None:
            return

        def work() -> Saved:
            specs.forget(connection, self._store, self._secrets)
            return Saved(self._store.load())

        self._change(work)

    def rename(self, connection_id: str, name: str) -> None:
        """Give a connection another name."""
        connection = self.get(connection_id)
        if connection is not None:
            self._change(lambda: Saved(self._store.update(replace(connection, name=name))))

    def reorder(self, connection_ids: tuple[str, ...]) -> None:
        """Put the connections in this order."""
        self._change(lambda: Saved(self._store.reorder(connection_ids)))

    def accept_host_key(self, connection_id: str, line: str) -> None:
        """Trust a host key (one line of a known_hosts file) for this connection; `connection_saved` follows."""

        def work() -> Saved:
            connections = self._store.accept_host_key(connection_id, line)
            changed = next((one for one in connections if one.connection_id == connection_id), None)
            return Saved(connections, changed)

        self._change(work)

    def remember_secret(self, connection_id: str, key: str, value: str) -> None:
        """Use a secret until the program ends, without keeping it."""
        self._secrets.remember(connection_id, key, value)
        self._forget_session(connection_id)

    @Slot(object, object)
    def take_report(self, operation: Operation, report: object) -> None:
        """Take note of what connecting found out."""
        if operation.kind is OperationKind.CONNECT and isinstance(report, ConnectionReport):
            self._reports[operation.path.connection_id] = report
            self.report_changed.emit(operation.path.connection_id)

    def shut_down(self) -> None:
        """Wait for changes that are being written; blocks for as long as the keyring takes, 5 s at most."""
        for thread in self._threads:
            thread.wait(5000)
        self._threads.clear()

    def _change(self, work: Callable[[], Saved]) -> None:
        thread = _ChangeThread(work)
        queued = Qt.ConnectionType.QueuedConnection
        thread.change_done.connect(self._on_change_done, queued)
        thread.change_failed.connect(self._on_change_failed, queued)
        thread.finished.connect(self._on_thread_finished, queued)
        self._threads.append(thread)
        thread.start()

    @Slot(object)
    def _on_change_done(self, saved: Saved) -> None:
        if saved.options is not None:
            self.options_ready.emit(saved.options)
            return
        self._take(saved.connections)
        if saved.connection is not None:
            self._forget_session(saved.connection.connection_id)
            self.connection_saved.emit(saved.connection)
        if saved.notice:
            self.notice_raised.emit(saved.notice)

    @Slot(object)
    def _on_change_failed(self, error: StorageError) -> None:
        self.change_failed.emit(error)

    @Slot()
    def _on_thread_finished(self) -> None:
        for thread in [thread for thread in self._threads if thread.isFinished()]:
            self._threads.remove(thread)
            thread.deleteLater()

    def _take(self, connections: tuple[Connection, ...]) -> None:
        gone = {one.connection_id for one in self._connections} - {one.connection_id for one in connections}
        self._connections = connections
        for connection_id in gone:
            self._forget_session(connection_id)
        self.connections_changed.emit(connections)

    def _forget_session(self, connection_id: str) -> None:
        with self._specs_lock:
            self._specs.pop(connection_id, None)
        self._reports.pop(connection_id, None)
        self._pool.forget_connection(connection_id)


class _ChangeThread(QThread):
    """Writes one change down, where the disk and the keyring may block."""

    change_done = Signal(object)  # Saved
    change_failed = Signal(object)  # StorageError

    def __init__(self, work: Callable[[], Saved]) -> None:
        super().__init__()
        self._work = work

    def run(self) -> None:
        try:
            saved = self._work()
        except StorageError as error:
            self.change_failed.emit(error)
        except OSError as error:
            reason = error.strerror or "the disk refused"
            self.change_failed.emit(StorageError(f"The connections could not be saved: {reason}."))
        else:
            self.change_done.emit(saved)
