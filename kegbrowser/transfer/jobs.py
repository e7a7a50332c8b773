"""What can be asked of the engine: jobs as values, fit to cross a process border.

A job names its connections by `ConnectionSpec`, so a fresh process can run it. `transfer.run.run_job` carries one out.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.backends.uploads import IncompleteUpload


class ConflictPolicy(enum.Enum):
    """What to do when the target is already there."""

    ASK = "ask"
    OVERWRITE = "overwrite"
    OVERWRITE_IF_NEWER = "overwrite-if-newer"
    OVERWRITE_IF_DIFFERENT = "overwrite-if-different"
    """Size or time differ; where a time is not known, the same size is not enough to leave it."""
    RESUME = "resume"
    """What is there is gone on with if it is found to be a beginning of the source; else its user is asked."""
    SKIP = "skip"
    RENAME = "rename"


class LinkPolicy(enum.Enum):
    """What to do with symbolic links below the sources; a source that is a link itself is always followed."""

    FOLLOW_FILES = "follow-files"
    """A link to a file counts as the file; one to a folder is told as a failure, so that nothing is missed in silence."""
    FOLLOW = "follow"
    """Links to folders too, but never in a circle."""
    SKIP = "skip"
    RECREATE = "recreate"
    """Links again, where the target can hold them. A download never makes one that leads out of the chosen folder."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder a job starts from; `path` as the backend takes it (a folder's ends in "/" or is "")."""

    path: str
    is_folder: bool


@dataclass(frozen=True, slots=True)
class ListFolder:
    """Stream a folder; events: `PageListed`. Result: None."""

    spec: ConnectionSpec
    path: str


@dataclass(frozen=True, slots=True)
class FindHome:
    """Connect and find the folder to show first. Result: its path (str)."""

    spec: ConnectionSpec


@dataclass(frozen=True, slots=True)
class CheckConnection:
    """Answer “Test connection”. Result: `ConnectionReport`."""

    spec: ConnectionSpec


@dataclass(frozen=True, slots=True)
class Describe:
    """Stat one file or folder. Result: `ListEntry`."""

    spec: ConnectionSpec
    path: str


@dataclass(frozen=True, slots=True)
class Count:
    """Count files and bytes below the sources; events: `Counted`, at most 10 a second. Result: `Counted`."""

    spec: ConnectionSpec
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """Make one folder. Result: None."""

    spec: ConnectionSpec
    path: str


