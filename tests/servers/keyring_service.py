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
        command = [find_program("dbus-daemon"), "--session", "--nofork", "--nopidfile", f"--address={bus}"]
        self.run(command, socket.exists, env)
        env["DBUS_SESSION_BUS_ADDRESS"] = bus
        self._daemon = subprocess.Popen(
            [find_program("gnome-keyring-daemon"), "--foreground", "--unlock", "--components=secrets"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=env,
        )
        assert self._daemon.stdin is not None
        self._daemon.stdin.write(PASSWORD)
        self._daemon.stdin.close()
        wait_until(lambda: self._has_service(env), "The Secret Service's start")
        names = ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")
        return KeyringAddress({name: env[name] for name in names}, env["XDG_DATA_HOME"])

    def lock(self) -> None:
        """Lock the collection, as a screen lock would."""
        self._call("org.freedesktop.Secret.Service.Lock", "array:objpath:/org/freedesktop/secrets/aliases/default")

    def stop(self) -> None:
        daemon = getattr(self, "_daemon", None)
        if daemon is not None:
            daemon.terminate()
            try:
                daemon.wait(3)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        super().stop()

    def _call(self, method: str, *arguments: str) -> None:
        command = [
            "dbus-send",
            f"--bus=unix:path={self.folder / 'bus'}",
            "--print-reply",
            "--dest=org.freedesktop.secrets",
        ]
        subprocess.run([*command, "/org/freedesktop/secrets", method, *arguments], check=True, capture_output=True)

    def _has_service(self, env: Mapping[str, str]) -> bool:
        command = ["dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"]
        answer = subprocess.run(
            [*command, "org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"],
            env=dict(env),
            capture_output=True,
            check=False,
        )
        return b"boolean true" in answer.stdout
