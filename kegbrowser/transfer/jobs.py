"""What can be asked of the engine: jobs as values, fit to cross a process border.

A job names its connections by `ConnectionSpec`, so a fresh process can run it. `transfer.run.run_job` carries one out.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from kegbrowser.backends.registry import ConnectionSpec


class ConflictPolicy(enum.Enum):
    """What to do when the target is already there."""

    ASK = "ask"
    OVERWRITE = "overwrite"
    OVERWRITE_IF_NEWER = "overwrite-if-newer"
    SKIP = "skip"
    RENAME = "rename"


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


@dataclass(frozen=True, slots=True)
class Upload:
    """Send local files and folders into the remote folder `target`. Result: `JobReport`."""

    spec: ConnectionSpec
    sources: tuple[str, ...]
    target: str
    policy: ConflictPolicy = ConflictPolicy.ASK
    rename_to: str = ""


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


TransferJob = Download | Upload | Copy
Job = ListFolder | FindHome | CheckConnection | Describe | Count | MakeFolder | Rename | Delete | TransferJob