@dataclass(frozen=True, slots=True)
class Rename:
    """Move one file or folder to another path of the same connection; never overwrites. Events: `Progress` if it must be done
    file by file. Result: `JobReport`."""

    spec: ConnectionSpec
    source: Source
    target_path: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Count all below the sources (events: `Counted`), ask `DeleteQuestion` unless `confirmed`, then delete exactly what was
    counted (events: `Progress`); files that arrived meanwhile survive, and so do the folders they are in. Result: `JobReport`.
    """

    spec: ConnectionSpec
    sources: tuple[Source, ...]
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Download:
    """Bring files and folders into the local folder `destination`. Result: `JobReport`.

    `base`: the remote folder that relative names start from; each source lands under its own name.
    """

    spec: ConnectionSpec
    sources: tuple[Source, ...]
    destination: str
    policy: ConflictPolicy = ConflictPolicy.ASK
    rename_to: str = ""
    """With exactly one source: its name in `destination`; "" keeps its own."""
    links: LinkPolicy = LinkPolicy.FOLLOW_FILES
    keep_permissions: bool = True
    """New files get the mode bits of their source where both sides have such, never more than the user's umask allows."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Send local files and folders into the remote folder `target`. Result: `JobReport`."""

    spec: ConnectionSpec
    sources: tuple[str, ...]
    target: str
    policy: ConflictPolicy = ConflictPolicy.ASK
    rename_to: str = ""
    links: LinkPolicy = LinkPolicy.FOLLOW_FILES
    keep_permissions: bool = True


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy or move files and folders into the folder `target` of the same or another connection. Result: `JobReport`.

    On the server where it can; else through this process, never through a file on disk. A move deletes each source only
    after its copy is complete.
    """

    spec: ConnectionSpec
    sources: tuple[Source, ...]
    target_spec: ConnectionSpec
    target: str
    move: bool = False
    policy: ConflictPolicy = ConflictPolicy.ASK
    rename_to: str = ""
    links: LinkPolicy = LinkPolicy.FOLLOW_FILES
    keep_permissions: bool = True


@dataclass(frozen=True, slots=True)
class FindIncomplete:
    """Find uploads below a folder that were begun and not ended, by whomever; events: `Leftovers`, the new ones.

    Result: `Leftovers`, at most `leftovers.MOST` of them.
    """

    spec: ConnectionSpec
    path: str


@dataclass(frozen=True, slots=True)
class FindLocalParts:
    """Find unfinished downloads, the hidden part files, below a local folder; as `FindIncomplete`."""

    folder: str


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Remove what was found. Result: `JobReport`.

    Asks a `DeleteQuestion` about what is younger than `asks_below_minutes` or of unknown age: somebody may be at it right now. A
    refusal (`DeleteAnswer(confirmed=False)`) leaves those alone.

    Attributes:
        spec: of `uploads`; None if there are none.
        uploads: as `FindIncomplete` gave them.
        local_parts: paths, as `FindLocalParts` gave them.
        in_use: tokens of unfinished items of jobs that will go on, of any window, as the journal has them: never touched.
        confirmed: the young ones go without a question.
    """

    spec: ConnectionSpec | None
    uploads: tuple[IncompleteUpload, ...] = ()
    local_parts: tuple[str, ...] = ()
    in_use: frozenset[str] = frozenset()
    asks_below_minutes: int = 60
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """A remote file or folder and the local one that should be the same. What is in a folder has its name below the other."""

    source: Source
    local: str


@dataclass(frozen=True, slots=True)
class VerifyAgain:
    """Compare remote files with local ones: names, sizes and content. Nothing is changed anywhere.

    Events: `Progress`; what is found comes as its `failures`: `CheckFailed` (differs), `FileNotFoundInStorageError` (missing on
    one side), or why it could not be looked at. Result: `JobReport`; `files_done` are the same on both sides.

    Attributes:
        read_whole: where the storage has no checksum of a file, read it; else it is compared by size only, and told as such.
        finds_extra: what is only on the local side is told as well.
    """

    spec: ConnectionSpec
    pairs: tuple[Pair, ...]
    read_whole: bool = False
    finds_extra: bool = True


class ManifestFormat(enum.Enum):
    """How a list of files and their checksums is written."""

    SHA256SUMS = "sha256"
    """As `sha256sum` writes and reads it."""
    CSV = "csv"
    """RFC 4180; columns path, size, modified, sha256, check, state."""


@dataclass(frozen=True, slots=True)
class MakeManifest:
    """Write the SHA-256 sums of all files below a folder into a local file, which appears whole. Result: `JobReport`.

    Attributes:
        spec: None: `folder` is a local one. Else it is remote, and is read whole where the storage knows no SHA-256.
        target: path of the local file; it is replaced if it is there.
    """

    spec: ConnectionSpec | None
    folder: str
    target: str
    format: ManifestFormat = ManifestFormat.SHA256SUMS


@dataclass(frozen=True, slots=True)
class CheckManifest:
    """Compare a folder with a manifest in either format. Events and result: as `VerifyAgain`."""

    spec: ConnectionSpec | None
    folder: str
    manifest: str
    finds_extra: bool = True


TransferJob = Download | Upload | Copy
ProofJob = VerifyAgain | MakeManifest | CheckManifest
SweepJob = FindIncomplete | FindLocalParts | CleanUp
Job = (
    ListFolder
    | FindHome
    | CheckConnection
    | Describe
    | Count
    | MakeFolder
    | Rename
    | Delete
    | TransferJob
    | ProofJob
    | SweepJob
)
