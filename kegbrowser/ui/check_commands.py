"""What the actions do that look whether all is well: verify, manifests, what was left behind."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Slot
from PySide6.QtWidgets import QFileDialog

from kegbrowser.backends.locations import RemotePath
from kegbrowser.models.shown_names import shown_name
from kegbrowser.services import errands
from kegbrowser.services.leftovers import LeftoverFinder
from kegbrowser.services.transfer import Transfer, TransferKind
from kegbrowser.services.transfers import TransferQueue
from kegbrowser.transfer.events import Leftovers
from kegbrowser.transfer.jobs import ManifestFormat
from kegbrowser.transfer.names import safe_name
from kegbrowser.ui.browser import Browser
from kegbrowser.ui.clean_up_dialog import CleanUpDialog
from kegbrowser.ui.compare_dialog import CompareDialog


class CheckCommands(QObject):
    """GUI thread only. Slots are named after the actions that call them.

    Args:
        download_folder: where local folders are looked for first.
    """

    def __init__(self, browser: Browser, queue: TransferQueue, finder: LeftoverFinder, download_folder: str) -> None:
        super().__init__(browser)
        self._finder = finder
        self._browser = browser
        self._queue = queue
        self._download_folder = download_folder

    def set_download_folder(self, folder: str) -> None:
        """Look in another folder first."""
        self._download_folder = folder

    @Slot(object)
    def verify_transfer(self, transfer: Transfer) -> None:
        """Compare again what a transfer has moved."""
        heading = self.tr("Verify “%s” again?") % shown_name(transfer.names[0] if transfer.names else "")
        if len(transfer.names) > 1:
            heading = self.tr("Verify these %s again?") % len(transfer.names)
        if transfer.kind is TransferKind.DOWNLOAD:
            text = self.tr("What was downloaded to “%s” is compared with what is at the storage now.")
            text %= shown_name(transfer.local_folder)
        else:
            text = self.tr("What was uploaded is compared with where it came from.")
        dialog = CompareDialog(heading, text, self._browser.window())
        dialog.comparison_wanted.connect(partial(self._verify, transfer.transfer_id))
        dialog.open()

    @Slot()
    def compare(self) -> None:
        """Compare the selection, else the folder that is shown, with what is on this computer."""
        paths = self._chosen()
        if not paths:
            return
        one = paths[0] if len(paths) == 1 else None
        if one is not None:
            text = self.tr("It is compared with this one on this computer:")
            heading = self.tr("Verify “%s”") % shown_name(one.name or self._browser.address_of(one))
        else:
            text = self.tr("They are compared with those of the same names in this folder of this computer:")
            heading = self.tr("Verify %s items") % len(paths)
        here = self._offered(one)
        is_folder = one is None or one.is_folder
        dialog = CompareDialog(heading, text, self._browser.window(), local=here, is_folder=is_folder)
        dialog.comparison_wanted.connect(partial(self._compare, paths))
        dialog.open()

    @Slot()
    def save_manifest(self) -> None:
        """Write the SHA-256 sums of all files below a folder into a file."""
        folder = self._chosen_folder()
        if folder is None:
            return
        filters = {
            self.tr("SHA-256 sums (*.sha256)"): "sha256",
            self.tr("Comma-separated values (*.csv)"): "csv",
        }
        name = f"{safe_name(folder.name)}.sha256" if folder.name else "manifest.sha256"
        chooser = QFileDialog(self._browser, self.tr("Save Manifest"), self._download_folder)
        chooser.setObjectName("save_manifest_chooser")
        chooser.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        chooser.setNameFilters(list(filters))
        chooser.setDefaultSuffix("sha256")
        chooser.filterSelected.connect(lambda chosen: chooser.setDefaultSuffix(filters.get(chosen, "sha256")))
        chooser.selectFile(name)
        chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        chooser.fileSelected.connect(partial(self._save_manifest, folder))
        chooser.open()

    @Slot()
    def check_manifest(self) -> None:
        """Compare a folder with a manifest that was saved before."""
        folder = self._chosen_folder()
        if folder is None:
            return
        chooser = QFileDialog(self._browser, self.tr("Check Against Manifest"), self._download_folder)
        chooser.setObjectName("check_manifest_chooser")
        chooser.setFileMode(QFileDialog.FileMode.ExistingFile)
        chooser.setNameFilters([self.tr("Manifests (*.sha256 *.csv SHA256SUMS)"), self.tr("All files (*)")])
        chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        chooser.fileSelected.connect(partial(self._check_manifest, folder))
        chooser.open()

    @Slot()
    def clean_uploads(self) -> None:
        """Show uploads below a folder that were begun and never ended, to be removed."""
        folder = self._chosen_folder()
        if folder is None:
            return
        dialog = CleanUpDialog(folder, self._browser.address_of(folder), self._finder, self._browser.window())
        dialog.removal_wanted.connect(partial(self._clean_up, folder, ""))
        dialog.open()

    @Slot()
    def clean_downloads(self) -> None:
        """Show the hidden part files of unfinished downloads below a local folder, to be removed."""
        chooser = QFileDialog(self._browser, self.tr("Clean Up Below"), self._download_folder)
        chooser.setObjectName("clean_up_chooser")
        chooser.setFileMode(QFileDialog.FileMode.Directory)
        chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        chooser.fileSelected.connect(self._on_local_folder_chosen)
        chooser.open()

    @Slot(str)
    def _on_local_folder_chosen(self, folder: str) -> None:
        dialog = CleanUpDialog(folder, folder, self._finder, self._browser.window())
        dialog.removal_wanted.connect(partial(self._clean_up, None, folder))
        dialog.open()

    # -- private -----------------------------------------------------------------------------------------------------

    def _chosen_folder(self) -> RemotePath | None:
        """The one folder that is selected, be it a whole connection, else the one that is shown."""
        chosen = self._chosen()
        return chosen[0] if len(chosen) == 1 and chosen[0].is_folder else self._browser.folder

    def _chosen(self) -> tuple[RemotePath, ...]:
        """What is selected, else the folder that is shown."""
        tree, folder = self._browser.tree, self._browser.folder
        in_tree = tree.current_path() if tree.hasFocus() else None
        if in_tree is not None:
            return (in_tree,)
        return self._browser.selected() or ((folder,) if folder is not None else ())

    def _offered(self, path: RemotePath | None) -> str:
        """Where a download would have put it, if something is there; else the download folder."""
        if path is not None and path.name:
            likely = Path(self._download_folder) / safe_name(path.name)
            if likely.exists() or not path.is_folder:
                return str(likely)
        return self._download_folder

    def _verify(self, transfer_id: int, _path: str, read_whole: bool, _extra: bool) -> None:
        self._queue.verify_again(transfer_id, read_whole=read_whole)

    def _compare(self, paths: tuple[RemotePath, ...], local: str, read_whole: bool, extra: bool) -> None:
        errand = errands.compare(paths, local, read_whole=read_whole, finds_extra=extra, is_counterpart=len(paths) == 1)
        self._queue.run(errand)

    def _save_manifest(self, folder: RemotePath, path: str) -> None:
        layout = ManifestFormat.CSV if path.lower().endswith(".csv") else ManifestFormat.SHA256SUMS
        self._queue.run(errands.save_manifest(folder, path, layout))

    def _check_manifest(self, folder: RemotePath, path: str) -> None:
        self._queue.run(errands.check_manifest(folder, path))

    def _clean_up(self, folder: RemotePath | None, local_folder: str, chosen: Leftovers) -> None:
        paths = tuple(part.path for part in chosen.local_parts)
        self._queue.run(errands.clean_up(folder, chosen.uploads, paths, self._finder.journal, local_folder))
