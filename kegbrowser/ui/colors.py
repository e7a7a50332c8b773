"""The colours of the light and the dark theme, by the role they play."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Colors:
    """The colours of one theme, as #rrggbb; by the role they play, not by their hue.

    Each text colour is readable on each ground it is drawn on: at least 4.5 to 1, what is disabled 3 to 1 (WCAG 2.2, 1.4.3);
    what a control is recognised by, its edge or its focus ring, 3 to 1 (1.4.11).
    """

    scheme: str  # "light" or "dark"
    # Grounds, from the back to the front.
    window: str
    side: str  # the tree
    base: str  # views
    raised: str  # menus and tool tips
    field: str
    button: str
    # Text and symbols.
    text: str
    quiet: str  # headers, hints
    faint: str  # disabled
    symbol: str
    symbol_strong: str  # under the pointer
    # Lines.
    line: str  # between parts
    edge: str  # of buttons and other things that are recognised by their text as well
    edge_strong: str  # of fields and boxes
    # States.
    hover: str
    pressed: str
    selected: str
    selected_inactive: str
    accent: str
    accent_hover: str
    accent_pressed: str
    on_accent: str
    focus: str  # the ring around what has the keyboard
    focus_on_accent: str  # the same, around a button in the accent colour
    link: str
    scroll: str
    scroll_hover: str
    # Tones of messages: the text, the symbol, the ground and the line around it.
    info: str
    info_symbol: str
    info_back: str
    info_line: str
    success: str
    success_symbol: str
    success_back: str
    success_line: str
    warning: str
    warning_symbol: str
    warning_back: str
    warning_line: str
    error: str
    error_symbol: str
    error_back: str
    error_line: str


LIGHT = Colors(
    scheme="light",
    window="#f5f6f8",
    side="#eef0f4",
    base="#ffffff",
    raised="#ffffff",
    field="#ffffff",
    button="#ffffff",
    text="#1b1f27",
    quiet="#565e6c",
    faint="#80889a",
    symbol="#475062",
    symbol_strong="#1b1f27",
    line="#dfe2e8",
    edge="#c6cbd5",
    edge_strong="#838b9a",
    hover="#e4e8ef",
    pressed="#d5dbe6",
    selected="#cfe0fb",
    selected_inactive="#dde1e8",
    accent="#2463c8",
    accent_hover="#1d55b0",
    accent_pressed="#184894",
    on_accent="#ffffff",
    focus="#2463c8",
    focus_on_accent="#0b2554",
    link="#1d55b0",
    scroll="#bcc2cd",
    scroll_hover="#949cab",
    info="#1d55b0",
    info_symbol="#2463c8",
    info_back="#e6effc",
    info_line="#bcd3f6",
    success="#12662c",
    success_symbol="#1a8a3d",
    success_back="#e3f5e8",
    success_line="#b2dfbf",
    warning="#7c4f00",
    warning_symbol="#b36b00",
    warning_back="#fdf2d8",
    warning_line="#ecd497",
    error="#b01f15",
    error_symbol="#d3281c",
    error_back="#fdeae8",
    error_line="#f3c0bb",
)

DARK = Colors(
    scheme="dark",
    window="#1f2227",
    side="#1b1e22",
    base="#17191d",
    raised="#282c33",
    field="#17191d",
    button="#2d3139",
    text="#e7eaef",
    quiet="#adb6c3",
    faint="#7d8796",
    symbol="#b6bfcc",
    symbol_strong="#ffffff",
    line="#31363e",
    edge="#454c57",
    edge_strong="#6f7988",
    hover="#2b3038",
    pressed="#383f4a",
    selected="#27446f",
    selected_inactive="#343a44",
    accent="#356bc8",
    accent_hover="#3c73d1",
    accent_pressed="#2b5cb0",
    on_accent="#ffffff",
    focus="#6ea3f7",
    focus_on_accent="#ffffff",
    link="#8ab4f8",
    scroll="#474e59",
    scroll_hover="#68717f",
    info="#8ab4f8",
    info_symbol="#6ea3f7",
    info_back="#1e2c43",
    info_line="#314a72",
    success="#7fd394",
    success_symbol="#5cc47a",
    success_back="#1c3324",
    success_line="#2f573d",
    warning="#ecbf63",
    warning_symbol="#e6b54a",
    warning_back="#382f1c",
    warning_line="#5e4d29",
    error="#f5938b",
    error_symbol="#f2766c",
    error_back="#3d2322",
    error_line="#693835",
)
