"""What the command line says about how to connect: options, and where secrets come from."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kegbrowser.backends.registry import BackendInfo, FieldKind, OptionField, backends
from kegbrowser.commands.console import Console
from kegbrowser.commands.outcome import UsageError

_AZURE_VARIABLES = (("key", "AZURE_STORAGE_KEY"), ("sas_token", "AZURE_STORAGE_SAS_TOKEN"))
"""Of the Azure CLI ("Azure CLI configuration", environment variables of the storage commands)."""


@dataclass(frozen=True, slots=True, repr=False)
class GivenOptions:
    """What the command line said about how to connect.

    Attributes:
        options: `--option`; no secrets.
        asked: keys of secrets to ask for on the terminal.
        piped: secrets read from standard input, by key.
        for_several: the words name places of several kinds, so an option need not fit all of them.
    """

    options: Mapping[str, str]
    asked: tuple[str, ...] = ()
    piped: Mapping[str, str] = field(default_factory=dict)
    for_several: bool = False

    @property
    def any(self) -> bool:
        return bool(self.options or self.asked or self.piped)


class OptionSource:
    """Completes a connection's options by what was given, and asks for what is still secret. Main thread only."""

    def __init__(self, given: GivenOptions, console: Console) -> None:
        self._given = given
        self._console = console
        self._answers: dict[tuple[str, str], str] = {}

    @property
    def has_any(self) -> bool:
        """Whether anything was given: then no saved connection is meant."""
        return self._given.any

    def plain(self, info: BackendInfo) -> dict[str, str]:
        """The given options that this kind of storage has.

        Raises:
            UsageError: one that it has not, or one that is a secret.
        """
        own = [one.key for one in info.fields if one.kind is not FieldKind.SECRET]
        for key in self._given.options:
            if any(key in other.secret_keys for other in self._kinds(info)):
                raise UsageError(
                    f"“{key}” is a secret, which everybody on this machine could read on the command line.",
                    hint=f"Use --ask {key} or --secret-stdin {key}.",
                )
            if not any(key == one.key for other in self._kinds(info) for one in other.fields):
                raise UsageError(f"{info.label} has no option “{key}”.", hint=f"There are: {', '.join(own)}.")
        return {key: value for key, value in self._given.options.items() if key in own}

    def choose(self, info: BackendInfo, options: dict[str, str]) -> None:
        """Let a given key file or password, or one of the environment, choose that way to sign in."""
        keys = {*self._given.options, *self._given.asked, *self._given.piped}
        if not keys.intersection(info.secret_keys):
            keys.update(self._add_from_environment(info, options))
        for one in info.fields:
            if one.key not in keys or one.shown_if is None or one.shown_if[0] in self._given.options:
                continue
            choice, values = one.shown_if
            if options.get(choice) not in values:
                options[choice] = values[0]

    def add_secrets(self, info: BackendInfo, options: dict[str, str]) -> None:
        """Put the piped secrets into the options, and ask for those that were to be asked for or are required.

        Raises:
            UsageError: a secret that this kind of storage has not, or a required one with nobody to ask.
        """
        for key in (*self._given.piped, *self._given.asked):
            if not any(key in other.secret_keys for other in self._kinds(info)):
                known = ", ".join(info.secret_keys) or "none"
                raise UsageError(f"{info.label} has no secret “{key}”.", hint=f"There are: {known}.")
        for one in info.fields:
            if one.kind is not FieldKind.SECRET:
                continue
            if one.key in self._given.piped:
                options[one.key] = self._given.piped[one.key]
            elif one.key in self._given.asked or _is_missing(one, info, options):
                options[one.key] = self._ask_once(info, one)

    def _add_from_environment(self, info: BackendInfo, options: dict[str, str]) -> list[str]:
        """Take a secret that the service's own command line would take, if it is of the same account; gives its key.

        Where an SDK does so by itself (AWS), nothing is done here.
        """
        account = os.environ.get("AZURE_STORAGE_ACCOUNT", "")
        if info.kind != "azure" or (account and account != options.get("account")):
            return []
        for key, variable in _AZURE_VARIABLES:
            if value := os.environ.get(variable):
                options[key] = value
                return [key]
        return []

    def _ask_once(self, info: BackendInfo, one: OptionField) -> str:
        identity = info.kind, one.key
        if identity not in self._answers:
            if not self._console.can_ask:
                raise UsageError(f"“{one.label}” is missing.", hint=f"Pipe it in, with --secret-stdin {one.key}.")
            self._answers[identity] = self._console.ask_secret(one.label)
        return self._answers[identity]

    def _kinds(self, info: BackendInfo) -> Iterable[BackendInfo]:
        return backends().values() if self._given.for_several else (info,)


def read_piped_secrets(keys: tuple[str, ...]) -> dict[str, str]:
    """Take one line of standard input for each key, in this order.

    Raises:
        UsageError: there are fewer lines.
    """
    piped: dict[str, str] = {}
    for key in keys:
        line = sys.stdin.readline()
        if not line.rstrip("\r\n"):
            raise UsageError(
                f"Standard input holds no line for “{key}”.", hint="Pipe one line for each --secret-stdin."
            )
        piped[key] = line.rstrip("\r\n")
    return piped


def _is_missing(secret: OptionField, info: BackendInfo, options: Mapping[str, str]) -> bool:
    """Whether a required secret is not there although the form would show its field; defaults count."""
    if not secret.required or options.get(secret.key):
        return False
    if secret.shown_if is None:
        return True
    key, values = secret.shown_if
    default = next((one.default for one in info.fields if one.key == key), "")
    return (options.get(key, "") or default) in values
