"""The command line: understands the words, runs the verb, ends with a status that scripts can rely on.

Fast where nothing is asked of a storage: the engine, the backends and the keyring are imported only for a verb.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kegbrowser import __version__

if TYPE_CHECKING:
    from kegbrowser.commands.console import Console

_ADDRESSES = """\
addresses:
  s3://bucket/key            azure://account/container/blob
  sftp://user@host:22/path   local:///absolute/path
  NAME:path                  in the saved connection NAME ("kegbrowser connections" lists them)

An address in a saved connection uses its options and its secrets from the keyring. Any other uses what the service's
own tools use: AWS profiles and variables, the SSH agent and keys. Secrets are never taken from the command line: they
are asked for (--ask) or read from standard input (--secret-stdin).

exit status:
  0  all is done              1  some items failed         2  the command cannot be understood
  3  not found                4  denied, or not signed in  5  no connection
  130  cancelled (Ctrl+C)
"check" and --verify: 0 if all is the same, 1 if anything differs, is missing or is too much.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and give its exit status. Main thread only."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] in (["--version"], ["-V"]):
        sys.stdout.write(f"kegbrowser {__version__}\n")
        return 0
    try:
        code = _run(_parser().parse_args(words))
        sys.stdout.flush()
    except KeyboardInterrupt:  # before or after the verb runs: there is nothing to clean up
        return 130
    except BrokenPipeError:
        # Who read our output went away, as `head` does: what Python still holds for it must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    return code


