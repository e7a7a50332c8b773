"""From a storage to the local disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import AlreadyExists, CheckFailed, SourceChanged, StorageError
from kegbrowser.transfer.conflicts import Action, Clash, Existing
from kegbrowser.transfer.context import JobContext
from kegbrowser.transfer.events import JobReport
from kegbrowser.transfer.jobs import Download
from kegbrowser.transfer.local_tree import LocalTree, existing_at
from kegbrowser.transfer.moving import Move, Work, more_than_one, move_all
from kegbrowser.transfer.parallel import in_parallel
from kegbrowser.transfer.part_file import PartFile
from kegbrowser.transfer.plan import FoundFile, FoundFolder, walk_remote
from kegbrowser.transfer.progress import FileProgress, Tracker
from kegbrowser.transfer.retry import Attempts, retrying
from kegbrowser.transfer.tuning import Tuning

CHECK = "size"


def download(job: Download, context: JobContext, tuning: Tuning) -> JobReport:
    """Carry out a `Download` job."""
    storage = context.open(job.spec)
    tree = LocalTree(job.destination)
    with Tracker(context.emit) as tracker:
        work = Work(context, tuning, tracker, job.policy)
        rename_to = job.rename_to if len(job.sources) == 1 else ""
        found = walk_remote(storage, job.sources, rename_to, tuning.retry, work.stop)
        move_all(found, Downloader(work, storage, tree, more_to_come=more_than_one(job.sources)), work)
        return tracker.report()


class Downloader:
    """Moves files of one storage into one local folder: the `Mover` of downloads."""

    def __init__(self, work: Work, storage: StorageBackend, tree: LocalTree, *, more_to_come: bool) -> None:
        self._work = work
        self._storage = storage
        self._tree = tree
        self._more_to_come = more_to_come

    # -- deciding --------------------------------------------------------------------------------------------------------

    def decide(self, file: FoundFile) -> Move | None:
        place = self._tree.place(file.parts)
        is_own = not self._tree.claim(place, file.path)
        existing = existing_at(place)
        if is_own and existing is None:
            existing = Existing(None, None)
        move = Move(file, place, file.parts, overwrite=False)
        if existing is not None:
            resolved = self._resolve(move, existing, is_own=is_own)
            if resolved is None:
                self._work.tracker.skip(file.size)
            return resolved
        return move

    def make_folder(self, folder: FoundFolder) -> None:
        self._tree.folder(folder.parts)

    def _resolve(self, move: Move, existing: Existing | None, *, is_own: bool = False) -> Move | None:
        """What becomes of a file whose place is taken; None skips it."""
        while existing is not None:
            place = move.place
            clash = Clash(
                name=os.path.basename(place),
                target=partial(str, place),
                source_size=move.file.size,
                source_modified=move.file.modified,
                existing=existing,
                suggested_name=partial(self._free_name, place),
                is_own=is_own,
                more_to_come=self._more_to_come,
            )
            decision = self._work.conflicts.decide(clash)
            if decision.action is Action.SKIP:
                return None
            if decision.action is Action.OVERWRITE:
                return replace(move, overwrite=True)
            chosen = decision.new_name
            place = self._tree.named_place(place, chosen) if chosen else self._tree.free_place(place)
            is_own = not self._tree.claim(place, move.file.path)
            existing = existing_at(place) or (Existing(None, None) if is_own else None)
            move = replace(move, place=place, parts=(*move.parts[:-1], os.path.basename(place)))
        return move

    def _free_name(self, place: str) -> str:
        return os.path.basename(self._tree.free_place(place))

    # -- moving ----------------------------------------------------------------------------------------------------------

    def move(self, move: Move, progress: FileProgress) -> None:
        file = move.file
        if file.size is None:
            file = self._look_again(file)
            progress.restart(file.size)
        tries = 0
        while True:
            tries += 1
            try:
                is_done = self._fetch(replace(move, file=file), progress)
            except (SourceChanged, CheckFailed):
                if tries >= self._work.tuning.tries_of_changing:
                    raise
                file = self._look_again(file)
                progress.restart(file.size)
            else:
                break
        if is_done:
            progress.finish(CHECK)
        else:
            progress.skip()

    def _fetch(self, move: Move, progress: FileProgress) -> bool:
        """Fetch the file once, whole; False if its user would rather keep what is there by now."""
        part = PartFile(move.place, overwrite=move.overwrite)
        try:
            part.reserve(move.file.size or 0, self._work.stop.check)
            self._fill(part, move.file, progress)
            return self._publish(part, move)
        finally:
            part.discard()

    def _fill(self, part: PartFile, file: FoundFile, progress: FileProgress) -> None:
        work, size = self._work, file.size or 0
        tuning, abilities = work.tuning, self._storage.capabilities
        is_cut = abilities.parallel_parts and abilities.ranged_read and size >= 2 * tuning.range_bytes
        if not is_cut:
            self._fetch_range(part, file, (0, size), progress, work.stop.check, is_whole=True)
            return

        def fetch(span: tuple[int, int], check: Callable[[], None]) -> None:
            self._fetch_range(part, file, span, progress, check)

        ranges = _ranges(size, tuning.range_bytes)
        in_parallel(ranges, fetch, min(tuning.range_threads, -(-size // tuning.range_bytes)))
        if not file.etag:
            self._check_unchanged(file)

    def _fetch_range(
        self,
        part: PartFile,
        file: FoundFile,
        span: tuple[int, int],
        progress: FileProgress,
        check: Callable[[], None],
        *,
        is_whole: bool = False,
    ) -> None:
        """Fetch the bytes from `span[0]` up to `span[1]`; after a lost connection it goes on where it was.

        `check` raises if another range failed: then this one is of no use.

        Raises:
            SourceChanged, CheckFailed: the file is no longer the one that was planned, or what came is not what was sent; all
                of it must start anew.
        """
        work = self._work
        attempts = Attempts(work.tuning.retry, work.stop)
        at, end = span
        while True:
            work.stop.check()
            try:
                if at > span[0] and not file.etag:
                    self._check_unchanged(file)
                length = None if is_whole else end - at
                with self._storage.open_reader(file.path, offset=at, length=length, etag=file.etag) as reader:
                    while piece := reader.read(work.tuning.piece_bytes):
                        if at + len(piece) > end:
                            raise _changed(file)
                        part.write_at(piece, at)
                        at += len(piece)
                        progress.move(len(piece))
                        attempts.succeed()
                        work.stop.check()
                        check()
                if at < end:
                    raise _changed(file)
            except (SourceChanged, CheckFailed):
                raise  # what is in the part file may be wrong: going on from there would keep it
            except StorageError as error:
                attempts.fail(error)
            else:
                return

    def _publish(self, part: PartFile, move: Move) -> bool:
        """Put the whole file into its place; asks again if that was taken meanwhile. False if it is to be skipped."""
        file = move.file
        while True:
            try:
                part.publish(file.size or 0, file.modified, overwrite=move.overwrite)
            except AlreadyExists:
                existing = existing_at(move.place)
                if existing is None:
                    continue
                resolved = self._resolve(move, existing)
                if resolved is None:
                    return False
                move = resolved
                part.retarget(move.place)
            else:
                return True

    def _look_again(self, file: FoundFile) -> FoundFile:
        tuning = self._work.tuning
        entry = retrying(lambda: self._storage.stat(file.path), tuning.retry, self._work.stop)
        return replace(file, size=entry.size, modified=entry.last_modified, etag=entry.etag)

    def _check_unchanged(self, file: FoundFile) -> None:
        entry = self._storage.stat(file.path)
        if entry.size != file.size or entry.last_modified != file.modified:
            raise _changed(file)


def _ranges(size: int, step: int) -> Iterator[tuple[int, int]]:
    for start in range(0, size, step):
        yield start, min(start + step, size)


def _changed(file: FoundFile) -> SourceChanged:
    name = file.parts[-1] if file.parts else file.path
    return SourceChanged(f"“{name}” changed while it was downloaded.", path=file.path, hint="Download it again.")
