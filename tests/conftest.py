"""Real servers for all tests, started when first needed, and fixtures that fail a test which leaves something behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

if not os.environ.get("DISPLAY"):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from tests.leaks import Leaks
from tests.servers.azurite import AzureAddress, Azurite
from tests.servers.keyring_service import KeyringAddress, KeyringService
from tests.servers.seaweed import S3Address, Seaweed
from tests.servers.sshd import Sshd, SshdAddress
from tests.servers.xvfb import Xvfb


def pytest_configure() -> None:
    """Let Ctrl+C reach what the tests start: a shell's background job ignores it, and so would all below."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def sshd_server() -> Iterator[SshdAddress]:
    """OpenSSH with a folder for files."""
    with Sshd() as server:
        yield server.start()


@pytest.fixture(scope="session")
def read_only_sshd_server() -> Iterator[SshdAddress]:
    """OpenSSH whose SFTP refuses every write."""
    with Sshd(read_only=True) as server:
        yield server.start()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Address]:
    """SeaweedFS."""
    with Seaweed() as server:
        yield server.start()


@pytest.fixture(scope="session")
def azure_server() -> Iterator[AzureAddress]:
    """Azurite, in memory."""
    with Azurite() as server:
        yield server.start()


@pytest.fixture(scope="session")
def secret_service() -> Iterator[KeyringAddress]:
    """gnome-keyring on a bus of its own; use it by giving its `env` to a program."""
    with KeyringService() as server:
        yield server.start()


@pytest.fixture(scope="session")
def screen() -> Iterator[Xvfb]:
    """A virtual screen with a window manager, for programs that the tests start."""
    with Xvfb() as server:
        server.start()
        yield server


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread, a running timer or a window behind."""
    before = Leaks()
    yield
    left = before.left()
    assert not left, f"left behind: {', '.join(left)}"
