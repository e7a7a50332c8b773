"""Helper processes: they work, they are stopped, they die, and nothing but their own job suffers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest

from kegbrowser.backends.errors import FileNotFoundInStorageError
from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.services.helper_pool import HelperPool
from kegbrowser.transfer.events import JobReport, PageListed
from kegbrowser.transfer.jobs import Delete, Download, FindHome, Job, ListFolder, Source
from kegbrowser.transfer.questions import DeleteAnswer, DeleteQuestion
from kegbrowser.worker.handle import HelperDied, HelperHandle
from kegbrowser.worker.messages import AskedByJob, HappenedInJob, JobEnded, StartJob, Wire
from tests.servers.faulty_proxy import Faults, FaultyProxy
from tests.servers.process import wait_until
from tests.servers.seaweed import S3Address
from tests.servers.sshd import SshdAddress

BIG_BYTES = 24 * 1024 * 1024


@pytest.fixture
def helper() -> Iterator[HelperHandle]:
    handle = HelperHandle()
    yield handle
    handle.stop()


@pytest.fixture
def other_helper() -> Iterator[HelperHandle]:
    handle = HelperHandle()
    yield handle
    handle.stop()


@dataclass
class Run:
    """A job that runs on a thread of its own; `met` is set by the first thing of `until` that it tells."""

    helper: HelperHandle
    job: Job
    until: type = AskedByJob
    met: threading.Event = field(default_factory=threading.Event)
    messages: list[HappenedInJob | AskedByJob | JobEnded] = field(default_factory=list)

    def __call__(self) -> JobEnded:
        for message in self.helper.run(self.job):
            self.messages.append(message)
            if isinstance(message, self.until):
                self.met.set()
        ended = self.messages[-1]
        assert isinstance(ended, JobEnded)
        return ended


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def local_spec(root: Path) -> ConnectionSpec:
    return ConnectionSpec(f"local-{root.name}", "local", "Here", {"root": str(root)})


def folder_with(parent: Path, name: str, *files: str) -> Path:
    folder = parent / name
    folder.mkdir()
    for file in files:
        (folder / file).write_bytes(b"content")
    return folder


def deletion(folder: Path) -> Delete:
    """A job that counts, then asks, and so stays in its middle until it is answered."""
    return Delete(local_spec(folder.parent), (Source(f"{folder.name}/", True),))


def in_the_middle(threads: ThreadPoolExecutor, helper: HelperHandle, folder: Path) -> tuple[Run, Future[JobEnded]]:
    run = Run(helper, deletion(folder))
    future = threads.submit(run)
    assert run.met.wait(20)
    return run, future


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


# -- jobs ----------------------------------------------------------------------------------------------------------------


def test_a_helper_tells_what_happens_and_then_how_the_job_ended(helper: HelperHandle, tmp_path: Path) -> None:
    folder_with(tmp_path, "folder", "a")
    (tmp_path / "file").write_bytes(b"12345")

    messages = list(helper.run(ListFolder(local_spec(tmp_path), "")))

    events = [message.event for message in messages if isinstance(message, HappenedInJob)]
    entries = [entry for page in events if isinstance(page, PageListed) for entry in page.entries()]
    assert {(entry.name, entry.is_folder) for entry in entries} == {("folder", True), ("file", False)}
    assert messages[-1] == JobEnded(0)


def test_a_helper_runs_one_job_after_the_other_with_different_ids(helper: HelperHandle, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    ends = [list(helper.run(FindHome(local_spec(tmp_path))))[-1] for _ in range(3)]

    assert [(end.job_id, end.result) for end in ends if isinstance(end, JobEnded)] == [(0, ""), (1, ""), (2, "")]


def test_an_error_of_a_job_arrives_and_the_helper_goes_on(helper: HelperHandle, tmp_path: Path) -> None:
    spec = local_spec(tmp_path)
    (ended,) = helper.run(ListFolder(spec, "missing/"))

    assert isinstance(ended, JobEnded)
    assert isinstance(ended.error, FileNotFoundInStorageError)
    assert "missing" in ended.error.message
    assert list(helper.run(FindHome(spec)))[-1] == JobEnded(1, result="")


def test_a_fault_of_the_program_fails_the_job_and_leaves_the_helper_alive(helper: HelperHandle, tmp_path: Path) -> None:
    broken = ListFolder(local_spec(tmp_path), None)  # type: ignore[arg-type]
    ended = list(helper.run(broken))[-1]

    assert isinstance(ended, JobEnded)
    assert ended.error is not None
    assert "fault in the program" in ended.error.message
    assert list(helper.run(FindHome(local_spec(tmp_path))))[-1] == JobEnded(1, result="")


def test_an_answer_reaches_the_job_that_asked(
    helper: HelperHandle, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path, "folder", "a", "b")
    run, future = in_the_middle(threads, helper, folder)
    asked = run.messages[-1]

    assert isinstance(asked, AskedByJob)
    assert isinstance(asked.question, DeleteQuestion)
    assert asked.question.counted.files == 2
    assert folder.exists()
    helper.answer(asked.question_id, DeleteAnswer(confirmed=True))
    report = future.result(20).result
    assert isinstance(report, JobReport)
    assert report.files_done == 2
    assert not folder.exists()


def test_a_dismissed_question_cancels_the_job(
    helper: HelperHandle, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path, "folder", "a")
    run, future = in_the_middle(threads, helper, folder)
    asked = run.messages[-1]

    assert isinstance(asked, AskedByJob)
    helper.answer(asked.question_id, None)
    assert future.result(20).was_cancelled
    assert (folder / "a").exists()


def test_cancelling_ends_a_job_that_waits_for_an_answer(
    helper: HelperHandle, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path, "folder", "a")
    _run, future = in_the_middle(threads, helper, folder)
    helper.cancel()

    assert future.result(1).was_cancelled
    assert (folder / "a").exists()


# -- the end of helpers and of their parent ---------------------------------------------------------------------------------


def test_a_killed_helper_takes_only_its_own_job_with_it(
    helper: HelperHandle, other_helper: HelperHandle, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    first, second = folder_with(tmp_path, "first", "a"), folder_with(tmp_path, "second", "b")
    _run, doomed = in_the_middle(threads, helper, first)
    run, spared = in_the_middle(threads, other_helper, second)

    os.kill(helper.pid, signal.SIGKILL)

    with pytest.raises(HelperDied):
        doomed.result(5)
    asked = run.messages[-1]
    assert isinstance(asked, AskedByJob)
    other_helper.answer(asked.question_id, DeleteAnswer(confirmed=True))
    assert isinstance(spared.result(20).result, JobReport)
    assert (first / "a").exists()
    assert not second.exists()
    with pytest.raises(HelperDied):
        list(helper.run(FindHome(local_spec(tmp_path))))


def test_a_dead_helper_may_be_cancelled_answered_and_stopped(helper: HelperHandle) -> None:
    os.kill(helper.pid, signal.SIGKILL)
    wait_until(lambda: not helper.is_alive, "the end of the helper")

    helper.cancel()
    helper.answer(0, None)
    helper.forget("x")
    helper.warm_up(("local",))
    helper.stop()
    helper.stop()


def test_a_helper_ends_by_itself_when_its_parent_is_killed() -> None:
    script = (
        "import os, sys\n"
        "from kegbrowser.worker.handle import HelperHandle\n"
        "helper = HelperHandle()\n"
        "print(helper.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not is_gone(pid)
        parent.kill()
    wait_until(lambda: is_gone(pid), "the end of the helper")


def test_a_helper_whose_parent_is_gone_leaves_its_job_undone(
    helper: HelperHandle, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path, "folder", "a")
    _run, future = in_the_middle(threads, helper, folder)

    helper.stop(grace_s=5.0)

    assert not helper.is_alive
    assert helper._process.returncode == 0, "it left by itself"
    assert (folder / "a").exists()
    error = future.exception(5)
    assert isinstance(error, HelperDied) or future.result().was_cancelled


def test_a_helper_ignores_the_interrupt_of_its_terminal(helper: HelperHandle, tmp_path: Path) -> None:
    assert list(helper.run(FindHome(local_spec(tmp_path))))
    os.kill(helper.pid, signal.SIGINT)

    assert list(helper.run(FindHome(local_spec(tmp_path))))[-1] == JobEnded(1, result="")


def test_what_a_library_prints_does_not_get_into_the_pipe(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from kegbrowser.worker import child\n"
        "real = child.run_job\n"
        "def noisy(job, context):\n"
        "    print('stray text', flush=True)\n"
        "    os.write(1, b'stray bytes')\n"
        "    os.system('echo stray child')\n"
        "    assert sys.stdin.read() == '', 'the pipe belongs to us alone'\n"
        "    return real(job, context)\n"
        "child.run_job = noisy\n"
        "sys.exit(child.main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    wire = Wire(process.stdout, process.stdin)
    wire.send(StartJob(5, FindHome(local_spec(tmp_path))))
    received = wire.receive()
    wire.close_outgoing()
    assert process.stderr is not None
    said = process.stderr.read()
    process.wait(10)
    process.stdout.close()
    process.stderr.close()

    assert received == JobEnded(5, result="")
    assert all(text in said for text in (b"stray text", b"stray bytes", b"stray child"))
    assert process.returncode == 0


def test_nothing_of_a_connection_is_in_the_helpers_arguments_or_environment(
    helper: HelperHandle, tmp_path: Path
) -> None:
    spec = ConnectionSpec("1", "local", "Here", {"root": str(tmp_path), "password": "hunter2"})
    assert list(helper.run(FindHome(spec)))[-1] == JobEnded(0, result="")

    for file in ("cmdline", "environ"):
        assert b"hunter2" not in Path(f"/proc/{helper.pid}/{file}").read_bytes()


# -- the pool ------------------------------------------------------------------------------------------------------------


def test_the_pool_hands_out_the_helper_that_has_the_connection_open() -> None:
    pool = HelperPool()
    first, second = pool.take(["a"]), pool.take(["b"])
    try:
        assert first is not second
        for helper in (first, second):
            pool.give_back(helper)
        assert pool.take(["b"]) is second
        assert pool.take(["b"]) is first, "an idle one before a new one"
        pool.give_back(first)
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: not first.is_alive, "the end of the helper")
        third = pool.take(["b"])
        assert third is not first
    finally:
        pool.close()
    assert is_gone(second.pid)
    assert is_gone(third.pid)


# -- servers that have stopped answering -----------------------------------------------------------------------------------


@pytest.fixture
def sftp_proxy(sshd_server: SshdAddress) -> Iterator[FaultyProxy]:
    with FaultyProxy(sshd_server.port) as proxy:
        yield proxy


@pytest.fixture
def s3_proxy(s3_server: S3Address) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3_server.port) as proxy:
        yield proxy


def check_that_a_stalled_download_is_cancelled(
    helper: HelperHandle, threads: ThreadPoolExecutor, proxy: FaultyProxy, spec: ConnectionSpec, path: str, to: Path
) -> None:
    to.mkdir()
    proxy.faults = Faults(stall_down_after=3 * 1024 * 1024)
    future = threads.submit(Run(helper, Download(spec, (Source(path, False),), str(to))))
    wait_until(lambda: proxy.bytes_down >= 3 * 1024 * 1024 or future.done(), "the stall")
    assert any(to.iterdir())

    begun = time.monotonic()
    helper.cancel()
    ended = future.result(10)
    took_s = time.monotonic() - begun

    assert ended.was_cancelled
    assert took_s < 1.0
    assert list(to.iterdir()) == [], "no part file is left"
    proxy.faults = Faults()
    messages = list(helper.run(Download(spec, (Source(path, False),), str(to))))
    report = messages[-1]
    assert isinstance(report, JobEnded)
    assert isinstance(report.result, JobReport), report.error
    assert [file.stat().st_size for file in to.iterdir()] == [BIG_BYTES]


def test_a_stalled_download_from_sftp_is_cancelled_within_a_second(
    helper: HelperHandle, threads: ThreadPoolExecutor, sshd_server: SshdAddress, sftp_proxy: FaultyProxy, tmp_path: Path
) -> None:
    address = sshd_server.at(sftp_proxy.port)
    big = Path(address.root) / "stalled.bin"
    big.write_bytes(os.urandom(BIG_BYTES))
    options = {
        "host": address.host,
        "port": str(address.port),
        "username": address.username,
        "auth": "key",
        "key_filename": address.key_file,
        "known_hosts": address.known_hosts_file,
    }
    spec = ConnectionSpec("sftp", "sftp", "Server", options)
    path = str(big).lstrip("/")
    check_that_a_stalled_download_is_cancelled(helper, threads, sftp_proxy, spec, path, tmp_path / "to")
    big.unlink()


def test_a_stalled_download_from_s3_is_cancelled_within_a_second(
    helper: HelperHandle, threads: ThreadPoolExecutor, s3_server: S3Address, s3_proxy: FaultyProxy, tmp_path: Path
) -> None:
    client = boto3.client(
        "s3",
        region_name=s3_server.region,
        endpoint_url=s3_server.endpoint,
        aws_access_key_id=s3_server.admin.access_key,
        aws_secret_access_key=s3_server.admin.secret_key,
    )
    client.create_bucket(Bucket="shared-stalled")
    client.put_object(Bucket="shared-stalled", Key="stalled.bin", Body=os.urandom(BIG_BYTES))
    options = {
        "endpoint": f"http://127.0.0.1:{s3_proxy.port}",
        "bucket": "shared-stalled",
        "auth": "keys",
        "access_key_id": s3_server.admin.access_key,
        "secret_access_key": s3_server.admin.secret_key,
        "region": s3_server.region,
        "addressing": "path",
    }
    spec = ConnectionSpec("s3", "s3", "Bucket", options)
    check_that_a_stalled_download_is_cancelled(helper, threads, s3_proxy, spec, "stalled.bin", tmp_path / "to")
    client.delete_bucket(Bucket="shared-stalled")
    client.close()
