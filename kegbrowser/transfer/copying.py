"""From a storage to a storage, the same or another: on the server where it can, else through this process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from kegbrowser.backends.base import ListEntry, RemoteFile, StorageBackend, as_folder, split_path
from kegbrowser.backends.errors import (
    AlreadyExists,
    CheckFailed,
    FileNotFoundInStorageError,
    NotSupported,
    SourceChanged,
    StorageError,
)
from kegbrowser.backends.proofs import Certainty, Proof
from kegbrowser.backends.registry import ConnectionSpec, backend
from kegbrowser.backends.uploads import UploadSpec
from kegbrowser.transfer.context import JobContext
from kegbrowser.transfer.emptying import remove_empty_folders
from kegbrowser.transfer.events import JobReport
from kegbrowser.transfer.jobs import Copy, Source
from kegbrowser.transfer.links import RemoteLinks
from kegbrowser.transfer.moving import Arrived, Batch, Move, Work, more_than_one, move_all
from kegbrowser.transfer.names import MAX_NAME_BYTES, LocalNames, numbered_name
from kegbrowser.transfer.pace import Direction
from kegbrowser.transfer.parallel import Lanes
from kegbrowser.transfer.placing import RemotePlaces, for_people
from kegbrowser.transfer.plan import Found, FoundFile, FoundFolder, FoundLink, WalkRules, walk_remote
from kegbrowser.transfer.progress import FileProgress, Tracker
from kegbrowser.transfer.read_ahead import read_ahead
from kegbrowser.transfer.records import ItemRecord
from kegbrowser.transfer.remote_tree import RemoteTree
from kegbrowser.transfer.renaming import rename_file
from kegbrowser.transfer.retry import Attempts, retrying
from kegbrowser.transfer.sending import Sending, same_content
from kegbrowser.transfer.tuning import Tuning

T = TypeVar("T")

STREAM_REASON = "the file went through as one stream"


def copy(job: Copy, context: JobContext, tuning: Tuning) -> JobReport:
    """Carry out a `Copy` job.

    Raises:
        NotSupported: a folder into itself.
    """
    source, target = context.open(job.spec), context.open(job.target_spec)
    if source is target or _is_same_place(job.spec, job.target_spec):
        _refuse_into_itself(job)
    with Tracker(context.emit) as tracker:
        work = Work(context, tuning, tracker, job.policy)
        tree = RemoteTree(target, job.target, tuning.retry, work.stop)
        tree.prepare()
        places = RemotePlaces(work, tree, job.target_spec, more_to_come=more_than_one(job.sources))
        show = partial(for_people, job.target_spec)
        is_foreign = source is not target
        more = more_than_one(job.sources)
        links = RemoteLinks(target, tree, work.conflicts, show, more_to_come=more, is_foreign=is_foreign)
        copier = Copier(work, source, target, tree, places, links, WalkRules.of(job), is_move=job.move)
        move_all(_found(job, copier, tree), copier, work)
        if job.move:
            copier.remove_emptied()
        return tracker.report()


def _found(job: Copy, copier: Copier, tree: RemoteTree) -> Iterator[Found]:
    """All that is below the sources; a folder that can be moved in one step is, and is not walked."""
    rename_to = job.rename_to if len(job.sources) == 1 else ""
    yield from copier.walk(tuple(source for source in job.sources if not source.is_folder), rename_to)
    for source in job.sources:
        if not source.is_folder:
            continue
        name = rename_to or split_path(source.path)[1]
        if copier.is_same_storage and tree.path((name,)) + "/" == source.path:
            if not job.move:  # else it is there already
                yield from copier.walk((source,), _free_folder_name(tree, name))
        elif not copier.moves_folder(source, name):
            yield from copier.walk((source,), rename_to)


@dataclass(frozen=True, slots=True)
class _Moved:
    """A file that arrived: the version that did, whether its source is gone with that, and how it was checked."""

    file: FoundFile
    is_gone: bool = False
    proof: Proof | None = None


class Copier:
    """Moves or copies files into one remote folder: the `Mover` of copies."""

    def __init__(
        self,
        work: Work,
        source: StorageBackend,
        target: StorageBackend,
        tree: RemoteTree,
        places: RemotePlaces,
        links: RemoteLinks,
        rules: WalkRules,
        *,
        is_move: bool,
    ) -> None:
        self._links = links
        self._rules = rules
        self._work = work
        self._source = source
        self._target = target
        self._tree = tree
        self._places = places
        self._is_move = is_move
        self._walked: list[str] = []
        self.is_same_storage = source is target
        self._names: LocalNames | None = None
        if target.capabilities.real_folders and not self.is_same_storage:
            longest = target.capabilities.max_name_bytes or MAX_NAME_BYTES
            self._names = LocalNames(ignores_case=False, windows=False, max_bytes=longest)

    def walk(self, sources: tuple[Source, ...], rename_to: str) -> Iterator[Found]:
        """The sources and all below them."""
        self._walked += [source.path for source in sources if source.is_folder]
        yield from walk_remote(self._source, sources, rename_to, self._work.tuning.retry, self._work.stop, self._rules)

    def moves_folder(self, source: Source, name: str) -> bool:
        """Move a whole folder in one step; False if that cannot be done here."""
        abilities = self._source.capabilities
        if not (self._is_move and self.is_same_storage and abilities.rename_folder):
            return False
        if self._tree.has_folder((name,)) or self._tree.find((name,)) is not None:
            return False
        target = self._tree.path((name,)) + "/"
        try:
            rename_file(self._source, source.path, target, self._work)
        except (AlreadyExists, NotSupported):
            return False
        self._work.tracker.plan(0)
        self._work.tracker.start(name, 0).finish()
        return True

    def remove_emptied(self) -> None:
        """Remove the folders that were moved file by file and that nothing is left in."""
        for path in self._walked:
            try:
                remove_empty_folders(self._source, path, self._work.tuning.retry, self._work.stop)
            except StorageError as error:
                self._work.tracker.fail(path, error, was_planned=False)

    # -- the mover -------------------------------------------------------------------------------------------------------

    def decide(self, file: FoundFile) -> Move | None:
        parts = self._target_parts(file.parts, is_folder=False)
        is_itself = self.is_same_storage and self._tree.path(parts) == file.path
        if is_itself and self._is_move:
            self._work.tracker.skip(file.size)
            return None
        return self._places.decide(file, parts, is_itself=is_itself)

    def recall(self, file: FoundFile, record: ItemRecord) -> tuple[Move, bool]:
        return self._places.recall(file, self._target_parts(file.parts, is_folder=False), record)

    def batch(self, lanes: Lanes[Move]) -> Batch | None:
        return None

    def make_folder(self, folder: FoundFolder) -> None:
        self._tree.make(self._target_parts(folder.parts, is_folder=True))

    def make_link(self, link: FoundLink) -> bool:
        if not self._links.make(link, self._target_parts(link.parts, is_folder=False)):
            return False
        if self._is_move and self._try(lambda: self._source.stat(link.path)).link_target == link.target:
            self._try(lambda: self._source.delete(link.path))
        return True

    def move(self, move: Move, progress: FileProgress) -> Arrived | None:
        if move.record is not None and (there := self._compare(move)) is not None:
            moved = _Moved(move.file, proof=there)
        else:
            while True:
                try:
                    moved = self._move_once(move, progress)
                except AlreadyExists:
                    resolved = self._places.resolve_late(move)
                    if resolved is None:
                        return None
                    move = replace(resolved, record=None)
                    progress.restart()
                else:
                    break
        if self._is_move and not moved.is_gone:
            self._remove_source(moved.file)
        return Arrived(move.place, moved.proof)

    def _compare(self, move: Move) -> Proof | None:
        """Whether an earlier run copied the file, but could not note it any more."""
        source = _RemoteSource(self._work, self._source, move.file)
        return self._try(lambda: same_content(self._target, move.place, source, self._work))

    def _move_once(self, move: Move, progress: FileProgress) -> _Moved:
        if self.is_same_storage:
            done = self._on_server(move)
            if done is not None:
                return done
        return self._through_here(move, progress)

    def _on_server(self, move: Move) -> _Moved | None:
        """Let the server do it; None if it cannot."""
        abilities, path = self._source.capabilities, move.file.path
        try:
            if self._is_move and abilities.rename:
                rename_file(self._source, path, move.place, self._work, overwrite=move.overwrite)
                return _Moved(move.file, is_gone=True)
            if abilities.server_copy:
                self._try(lambda: self._source.copy(path, move.place, overwrite=move.overwrite))
                return _Moved(move.file, proof=Proof(Certainty.UNVERIFIABLE, reason="the server copied it by itself"))
        except NotSupported:
            return None
        return None

    def _through_here(self, move: Move, progress: FileProgress) -> _Moved:
        """Send it through this process. A file that breaks off or changes starts anew."""
        attempts = Attempts(self._work.tuning.retry, self._work.stop)
        changes = 0
        file = move.file
        if file.size is None:
            file = self._look_again(file)
        while True:
            progress.restart(file.size)
            in_parts = self._target.capabilities.resumable and (file.size or 0) > self._work.tuning.small_file_bytes
            try:
                if in_parts:
                    return _Moved(file, proof=self._in_parts(replace(move, file=file), progress))
                self._pump(replace(move, file=file), progress)
            except AlreadyExists:
                raise
            except (SourceChanged, CheckFailed):
                changes += 1
                if changes >= self._work.tuning.tries_of_changing:
                    raise
                file = self._look_again(file)
            except StorageError as error:
                if in_parts:
                    raise  # each part was tried often enough
                attempts.fail(error)
            else:
                return _Moved(file, proof=Proof.size_only(STREAM_REASON))

    def _in_parts(self, move: Move, progress: FileProgress) -> Proof:
        file = move.file
        spec = UploadSpec(move.place, file.size or 0, move.overwrite, file.modified, file.permissions)
        source = _RemoteSource(self._work, self._source, file)
        sending = Sending(self._work, self._target, spec, move, source, progress)
        compare = partial(same_content, self._target, move.place, source, self._work)
        return sending.run(compare, may_be_there=move.record is not None)

    def _pump(self, move: Move, progress: FileProgress) -> None:
        file, size = move.file, move.file.size or 0
        with self._source.open_reader(file.path, etag=file.etag) as reader:
            writer = self._target.open_writer(
                move.place, size_bytes=file.size, overwrite=move.overwrite, modified=file.modified
            )
            with writer, closing(self._pieces(reader, size)) as pieces:
                copied = 0
                for piece in pieces:
                    self._work.stop.check()
                    self._work.pace.take(Direction.DOWN, len(piece), self._work.stop)
                    self._work.pace.take(Direction.UP, len(piece), self._work.stop)
                    writer.write(piece)
                    copied += len(piece)
                    progress.move(len(piece))
                if copied != size:
                    raise _changed(file)
                if not file.etag:
                    self._check_unchanged(file)

    def _pieces(self, reader: RemoteFile, size: int) -> Generator[bytes, None, None]:
        tuning = self._work.tuning
        if size > tuning.small_file_bytes:
            yield from read_ahead(reader, tuning.piece_bytes)
            return
        while piece := reader.read(tuning.piece_bytes):
            yield piece

    def _remove_source(self, file: FoundFile) -> None:
        """Delete a source whose copy is complete, unless it is no longer what was copied."""
        self._check_unchanged(file)
        with suppress(FileNotFoundInStorageError):  # a try whose answer was lost may have deleted it
            self._try(lambda: self._source.delete(file.path))

    def _check_unchanged(self, file: FoundFile) -> None:
        entry = self._try(lambda: self._source.stat(file.path))
        if not _is_same(entry, file):
            raise _changed(file)

    def _look_again(self, file: FoundFile) -> FoundFile:
        entry = self._try(lambda: self._source.stat(file.path))
        return replace(file, size=entry.size, modified=entry.last_modified, etag=entry.etag)

    def _target_parts(self, parts: tuple[str, ...], *, is_folder: bool) -> tuple[str, ...]:
        """Names of a foreign server may lead anywhere on one with real folders: there they are mapped as on a disk."""
        if self._names is None:
            return parts
        mapped: list[str] = []
        last = len(parts) - 1
        for index, part in enumerate(parts):
            mapped.append(self._names.name_for("/".join(mapped), part, is_folder=is_folder or index < last))
        return tuple(mapped)

    def _try(self, action: Callable[[], T]) -> T:
        return retrying(action, self._work.tuning.retry, self._work.stop)


class _RemoteSource:
    """A file of a storage that is to stay as it is: the `PartSource` of copies. Any thread."""

    def __init__(self, work: Work, storage: StorageBackend, file: FoundFile) -> None:
        self.size = file.size or 0
        self._work = work
        self._storage = storage
        self._file = file

    def read(self, offset: int, size: int) -> bytes:
        return retrying(lambda: self._read(offset, size), self._work.tuning.retry, self._work.stop)

    def _read(self, offset: int, size: int) -> bytes:
        work, file = self._work, self._file
        pieces: list[bytes] = []
        with self._storage.open_reader(file.path, offset=offset, length=size, etag=file.etag) as reader:
            while piece := reader.read(work.tuning.piece_bytes):
                work.stop.check()
                work.pace.take(Direction.DOWN, len(piece), work.stop)
                pieces.append(piece)
        return b"".join(pieces)

    def check_unchanged(self) -> None:
        if self._file.etag:
            return  # each range was asked for on the condition that it is the same
        entry = retrying(lambda: self._storage.stat(self._file.path), self._work.tuning.retry, self._work.stop)
        if not _is_same(entry, self._file):
            raise _changed(self._file)


def _is_same_place(first: ConnectionSpec, second: ConnectionSpec) -> bool:
    """Whether two connections lead to the same root, perhaps as different users."""
    if first.kind != second.kind:
        return False
    info = backend(first.kind)
    hidden = {*info.secret_keys, "access_key_id", "username"}
    keys = {field.key for field in info.fields} - hidden
    return all(first.options.get(key, "") == second.options.get(key, "") for key in keys)


def _refuse_into_itself(job: Copy) -> None:
    for source in job.sources:
        if source.is_folder and as_folder(job.target).startswith(as_folder(source.path)):
            name = split_path(source.path)[1] or "The whole storage"
            verb = "moved" if job.move else "copied"
            raise NotSupported(
                f"“{name}” cannot be {verb} into itself.", path=source.path, hint="Choose a folder outside of it."
            )


def _free_folder_name(tree: RemoteTree, name: str) -> str:
    number = 2
    while True:
        candidate = numbered_name(name, number)
        if not tree.has_folder((candidate,)) and tree.find((candidate,)) is None:
            return candidate
        number += 1


def _is_same(entry: ListEntry, file: FoundFile) -> bool:
    if file.etag and entry.etag:
        return entry.etag == file.etag
    return entry.size == file.size and entry.last_modified == file.modified


def _changed(file: FoundFile) -> SourceChanged:
    name = file.parts[-1] if file.parts else file.path
    return SourceChanged(
        f"“{name}” changed while it was copied; the changed file was left where it is.", path=file.path
    )
