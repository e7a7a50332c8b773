"""The same tests for every backend, each on its real server. How a backend plugs in: `place.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from importlib import import_module

import pytest

from tests.conformance.place import AccountPlace, Place
from tests.servers.faulty_proxy import FaultyProxy

KINDS = ("local", "memory", "s3", "azure", "sftp")
NETWORK_KINDS = ("s3", "azure", "sftp")
ACCOUNT_KINDS = ("s3", "azure")
PARTED_KINDS = ("memory", "s3", "azure", "sftp")
"""Local files are written as one stream: there is no connection to lose."""


def _open(request: pytest.FixtureRequest) -> AbstractContextManager[Place]:
    module = import_module(f"tests.conformance.fixtures.{request.param}")
    opened: AbstractContextManager[Place] = module.open_place(request)
    return opened


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty place, for each backend."""
    with _open(request) as opened:
        yield opened


@pytest.fixture(params=KINDS, scope="module")
def lasting_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place for the tests of one module that only read what the first of them made, for each backend."""
    with _open(request) as opened:
        yield opened


@pytest.fixture(params=NETWORK_KINDS)
def network_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty place, for each backend with a server."""
    with _open(request) as opened:
        yield opened


@pytest.fixture(params=PARTED_KINDS)
def parted_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty place, for each backend that takes uploads in parts."""
    with _open(request) as opened:
        yield opened


@pytest.fixture(params=ACCOUNT_KINDS)
def account_place(request: pytest.FixtureRequest) -> Iterator[AccountPlace]:
    """An empty place in an account with others, for each backend that has such."""
    with _open(request) as opened:
        assert isinstance(opened, AccountPlace)
        yield opened


@pytest.fixture
def proxy(network_place: Place) -> Iterator[FaultyProxy]:
    """A proxy before the server of `network_place`; connect through it with `network_place.connect(port=proxy.port)`."""
    assert network_place.server_port is not None
    with FaultyProxy(network_place.server_port) as running:
        yield running
