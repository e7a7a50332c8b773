"""Backends are found, described as data, and opened from options."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from kegbrowser.backends import registry
from kegbrowser.backends.errors import InvalidOptions
from kegbrowser.backends.locations import SCHEMES, Location
from kegbrowser.backends.memory import BACKEND, MemoryStorage
from kegbrowser.backends.registry import BackendInfo, ConnectionSpec, FieldKind, OptionField, backend, backends, warm_up

CHOSEN = BackendInfo(
    kind="chosen",
    label="Chosen",
    description="For this test.",
    icon="local",
    fields=(
        OptionField("secret", "Password", FieldKind.SECRET, required=True, shown_if=("how", ("password",))),
        OptionField("how", "How", FieldKind.CHOICE, default="password", choices=(("password", "P"), ("key", "K"))),
        OptionField("host", "Host", required=True),
        OptionField("port", "Port", FieldKind.INTEGER, default="22"),
        OptionField("fast", "Fast", FieldKind.BOOL),
    ),
    open=lambda options, name: MemoryStorage(name),
    suggest_name=lambda options: options.get("host", ""),
    locate=lambda options, path: Location("memory", options["host"], path),
    match=lambda options, location: None,
    from_location=lambda location: {},
)


@pytest.fixture(autouse=True)
def _fresh_registry() -> Iterator[None]:
    backends.cache_clear()
    yield
    backends.cache_clear()


def _plug_in(monkeypatch: pytest.MonkeyPatch, value: str, content: object) -> None:
    module = ModuleType("kegbrowser_plug_in")
    module.BACKEND = content  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kegbrowser_plug_in", module)
    points = [EntryPoint("chosen", value, registry.ENTRY_POINT_GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)


def test_every_scheme_of_an_address_has_its_backend() -> None:
    assert set(backends()) >= set(SCHEMES)
    assert {info.kind for info in backends().values()} >= set(SCHEMES)


@pytest.mark.parametrize("kind", SCHEMES)
def test_backends_describe_themselves_fully(kind: str) -> None:
    info = backend(kind)

    assert info.kind == kind
    assert info.label
    assert info.description.endswith(".")
    assert info.icon
    keys = [field.key for field in info.fields]
    assert len(keys) == len(set(keys))
    for field in info.fields:
        assert field.label
        assert not field.label.endswith(":")
        assert not field.help or field.help.endswith("."), field.key
        assert bool(field.choices) == (field.kind is FieldKind.CHOICE), field.key
        assert not field.default or field.kind is not FieldKind.CHOICE or field.default in dict(field.choices)
        if field.shown_if is not None:
            decider = next(other for other in info.fields if other.key == field.shown_if[0])
            assert decider.kind is FieldKind.CHOICE
            assert set(field.shown_if[1]) <= {value for value, _label in decider.choices}
    assert set(info.secret_keys) == {field.key for field in info.fields if field.kind is FieldKind.SECRET}


@pytest.mark.parametrize("kind", ["s3", "azure", "sftp"])
def test_secrets_are_marked_as_such(kind: str) -> None:
    assert backend(kind).secret_keys
    for field in backend(kind).fields:
        looks_secret = any(word in field.key for word in ("secret", "password", "passphrase", "token", "sas"))
        assert not looks_secret or field.kind is FieldKind.SECRET, field.key


def test_no_sdk_and_no_qt_is_imported_until_a_backend_is_opened() -> None:
    program = (
        "import sys\n"
        "from kegbrowser.backends.registry import backends\n"
        "assert len(backends()) >= 5\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )

    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    assert not {"boto3", "botocore", "azure", "paramiko", "keyring", "PySide6", "numpy", "urllib3"} & set(loaded)


@pytest.mark.parametrize("kind", ["s3", "azure", "sftp"])
def test_what_is_warmed_up_is_what_opening_needs(kind: str) -> None:
    warm_up(kind)

    for module in backend(kind).sdk_modules:
        assert module in sys.modules
    assert backend(kind).sdk_modules


def test_warming_up_an_unknown_kind_does_nothing() -> None:
    warm_up("unknown")


def test_an_unknown_kind_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidOptions, match="gopher"):
        backend("gopher")


def test_another_package_adds_a_backend_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    _plug_in(monkeypatch, "kegbrowser_plug_in:BACKEND", CHOSEN)

    assert backend("chosen") is CHOSEN
    assert ConnectionSpec("id", "chosen", "name", {"secret": "x", "host": "h"}).open().name == "name"


@pytest.mark.parametrize(
    "value", ["kegbrowser_plug_in:MISSING", "kegbrowser_no_such_module:BACKEND", "kegbrowser_plug_in:__name__"]
)
def test_a_broken_package_does_not_take_the_others_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    _plug_in(monkeypatch, value, CHOSEN)

    assert set(backends()) == set(SCHEMES)
    assert "chosen" in caplog.text


def test_another_package_does_not_replace_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    _plug_in(monkeypatch, "kegbrowser_plug_in:BACKEND", replace(CHOSEN, kind="memory"))
    monkeypatch.setattr(
        registry,
        "entry_points",
        lambda group: [EntryPoint("memory", "kegbrowser_plug_in:BACKEND", registry.ENTRY_POINT_GROUP)],
    )

    assert backend("memory") is BACKEND


def test_defaults_are_filled_in_where_nothing_is_given() -> None:
    complete = CHOSEN.complete({"secret": "x", "host": "h", "port": "", "unknown": "y"})

    assert complete == {"secret": "x", "how": "password", "host": "h", "port": "22", "fast": ""}


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({"secret": "x"}, "Host"),
        ({"host": "h"}, "Password"),
        ({"secret": "x", "host": "h", "port": "22a"}, "Port"),
        ({"secret": "x", "host": "h", "port": "-1"}, "Port"),
        ({"secret": "x", "host": "h", "how": "magic"}, "How"),
    ],
)
def test_wrong_options_are_refused_by_their_label(options: dict[str, str], label: str) -> None:
    with pytest.raises(InvalidOptions, match=f"“{label}”") as refusal:
        CHOSEN.complete(options)

    assert label in refusal.value.hint


def test_a_hidden_option_is_not_required() -> None:
    assert CHOSEN.complete({"how": "key", "host": "h"})["secret"] == ""


def test_options_beyond_the_form_reach_the_backend() -> None:
    got: list[dict[str, str]] = []

    def open_(options: object, name: str) -> MemoryStorage:
        got.append(dict(options))  # type: ignore[call-overload]
        return MemoryStorage(name)

    backends()["chosen"] = replace(CHOSEN, open=open_)

    ConnectionSpec("id", "chosen", "n", {"secret": "x", "host": "h", "host_keys": "k"}).open()

    assert got == [
        {"secret": "x", "how": "password", "host": "h", "port": "22", "fast": "", "host_keys": "k"},
    ]


def test_a_connection_does_not_show_its_options() -> None:
    spec = ConnectionSpec("id", "s3", "photos", {"aws_secret_access_key": "Canary"})

    assert "Canary" not in f"{spec} {spec!r}"
    assert "photos" in repr(spec)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("s3://bucket/a//b/%2Fc", "s3"),
        ("azure://account/container/blob", "azure"),
        ("sftp://user@host:2222/home/user/file", "sftp"),
        ("local:///tmp/folder/", "local"),
        ("memory://store/key", "memory"),
    ],
)
def test_an_address_leads_to_a_connection_that_leads_back_to_it(url: str, kind: str) -> None:
    location, info = Location.parse(url), backend(kind)

    options = info.with_defaults(info.from_location(location))
    path = info.match(options, location)

    assert path is not None
    assert info.locate(options, path).path == location.path
    assert info.suggest_name(options)
