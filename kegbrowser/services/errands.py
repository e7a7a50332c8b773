"""What is compared, written down or cleaned up: shown beside the transfers, and not remembered over a restart. No Qt."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kegbrowser.backends.base import as_folder, split_path
from kegbrowser.backends.locations import RemotePath
from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.backends.uploads import IncompleteUpload
from kegbrowser.services.making import SpecSource
from kegbrowser.services.recipes import Recipe
from kegbrowser.services.transfer import Transfer, TransferKind
from kegbrowser.transfer.jobs import (
    CheckManifest,
    CleanUp,
    Job,
    MakeManifest,
    ManifestFormat,
    Pair,
    Source,
    VerifyAgain,
)
from kegbrowser.transfer.journal import Journal
from kegbrowser.transfer.names import safe_name
from kegbrowser.transfer.records import ItemRecord, ItemState

MOST_SINGLE_PAIRS = 5_000
"""Of so many files at most each is compared by itself; more are compared as the folders that they came in."""


@dataclass(frozen=True, slots=True)
class Errand:
    """Something to be done once. It changes nothing but by being asked to, so it is begun anew rather than taken up again.

    Attributes:
        connection_id: "" for none: all is on the local disk.
        names: of what it is about.
        build: makes the job; called on the job's thread, may block.
    """

    kind: TransferKind
    connection_id: str
    names: tuple[str, ...]
    folder: RemotePath | None
    build: Callable[[ConnectionSpec | None], Job]
    local_folder: str = ""

    @property
    def is_resumed(self) -> bool:
        return False

    @property
    def connection_ids(self) -> tuple[str, ...]:
        return (self.connection_id,) if self.connection_id else ()

    def make(self, spec_source: SpecSource) -> Job:
        """The job, with its connection's secrets; called on the job's thread, for reading the keyring may block."""
        return self.build(spec_source(self.connection_id) if self.connection_id else None)

    def changed_folders(self) -> tuple[RemotePath, ...]:
        """None: what it changes is not listed."""
        return ()

    def transfer(self, transfer_id: int) -> Transfer:
        """How it looks before it begins."""
        return Transfer(transfer_id, self.kind, self.names, self.folder, self.local_folder)


# -- what can be run -------------------------------------------------------------------------------------------------------


def verify_transfer(recipe: Recipe, items: Sequence[ItemRecord], *, read_whole: bool) -> Errand:
    """Compare what a download or an upload has moved.

    Args:
        items: its files as the journal has them, or the first of them; none if it is not known.
    """
    seen = recipe.transfer(0)

    def build(spec: ConnectionSpec | None) -> Job:
        assert spec is not None
        return VerifyAgain(spec, pairs_of(recipe, items), read_whole=read_whole, finds_extra=False)

    return Errand(TransferKind.VERIFY, recipe.connection_id, seen.names, seen.folder, build, seen.local_folder)


def compare(
    paths: tuple[RemotePath, ...], local: str, *, read_whole: bool, finds_extra: bool, is_counterpart: bool
) -> Errand:
    """Compare remote files and folders of one connection with local ones.

    Args:
        is_counterpart: `local` is to be the same as the one path; else each path is looked for in it, under its own name.
    """

    def local_of(path: RemotePath) -> str:
        return local if is_counterpart else str(Path(local) / safe_name(path.name))

    pairs = tuple(Pair(Source(path.path, path.is_folder), local_of(path)) for path in paths)

    def build(spec: ConnectionSpec | None) -> Job:
        assert spec is not None
        return VerifyAgain(spec, pairs, read_whole=read_whole, finds_extra=finds_extra)

    names, folder = tuple(path.name for path in paths), paths[0].parent
    return Errand(TransferKind.VERIFY, paths[0].connection_id, names, folder, build, local)


def save_manifest(folder: RemotePath, target: str, layout: ManifestFormat) -> Errand:
    """Write the SHA-256 sums of all files below a folder into a local file."""

    def build(spec: ConnectionSpec | None) -> Job:
        return MakeManifest(spec, folder.path, target, layout)

    return Errand(TransferKind.MANIFEST, folder.connection_id, (folder.name,), folder, build, str(Path(target).parent))


def check_manifest(folder: RemotePath, manifest: str) -> Errand:
    """Compare a folder with a manifest that was saved before."""

    def build(spec: ConnectionSpec | None) -> Job:
        return CheckManifest(spec, folder.path, manifest)

    return Errand(TransferKind.CHECK, folder.connection_id, (folder.name,), folder, build)


def clean_up(
    folder: RemotePath | None,
    uploads: tuple[IncompleteUpload, ...],
    local_parts: tuple[str, ...],
    journal: Path,
    local_folder: str = "",
) -> Errand:
    """Remove what unfinished transfers left; its user was asked. What a queue needs by then, of any window, is left alone."""

    def build(spec: ConnectionSpec | None) -> Job:
        return CleanUp(spec, uploads, local_parts, tokens_in_use(journal), confirmed=True)

    names = (folder.name if folder is not None else Path(local_folder).name,)
    connection_id = "" if folder is None else folder.connection_id
    return Errand(TransferKind.CLEAN_UP, connection_id, names, folder, build, local_folder)


def tokens_in_use(journal: Path) -> frozenset[str]:
    """What belongs to transfers that will go on. Blocks.

    Raises:
        JournalFailed: it cannot be read, so nobody knows.
    """
    if not journal.exists():
        return frozenset()
    with Journal(journal) as opened:
        return frozenset(opened.tokens_in_use())


# -- which is which --------------------------------------------------------------------------------------------------------


def pairs_of(recipe: Recipe, items: Sequence[ItemRecord]) -> tuple[Pair, ...]:
    """What has to be the same on both sides after a download or an upload.

    The sources as they are, so that folders are listed and not each file looked for; but each file by itself where some were left
    out or came under other names than their own, for the folders say nothing about those.
    """
    whole = tuple(_pair(recipe, path, is_folder=is_folder) for path, is_folder in recipe.sources)
    if len(items) > MOST_SINGLE_PAIRS or not _are_elsewhere(recipe, whole, items):
        return whole
    done = (item for item in items if item.state is ItemState.DONE)
    if recipe.kind is TransferKind.DOWNLOAD:
        return tuple(Pair(Source(item.source, is_folder=False), item.place) for item in done)
    return tuple(Pair(Source(item.place, is_folder=False), item.source) for item in done)


def _pair(recipe: Recipe, path: str, *, is_folder: bool) -> Pair:
    """A source, and where it goes if nothing is in its way."""
    if recipe.kind is TransferKind.DOWNLOAD:
        name = recipe.rename_to or safe_name(split_path(path)[1])
        return Pair(Source(path, is_folder), str(Path(recipe.target) / name))
    remote = as_folder(recipe.target) + (recipe.rename_to or Path(path).name)
    is_folder = Path(path).is_dir()
    return Pair(Source(as_folder(remote) if is_folder else remote, is_folder), path)


def _are_elsewhere(recipe: Recipe, whole: tuple[Pair, ...], items: Sequence[ItemRecord]) -> bool:
    """Whether a file was left out, or is elsewhere than below its source's usual place and under its own name."""
    is_down = recipe.kind is TransferKind.DOWNLOAD
    places = {pair.local if is_down else pair.source.path for pair in whole}
    within = tuple(place + os.sep if is_down else as_folder(place) for place in places)
    for item in items:
        if item.state is ItemState.SKIPPED:
            return True
        if item.place in places:
            continue
        if not item.place.startswith(within):
            return True
        here, there = (item.place, item.source) if is_down else (item.source, item.place)
        own = split_path(there)[1]
        if Path(here).name != (safe_name(own) if is_down else own):
            return True
    return False
