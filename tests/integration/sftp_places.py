"""What the tests of SFTP share: servers of a kind, and storages on them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kegbrowser.backends.sftp import SFTPStorage, wire
from kegbrowser.backends.sftp.client import Client
from tests.doubles.sftp_server import USER, SftpServerDouble
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.process import HOST, answers, wait_until
from tests.servers.sshd import Sshd, SshdAddress

NOBODY = 65534


@contextmanager
def opened(address: SshdAddress, **changed: Any) -> Iterator[SFTPStorage]:
    """A storage on a real server, whose root is the server's folder for tests; shut down afterwards."""
    options: dict[str, Any] = {
        "host": address.host,
        "username": address.username,
        "key_filename": address.key_file,
        "known_hosts_fpath": address.known_hosts_file,
        "port": address.port,
        "root": address.root,
    }
    storage = SFTPStorage(**(options | changed))
    try:
        yield storage
    finally:
        storage.shutdown()


@contextmanager
def opened_double(double: SftpServerDouble, **changed: Any) -> Iterator[SFTPStorage]:
    """A storage on the double, with the password that lets one in."""
    options: dict[str, Any] = {
        "host": HOST,
        "username": USER,
        "key_filename": None,
        "known_hosts_fpath": None,
        "password": double.ways.password,
        "port": double.port,
        "root": "/",
        "host_keys": (double.host_key_line,),
    }
    storage = SFTPStorage(**(options | changed))
    try:
        yield storage
    finally:
        storage.shutdown()


class SmallDiskSshd(Sshd):
    """OpenSSH whose folder for files is a disk of some megabytes, which only it can see.

    Args:
        size_bytes: of the disk.
    """

    def __init__(self, size_bytes: int) -> None:
        super().__init__()
        self._size_bytes = size_bytes

    def start(self) -> SshdAddress:
        config = self.folder / "sshd_config"
        config.write_text(self._config())
        if self.address.username == "root":
            Path("/run/sshd").mkdir(exist_ok=True)
        script = 'mount -t tmpfs -o size="$1" none "$2" && exec /usr/sbin/sshd -D -e -f "$3"'
        namespaces = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
        self.run(
            [*namespaces, "sh", "-c", script, "sh", str(self._size_bytes), self.address.root, str(config)],
            lambda: answers(self.address.port),
        )
        return self.address


class UnprivilegedSshd(Sshd):
    """OpenSSH for a user whom modes stop, also where root runs the tests."""

    def _config(self) -> str:
        # To a server that may not look at the shadow file its user seems locked, unless PAM judges.
        return super()._config().replace("UsePAM no", "UsePAM yes" if os.geteuid() == 0 else "UsePAM no")

    def start(self) -> SshdAddress:
        if os.geteuid() != 0:
            return super().start()
        self.address = replace(self.address, username="nobody")
        self.folder.chmod(0o755)
        config = self.folder / "sshd_config"
        config.write_text(self._config())
        for path in (self.folder, self.folder / "host", Path(self.address.root)):
            os.chown(path, NOBODY, NOBODY)
        ids = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        self.run(
            [*ids, "/usr/sbin/sshd", "-D", "-e", "-f", str(config)],
            lambda: answers(self.address.port),
        )
        return self.address


def break_at_rename(monkeypatch: pytest.MonkeyPatch, proxy: FaultyProxy, *, is_done: bool, is_openssh: bool) -> None:
    """Cut the line at the request that gives a file its name, before it arrives or before its answer does."""
    real, left = Client.ask, [True]

    def ask(client: Client, kind: int, *arguments: wire.Argument) -> wire.Answer:
        client.renames_by_link = is_openssh
        last_steps = (wire.POSIX_RENAME, wire.HARD_LINK)
        is_last = kind == wire.RENAME or (kind == wire.EXTENDED and arguments[0] in last_steps)
        if not is_last or not left:
            return real(client, kind, *arguments)
        left.clear()
        if is_done:
            real(client, kind, *arguments)
        proxy.cut_all()
        wait_until(lambda: proxy.open_connections == 0, "cutting")
        return real(client, wire.LSTAT, b"/")

    monkeypatch.setattr(Client, "ask", ask)


def make_key(folder: Path, name: str, *options: str, passphrase: str = "") -> str:
    """A private key of ssh-keygen; gives its path."""
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-N", passphrase, "-C", name, "-f", str(path), *options], check=True)
    return str(path)
