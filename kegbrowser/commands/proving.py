"""`check` and `manifest`: what is there is compared, or written down to be compared later; and `--verify`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from kegbrowser.backends.base import as_folder, split_path
from kegbrowser.backends.errors import FileNotFoundInStorageError, NotAFolder
from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.commands.command import Command
from kegbrowser.commands.outcome import ExitCode, UsageError
from kegbrowser.commands.reporting import finish
from kegbrowser.commands.sources import look
from kegbrowser.transfer.events import JobReport
from kegbrowser.transfer.jobs import CheckManifest, MakeManifest, ManifestFormat, Pair, Source, VerifyAgain
from kegbrowser.transfer.names import safe_name


def check(command: Command) -> ExitCode:
    """`check`: a remote file or folder with a local one, or a folder with a manifest. The status is 1 if anything differs."""
    words = command.words.places
    if command.words.manifest:
        if len(words) != 1:
            raise UsageError("One folder is compared with a manifest.", hint="Name the folder, local or remote.")
        spec, folder = _folder(command, words[0])
        manifest = str(Path(command.words.manifest).absolute())
        report = command.transfer(CheckManifest(spec, folder, manifest, finds_extra=not command.words.ignore_extra))
        return finish_check(command, report)
    remote = [text for text in words if command.book.is_remote(text)]
    local = [text for text in words if not command.book.is_remote(text)]
    if len(remote) != 1 or len(local) != 1:
        raise UsageError(
            "A remote place is compared with a local one.", hint="Name one of each, or add --manifest FILE."
        )
    place, entry = look(command, command.book.place(remote[0]))
    path = Path(local[0]).absolute()
    if not path.exists():
        raise FileNotFoundInStorageError(f"There is no file “{path}”.", hint="Check the name.")
    pair = Pair(Source(place.path, entry.is_folder), str(path))
    extra = not command.words.ignore_extra
    job = VerifyAgain(place.spec, (pair,), read_whole=command.words.read, finds_extra=extra)
    return finish_check(command, command.transfer(job))


def make_manifest(command: Command) -> ExitCode:
    """`manifest`: the SHA-256 sums of all files below a folder, into a file or to standard output."""
    spec, folder = _folder(command, command.words.folder)
    layout = ManifestFormat(command.words.format)
    if command.words.output:
        target = str(Path(command.words.output).absolute())
        return finish(command, [command.transfer(MakeManifest(spec, folder, target, layout))])
    with tempfile.TemporaryDirectory(prefix="kegbrowser-") as scratch:
        target = str(Path(scratch) / "manifest")
        report = command.transfer(MakeManifest(spec, folder, target, layout))
        with Path(target).open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
            for line in lines:
                command.console.line(line.rstrip("\n"))
    command.console.as_json = False  # the manifest is the result
    return finish(command, [report])


def verify_sources(
    command: Command, spec: ConnectionSpec, sources: Sequence[Source], destination: str, name: str
) -> JobReport:
    """`get --verify`: compare what was downloaded, whole."""
    pairs = tuple(
        Pair(source, str(Path(destination) / (name or safe_name(split_path(source.path)[1])))) for source in sources
    )
    return command.transfer(VerifyAgain(spec, pairs, read_whole=True, finds_extra=False))


def verify_uploads(command: Command, spec: ConnectionSpec, paths: Sequence[Path], folder: str, name: str) -> JobReport:
    """`put --verify`: compare what was uploaded, whole."""
    pairs = []
    for path in paths:
        remote = as_folder(folder) + (name or path.name)
        pairs.append(Pair(Source(as_folder(remote) if path.is_dir() else remote, path.is_dir()), str(path)))
    return command.transfer(VerifyAgain(spec, tuple(pairs), read_whole=True))


def _folder(command: Command, text: str) -> tuple[ConnectionSpec | None, str]:
    """A folder as it was typed; no connection if it is a local one."""
    if command.book.is_remote(text):
        place, entry = look(command, command.book.place(text))
        if not entry.is_folder:
            raise NotAFolder(f"“{place.name}” is not a folder.", path=place.path)
        return place.spec, place.path
    path = Path(text).absolute()
    if not path.is_dir():
        raise FileNotFoundInStorageError(f"There is no folder “{path}”.", hint="Check the name.")
    return None, str(path)


def finish_check(command: Command, report: JobReport) -> ExitCode:
    """Tell what was found. A file that is missing on one side is a difference, not a place that was not found."""
    code = finish(command, [report])
    return ExitCode.SOME_FAILED if code is ExitCode.NOT_FOUND else code
