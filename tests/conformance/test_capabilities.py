"""What a storage says it can do, it does; what it cannot, it refuses."""

from __future__ import annotations

from kegbrowser.backends.base import Capabilities
from tests.conformance.content import content_of, digest
from tests.conformance.place import Place, write
from tests.servers.faulty_proxy import FaultyProxy

SIZE = 4 * 1024 * 1024


def _passed(proxy: FaultyProxy) -> int:
    return proxy.bytes_down + proxy.bytes_up


def test_a_range_fetches_little_more_than_itself(network_place: Place, proxy: FaultyProxy) -> None:
    content = content_of(SIZE)
    network_place.raw_put("file", content)
    storage = network_place.connect(port=proxy.port)
    assert storage.capabilities.ranged_read
    storage.stat("file")
    before = _passed(proxy)

    with storage.open_reader("file", offset=SIZE // 2, length=1000) as file:
        got = file.read(1000)

    assert got == content[SIZE // 2 : SIZE // 2 + 1000]
    assert _passed(proxy) - before < SIZE // 4


def test_a_copy_and_a_rename_pass_no_bytes_where_the_server_does_them(network_place: Place, proxy: FaultyProxy) -> None:
    content = content_of(SIZE)
    network_place.raw_put("file", content)
    storage = network_place.connect(port=proxy.port)
    storage.check()
    before = _passed(proxy)

    if storage.capabilities.server_copy:
        storage.copy("file", "copied")
        assert digest(network_place.raw_bytes("copied")) == digest(content)
    if storage.capabilities.rename or storage.capabilities.server_copy:
        storage.rename("file", "renamed")
        assert digest(network_place.raw_bytes("renamed")) == digest(content)

    assert _passed(proxy) - before < SIZE // 4


def test_a_small_file_is_written_with_little_more_than_itself(network_place: Place, proxy: FaultyProxy) -> None:
    storage = network_place.connect(port=proxy.port)
    storage.list("")
    before = _passed(proxy)

    write(storage, "small", b"x" * 1000)

    assert _passed(proxy) - before < 16_000


def test_permissions_are_told_where_there_are_any(place: Place) -> None:
    place.raw_put("file", b"x")

    told = place.storage.stat("file").permissions

    assert (told is not None) == place.storage.capabilities.permissions
    assert told is None or 0 < told <= 0o7777


def test_what_follows_from_each_other_is_said_so(place: Place) -> None:
    said: Capabilities = place.storage.capabilities

    assert not said.containers_at_root, "files live at the root of a place"
    assert said.real_folders != said.path_or_prefix
    assert said.real_folders or not said.rename_folder
    assert said.containers_at_root or not said.create_containers


def test_what_no_call_can_do_is_not_claimed(place: Place) -> None:
    said = place.storage.capabilities

    assert not said.versions
    assert not said.share_links
