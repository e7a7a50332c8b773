"""The scenes: each sets something to go wrong and lets the engine make its way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tests.conformance.place import Place
from tests.doubles.engine import pattern
from tests.faults.rig import FILES, MIB, PAYLOAD, Ending, Rig, digest
from tests.servers.faulty_proxy import Faults, FaultyProxy
from tests.servers.refusing_proxy import Refusal, RefusingProxy

SLOW_DOWN = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>'
INTERNAL = b'<?xml version="1.0"?><Error><Code>InternalError</Code><Message>We failed.</Message></Error>'
BUSY = b'<?xml version="1.0"?><Error><Code>ServerBusy</Code><Message>The server is busy.</Message></Error>'


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a scene plays."""

    place: Place
    folder: Path
    is_upload: bool

    def rig(self, port: int, *, timeout_s: float = 20.0) -> Rig:
        return Rig(
            self.place,
            self.folder,
            is_upload=self.is_upload,
            connect=lambda: self.place.connect(port=port, timeout_s=timeout_s),
        )

    @property
    def server_port(self) -> int:
        assert self.place.server_port is not None
        return self.place.server_port


def cut(setting: Setting, point: int) -> Ending:
    """Every connection is cut once that many bytes have passed in all."""
    with FaultyProxy(setting.server_port) as proxy:
        rig = setting.rig(proxy.port)
        has_cut = threading.Event()

        def look(moved: int) -> None:
            if moved >= point and not has_cut.is_set():
                has_cut.set()
                proxy.cut_all()

        rig.on_moved = look
        proxy.faults = Faults(bytes_per_s=60 * MIB)  # so that there is a middle
        return rig.run()


def cut_again_and_again(setting: Setting, point: int) -> Ending:
    """The first connections end after some bytes each."""
    after = 50_000 + point % (3 * MIB)
    with FaultyProxy(setting.server_port) as proxy:
        proxy.faults = Faults(cut_up_after=after, cut_down_after=after, cuts_left=8)
        return setting.rig(proxy.port).run()


def stall(setting: Setting, point: int, *, seconds: float = 2.0) -> Ending:
    """Nothing passes any more on the connections that there are, until they are given up."""
    with FaultyProxy(setting.server_port) as proxy:
        rig = setting.rig(proxy.port, timeout_s=seconds)
        has_stalled = threading.Event()

        def look(moved: int) -> None:
            if moved >= point and not has_stalled.is_set():
                has_stalled.set()
                proxy.faults.stalled = True
                timer = threading.Timer(seconds * 1.5, _end_stall, (proxy,))
                timer.daemon = True
                timer.start()

        rig.on_moved = look
        proxy.faults = Faults(bytes_per_s=60 * MIB)
        return rig.run()


def _end_stall(proxy: FaultyProxy) -> None:
    proxy.faults.stalled = False
    with suppress(RuntimeError):  # all has ended by itself
        proxy.cut_all()


def _refused(setting: Setting, refusal: Refusal) -> Ending:
    """Every fifth request that moves content is refused, and each only for a while."""
    left = 25
    lock = threading.Lock()

    with RefusingProxy(setting.server_port) as proxy:

        def refuse(method: str, _target: str) -> Refusal | None:
            nonlocal left
            with lock:
                if method in ("GET", "PUT", "POST") and proxy.asked % 5 == 0 and left:
                    left -= 1
                    return refusal
            return None

        proxy.refuse = refuse
        ending = setting.rig(proxy.port).run()
    if not proxy.refused:
        ending.problems.append("nothing was refused")
    return ending


def fault_500(setting: Setting, _point: int) -> Ending:
    """The server fails inside."""
    return _refused(setting, Refusal(500, INTERNAL, {"Content-Type": "application/xml"}))


def slow_down_503(setting: Setting, _point: int) -> Ending:
    """The server asks to slow down."""
    body = BUSY if setting.place.kind == "azure" else SLOW_DOWN
    return _refused(setting, Refusal(503, body, {"Content-Type": "application/xml"}))


def retry_after_429(setting: Setting, _point: int) -> Ending:
    """The server says how long to wait."""
    return _refused(setting, Refusal(429, SLOW_DOWN, {"Retry-After": "1", "Content-Type": "application/xml"}))


def throttled(setting: Setting, _point: int) -> Ending:
    """A slow line."""
    with FaultyProxy(setting.server_port) as proxy:
        proxy.faults = Faults(bytes_per_s=6 * MIB, delay_s=0.01)
        return setting.rig(proxy.port).run()


def corrupted(setting: Setting, point: int) -> Ending:
    """A byte of what comes from the server is turned on the way."""
    with FaultyProxy(setting.server_port) as proxy:
        proxy.faults = Faults(flip_byte_at=20_000 + point % (2 * MIB))
        rig = setting.rig(proxy.port)

        def look(moved: int) -> None:
            if moved > PAYLOAD // 3:
                proxy.faults.flip_byte_at = None

        rig.on_moved = look
        return rig.run()


def source_changes(setting: Setting, point: int) -> Ending:
    """Somebody saves the large file anew while it is read."""
    with FaultyProxy(setting.server_port) as proxy:
        rig = setting.rig(proxy.port)
        has_changed = threading.Event()

        def look(moved: int) -> None:
            if moved >= point and not has_changed.is_set():
                has_changed.set()
                proxy.faults = Faults()
                rig.change_source("d/large", pattern(17 * MIB + 5, 9))

        rig.on_moved = look
        rig.tuning = replace(rig.tuning, parts=2, most_parts=2)
        proxy.faults = Faults(bytes_per_s=20 * MIB)
        ending = rig.run()
        _forgive_old_version(rig, ending)
        return ending


def _forgive_old_version(rig: Rig, ending: Ending) -> None:
    """A file that was whole before it was changed arrived as it was: that is right as well."""
    if rig.arrived().get("d/large") == digest(FILES["d/large"]):
        ending.problems = [problem for problem in ending.problems if not problem.startswith("d/large differs")]


Scene = Callable[[Setting, int], Ending]
EVERYWHERE: dict[str, Scene] = {
    "connection cut": cut,
    "cut again and again": cut_again_and_again,
    "stall": stall,
    "slow line": throttled,
    "source changes": source_changes,
    "corrupted byte": corrupted,
}
OVER_HTTP: dict[str, Scene] = {
    "500": fault_500,
    "503 SlowDown": slow_down_503,
    "429 Retry-After": retry_after_429,
}
