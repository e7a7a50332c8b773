"""Signing in: with a key file, the agent's keys, the usual keys, a password."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import paramiko

from kegbrowser.backends._sockets import LiveSockets
from kegbrowser.backends.errors import AuthenticationFailed, ConnectionLost
from kegbrowser.backends.sftp.keys import load_key, usual_keys
from kegbrowser.backends.sftp.target import Target


class Transport(paramiko.Transport):
    """Remembers why the server ended the connection.

    Attributes:
        farewell: the server's own words; "" if it said nothing.
    """

    farewell = ""

    def _parse_disconnect(self, message: paramiko.Message) -> None:
        message.get_int()
        self.farewell = message.get_string().decode("utf-8", "replace")


class SignIn:
    """Tries what there is: the key file, the agent's keys, the usual keys, the password."""

    def __init__(self, target: Target, transport: Transport, sockets: LiveSockets) -> None:
        self._target = target
        self._transport = transport
        self._sockets = sockets
        self._tried: list[str] = []
        self._accepted: list[str] = []
        self._missing: list[str] = []

    def run(self) -> None:
        """Sign in.

        Raises:
            AuthenticationFailed: nothing of it was accepted, and why.
            ConnectionLost: the connection ended meanwhile.
        """
        target, transport = self._target, self._transport
        with self._keys() as keys:
            for what, key in keys:
                if self._try(what, lambda key=key: transport.auth_publickey(target.user, key)):  # type: ignore[misc]
                    return
        if target.password is not None:
            password = target.password  # paramiko goes on to keyboard-interactive where a server wants that
            if self._try("the password", lambda: transport.auth_password(target.user, password)):
                return
        raise self._refusal()

    def _try(self, what: str, attempt: Callable[[], Sequence[str]]) -> bool:
        self._tried.append(what)
        try:
            missing = attempt()
        except paramiko.BadAuthenticationType as exc:
            self._missing = exc.allowed_types
        except paramiko.AuthenticationException as exc:
            if "timeout" in str(exc):
                raise TimeoutError from exc
        except (paramiko.SSHException, EOFError, OSError):
            if self._transport.is_active():
                raise  # a key that cannot sign, an agent that is gone
        else:
            if self._transport.is_authenticated():
                return True
            self._accepted.append(what)
            self._missing = list(missing or ())
        if not self._transport.is_active():
            self._sockets.check()
            raise self._cut_off()
        return False

    @contextmanager
    def _keys(self) -> Iterator[Iterator[tuple[str, paramiko.PKey]]]:
        agent: paramiko.Agent | None = None
        if self._target.allow_agent:
            with suppress(paramiko.SSHException, OSError):
                agent = paramiko.Agent()
                if isinstance(connection := agent._conn, socket.socket):  # type: ignore[attr-defined]
                    self._sockets.add(connection)  # it may wait for somebody to touch a token
        try:
            yield self._all_keys(agent)
        finally:
            if agent is not None:
                agent.close()

    def _all_keys(self, agent: paramiko.Agent | None) -> Iterator[tuple[str, paramiko.PKey]]:
        target = self._target
        if target.key_filename:
            yield f"the key “{Path(target.key_filename).name}”", load_key(target.key_filename, target.passphrase)
        if agent is not None:
            yield from (("the keys of the SSH agent", key) for key in agent.get_keys())
        if target.look_for_keys:
            yield from (("the keys in ~/.ssh", key) for key in usual_keys(target.passphrase))

    def _cut_off(self) -> AuthenticationFailed | ConnectionLost:
        target = self._target
        if "authentication" in self._transport.farewell.lower():
            many = len(self._tried) > 1
            return AuthenticationFailed(
                f"{target.server} refused the user “{target.user}” after too many tries.",
                hint="Choose the one key file that the server knows." if many else None,
            )
        return ConnectionLost(
            f"{target.server} ended the connection while “{target.user}” signed in.",
            hint="The server may be busy, or may not let this user in.",
        )

    def _refusal(self) -> AuthenticationFailed:
        target = self._target
        if not self._tried:
            what = "the SSH agent holds no key" if target.allow_agent else "there is no password and no key"
            return AuthenticationFailed(
                f"Could not sign in to {target.server}: {what}.",
                hint="Give the connection a password or a key file, or add a key to the SSH agent.",
            )
        tried = " and ".join(dict.fromkeys(self._tried))
        wanted = _words(self._missing)
        if self._accepted:
            return AuthenticationFailed(
                f"{target.server} accepted {' and '.join(dict.fromkeys(self._accepted))}, but wants {wanted} as well.",
                hint="This way of signing in is not supported yet."
                if "password" not in wanted
                else "Give the password.",
            )
        takes_passwords = {"password", "keyboard-interactive"} & set(self._missing)
        if wanted and not takes_passwords and tried == "the password":
            return AuthenticationFailed(
                f"{target.server} takes no password for the user “{target.user}”: it wants {wanted}.",
                hint="Sign in with a key file or the SSH agent.",
            )
        return AuthenticationFailed(f"{target.server} refused {tried} for the user “{target.user}”.")


def _words(methods: list[str]) -> str:
    names = {"publickey": "a key", "password": "a password", "keyboard-interactive": "answers to questions"}
    return " or ".join(names.get(method, method) for method in methods)
