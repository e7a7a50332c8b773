"""Kills the helper in the middle of a transfer, starts another on the same journal, and counts what went over the wire twice."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.transfer.events import JobReport, Progress
from kegbrowser.transfer.jobs import ConflictPolicy, Download, Source, TransferJob, Upload
from kegbrowser.transfer.journal import Journal
from kegbrowser.worker.handle import HelperDied, HelperHandle
from kegbrowser.worker.messages import HappenedInJob, JobEnded, JournalPlace, PaceLimits
from tests.conformance.place import Place
from tests.faults.rig import FILES, MIB, PAYLOAD, digest
from tests.integration.engine_places import becomes_true, files_in, fill
from tests.servers.faulty_proxy import FaultyProxy

RATE = 40 * MIB
"""So that there is a middle to be killed in."""


@dataclass(slots=True)
class Killed:
    """How it ended.

    Attributes:
        sent_twice: bytes over the wire beyond the files' own, headers and listings included.
        resumed: bytes that the second run found done.
    """

    sent_twice: int = 0
    resumed: int = 0
    problems: list[str] = field(default_factory=list)


def kill_helper(place: Place, folder: Path, point: int, *, is_upload: bool) -> Killed:
    """Kill the helper once it has moved that many bytes, and let another one go on."""
    killed = Killed()
    assert place.server_port is not None
    if is_upload:
        fill(folder / "from", FILES)
    else:
        for name, content in FILES.items():
            place.raw_put(name, content)
    with FaultyProxy(place.server_port) as proxy, Journal(folder / "journal.sqlite") as journal:
        job_id = journal.add("upload" if is_upload else "download", {})
        above = f"{str(place._root).lstrip('/')}/" if place.kind == "sftp" else ""  # type: ignore[attr-defined]
        job = _job(spec_of(place, proxy.port), above, folder, is_upload=is_upload)
        where = JournalPlace(str(journal.path), job_id)
        _run(job, where, point)
        report = _run(job, where, None)
        passed = proxy.bytes_up if is_upload else proxy.bytes_down
    killed.sent_twice = max(0, passed - PAYLOAD)
    if report is None or report.files_failed or report.files_done != len(FILES):
        killed.problems.append(f"the second run did not do all: {report}")
    else:
        killed.resumed = report.bytes_resumed
    _judge(place, folder, killed, is_upload=is_upload)
    return killed


def _job(spec: ConnectionSpec, above: str, folder: Path, *, is_upload: bool) -> TransferJob:
    if is_upload:
        return Upload(spec, (str(folder / "from" / "d"),), above, ConflictPolicy.OVERWRITE)
    return Download(spec, (Source(f"{above}d/", is_folder=True),), str(folder / "to"), ConflictPolicy.OVERWRITE)


def _run(job: TransferJob, where: JournalPlace, point: int | None) -> JobReport | None:
    """Run the job in a helper of its own, which is killed at the point, if there is one."""
    helper = HelperHandle()
    limits = PaceLimits(up_bytes_per_s=RATE, down_bytes_per_s=RATE) if point is not None else None
    try:
        for message in helper.run(job, where, limits):
            event = message.event if isinstance(message, HappenedInJob) else None
            if point is not None and isinstance(event, Progress) and event.bytes_moved >= point:
                os.kill(helper.pid, signal.SIGKILL)
                point = None
            if isinstance(message, JobEnded):
                if message.error is not None:
                    raise message.error
                return message.result if isinstance(message.result, JobReport) else None
    except HelperDied:
        return None
    finally:
        helper.stop()
    return None


def _judge(place: Place, folder: Path, killed: Killed, *, is_upload: bool) -> None:
    if is_upload:
        names = [name for name in place.raw_names() if not name.endswith("/")]
        arrived = {name: digest(place.raw_bytes(name)) for name in names}
    else:
        arrived = {name: digest(content) for name, content in files_in(folder / "to").items()}
    expected = {name: digest(content) for name, content in FILES.items()}
    killed.problems += [f"{name} is missing or differs" for name, it in expected.items() if arrived.get(name) != it]
    killed.problems += [f"{name} should not be there" for name in arrived.keys() - expected.keys()]
    if not becomes_true(lambda: not place.leftovers(), within_s=10):
        killed.problems.append(f"left over at the server: {place.leftovers()}")


def spec_of(place: Any, port: int) -> ConnectionSpec:
    """A connection that a helper can open: to the place, by way of a proxy."""
    kind = place.kind
    if kind == "s3":
        address = place._address
        options = {
            "endpoint": f"http://127.0.0.1:{port}",
            "bucket": place.container,
            "auth": "keys",
            "access_key_id": address.admin.access_key,
            "secret_access_key": address.admin.secret_key,
            "region": address.region,
            "addressing": "path",
        }
    elif kind == "azure":
        address = place._address
        options = {
            "auth": "key",
            "account": address.account,
            "key": address.key,
            "endpoint": address.endpoint.replace(f":{address.port}/", f":{port}/"),
            "container": place.container,
        }
    else:
        address = place._address.at(port)
        options = {
            "host": address.host,
            "port": str(port),
            "username": address.username,
            "auth": "key",
            "key_filename": address.key_file,
            "known_hosts": address.known_hosts_file,
        }
    return ConnectionSpec(f"{kind}-killed", kind, kind, options)
