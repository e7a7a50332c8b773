"""Secrets on a real Secret Service: kept over a restart, never in any file of ours, and clear words when it is locked or gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.servers.keyring_service import KeyringAddress, KeyringService

CANARY = "canary-2b9f61-ünïcode"
ROOT = Path(__file__).parents[2]


def run(program: str, env: Mapping[str, str], home: Path, **values: object) -> Any:
    """Run a program in a process of its own, as after a restart; `values` come by standard input, the answer as JSON."""
    prelude = (
        "import json, sys\n"
        "from kegbrowser.profiles.places import Places\n"
        "from kegbrowser.profiles.connections import Connection, ConnectionStore\n"
        "from kegbrowser.profiles.secrets import KeyringUnavailable, SecretStore\n"
        "from kegbrowser.profiles import specs\n"
        "given = json.load(sys.stdin)\n"
        "secrets = SecretStore(prompt_timeout_s=20)\n"
        "places = Places.of_user()\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "DBUS_", "DISPLAY"))}
    done = subprocess.run(
        [sys.executable, "-c", prelude + program],
        input=json.dumps(values),
        env=kept | {"HOME": str(home), "PYTHONPATH": str(ROOT)} | dict(env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stderr
    return json.loads(done.stdout)


def files_that_hold(text: str, *folders: Path) -> list[Path]:
    needles = (text.encode(), text.encode("utf-16-le"), json.dumps(text).strip('"').encode())
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if any(needle in path.read_bytes() for needle in needles)]


def test_a_secret_is_there_after_a_restart_and_gone_after_its_deletion(
    secret_service: KeyringAddress, tmp_path: Path
) -> None:
    kept = run(
        "print(json.dumps(secrets.set('id1', 'password', given['it']).value))", secret_service.env, tmp_path, it=CANARY
    )
    read = run("print(json.dumps(secrets.get('id1', 'password')))", secret_service.env, tmp_path)
    run("secrets.delete_all('id1', ['password']); print(0)", secret_service.env, tmp_path)
    after = run("print(json.dumps(secrets.get('id1', 'password')))", secret_service.env, tmp_path)

    assert (kept, read, after) == ("keyring", CANARY, None)


@pytest.mark.parametrize("length", [1, 2_560, 100_000])
def test_secrets_of_any_length_come_back_whole(secret_service: KeyringAddress, tmp_path: Path, length: int) -> None:
    value = ("k€y\n" * length)[:length]

    run("secrets.set('id2', 'key', given['it']); print(0)", secret_service.env, tmp_path, it=value)

    assert run("print(json.dumps(secrets.get('id2', 'key')))", secret_service.env, tmp_path) == value
    run("secrets.delete('id2', 'key'); print(0)", secret_service.env, tmp_path)


def test_a_saved_connection_has_its_secrets_only_in_the_keyring(secret_service: KeyringAddress, tmp_path: Path) -> None:
    options = {"host": "example.org", "username": "mo", "password": CANARY}
    save = (
        "store = ConnectionStore(places.connections_file)\n"
        "saved, kept = specs.save(Connection.new('sftp', 'Server', given['options']), given['options'], store, secrets)\n"
        "print(json.dumps([saved.connection_id, kept.value]))"
    )
    load = (
        "(saved,) = ConnectionStore(places.connections_file).load()\n"
        "print(json.dumps(dict(specs.spec_of(saved, secrets).options)))"
    )
    forget = (
        "store = ConnectionStore(places.connections_file)\n"
        "(saved,) = store.load()\n"
        "specs.forget(saved, store, secrets)\n"
        "print(json.dumps([secrets.get(saved.connection_id, 'password'), len(store.load())]))"
    )

    _connection_id, kept = run(save, secret_service.env, tmp_path, options=options)

    assert kept == "keyring"
    assert files_that_hold("example.org", tmp_path)
    assert files_that_hold(CANARY, tmp_path, Path(secret_service.data)) == []
    assert run(load, secret_service.env, tmp_path) == options
    assert run(forget, secret_service.env, tmp_path) == [None, 0]


def test_a_locked_keyring_is_told_and_keeps_what_it_has(tmp_path: Path) -> None:
    program = (
        "answers = [secrets.status().state.value]\n"
        "try:\n"
        "    secrets.get('id1', 'password')\n"
        "except KeyringUnavailable as error:\n"
        "    answers += [error.message, error.hint]\n"
        "answers += [secrets.set('id2', 'password', given['it']).value, secrets.get('id2', 'password')]\n"
        "print(json.dumps(answers))"
    )
    with KeyringService() as service:
        address = service.start()
        run("secrets.set('id1', 'password', given['it']); print(0)", address.env, tmp_path, it="old")
        service.lock()

        state, message, hint, kept, value = run(program, address.env, tmp_path, it=CANARY)

        assert state == "locked"
        assert message == "The system's keyring is locked."
        assert "Unlock" in hint
        assert (kept, value) == ("session", CANARY)
        assert files_that_hold(CANARY, tmp_path, Path(address.data)) == []


def test_without_a_keyring_secrets_end_with_the_process(tmp_path: Path) -> None:
    nowhere = {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path / 'no-bus'}"}
    program = (
        "kept = secrets.set('id1', 'password', given['it'])\n"
        "status = secrets.status()\n"
        "print(json.dumps([kept.value, secrets.get('id1', 'password'), status.state.value, status.sentence]))"
    )
    (tmp_path / "marker").write_text("so that there is a file to look into")

    kept, value, state, sentence = run(program, nowhere, tmp_path, it=CANARY)

    assert (kept, value, state) == ("session", CANARY, "absent")
    assert "this session only" in sentence
    assert run("print(json.dumps(secrets.get('id1', 'password')))", nowhere, tmp_path) is None
    assert files_that_hold(CANARY, tmp_path) == []


@pytest.mark.parametrize(
    "chosen", ["keyring.backends.null.Keyring", "keyring.backends.fail.Keyring", "no.such.Keyring"]
)
def test_an_unprotected_or_broken_choice_of_keyring_is_not_used(tmp_path: Path, chosen: str) -> None:
    program = (
        "kept = secrets.set('id1', 'password', given['it'])\n"
        "print(json.dumps([kept.value, secrets.status().state.value]))"
    )

    assert run(program, {"PYTHON_KEYRING_BACKEND": chosen}, tmp_path, it=CANARY) == ["session", "absent"]
