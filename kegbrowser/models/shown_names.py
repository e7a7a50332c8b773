"""Names as they may be shown: none can pose as another, and none is taken for markup."""

from __future__ import annotations

import html
import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that nobody sees, or that change how others are seen."""
_JOINERS = "\u200c\u200d"
"""Harmless, and many scripts and emoji need them."""


def shown_name(name: str) -> str:
    """A name as it may be shown: control characters and direction overrides made visible, so that none can pose as another."""
    if not name:
        return "⟨no name⟩"
    if name.isprintable():
        return name
    return "".join([_escaped(char) if _is_unseen(char) else char for char in name])


def as_plain(text: str) -> str:
    """A text for tool tips and other places that would take a name like `<b>` for markup."""
    return f'<p style="white-space: pre-wrap">{html.escape(text)}</p>' if "<" in text else text


def _is_unseen(char: str) -> bool:
    return unicodedata.category(char) in _UNSEEN and char not in _JOINERS


def _escaped(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
