"""Finds the places of files in a remote folder: what uploads and copies have in common."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from kegbrowser.backends.errors import InvalidOptions
from kegbrowser.backends.registry import ConnectionSpec, backend
from kegbrowser.transfer.conflicts import Action, Clash, Existing
from kegbrowser.transfer.moving import Move, Work
from kegbrowser.transfer.plan import FoundFile
from kegbrowser.transfer.records import ItemRecord
from kegbrowser.transfer.remote_tree import RemoteTree


class RemotePlaces:
    """Decides where files go in a remote folder; any thread.

    Args:
        more_to_come: whether more than one file may clash.
    """

    def __init__(self, work: Work, tree: RemoteTree, spec: ConnectionSpec, *, more_to_come: bool) -> None:
        self._work = work
        self._tree = tree
        self._spec = spec
        self._more_to_come = more_to_come

    def decide(self, file: FoundFile, parts: tuple[str, ...], *, is_itself: bool = False) -> Move | None:
        """The place of a file at `parts` below the target; None skips it, and the tracker knows.

        `is_itself`: the place is the source's own; the copy gets another name.
        """
        existing = self._tree.find(parts)
        is_own = is_itself or not self._tree.claim(parts, file.path)
        if is_own and existing is None:
            existing = Existing(None, None)
        move = Move(file, self._tree.path(parts), parts, overwrite=False)
        if existing is None:
            return move
        resolved = self.resolve(move, existing, is_own=is_own)
        if resolved is None:
            self._work.tracker.skip(file.size)
        return resolved

    def recall(self, file: FoundFile, parts: tuple[str, ...], record: ItemRecord) -> tuple[Move, bool]:
        """The move of an earlier run, and whether what it says is at its place now; see `Mover.recall`."""
        parts = (*parts[:-1], record.place.rpartition("/")[2])
        existing = self._tree.find(parts)
        self._tree.claim(parts, file.path)
        is_intact = existing is not None and not existing.is_folder and existing.size == record.mark.size
        return Move(file, record.place, parts, record.overwrite, record=record), is_intact

    def resolve(self, move: Move, existing: Existing | None, *, is_own: bool = False) -> Move | None:
        """What becomes of a file whose place is taken; None skips it."""
        while existing is not None:
            parts = move.parts
            clash = Clash(
                name=parts[-1],
                target=partial(for_people, self._spec, move.place),
                source_size=move.file.size,
                source_modified=move.file.modified,
                existing=existing,
                suggested_name=partial(self._free_name, parts),
                is_own=is_own,
                more_to_come=self._more_to_come,
                keeps_times=self._tree.keeps_times,
            )
            decision = self._work.conflicts.decide(clash)
            if decision.action is Action.SKIP:
                return None
            if decision.action is Action.OVERWRITE:
                return replace(move, overwrite=True)
            chosen = decision.new_name.replace("/", "_")
            parts = (*parts[:-1], chosen) if chosen.strip(".") else self._tree.free(parts)
            existing = self._tree.find(parts)
            is_own = not self._tree.claim(parts, move.file.path)
            if is_own and existing is None:
                existing = Existing(None, None)
            move = replace(move, place=self._tree.path(parts), parts=parts)
        return move

    def resolve_late(self, move: Move) -> Move | None:
        """The same for a place that was free when it was looked at, but is taken now."""
        return self.resolve(move, self._tree.look(move.parts) or Existing(None, None))

    def _free_name(self, parts: tuple[str, ...]) -> str:
        return self._tree.free(parts)[-1]


def for_people(spec: ConnectionSpec, path: str) -> str:
    """A path as its URL."""
    try:
        return backend(spec.kind).locate(spec.options, path).url()
    except InvalidOptions:
        return path
