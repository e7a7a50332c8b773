"""A real OpenSSH server for SFTP, with a host key and a user key of its own."""

from __future__ import annotations

import getpass
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from tests.servers.process import HOST, Server, answers, find_program, free_port


@dataclass(frozen=True, slots=True)
class SshdAddress:
    """Where it is and what lets one in.

    Attributes:
        username: the user who runs the tests.
        key_file, known_hosts_file: for the client.
        root: an empty folder of the server for the tests' files, absolute.
    """

    host: str
    port: int
    username: str
    key_file: str
    known_hosts_file: str
    root: str

    def at(self, port: int) -> SshdAddress:
        """The same server reached by another port: a proxy's; its host key is known there as well."""
        known_hosts = Path(self.known_hosts_file)
        _host, key_type, key = known_hosts.read_text().splitlines()[0].split()
        line = f"[{self.host}]:{port} {key_type} {key}\n"
        if line not in known_hosts.read_text():
            with known_hosts.open("a") as lines:
                lines.write(line)
        return replace(self, port=port)


class Sshd(Server):
    """Key-only, loopback only.

    Args:
        read_only: `internal-sftp -R`: every write is refused with "permission denied".
        sftp: False runs no SFTP subsystem at all.
        options: further lines of sshd_config.
        parent: where its folder is made.
    """

    def __init__(
        self,
        *,
        read_only: bool = False,
        sftp: bool = True,
        options: tuple[str, ...] = (),
        parent: Path | None = None,
    ) -> None:
        super().__init__("sshd", parent)
        for name in ("host", "id"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.folder / name)], check=True
            )
        (self.folder / "authorized_keys").write_bytes((self.folder / "id.pub").read_bytes())
        self._read_only = read_only
        self._sftp = sftp
        self._options = options
        root = self.folder / "root"
        root.mkdir()
        port = free_port()
        known_hosts = self.folder / "known_hosts"
        key_type, key, *_comment = (self.folder / "host.pub").read_text().split()
        known_hosts.write_text(f"[{HOST}]:{port} {key_type} {key}\n")
        self.address = SshdAddress(HOST, port, getpass.getuser(), str(self.folder / "id"), str(known_hosts), str(root))

    def start(self) -> SshdAddress:
        """Start, also again after `stop_process` (which ends its connections, too), on the same port."""
        config = self.folder / "sshd_config"
        config.write_text(self._config())
        if self.address.username == "root":
            Path("/run/sshd").mkdir(exist_ok=True)
        program = find_program("sshd", "/usr/sbin/sshd")
        self.run([program, "-D", "-e", "-f", str(config)], lambda: answers(self.address.port))
        return self.address

    def _config(self) -> str:
        lines = [
            f"Port {self.address.port}",
            f"ListenAddress {HOST}",
            f"HostKey {self.folder / 'host'}",
            f"PidFile {self.folder / 'pid'}",
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            f"AllowUsers {self.address.username}",
            "MaxStartups 100:30:200",
            "MaxSessions 100",
            *self._options,
        ]
        if self._sftp:
            lines.append(f"Subsystem sftp internal-sftp{' -R' if self._read_only else ''}")
        return "\n".join(lines) + "\n"
