"""Names are put in the same order, and found by the same texts, by numpy as one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kegbrowser.models.name_order import NameBytes, encoded, name_order, rows_containing
from kegbrowser.models.natural import natural_key

CHARS = st.one_of(st.sampled_from("aAbB00129 .-_/:;@[`~éÉßſİ日😀\udc80\udcff"), st.characters(exclude_characters="\0"))
NUMBERED = st.from_regex(r"\A(file|FILE)-?0{0,3}[0-9]{1,3}(\.b)?\Z")
NAMES = st.lists(st.one_of(st.text(CHARS, max_size=30), NUMBERED), min_size=1, max_size=40)


def made(names: list[str]) -> tuple[NameBytes, NameBytes]:
    joined = "\0".join(names)
    return NameBytes.of(encoded(joined)), NameBytes.of(encoded(joined.casefold()))


def one_by_one(names: list[str]) -> list[int]:
    return sorted(range(len(names)), key=lambda row: (natural_key(names[row]), names[row], row))


@settings(max_examples=500)
@given(NAMES)
def test_the_order_is_the_one_of_natural_keys(names: list[str]) -> None:
    assert name_order(*made(names)).tolist() == one_by_one(names)


@pytest.mark.parametrize(
    "names",
    [
        [""],
        ["", "", "a", ""],
        ["a" * 8, "a" * 16, "a" * 9, "a" * 7, "a" * 8],
        ["9" * 18, "1" + "0" * 18, "8" * 17, "9" * 40, "1" * 60],
        ["x" + "0" * 50 + "1", "x1", "x01", "X1"],
        [f"common/prefix/that/is/long/{number}" for number in range(200, 0, -1)],
    ],
)
def test_ties_and_long_numbers_are_in_order(names: list[str]) -> None:
    assert name_order(*made(names)).tolist() == one_by_one(names)


@given(NAMES, st.text(CHARS, max_size=4))
def test_a_text_is_found_where_it_is(names: list[str], needle: str) -> None:
    folded = needle.casefold().encode("utf-8", "surrogatepass")

    found = rows_containing(made(names)[1], folded).tolist()

    assert found == [needle.casefold() in name.casefold() for name in names]


def test_each_name_can_be_read_again() -> None:
    names = ["a", "", "日\udc80", "z"]

    assert [made(names)[0].text(row) for row in range(4)] == names
