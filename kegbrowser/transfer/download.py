"""From a storage to the local disk."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.batches import FileResult, ReadRequest
from kegbrowser.backends.errors import (
    AlreadyExists,
    Cancelled,
    CheckFailed,
    ConnectionLost,
    SourceChanged,
    StorageError,
)
from kegbrowser.backends.proofs import ALGORITHMS, Digests, Proof
from kegbrowser.backends.uploads import Part
from kegbrowser.transfer.beginnings import is_beginning, take_over
from kegbrowser.transfer.conflicts import SAME_TIME, Action, Clash, Existing
from kegbrowser.transfer.context import JobContext
from kegbrowser.transfer.digesting import Hasher, best_of
from kegbrowser.transfer.events import JobReport
from kegbrowser.transfer.fetching import Fetch, changed, part_bytes_for
from kegbrowser.transfer.jobs import Download
from kegbrowser.transfer.links import LocalLinks
from kegbrowser.transfer.local_errors import local_errors
from kegbrowser.transfer.local_tree import LocalTree, existing_at
from kegbrowser.transfer.moving import Arrived, Batch, Move, Work, more_than_one, move_all
from kegbrowser.transfer.pace import Direction
from kegbrowser.transfer.parallel import Lanes
from kegbrowser.transfer.part_file import PartFile
from kegbrowser.transfer.plan import WHOLE_JOB_ERRORS, FoundFile, FoundFolder, FoundLink, WalkRules, walk_remote
from kegbrowser.transfer.progress import FileProgress, Tracker
from kegbrowser.transfer.records import ItemEnd, ItemRecord, ItemState
from kegbrowser.transfer.remembering import held_parts, mark_of
from kegbrowser.transfer.retry import retrying
from kegbrowser.transfer.small_files import SmallFiles
from kegbrowser.transfer.tuning import Tuning
from kegbrowser.transfer.umask import allowed
from kegbrowser.transfer.whole_file import force_to_disk, save_whole


def download(job: Download, context: JobContext, tuning: Tuning) -> JobReport:
    """Carry out a `Download` job."""
    storage = context.open(job.spec)
    tree = LocalTree(job.destination)
    with Tracker(context.emit) as tracker:
        work = Work(context, tuning, tracker, job.policy)
        rename_to = job.rename_to if len(job.sources) == 1 else ""
        found = walk_remote(storage, job.sources, rename_to, tuning.retry, work.stop, WalkRules.of(job))
        move_all(found, Downloader(work, storage, tree, more_to_come=more_than_one(job.sources)), work)
        if tracker.files_done:
            force_to_disk(tree.root)
        return tracker.report()


class Downloader:
    """Moves files of one storage into one local folder: the `Mover` of downloads."""

    def __init__(self, work: Work, storage: StorageBackend, tree: LocalTree, *, more_to_come: bool) -> None:
        self._work = work
        self._storage = storage
        self._tree = tree
        self._more_to_come = more_to_come
        self._links = LocalLinks(tree, work.conflicts, more_to_come=more_to_come)

    # -- deciding --------------------------------------------------------------------------------------------------------

    def decide(self, file: FoundFile) -> Move | None:
        place = self._tree.place(file.parts)
        is_own = not self._tree.claim(place, file.path)
        existing = existing_at(place)
        if is_own and existing is None:
            existing = Existing(None, None)
        move = Move(file, place, file.parts, overwrite=False)
        if existing is not None:
            resolved = self._resolve(move, existing, is_own=is_own, can_resume=True)
            if resolved is None:
                self._work.tracker.skip(file.size)
            return resolved
        return move

    def recall(self, file: FoundFile, record: ItemRecord) -> tuple[Move, bool]:
        self._tree.place(file.parts)  # its folder may be gone since
        self._tree.claim(record.place, file.path)
        existing = existing_at(record.place)
        parts = (*file.parts[:-1], os.path.basename(record.place))
        is_intact = existing is not None and existing.size == record.mark.size and _is_of_time(existing, file)
        return Move(file, record.place, parts, record.overwrite, record=record), is_intact

    def make_folder(self, folder: FoundFolder) -> None:
        self._tree.folder(folder.parts)

    def make_link(self, link: FoundLink) -> bool:
        return self._links.make(link)

    def _resolve(
        self, move: Move, existing: Existing | None, *, is_own: bool = False, can_resume: bool = False
    ) -> Move | None:
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
                can_resume=can_resume,
            )
            decision = self._work.conflicts.decide(clash)
            if decision.action is Action.SKIP:
                return None
            if decision.action is Action.OVERWRITE:
                return replace(move, overwrite=True, resumes=decision.resumes)
            chosen = decision.new_name
            place = self._tree.named_place(place, chosen) if chosen else self._tree.free_place(place)
            is_own = not self._tree.claim(place, move.file.path)
            existing = existing_at(place) or (Existing(None, None) if is_own else None)
            move = replace(move, place=place, parts=(*move.parts[:-1], os.path.basename(place)))
        return move

    def _free_name(self, place: str) -> str:
        return os.path.basename(self._tree.free_place(place))

    # -- moving ----------------------------------------------------------------------------------------------------------

    def batch(self, lanes: Lanes[Move]) -> Batch:
        return _SmallDownloads(self._work, lanes, Direction.DOWN, self._storage.read_files)

    def move(self, move: Move, progress: FileProgress) -> Arrived | None:
        file, record = move.file, move.record
        if file.size is None:
            file = self._look_again(file)
            progress.restart(file.size)
        if record is not None:
            proof = self._is_there_already(move, file)
            if proof is not None:
                return Arrived(move.place, proof)
        if move.resumes:
            gone_on = self._go_on(replace(move, file=file), progress)
            if gone_on is not None:
                return gone_on
            progress.restart(file.size)
            resolved = self._resolve(replace(move, overwrite=False, resumes=False), existing_at(move.place))
            if resolved is None:
                return None
            move = resolved
        tries = 0
        while True:
            tries += 1
            try:
                return self._fetch(replace(move, file=file, record=record), progress)
            except (SourceChanged, CheckFailed):
                if tries >= self._work.tuning.tries_of_changing:
                    raise
                file, record = self._look_again(file), None
                progress.restart(file.size)

    def _fetch(self, move: Move, progress: FileProgress) -> Arrived | None:
        """Fetch the file once, whole; None if its user would rather keep what is there by now."""
        work, file, size = self._work, move.file, move.file.size or 0
        part_bytes, old_path = _grid(move.record, size, work.tuning)
        mode = allowed(file.permissions)

        def note(path: str) -> None:
            work.journal.begin(move.item, f"{part_bytes}:{path}", move.place)

        part = PartFile(move.place, overwrite=move.overwrite, resumed=old_path, permissions=mode, before_create=note)
        try:
            part.reserve(size, work.stop.check)
            held = {}
            if part.is_resumed and move.record is not None and move.record.mark == mark_of(file):
                noted = work.journal.parts(move.item)
                held = held_parts(noted, part_bytes, size, part.read_at, work.stop.check)
            if part.is_resumed and not held:
                note(part.path)
            if move.resumes and not held:
                held = self._take_over(part, move, part_bytes)
            proof = Fetch(work, self._storage, part, file, move.item, held, part_bytes, progress).run()
            held_bytes = sum(held_part.size for held_part in held.values())
            if move.resumes and not is_beginning(move.place, part, held_bytes, work.stop.check):
                self._let_go(part, move, keep=False)
                raise _NoBeginning(f"“{file.path}” does not begin like this.", path=file.path)
            return self._publish(part, move, proof)
        except Cancelled:
            self._let_go(part, move, keep=work.keeps)
            raise
        except (ConnectionLost, *WHOLE_JOB_ERRORS):
            self._let_go(part, move, keep=work.is_kept)
            raise
        finally:
            part.discard()

    def _go_on(self, move: Move, progress: FileProgress) -> Arrived | None:
        """Go on with what is at the place; None if it is no beginning of the source."""
        existing, size = existing_at(move.place), move.file.size or 0
        if existing is None or existing.is_folder or not 0 < (existing.size or 0) <= size:
            return None
        if existing.size == size:
            proof = self._compare(move, move.file)
            return None if proof is None else Arrived(move.place, proof)
        try:
            return self._fetch(move, progress)
        except (_NoBeginning, CheckFailed):
            return None

    def _take_over(self, part: PartFile, move: Move, range_bytes: int) -> dict[int, Part]:
        """What is there, if the checksum of the whole will tell whether it is right; else nothing, and it is compared later."""
        if not best_of(self._digests(move.file)):
            return {}
        held = take_over(part, move.place, range_bytes, move.file.size or 0, self._work.stop.check)
        for one in held.values():
            self._work.journal.add_part(move.item, one)
        return held

    def _let_go(self, part: PartFile, move: Move, *, keep: bool) -> None:
        if keep:
            part.leave()
        else:
            part.discard()
            self._work.journal.end(move.item, ItemEnd(ItemState.PLANNED))

    def _publish(self, part: PartFile, move: Move, proof: Proof) -> Arrived | None:
        """Put the whole file into its place; asks again if that was taken meanwhile. None if it is to be skipped."""
        file = move.file
        while True:
            try:
                mode = allowed(file.permissions)
                part.publish(file.size or 0, file.modified, overwrite=move.overwrite, permissions=mode)
            except AlreadyExists:
                existing = existing_at(move.place)
                if existing is None:
                    continue
                resolved = self._resolve(move, existing)
                if resolved is None:
                    return None
                move = resolved
                part.retarget(move.place)
            else:
                return Arrived(move.place, proof)

    def _is_there_already(self, move: Move, file: FoundFile) -> Proof | None:
        """Whether an earlier run finished the file, but could not note it any more: then the content is compared."""
        existing = existing_at(move.place)
        if existing is None or existing.is_folder or existing.size != file.size or not _is_of_time(existing, file):
            return None
        return self._compare(move, file)

    def _digests(self, file: FoundFile) -> Digests:
        work = self._work
        return retrying(lambda: self._storage.digests(file.path, etag=file.etag), work.tuning.retry, work.stop)

    def _compare(self, move: Move, file: FoundFile) -> Proof | None:
        """How what is at the place was found to be this very file."""
        digests = self._digests(file)
        algorithm = best_of(digests)
        if not algorithm:
            return self._compare_whole(move, file)
        hasher = Hasher(algorithm)
        with local_errors("read", move.place), open(move.place, "rb") as there:
            while piece := there.read(self._work.tuning.piece_bytes):
                self._work.stop.check()
                hasher.update(piece)
        return Proof.verified(ALGORITHMS[algorithm]) if hasher.hexdigest() == digests.values[algorithm] else None

    def _compare_whole(self, move: Move, file: FoundFile) -> Proof | None:
        with local_errors("read", move.place), open(move.place, "rb") as there:
            with self._storage.open_reader(file.path, etag=file.etag) as reader:
                for piece in reader.iter_chunks(self._work.tuning.piece_bytes):
                    self._work.stop.check()
                    if there.read(len(piece)) != piece:
                        return None
            return None if there.read(1) else Proof.verified("each byte")

    def _look_again(self, file: FoundFile) -> FoundFile:
        tuning = self._work.tuning
        entry = retrying(lambda: self._storage.stat(file.path), tuning.retry, self._work.stop)
        return replace(file, size=entry.size, modified=entry.last_modified, etag=entry.etag)


class _NoBeginning(StorageError):
    """What was to be gone on with is no beginning of the source."""


class _SmallDownloads(SmallFiles[ReadRequest]):
    """The small files of a download."""

    def prepare(self, move: Move, key: int) -> ReadRequest:
        return ReadRequest(key, move.file.path, move.file.size or 0, move.file.etag)

    def accept(self, move: Move, result: FileResult) -> Arrived:
        file = move.file
        if len(result.content) != file.size:
            raise changed(file)
        if result.entry is not None and file.modified is not None and not file.etag:
            modified = result.entry.last_modified
            if modified is not None and modified != file.modified:
                raise changed(file)
        save_whole(
            move.place, result.content, file.modified, overwrite=move.overwrite, permissions=allowed(file.permissions)
        )
        return Arrived(move.place, result.proof)


def _grid(record: ItemRecord | None, size: int, tuning: Tuning) -> tuple[int, str]:
    """How the file is cut, and where an earlier run's part file is ("" for none): both are in the token."""
    if record is not None:
        length, _colon, path = record.token.partition(":")
        if length.isdigit() and int(length) > 0 and path:
            return int(length), path
    return part_bytes_for(size, tuning), ""


def _is_of_time(existing: Existing, file: FoundFile) -> bool:
    """Whether a local file has the time that a download gave it; unknown times count as the same."""
    if existing.modified is None or file.modified is None:
        return True
    return abs(existing.modified - file.modified) <= SAME_TIME
