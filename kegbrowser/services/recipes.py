"""What a transfer does, as a value without any secret: kept in the journal, and made into a job when its turn comes. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kegbrowser.backends.locations import RemotePath
from kegbrowser.services.making import SpecSource
from kegbrowser.services.transfer import Transfer, TransferKind
from kegbrowser.transfer.jobs import ConflictPolicy, Copy, Delete, Download, Job, LinkPolicy, Rename, Source, Upload

RESUMED = (TransferKind.DOWNLOAD, TransferKind.UPLOAD, TransferKind.COPY, TransferKind.MOVE)
"""What goes on by itself after a crash; the others change things by deeds that are not repeated without being asked for."""


@dataclass(frozen=True, slots=True)
class TransferDefaults:
    """How downloads, uploads, copies and moves are made if nothing else is asked for."""

    policy: ConflictPolicy = ConflictPolicy.ASK
    links: LinkPolicy = LinkPolicy.FOLLOW_FILES
    keep_permissions: bool = True


@dataclass(frozen=True, slots=True)
class Recipe:
    """A transfer to be done.

    Attributes:
        connection_id: where the sources are; of an upload: where it goes.
        sources: paths and whether each is a folder; of an upload: absolute local paths.
        target_connection_id: of copies and moves.
        target: folder it goes to: remote, or local for a download; of a rename: the new path.
    """

    kind: TransferKind
    connection_id: str
    sources: tuple[tuple[str, bool], ...]
    target: str = ""
    target_connection_id: str = ""
    policy: ConflictPolicy = ConflictPolicy.ASK
    rename_to: str = ""
    links: LinkPolicy = LinkPolicy.FOLLOW_FILES
    keep_permissions: bool = True

    @classmethod
    def from_json(cls, kind: str, values: Mapping[str, Any]) -> Recipe:
        """What `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: another program, or another version, wrote it.
        """
        if TransferKind(kind).is_errand:
            raise _not_a_recipe(TransferKind(kind))
        return cls(
            TransferKind(kind),
            str(values["connection"]),
            tuple((str(path), bool(is_folder)) for path, is_folder in values["sources"]),
            str(values["target"]),
            str(values["target_connection"]),
            ConflictPolicy(values["policy"]),
            str(values["rename_to"]),
            LinkPolicy(
                values.get("links", LinkPolicy.FOLLOW_FILES.value)
            ),  # not in journals of before there was a choice
            bool(values.get("keep_permissions", True)),
        )

    def to_json(self) -> dict[str, object]:
        """As values of JSON."""
        return {
            "connection": self.connection_id,
            "sources": [list(source) for source in self.sources],
            "target": self.target,
            "target_connection": self.target_connection_id,
            "policy": self.policy.value,
            "rename_to": self.rename_to,
            "links": self.links.value,
            "keep_permissions": self.keep_permissions,
        }

    @property
    def is_resumed(self) -> bool:
        return self.kind in RESUMED

    @property
    def connection_ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one for one in (self.connection_id, self.target_connection_id) if one))

    def make(self, spec_source: SpecSource) -> Job:
        """The job, with its connections' secrets; called on the job's thread, for reading the keyring may block."""
        spec = spec_source(self.connection_id)
        sources = tuple(Source(path, is_folder) for path, is_folder in self.sources)
        rules = (self.policy, self.rename_to, self.links, self.keep_permissions)
        match self.kind:
            case TransferKind.DOWNLOAD:
                return Download(spec, sources, self.target, *rules)
            case TransferKind.UPLOAD:
                return Upload(spec, tuple(path for path, _ in self.sources), self.target, *rules)
            case TransferKind.COPY | TransferKind.MOVE:
                move = self.kind is TransferKind.MOVE
                target_spec = spec_source(self.target_connection_id)
                return Copy(spec, sources, target_spec, self.target, move, *rules)
            case TransferKind.DELETE:
                return Delete(spec, sources)
            case TransferKind.RENAME:
                return Rename(spec, sources[0], self.target)
        raise _not_a_recipe(self.kind)

    def changed_folders(self) -> tuple[RemotePath, ...]:
        """The folders whose listings are out of date afterwards."""
        parents = {path.parent for path in self._remote_sources() if path.parent is not None}
        match self.kind:
            case TransferKind.DOWNLOAD:
                return ()
            case TransferKind.UPLOAD:
                return (RemotePath.folder(self.connection_id, self.target),)
            case TransferKind.DELETE:
                return tuple(parents)
            case TransferKind.RENAME:
                there = self._remote(self.connection_id, self.target, is_folder=self.sources[0][1]).parent
                return tuple(parents | ({there} if there is not None else set()))
            case TransferKind.COPY | TransferKind.MOVE:
                target = RemotePath.folder(self.target_connection_id, self.target)
                return tuple({target} | (parents if self.kind is TransferKind.MOVE else set()))
        raise _not_a_recipe(self.kind)

    def transfer(self, transfer_id: int) -> Transfer:
        """How it looks before it begins."""
        names = tuple(_name(path) for path, _is_folder in self.sources)
        sources = self._remote_sources()
        match self.kind:
            case TransferKind.DOWNLOAD:
                return Transfer(transfer_id, self.kind, names, sources[0].parent, self.target)
            case TransferKind.UPLOAD:
                return Transfer(transfer_id, self.kind, names, RemotePath.folder(self.connection_id, self.target))
            case TransferKind.COPY | TransferKind.MOVE:
                return Transfer(
                    transfer_id, self.kind, names, RemotePath.folder(self.target_connection_id, self.target)
                )
            case TransferKind.DELETE:
                return Transfer(transfer_id, self.kind, names, sources[0].parent)
            case TransferKind.RENAME:
                there = self._remote(self.connection_id, self.target, is_folder=self.sources[0][1])
                return Transfer(transfer_id, self.kind, names, there.parent)
        raise _not_a_recipe(self.kind)

    def _remote_sources(self) -> tuple[RemotePath, ...]:
        if self.kind is TransferKind.UPLOAD:
            return ()
        return tuple(self._remote(self.connection_id, path, is_folder=folder) for path, folder in self.sources)

    def _remote(self, connection_id: str, path: str, *, is_folder: bool) -> RemotePath:
        return RemotePath.folder(connection_id, path) if is_folder else RemotePath.file(connection_id, path)


def sources_of(paths: tuple[RemotePath, ...]) -> tuple[tuple[str, bool], ...]:
    """Remote paths as a recipe keeps them."""
    return tuple((path.path, path.is_folder) for path in paths)


def _name(path: str) -> str:
    return path.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or path


def _not_a_recipe(kind: TransferKind) -> ValueError:
    return ValueError(f"To {kind.value} is an errand and no recipe.")
