"""Pictures of the transfers: busy, paused, failed with reasons, 100,000 files, in both themes.

`python -m tests.end2end.panel_pictures FOLDER`; part of `screenshots`. What has ended or waits was left in the journal, as an
earlier run of the program does; what moves is moved.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from kegbrowser.backends.errors import CheckFailed, PermissionDenied, SourceChanged, StorageError
from kegbrowser.backends.proofs import Certainty, Proof
from kegbrowser.profiles.settings import SettingsStore
from kegbrowser.services.recipes import Recipe
from kegbrowser.services.transfer import TransferKind
from kegbrowser.transfer.events import Checked, Failure, JobReport, Progress
from kegbrowser.transfer.journal import JobState, Journal
from kegbrowser.transfer.records import ItemEnd, ItemState, SourceMark
from tests.end2end.desktop import Desktop
from tests.servers.xvfb import Xvfb

MANY = 100_000
SIZE = 1_900_000
BUSY_BYTES_PER_S = 6 * 1024 * 1024
PROOFS = (
    Proof.verified("CRC-32"),
    Proof.verified("CRC-32"),
    Proof.size_only("the server computes no checksums"),
    Proof(Certainty.UNVERIFIABLE, reason="the server copied it by itself"),
)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        screen = stack.enter_context(Xvfb("1280x820"))
        screen.start()
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keg-panel-")))
        take(screen, {}, home, folder)


def take(screen: Xvfb, env: Mapping[str, str], home: Path, folder: Path) -> None:
    """Take all of them, in a home of its own for each theme."""
    for theme in ("light", "dark"):
        user = home / f"panel-{theme}"
        user.mkdir()
        state = user / ".local" / "state" / "kegbrowser"
        state.mkdir(parents=True)
        _fill(state / "journal.sqlite")
        settings = SettingsStore(user / ".config" / "kegbrowser" / "settings.json")
        settings.change(theme=theme, limit_up_bytes_per_s=BUSY_BYTES_PER_S)
        with Desktop(screen, user, env) as desktop:
            _pictures(desktop, user, folder, theme)


def _pictures(desktop: Desktop, user: Path, folder: Path, theme: str) -> None:
    def picture(name: str) -> None:
        desktop.key("shift")  # whatever tool tip is shown goes
        time.sleep(0.8)
        desktop.screenshot(folder / f"panel-{name}-{theme}.png")

    desktop.until(lambda state: len(state["transfers"]) == 4, "what was left in the journal")
    desktop.until(lambda state: state["listing"] == "listed", "the Playground")
    grip = desktop.place("grip")
    desktop.drag(grip, (grip[0], grip[1] - 230))
    desktop.click("transfer", number="0")
    picture("paused")
    desktop.click("transfer", number="1")
    desktop.key("Right")
    desktop.until(lambda state: state["transfer_rows"] == MANY + 4, "all files of a transfer")
    desktop.key("ctrl+End")
    picture("100000")
    desktop.key("ctrl+Home")
    desktop.key("Down")
    desktop.key("Left")
    desktop.until(lambda state: state["transfer_rows"] == 4, "the transfers alone")
    desktop.click("transfer", number="2", button=3)
    desktop.click("menu", text="Only Failed Files")
    desktop.until(lambda state: state["transfer_rows"] == 4 + 9, "the failed files")
    picture("failed")
    desktop.click("transfer", number="2")
    desktop.key("Left")
    trip = user / "trip"
    trip.mkdir()
    for number in range(12):
        (trip / f"IMG_{number:04}.jpg").write_bytes(secrets.token_bytes(12_000_000))
    desktop.drag_from_file_manager(trip, desktop.place("branch", connection="Playground"))
    desktop.until(lambda state: any(one["state"] == "running" and one["files"] > 1 for one in state["transfers"]), "it")
    desktop.click("transfer", number="0")
    desktop.key("Right")
    time.sleep(2)
    picture("busy")
    desktop.key("Left")
    desktop.key("Delete")
    desktop.until(lambda state: all(one["state"] not in ("running", "stopping") for one in state["transfers"]), "peace")


def _fill(journal_file: Path) -> None:
    """What an earlier run left: one that is done, one with failures, one of very many files, one that had begun."""
    with Journal(journal_file) as journal:
        names = ("music", "reports", "photos", "archive-2023.tar")
        kinds = (TransferKind.DOWNLOAD, TransferKind.UPLOAD, TransferKind.UPLOAD, TransferKind.DOWNLOAD)
        ids = []
        for name, kind in zip(names, kinds, strict=True):
            is_down = kind is TransferKind.DOWNLOAD
            source = (f"{name}/", True) if is_down else (f"/home/ada/{name}", False)
            recipe = Recipe(kind, "gone", (source,), "/home/ada/Downloads" if is_down else "backup/")
            ids.append(journal.add(kind.value, recipe.to_json()))
        done = JobReport(3120, 10 << 30, 3120, 10 << 30, check="CRC-64/NVME, MD5", checked=Checked(3120))
        journal.change(
            ids[0], JobState.DONE, progress=Progress(3120, 10 << 30, True, 3120, bytes_done=10 << 30), report=done
        )
        failures = _items(journal, ids[1], 60, fails=True)
        shown = tuple(Failure(f"/home/ada/reports/{number}", error) for number, error in failures)
        bad = len(failures)
        report = JobReport(60, 60 * SIZE, 60 - bad, (60 - bad) * SIZE, 0, bad, shown, "CRC-32", Checked(60 - bad))
        progress = Progress(60, 60 * SIZE, True, 60 - bad, 0, bad, (60 - bad) * SIZE)
        journal.change(ids[1], JobState.INCOMPLETE, progress=progress, report=report)
        _items(journal, ids[2], MANY, fails=False)
        journal.change(ids[2], JobState.PAUSED, progress=Progress(MANY, MANY * SIZE, True, 80_000, 0, 0, 80_000 * SIZE))
        journal.change(ids[3], JobState.PAUSED, progress=Progress(1, 10 << 30, True, bytes_done=4 << 30))


def _reason(number: int) -> StorageError:
    """Why a file failed: one of three reasons."""
    name = f"IMG_{number:06}.jpg"
    if number % 3 == 0:
        hint = "Ask the owner of the storage for the right to do this."
        return PermissionDenied(f"Could not upload “{name}”: the account may not write here.", hint=hint)
    if number % 3 == 1:
        return CheckFailed(f"“{name}” arrived otherwise than it was sent.", hint="Try again.", retryable=False)
    return SourceChanged(f"“{name}” changed while it was read.", hint="Try again when it is at rest.")


def _items(journal: Journal, job_id: int, count: int, *, fails: bool) -> list[tuple[int, StorageError]]:
    failed: list[tuple[int, StorageError]] = []
    job = journal.open_job(job_id)
    for number in range(count):
        name = f"{number // 1000:02}/IMG_{number:06}.jpg"
        mark = SourceMark(SIZE, 1_600_000_000_000_000)
        item = job.plan(f"/home/ada/photos/{name}", f"backup/photos/{name}", mark, overwrite=False)
        if fails and number % 7 == 0:
            error = _reason(number)
            job.end(item, ItemEnd(ItemState.FAILED, error=error))
            failed.append((number, error))
        elif fails or number < count * 0.8:
            job.end(item, ItemEnd(ItemState.DONE, proof=PROOFS[number % len(PROOFS)]))
    job.close()
    return failed


if __name__ == "__main__":
    main(Path(sys.argv[1]))
