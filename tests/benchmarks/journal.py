"""How fast the journal takes a big job, finds in it and gives pages of it: `python -m tests.benchmarks.journal [files] [folder]`.

Beside it, how long a window waits for its own small changes while three helpers write.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kegbrowser.backends.proofs import Proof
from kegbrowser.transfer.events import Progress
from kegbrowser.transfer.journal import Journal
from kegbrowser.transfer.records import ItemEnd, ItemState, SourceMark

ROOT = Path(__file__).resolve().parents[2]
LOOK_UPS = 100_000

HELPER = """
import sys, time
from pathlib import Path
from kegbrowser.transfer.journal import Journal
from kegbrowser.transfer.records import ItemEnd, ItemState, SourceMark

journal, count, begun_s = Journal(Path(sys.argv[1])).open_job(int(sys.argv[2])), 0, time.perf_counter()
while time.perf_counter() - begun_s < 5:
    for _file in range(100):
        item = journal.plan(f"folder/file {count}", "p" * 60, SourceMark(1, 1), overwrite=False)
        journal.end(item, ItemEnd(ItemState.DONE))
        count += 1
    time.sleep(max(0.0, count / float(sys.argv[3]) - (time.perf_counter() - begun_s)))
journal.close()
"""


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        with Journal(Path(folder) / "journal.sqlite") as journal:
            one_big_job(journal, count)
            three_helpers(journal, 10_000)


def one_big_job(journal: Journal, count: int) -> None:
    job_id = journal.add("benchmark", {})
    memory = journal.open_job(job_id)
    files = [f"photos/2024/folder{number // 500:05d}/picture-{number:07d}.jpg" for number in range(count)]
    mark, end = (
        SourceMark(1, 1, '"d41d8cd98f00b204e9800998ecf8427e"'),
        ItemEnd(ItemState.DONE, proof=Proof.verified("MD5")),
    )

    begun_s = time.perf_counter()
    for path in files:
        memory.plan(path, f"/home/user/Downloads/{path}", mark, overwrite=False)
    memory.flush()
    planned_s = time.perf_counter()
    for item in range(count):
        memory.end(item, end)
    memory.flush()
    ended_s = time.perf_counter()
    print(f"plan {count / (planned_s - begun_s):,.0f} files/s, end {count / (ended_s - planned_s):,.0f} files/s")
    for item in range(0, count, 1000):
        memory.end(item, ItemEnd(ItemState.FAILED))
    memory.close()

    memory = journal.open_job(job_id)
    step = max(1, count // LOOK_UPS)
    begun_s = time.perf_counter()
    for path in files[::step]:
        assert memory.find(path) is not None
    print(f"find {(time.perf_counter() - begun_s) / len(files[::step]) * 1e6:.1f} us")
    print(f"begin {milliseconds(lambda: memory.begin(0, 'token', 'place'), 50):.2f} ms (waits for the disk)")
    memory.close()
    at = count * 9 // 10
    print(f"page at {at:,}: {milliseconds(lambda: journal.items(job_id, at, 100)):.2f} ms")
    print(
        f"page of those done at {at:,}: {milliseconds(lambda: journal.items(job_id, at, 100, {ItemState.DONE})):.2f} ms"
    )
    print(
        f"first page of those failed: {milliseconds(lambda: journal.items(job_id, 0, 100, {ItemState.FAILED})):.2f} ms"
    )
    print(f"counts: {milliseconds(lambda: journal.item_counts(job_id)):.2f} ms")
    print(f"file: {journal.path.stat().st_size / 1e6:.0f} MB")


def three_helpers(journal: Journal, files_per_s: int) -> None:
    command = [sys.executable, "-c", HELPER, str(journal.path)]
    own = journal.add("benchmark", {})
    helpers = [
        subprocess.Popen([*command, str(journal.add("benchmark", {})), str(files_per_s)], cwd=ROOT) for _job in range(3)
    ]
    changes: list[float] = []
    while any(helper.poll() is None for helper in helpers):
        changes.append(milliseconds(lambda: journal.change(own, progress=Progress(1, 2)), 1))
        time.sleep(0.05)
    slow = sorted(changes)[len(changes) * 95 // 100]
    middle = statistics.median(changes)
    print(f"change beside 3 helpers at {files_per_s:,} files/s each: median {middle:.2f} ms, p95 {slow:.2f} ms")


def milliseconds(action: Callable[[], object], times: int = 5) -> float:
    """The median duration."""
    taken: list[float] = []
    for _time in range(times):
        begun_s = time.perf_counter()
        action()
        taken.append((time.perf_counter() - begun_s) * 1000)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
