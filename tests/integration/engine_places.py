"""What the engine's tests on real servers share: the conformance suite's places, and waiting without sleeping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path

import pytest

from tests.conformance.place import Place
from tests.doubles.engine import pattern
from tests.servers.faulty_proxy import FaultyProxy

KINDS = ("local", "memory", "s3", "azure", "sftp")
NETWORK_KINDS = ("s3", "azure", "sftp")

FILES = {f"sub {n % 5}/deeper/file {n}.bin": pattern(n * 97, n) for n in range(190)} | {
    "empty file": b"",
    "ünïcödé/日本.txt": "日本".encode(),
    "with spaces and + % #/a&b=c?.txt": b"odd",
    ".hidden/.file": b"hidden",
    "a/b/c/d/e/f/g/h/deep": b"deep",
    "one byte": b"1",
    "chunk": pattern(1024 * 1024),
    "chunk and one": pattern(1024 * 1024 + 1),
    "three and a bit": pattern(3 * 1024 * 1024 + 17),
    "x.tar.gz": pattern(300_000),
}
"""200 files, nested."""


def open_place(request: pytest.FixtureRequest) -> AbstractContextManager[Place]:
    module = import_module(f"tests.conformance.fixtures.{request.param}")
    opened: AbstractContextManager[Place] = module.open_place(request)
    return opened


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty place, for each backend."""
    with open_place(request) as opened:
        yield opened


@pytest.fixture(params=NETWORK_KINDS)
def network_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty place, for each backend with a server."""
    with open_place(request) as opened:
        yield opened


@pytest.fixture
def proxy(network_place: Place) -> Iterator[FaultyProxy]:
    """A proxy before the server of `network_place`."""
    assert network_place.server_port is not None
    with FaultyProxy(network_place.server_port) as running:
        yield running


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files below a local folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    """All files below a local folder, with their content."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def becomes_true(claim: Callable[[], bool], within_s: float = 8.0) -> bool:
    """Whether a claim about a server becomes true in time."""
    deadline = time.monotonic() + within_s
    never = threading.Event()
    while not claim():
        if time.monotonic() > deadline:
            return False
        never.wait(0.05)
    return True
