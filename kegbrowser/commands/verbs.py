"""What each verb of the command line does, through the engine alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from kegbrowser.backends.errors import AlreadyExists, FileNotFoundInStorageError
from kegbrowser.commands.addresses import Place, connection_rows
from kegbrowser.commands.command import Command
from kegbrowser.commands.listing import list_tree
from kegbrowser.commands.outcome import ExitCode, UsageError, worst
from kegbrowser.commands.proving import check, finish_check, make_manifest, verify_sources, verify_uploads
from kegbrowser.commands.reporting import finish
from kegbrowser.commands.reports import entry_lines, entry_row
from kegbrowser.commands.sources import look, needs_recursive, sources_of, target_of
from kegbrowser.commands.speeds import set_limits
from kegbrowser.commands.sweeping import clean_up
from kegbrowser.transfer.jobs import Copy, Delete, Download, MakeFolder, Upload


def list_folders(command: Command) -> ExitCode:
    """`ls`: entries as they arrive from the server."""
    codes = []
    for text in command.words.urls:
        if len(command.words.urls) > 1 and not command.console.as_json:
            command.console.line(f"{text}:")
        codes.append(list_tree(command, command.book.place(text)))
    return worst(codes)


def describe(command: Command) -> ExitCode:
    """`stat`: one file or folder, or several."""
    for text in command.words.urls:
        place, entry = look(command, command.book.place(text))
        if command.console.as_json:
            command.console.json_line(entry_row(place, place.path, entry))
            continue
        for line in entry_lines(place, entry):
            command.console.line(line)
    return ExitCode.DONE


def download(command: Command) -> ExitCode:
    """`get`: files and folders into a local folder, or one under another name."""
    texts, wanted = _split_target(command.words.urls)
    sources = sources_of(command, [command.book.place(text) for text in texts])
    target = Path(wanted)
    if sources.has_root:
        target.mkdir(exist_ok=True)
    into_folder = target.is_dir() or wanted.endswith(("/", "\\")) or sources.count > 1
    folder, name = (target, "") if into_folder else (target.parent, target.name)
    if not folder.is_dir():
        raise FileNotFoundInStorageError(f"There is no folder “{folder}”.", hint="Make it first.")
    destination = str(folder.absolute())
    set_limits(command)
    reports = [
        command.transfer(
            Download(spec, chosen, destination, command.policy, name, command.links, command.keeps_permissions)
        )
        for spec, chosen in sources.by_connection()
    ]
    codes = [finish(command, reports)]
    if command.words.verify:
        for spec, chosen in sources.by_connection():
            codes.append(finish_check(command, verify_sources(command, spec, chosen, destination, name)))
    return worst(codes)


def upload(command: Command) -> ExitCode:
    """`put`: local files and folders into a remote folder, or one under another name."""
    paths = [Path(text).absolute() for text in command.words.paths]
    for path in paths:
        if not path.is_symlink() and not path.exists():
            raise FileNotFoundInStorageError(f"There is no file “{path}”.", hint="Check the name.")
        if path.is_dir() and not command.words.recursive:
            raise needs_recursive(str(path))
    place = command.book.place(command.words.target)
    folder, name = target_of(command, place, one_name=len(paths) == 1)
    set_limits(command)
    job = Upload(
        place.spec,
        tuple(str(path) for path in paths),
        folder,
        command.policy,
        name,
        command.links,
        command.keeps_permissions,
    )
    codes = [finish(command, [command.transfer(job)])]
    if command.words.verify:
        codes.append(finish_check(command, verify_uploads(command, place.spec, paths, folder, name)))
    return worst(codes)


def copy(command: Command) -> ExitCode:
    """`cp`: between remote places, on the server where it can."""
    return _copy(command, move=False)


def move(command: Command) -> ExitCode:
    """`mv`: a copy whose sources are deleted once they are complete at the target."""
    return _copy(command, move=True)


def remove(command: Command) -> ExitCode:
    """`rm`: what was counted and confirmed, and nothing else."""
    places = [command.book.place(text) for text in command.words.urls]
    for place in places:
        if place.is_root:
            raise UsageError(f"“{place.name}” is the root of a connection.", hint="Name what is to be deleted in it.")
    sources = sources_of(command, places)
    return finish(
        command,
        [
            command.transfer(Delete(spec, chosen, confirmed=command.words.yes))
            for spec, chosen in sources.by_connection()
        ],
    )


def make_folders(command: Command) -> ExitCode:
    """`mkdir`: folders, also buckets and containers where a connection lists them."""
    for text in command.words.urls:
        place = command.book.place_to_make(text).as_folder()
        if place.is_root:
            raise AlreadyExists(f"“{place.name}” is the root of a connection.", hint="Name a folder in it.")
        if command.words.parents:
            _make_with_parents(command, place)
        else:
            command.runner.run(MakeFolder(place.spec, place.path))
        if command.console.as_json:
            command.console.json_line({"made": place.url()})
    return ExitCode.DONE


def list_connections(command: Command) -> ExitCode:
    """`connections`: what is saved."""
    rows = connection_rows(command.book)
    if not rows:
        command.console.note("There are no saved connections.")
    width = max((len(str(row["name"])) for row in rows), default=0)
    for row in rows:
        if command.console.as_json:
            command.console.json_line(row)
        else:
            command.console.line(f"{row['name']!s:{width}}  {row['kind']!s:6}  {row['url']}")
    return ExitCode.DONE


RUN: dict[str, Callable[[Command], ExitCode]] = {
    "ls": list_folders,
    "stat": describe,
    "get": download,
    "put": upload,
    "cp": copy,
    "mv": move,
    "rm": remove,
    "mkdir": make_folders,
    "check": check,
    "manifest": make_manifest,
    "cleanup": clean_up,
    "connections": list_connections,
}


def _copy(command: Command, *, move: bool) -> ExitCode:
    sources = sources_of(command, [command.book.place(text) for text in command.words.urls])
    place = command.book.place(command.words.target)
    folder, name = target_of(command, place, one_name=sources.count == 1 and not sources.has_root)
    set_limits(command)
    return finish(
        command,
        [
            command.transfer(
                Copy(
                    spec,
                    chosen,
                    place.spec,
                    folder,
                    move,
                    command.policy,
                    name,
                    command.links,
                    command.keeps_permissions,
                )
            )
            for spec, chosen in sources.by_connection()
        ],
    )


def _split_target(texts: Sequence[str]) -> tuple[Sequence[str], str]:
    """Sources and the local target of `get`; the current folder if only addresses were given."""
    if len(texts) == 1 or "://" in texts[-1]:
        return texts, "."
    return texts[:-1], texts[-1]


def _make_with_parents(command: Command, place: Place) -> None:
    parts = place.path.removesuffix("/").split("/")
    for depth in range(1, len(parts) + 1):
        try:
            command.runner.run(MakeFolder(place.spec, "/".join(parts[:depth]) + "/"))
        except AlreadyExists:
            continue
