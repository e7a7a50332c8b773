"""Our side of a measurement: the engine as the window runs it, warm and with the journal on; and the command line, cold."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from kegbrowser.backends.registry import backend
from kegbrowser.transfer.events import JobReport
from kegbrowser.transfer.jobs import Download, Source, TransferJob, Upload
from kegbrowser.transfer.journal import Journal
from kegbrowser.worker.handle import HelperDied, HelperHandle
from kegbrowser.worker.messages import AskedByJob, JobEnded, JournalPlace, Message
from tests.benchmarks._processes import PeerFailed, processor_s, run_program
from tests.benchmarks._sites import remote_base
from tests.benchmarks._tools import ROOT, Ground


class Engine:
    """A helper that is kept between the turns, as the window keeps one."""

    def __init__(self, ground: Ground) -> None:
        self._spec = ground.site.spec(ground.port)
        self._base = remote_base(ground.site)
        self._helper = HelperHandle()
        self._helper.warm_up((ground.site.kind,))
        self._folder = tempfile.TemporaryDirectory(prefix="keg-journal-")  # on the disk, where the window's journal is
        self._journal = Journal(Path(self._folder.name) / "journal.sqlite")
        self.check = ""
        """How the last work was verified."""

    @property
    def pid(self) -> int:
        return self._helper.pid

    def down(self, name: str, target: Path, size: int) -> float:
        job = Download(self._spec, (Source(self._base + name, False),), str(target.parent), rename_to=target.name)
        return self._run(job)

    def up(self, source: Path, name: str) -> float:
        folder, _slash, last = name.rpartition("/")
        return self._run(Upload(self._spec, (str(source),), f"{self._base}{folder}/", rename_to=last))

    def down_tree(self, name: str, target: Path) -> float:
        job = Download(self._spec, (Source(f"{self._base}{name}/", True),), str(target.parent), rename_to=target.name)
        return self._run(job)

    def up_tree(self, source: Path, name: str) -> float:
        folder, _slash, last = name.rpartition("/")
        return self._run(Upload(self._spec, (str(source),), f"{self._base}{folder}/", rename_to=last))

    def close(self) -> None:
        self._helper.stop()
        self._journal.close()
        self._folder.cleanup()

    def _run(self, job: TransferJob) -> float:
        before = processor_s([self.pid])
        place = JournalPlace(str(self._journal.path), self._journal.add("benchmark", {}))
        try:
            for message in self._helper.run(job, place):
                self._look_at(message)
        except HelperDied as exc:
            raise PeerFailed(f"our helper is gone: {exc}") from exc
        return processor_s([self.pid]) - before

    def _look_at(self, message: Message) -> None:
        if isinstance(message, AskedByJob):
            raise PeerFailed(f"our engine asks {message.question}")
        if isinstance(message, JobEnded):
            report = message.result
            if message.error is not None or not isinstance(report, JobReport) or report.failures:
                raise PeerFailed(f"our engine failed: {message.error or report}")
            if report.files_done != report.files_total or report.bytes_done != report.bytes_total:
                raise PeerFailed(f"our engine left something out: {report}")
            self.check = report.check or report.unchecked_reason


class CommandLine:
    """A process for each work, with its start and its connection."""

    def __init__(self, ground: Ground) -> None:
        spec = ground.site.spec(ground.port)
        base = remote_base(ground.site)
        secrets = [key for key in backend(spec.kind).secret_keys if spec.options.get(key)]
        self._given = "".join(f"{spec.options[key]}\n" for key in secrets)
        self._words: list[str] = []
        for key, value in spec.options.items():
            if key not in (*secrets, "host", "port", "username", "account"):
                self._words += ["--option", f"{key}={value}"]
        for key in secrets:
            self._words += ["--secret-stdin", key]
        root = {"s3": "s3://", "azure": f"azure://{spec.options.get('account')}/"}.get(spec.kind)
        self._root = root or f"sftp://{spec.options.get('username')}@{spec.options.get('host')}:{ground.port}/"
        self._root += base
        self._env = ground.env | {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(ground.home)}

    def down(self, name: str, target: Path, size: int) -> float:
        return self._run("get", self._root + name, str(target))

    def up(self, source: Path, name: str) -> float:
        return self._run("put", str(source), self._root + name)

    def down_tree(self, name: str, target: Path) -> float:
        return self._run("get", "-r", f"{self._root}{name}/", f"{target.parent}/")

    def up_tree(self, source: Path, name: str) -> float:
        return self._run("put", "-r", str(source), f"{self._root}{name.rpartition('/')[0]}/")

    def _run(self, verb: str, *words: str) -> float:
        command = [sys.executable, "-m", "kegbrowser", verb, *self._words, *words]
        return run_program(command, self._env, self._given)
