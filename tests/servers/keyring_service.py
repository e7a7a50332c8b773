"""A real Secret Service without a screen: its own session bus and gnome-keyring, unlocked with a test password."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from tests.servers.process import Server, find_program, wait_until

PASSWORD = b"keyring-test-password"


@dataclass(frozen=True, slots=True)
class KeyringAddress:
    """The environment of a program that is to use this keyring; `data` is where it keeps its (encrypted) files."""

    env: Mapping[str, str]
    data: str


class KeyringService(Server):
    """One for the whole run: starting it can take long."""

    def __init__(self) -> None:
        super().__init__("keyring")

    def start(self) -> KeyringAddress:
        env = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "DBUS_SESSION_BUS_ADDRESS")}
        for variable in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
            folder = self.folder / variable.lower()
            folder.mkdir(mode=0o700)
            env[variable] = str(folder)
        socket = self.folder / "bus"
        bus = f"unix:path={socket}"
        self.run([find_program("dbus-daemon"), "--session", "--nofork", "--nopidfile", f"--address={bus}"],
            socket.exists, env)  # fmt: skip
        env["DBUS_SESSION_BUS_ADDRESS"] = bus
        daemon = [find_program("gnome-keyring-daemon"), "--foreground", "--unlock", "--components=secrets"]
        self.run(daemon, self._has_service, env, given=PASSWORD)
        names = ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")
        return KeyringAddress({name: env[name] for name in names}, env["XDG_DATA_HOME"])

    def lock(self) -> None:
        """Lock the collection, as a screen lock would."""
        everything = "array:objpath:/org/freedesktop/secrets/aliases/default"
        self._call("org.freedesktop.secrets", "org.freedesktop.Secret.Service.Lock", everything)
        wait_until(self.is_locked, "The keyring's lock", 10)

    def is_locked(self) -> bool:
        words = ("string:org.freedesktop.Secret.Collection", "string:Locked")
        path = "/org/freedesktop/secrets/aliases/default"
        answer = self._call("org.freedesktop.secrets", "org.freedesktop.DBus.Properties.Get", *words, path=path)
        return b"boolean true" in answer

    def _has_service(self) -> bool:
        who = "org.freedesktop.DBus"
        try:
            return b"boolean true" in self._call(who, f"{who}.NameHasOwner", "string:org.freedesktop.secrets")
        except subprocess.CalledProcessError:
            return False

    def _call(self, destination: str, method: str, *arguments: str, path: str = "/org/freedesktop/secrets") -> bytes:
        bus = f"--bus=unix:path={self.folder / 'bus'}"
        command = [find_program("dbus-send"), bus, "--print-reply", f"--dest={destination}", path, method, *arguments]
        return subprocess.run(command, check=True, capture_output=True).stdout
