"""`ls`: entries as they arrive."""

from __future__ import annotations

from kegbrowser.backends.base import ListEntry, split_path
from kegbrowser.backends.errors import FileNotFoundInStorageError, NotAFolder, StorageError
from kegbrowser.commands.addresses import Place
from kegbrowser.commands.command import Command
from kegbrowser.commands.outcome import ExitCode, sentence_of
from kegbrowser.commands.reports import entry_row, long_line
from kegbrowser.transfer.events import PageListed


def list_tree(command: Command, place: Place) -> ExitCode:
    """List a folder, or describe a file; with `--recursive` all below, each folder after the one it is in.

    Raises:
        StorageError: the folder itself cannot be listed. One below it is only told, and the status is SOME_FAILED.
    """
    folder = place.as_folder()
    waiting = [folder.path]
    is_first = True
    code = ExitCode.DONE
    while waiting:
        path = waiting.pop()
        below: list[str] = []
        try:
            _list_one(command, folder, path, below)
        except (FileNotFoundInStorageError, NotAFolder) as no_folder:
            if is_first:
                return _list_file(command, place, no_folder)
            # a folder that was deleted while its parent was listed holds nothing any more
        except StorageError as error:
            if is_first:
                raise
            command.console.complain(sentence_of(error))
            code = ExitCode.SOME_FAILED
        is_first = False
        if command.words.recursive:
            waiting.extend(reversed(below))
    return code


def _list_one(command: Command, root: Place, path: str, below: list[str]) -> None:
    """List one folder; the paths of the folders in it, but not of links to folders, are put into `below`."""

    def show(page: PageListed) -> None:
        for entry in page.entries():
            entry_path = entry.path_in(path)
            if entry.is_folder and not entry.link_target:
                below.append(entry_path)
            _show_entry(command, root, entry_path, entry)

    command.list(root.spec, path, show)


def _list_file(command: Command, place: Place, no_folder: StorageError) -> ExitCode:
    """Show what is no folder as the one entry it is; if it is nothing at all, raise why the folder could not be listed."""
    if place.says_folder:
        raise no_folder
    try:
        entry = command.stat(place.spec, place.path)
    except FileNotFoundInStorageError:
        raise no_folder from None
    parent = Place(place.spec, split_path(place.path)[0])
    _show_entry(command, parent, place.path, entry)
    return ExitCode.DONE


def _show_entry(command: Command, root: Place, path: str, entry: ListEntry) -> None:
    if command.console.as_json:
        command.console.json_line(entry_row(root, path, entry))
        return
    shown = path[len(root.path) :]
    command.console.line(long_line(entry, shown) if command.words.long else shown)