def _run(words: argparse.Namespace) -> int:
    from kegbrowser.backends.errors import Cancelled, StorageError
    from kegbrowser.commands.console import Console
    from kegbrowser.commands.outcome import ExitCode, code_of, hint_of, sentence_of

    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)  # clean up as after Ctrl+C
    console = Console(as_json=getattr(words, "json", False))
    _set_up_log(debug=words.debug)
    try:
        code = _run_verb(words, console)
    except (KeyboardInterrupt, Cancelled):
        console.say("Cancelled.")
        return _failed(console, "Cancelled.", "", ExitCode.CANCELLED)
    except StorageError as error:
        console.complain(sentence_of(error))
        return _failed(console, error.message, hint_of(error), code_of(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        message = f"{error.strerror or error}: {error.filename}." if error.filename else f"{error.strerror or error}."
        console.complain(message)
        return _failed(console, message, "", ExitCode.SOME_FAILED)
    return code


def _failed(console: Console, message: str, hint: str, code: int) -> int:
    if console.as_json:
        console.json_line({"error": message, "hint": hint, "exit_code": int(code)})
    return int(code)


def _run_verb(words: argparse.Namespace, console: Console) -> int:
    from kegbrowser.commands.addresses import AddressBook, asking_to_trust
    from kegbrowser.commands.command import Command
    from kegbrowser.commands.given import GivenOptions, read_piped_secrets
    from kegbrowser.commands.questions import Answerer
    from kegbrowser.commands.running import JobRunner
    from kegbrowser.commands.verbs import RUN
    from kegbrowser.profiles.places import Places

    given = GivenOptions(
        _options(words.option),
        asked=tuple(words.ask),
        piped=read_piped_secrets(tuple(words.secret_stdin)),
        for_several=words.verb in ("cp", "mv"),
    )
    book = AddressBook(Places.of_user(), given, console)

    def run() -> int:
        with JobRunner(console, Answerer(console)) as runner:
            return int(RUN[words.verb](Command(words, console, book, runner)))

    return asking_to_trust(console, book, run)


def _options(pairs: Sequence[str]) -> dict[str, str]:
    from kegbrowser.commands.outcome import UsageError

    options: dict[str, str] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise UsageError("An option is written as --option KEY=VALUE.", hint="As --option port=2222.")
        options[key] = value
    return options


def _set_up_log(*, debug: bool) -> None:
    import logging

    # Only our own records: an SDK's debug log holds headers, which hold signatures.
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("kegbrowser")
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.DEBUG if debug else logging.ERROR)
    logging.getLogger().addHandler(logging.NullHandler())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kegbrowser",
        description="Browse and move files on Amazon S3 and compatible storage, Azure Blob and SFTP.\n"
        "Without a verb a window is opened, at the address if one is given.",
        epilog=_ADDRESSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="store_true", help="show the version")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    common = _common_options()

    def add(verb: str, help_text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(
            verb,
            help=help_text,
            description=f"{help_text[0].upper()}{help_text[1:]}.",
            epilog=_ADDRESSES,
            parents=[common],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    ls = add("ls", "list a folder")
    ls.add_argument("urls", nargs="+", metavar="URL")
    ls.add_argument("-l", "--long", action="store_true", help="with size in bytes and time")
    _add_recursive(ls, "with all that is below")
    stat = add("stat", "describe files or folders")
    stat.add_argument("urls", nargs="+", metavar="URL")
    get = add("get", "download files")
    get.add_argument(
        "urls", nargs="+", metavar="URL", help="the last one: a local folder, or a new name for one source (.)"
    )
    _add_recursive(get, "folders with all that is in them")
    _add_transfer(get)
    _add_verify(get)
    put = add("put", "upload files")
    put.add_argument("paths", nargs="+", metavar="FILE")
    put.add_argument("target", metavar="URL", help='ends in "/" for a folder, else it is the new name')
    _add_recursive(put, "folders with all that is in them")
    _add_transfer(put)
    _add_verify(put)
    for verb, text in (("cp", "copy between remote places"), ("mv", "move or rename remote files")):
        both = add(verb, text)
        both.add_argument("urls", nargs="+", metavar="URL")
        both.add_argument("target", metavar="TARGET", help='a URL: ends in "/" for a folder, else it is the new name')
        _add_recursive(both, "folders with all that is in them")
        _add_transfer(both)
    rm = add("rm", "delete files")
    rm.add_argument("urls", nargs="+", metavar="URL")
    _add_recursive(rm, "folders with all that is in them")
    rm.add_argument("-f", "-y", "--yes", action="store_true", help="do not ask")
    mkdir = add("mkdir", "make folders")
    mkdir.add_argument("urls", nargs="+", metavar="URL")
    mkdir.add_argument("-p", "--parents", action="store_true", help="make missing parents; an existing folder is fine")
    _add_proofs(add)
    cleanup = add("cleanup", "remove what unfinished transfers left behind")
    cleanup.add_argument("places", nargs="+", metavar="PLACE", help="a URL for uploads, a local folder for downloads")
    cleanup.add_argument(
        "--older-than",
        type=int,
        default=60,
        metavar="MINUTES",
        help="ask about what is younger, or of unknown age (60)",
    )
    cleanup.add_argument("-f", "-y", "--yes", action="store_true", help="do not ask")
    cleanup.add_argument("-n", "--dry-run", action="store_true", help="only show what there is")
    add("connections", "list the saved connections")
    return parser


def _add_proofs(add: Callable[[str, str], argparse.ArgumentParser]) -> None:
    check = add("check", "compare a remote place with a local one, or a folder with a manifest")
    check.add_argument("places", nargs="+", metavar="PLACE", help="a URL and a local path; with --manifest only one")
    check.add_argument(
        "-m", "--manifest", metavar="FILE", help="a list of SHA-256 sums or CSV, as “manifest” writes it"
    )
    check.add_argument("--read", action="store_true", help="read files whole where the storage has no checksum of them")
    check.add_argument(
        "--ignore-extra",
        action="store_true",
        help="what is only in the local folder, or not in the manifest, does not count",
    )
    manifest = add("manifest", "list the SHA-256 sums of all files in a folder")
    manifest.add_argument("folder", metavar="FOLDER", help="a URL or a local folder")
    manifest.add_argument("-o", "--output", metavar="FILE", help="the file to write (standard output)")
    manifest.add_argument(
        "--format", choices=("sha256", "csv"), default="sha256", help="as sha256sum(1) has it, or CSV (sha256)"
    )


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--verify",
        action="store_true",
        help="compare everything again when it is done, by the storage's checksum or by reading it",
    )


def _common_options() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON object a line on standard output")
    common.add_argument("--debug", action="store_true", help="show the log on standard error")
    group = common.add_argument_group("connecting")
    group.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the connection, as endpoint_url",
    )
    group.add_argument("--ask", action="append", default=[], metavar="KEY", help="ask for a secret on the terminal")
    group.add_argument(
        "--secret-stdin", action="append", default=[], metavar="KEY", help="read a secret from a line of standard input"
    )
    return common


def _add_recursive(parser: argparse.ArgumentParser, help_text: str) -> None:
    parser.add_argument("-r", "-R", "--recursive", action="store_true", help=help_text)


def _add_transfer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--on-clash",
        "--policy",
        dest="policy",
        choices=("ask", "overwrite", "overwrite-if-newer", "overwrite-if-different", "resume", "skip", "rename"),
        default="ask",
        help="what to do with a file that is there already; resume goes on with a beginning, after comparing it (ask)",
    )
    parser.add_argument(
        "--links",
        choices=("follow-files", "follow", "skip", "recreate"),
        default="follow-files",
        help="what to do with symbolic links; follow: those to folders as well (follow-files)",
    )
    parser.add_argument("--no-permissions", action="store_true", help="new files get no permissions from their sources")
    for way in ("up", "down"):
        parser.add_argument(
            f"--limit-{way}", default="", metavar="SPEED", help=f"bytes a second {way}, as 500K or 2M (no limit)"
        )
