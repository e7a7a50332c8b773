"""Private keys: from files, of an agent."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import paramiko

from kegbrowser.backends.errors import AuthenticationFailed

USUAL_FILES = ("id_ed25519", "id_ecdsa", "id_rsa")
_KINDS: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_CHECK_PASSPHRASE = "Check the passphrase of the connection."


def usual_keys(passphrase: str | None) -> Iterator[paramiko.PKey]:
    """The keys in ~/.ssh that can be read without asking anybody."""
    for name in USUAL_FILES:
        path = Path("~/.ssh").expanduser() / name
        if path.is_file():
            with suppress(AuthenticationFailed):
                yield load_key(str(path), passphrase)


def load_key(path: str, passphrase: str | None) -> paramiko.PKey:
    """Read a private key, and the certificate beside it if there is one.

    Raises:
        AuthenticationFailed: missing, unreadable, of no known kind, or its passphrase is missing or wrong.
    """
    name = Path(path).name
    try:
        text = Path(path).read_bytes().decode("utf-8", "replace")
    except FileNotFoundError as exc:
        raise AuthenticationFailed(f"The key file “{name}” does not exist.", hint="Choose the key file again.") from exc
    except OSError as exc:
        raise AuthenticationFailed(f"The key file “{name}” cannot be read.", hint="Check its permissions.") from exc
    _check_form(text, name)
    try:
        key = _load_any(text, passphrase or None)
    except paramiko.PasswordRequiredException as exc:
        raise AuthenticationFailed(f"The key “{name}” is protected by a passphrase.", hint="Enter it.") from exc
    except (paramiko.SSHException, ValueError, TypeError, IndexError) as exc:
        if passphrase:
            message = f"The passphrase of the key “{name}” is wrong, or the file is damaged."
            raise AuthenticationFailed(message, hint=_CHECK_PASSPHRASE) from exc
        message = f"The key “{name}” cannot be read: it is damaged, or of a kind that is not supported."
        raise AuthenticationFailed(message, hint="Ed25519, ECDSA and RSA keys are supported.") from exc
    certificate = Path(f"{path}-cert.pub")
    if certificate.is_file():
        with suppress(paramiko.SSHException, ValueError, OSError):
            key.load_certificate(str(certificate))
    return key


def _check_form(text: str, name: str) -> None:
    if text.startswith("PuTTY-User-Key-File"):
        raise AuthenticationFailed(
            f"The key “{name}” is in the form of PuTTY.",
            hint="Convert it in PuTTYgen: Conversions, Export OpenSSH key.",
        )
    if text.startswith(("ssh-", "ecdsa-", "sk-")):
        raise AuthenticationFailed(
            f"“{name}” is a public key.", hint="Choose the private one: mostly the same name without .pub."
        )
    if "PRIVATE KEY-----" not in text:
        raise AuthenticationFailed(f"The file “{name}” is no private key.", hint="Choose the key file again.")


def _load_any(text: str, passphrase: str | None) -> paramiko.PKey:
    """Try each kind of key. paramiko 5.1's own `PKey.from_path` takes no passphrase: it hands text on where bytes are wanted."""
    refusal: Exception = paramiko.SSHException("No key")
    for kind in _KINDS:
        try:
            return kind.from_private_key(io.StringIO(text), passphrase)
        except paramiko.PasswordRequiredException:
            raise
        except (paramiko.SSHException, ValueError, TypeError, IndexError) as exc:
            refusal = exc
    raise refusal
