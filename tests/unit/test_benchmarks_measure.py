"""Benchmarks take turns, compare medians, and say which target was missed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.benchmarks._measure import Options, Work, arguments, compare, run


def test_all_take_turns_and_each_begins_once() -> None:
    done: list[str] = []

    compare(Work("w", lambda: done.append("ours"), {"peer": lambda: done.append("peer")}), repeats=2)

    assert done == ["ours", "peer", "peer", "ours", "ours", "peer"]


def test_the_ratio_says_how_many_times_as_fast_ours_is() -> None:
    slow, fast = (lambda: time.sleep(0.04)), (lambda: time.sleep(0.01))

    (ratio,) = compare(Work("w", fast, {"peer": slow}, target=1.5), repeats=3)

    assert ratio.ratio > 1.6
    assert ratio.peer_s is not None
    assert ratio.ours_s < ratio.peer_s
    assert ratio.is_met


def test_the_first_turn_is_not_counted() -> None:
    naps = iter([0.2, 0, 0, 0])

    (ratio,) = compare(Work("w", lambda: time.sleep(next(naps)), {"peer": lambda: time.sleep(0.01)}), repeats=3)

    assert ratio.ours_s < 0.1


def test_everything_is_put_back_before_each_turn() -> None:
    done: list[str] = []
    work = Work("w", lambda: done.append("ours"), {"p": lambda: done.append("p")}, between=lambda: done.append("back"))

    compare(work, repeats=1)

    assert done == ["back", "ours", "back", "p", "back", "p", "back", "ours"]


def test_a_missed_target_fails_and_the_json_has_every_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "table.json"
    slow, fast = (lambda: time.sleep(0.02)), (lambda: time.sleep(0.001))
    works = [Work("met", fast, {"peer": slow}, target=1.0), Work("late", slow, {"peer": fast}, target=1.0)]

    assert run(works, Options(repeats=1, json_path=path)) == 1
    assert run(works, Options(repeats=1, only=("met",))) == 0

    lines = json.loads(path.read_text())
    assert [line["work"] for line in lines] == ["met", "late"]
    assert set(lines[0]) == {"work", "peer", "ours_s", "peer_s", "ratio", "target"}
    assert capsys.readouterr().out.count("missed") == 1


def test_a_failing_peer_fails_the_benchmark() -> None:
    def broken() -> None:
        raise OSError("no such tool")

    with pytest.raises(OSError, match="no such tool"):
        compare(Work("w", lambda: None, {"peer": broken}), repeats=1)


def test_the_command_line_is_read(tmp_path: Path) -> None:
    assert arguments("d", ["--json", str(tmp_path), "--repeats", "3"]) == Options(3, tmp_path)
