"""Makes a folder; gives a file or folder another path."""

from __future__ import annotations

from collections.abc import Iterator

from kegbrowser.backends.base import StorageBackend, as_folder, split_path
from kegbrowser.backends.errors import AlreadyExists, FileNotFoundInStorageError, NotSupported
from kegbrowser.transfer.context import JobContext
from kegbrowser.transfer.emptying import holds_anything, is_container, remove_empty_folders
from kegbrowser.transfer.events import JobReport
from kegbrowser.transfer.jobs import ConflictPolicy, MakeFolder, Rename
from kegbrowser.transfer.moving import Arrived, Batch, Move, Work, move_all
from kegbrowser.transfer.parallel import Lanes
from kegbrowser.transfer.plan import Found, FoundFile, FoundFolder, FoundLink, NotFound, list_all
from kegbrowser.transfer.progress import FileProgress, Tracker
from kegbrowser.transfer.records import ItemRecord
from kegbrowser.transfer.renaming import rename_file
from kegbrowser.transfer.retry import retrying, retrying_change
from kegbrowser.transfer.tuning import Tuning


def make_folder(job: MakeFolder, context: JobContext, tuning: Tuning) -> None:
    """Carry out a `MakeFolder` job."""
    storage = context.open(job.spec)
    path = as_folder(job.path)
    retrying_change(
        lambda: storage.make_folder(path), lambda: storage.stat(path).is_folder, tuning.retry, context.token
    )


def rename(job: Rename, context: JobContext, tuning: Tuning) -> JobReport:
    """Carry out a `Rename` job.

    Raises:
        AlreadyExists: something is at the target path.
        NotSupported: a folder into itself.
    """
    storage = context.open(job.spec)
    source, target = job.source.path, job.target_path
    if job.source.is_folder:
        source, target = as_folder(source), as_folder(target)
        _refuse_nonsense(storage, source, target)
    with Tracker(context.emit) as tracker:
        work = Work(context, tuning, tracker, ConflictPolicy.SKIP)
        if source == target:
            return tracker.report()
        if job.source.is_folder and not storage.capabilities.rename_folder:
            _rename_by_files(storage, source, target, work)
            return tracker.report()
        tracker.plan(0)
        tracker.finish_plan()
        progress = tracker.start(split_path(source)[1], 0)
        rename_file(storage, source, target, work)
        progress.finish()
        return tracker.report()


def _refuse_nonsense(storage: StorageBackend, source: str, target: str) -> None:
    name = split_path(source)[1]
    if is_container(storage, source):
        raise NotSupported(
            f"“{name}” cannot be renamed: a bucket or container keeps its name.",
            path=source,
            hint="Make a new one and move the files.",
        )
    if not source:
        raise NotSupported("The top of a storage cannot be renamed.", path=source)
    if target != source and target.startswith(source):
        raise NotSupported(f"“{name}” cannot be moved into itself.", path=source, hint="Choose a folder outside of it.")


def _rename_by_files(storage: StorageBackend, source: str, target: str, work: Work) -> None:
    """Move a folder where it is only the beginning of its files' names: each file on its own."""
    retry, token = work.tuning.retry, work.stop
    if _is_taken(storage, target, work):
        name = split_path(target)[1]
        raise AlreadyExists(f"There is a folder “{name}” already.", path=target, hint="Use another name.")
    renamer = _Renamer(storage, source, target, work)
    move_all(renamer.walk(), renamer, work)
    remove_empty_folders(storage, source, retry, token)


def _is_taken(storage: StorageBackend, target: str, work: Work) -> bool:
    retry, token = work.tuning.retry, work.stop
    if holds_anything(storage, target, retry, token):
        return True
    try:
        return retrying(lambda: storage.stat(target), retry, token).is_folder
    except FileNotFoundInStorageError:
        return False


class _Renamer:
    """Moves each file of a folder to the same place below another one: the `Mover` of renamed folders.

    A storage copies a file before it deletes it, so there is never a moment with neither.
    """

    def __init__(self, storage: StorageBackend, source: str, target: str, work: Work) -> None:
        self._storage = storage
        self._source = source
        self._target = target
        self._work = work

    def walk(self) -> Iterator[Found]:
        """All files and marked folders below the source, and the source's own mark."""
        yield FoundFolder(self._source, ())
        for entry in list_all(self._storage, self._source, self._work.tuning.retry, self._work.stop):
            path = entry.path_in(self._source)
            if entry.is_folder and entry.link_target:
                yield NotFound(path, NotSupported(f"“{entry.name}” is a link to a folder.", path=path))
            elif entry.is_folder:
                yield FoundFolder(path, tuple(entry.name.split("/")))
            else:
                yield FoundFile(path, tuple(entry.name.split("/")), entry.size, entry.last_modified, entry.etag)

    def decide(self, file: FoundFile) -> Move | None:
        return Move(file, self._target + "/".join(file.parts), file.parts, overwrite=False)

    def make_folder(self, folder: FoundFolder) -> None:
        path = self._target + "".join(f"{part}/" for part in folder.parts)
        try:
            retrying(lambda: self._storage.make_folder(path), self._work.tuning.retry, self._work.stop)
        except AlreadyExists:
            return

    def make_link(self, link: FoundLink) -> bool:
        raise NotSupported(f"“{link.parts[-1]}” is a link.", path=link.path)

    def recall(self, file: FoundFile, record: ItemRecord) -> tuple[Move, bool]:
        return Move(file, record.place, file.parts, record.overwrite, record=record), False

    def batch(self, lanes: Lanes[Move]) -> Batch | None:
        return None

    def move(self, move: Move, progress: FileProgress) -> Arrived | None:
        rename_file(self._storage, move.file.path, move.place, self._work)
        return Arrived(move.place)
