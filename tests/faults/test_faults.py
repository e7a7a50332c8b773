"""Whatever goes wrong on the way, each file arrives whole and nothing is left over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.place import Place
from tests.faults.rig import points
from tests.faults.scenes import EVERYWHERE, OVER_HTTP, Setting
from tests.integration.engine_places import network_place, open_place

__all__ = ["network_place"]

DIRECTIONS = pytest.mark.parametrize("is_upload", [True, False], ids=["up", "down"])


@pytest.fixture(params=["s3", "azure"])
def http_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty place, for each backend whose server speaks HTTP."""
    with open_place(request) as opened:
        yield opened


@DIRECTIONS
@pytest.mark.parametrize("scene", EVERYWHERE)
def test_every_file_arrives_whole(network_place: Place, tmp_path: Path, scene: str, *, is_upload: bool) -> None:
    (point,) = points(1, f"{scene} {network_place.kind} {is_upload}")

    ending = EVERYWHERE[scene](Setting(network_place, tmp_path, is_upload), point)

    assert ending.problems == []


@DIRECTIONS
@pytest.mark.parametrize("scene", OVER_HTTP)
def test_every_file_arrives_whole_from_a_server_that_refuses(
    http_place: Place, tmp_path: Path, scene: str, *, is_upload: bool
) -> None:
    ending = OVER_HTTP[scene](Setting(http_place, tmp_path, is_upload), 0)

    assert ending.problems == []
