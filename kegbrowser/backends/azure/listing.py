"""Listings as streams of pages: containers, a folder's level, or all below it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from kegbrowser.backends.azure.calls import get_list
from kegbrowser.backends.azure.deeds import Deed
from kegbrowser.backends.azure.pages import FoundBlob, FoundPage, parse_page
from kegbrowser.backends.azure.service import AzureConnection
from kegbrowser.backends.base import EntryKind, ListEntry, Page
from kegbrowser.backends.entries import CODE_OF, UNKNOWN, Columns, names_joined
from kegbrowser.backends.errors import ServerFault

PAGE_ENTRIES = 5000
FIRST_PAGE_ENTRIES = 1000
"""A short first page is there soon; the others are as long as the service makes them."""


def container_pages(connection: AzureConnection) -> Iterator[Page]:
    """Stream the containers of the account."""
    deed = Deed("list", "list", path="")
    pages = connection.service.list_containers(results_per_page=PAGE_ENTRIES).by_page()
    is_first = True
    while True:
        with connection.around(deed):
            page = next(pages, None)
            containers = [] if page is None else list(page)
        if containers or (page is None and is_first):
            yield Page(tuple(ListEntry(one.name, one.last_modified, 0, EntryKind.CONTAINER) for one in containers))
            is_first = False
        if page is None:
            return


def found_pages(
    connection: AzureConnection, deed: Deed, prefix: str, *, recursive: bool, most: int = PAGE_ENTRIES
) -> Iterator[FoundPage]:
    """Stream what the service lists below a prefix of the deed's container; pages may be empty.

    Args:
        most: entries of a page.
    """
    query = {"include": "metadata"}
    if prefix:
        query["prefix"] = prefix
    if not recursive:
        query["delimiter"] = "/"
    size, marker = min(most, FIRST_PAGE_ENTRIES), ""
    while True:
        with connection.around(deed):
            more = {"maxresults": str(size)} | ({"marker": marker} if marker else {})
            page = parse_page(get_list(connection.service, deed.container, query | more), deed)
        yield page
        if not page.next_marker:
            return
        if page.next_marker == marker:
            # Going on would list the same again, stopping would hide files.
            reason = f"{connection.server} does not say where the listing goes on"
            raise ServerFault(deed.sentence(reason), path=deed.path, retryable=False)
        size, marker = most, page.next_marker


def first_found(connection: AzureConnection, deed: Deed, prefix: str, most: int) -> list[FoundBlob]:
    """The first blobs whose names begin so, in the order of the names; at most `most`."""
    found: list[FoundBlob] = []
    for page in found_pages(connection, deed, prefix, recursive=True, most=most):
        found += page.blobs
        if len(found) >= most:
            break
    return found[:most]


def blob_of_name(connection: AzureConnection, deed: Deed, name: str) -> FoundBlob | None:
    """The blob of exactly this name, as it is listed: the one question that no server answers for another name."""
    found = first_found(connection, deed, name, 1)
    return found[0] if found and found[0].name == name else None


_FOLDER = bytes((CODE_OF[EntryKind.FOLDER],))
_FILE = bytes((CODE_OF[EntryKind.FILE],))


class Level:
    """Turns what is found below a prefix into entries relative to it, none of them twice.

    Attributes:
        found_any: something was there, if only the marker of the prefix itself.
    """

    def __init__(self, prefix: str, *, above: str = "") -> None:
        self._start = len(prefix)
        self._above = above
        self._marked: set[str] = set()
        self.found_any = False

    def page(self, found: FoundPage) -> Page:
        """The entries of one answer; none if it is empty, or tells only of what was told before."""
        self.found_any = self.found_any or bool(found.prefixes or found.names)
        folders = [prefix[self._start : -1] for prefix in found.prefixes]
        if self._marked:
            folders = [name for name in folders if name not in self._marked]
        markers = [row for row, blob in enumerate(found.blobs) if blob.is_marker] if found.may_have_markers else []
        if markers:
            return Page(tuple(self._with_markers(found, folders)))
        names = [name[self._start :] for name in found.names] if self._start else found.names
        everything = folders + names
        if self._above:
            everything = [self._above + name for name in everything]
        columns = Columns(
            len(everything),
            names_joined(everything),
            bytes(8 * len(folders)) + found.sizes.tobytes(),
            array("q", [UNKNOWN]).tobytes() * len(folders) + found.modified_us.tobytes(),
            _FOLDER * len(folders) + _FILE * len(names),
        )
        return Page.of_columns(columns, lambda: self._with_markers(found, folders))

    def _with_markers(self, found: FoundPage, folders: list[str]) -> Iterator[ListEntry]:
        for name in folders:
            yield ListEntry(self._above + name, None, 0, EntryKind.FOLDER)
        on_page = set(folders)
        for blob in found.blobs:
            name = blob.name[self._start :]
            if not blob.is_marker:
                yield blob.entry(self._above + name)
                continue
            folder = name.removesuffix("/")
            # No name: the marker of the listed folder itself. But "a//" is a nameless folder in "a/".
            if name and folder not in self._marked and folder not in on_page:
                self._marked.add(folder)
                yield ListEntry(self._above + folder, blob.modified, 0, EntryKind.FOLDER)
