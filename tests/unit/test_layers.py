"""The layer rules that import-linter cannot say, as it takes no parts of a foreign package."""

from __future__ import annotations

import ast
from pathlib import Path

import kegbrowser

PACKAGE = Path(kegbrowser.__file__).parent
MAY_DRAW = ("ui", "app.py")


def imported_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def test_widgets_are_known_only_to_the_window() -> None:
    drawing = {
        path.relative_to(PACKAGE)
        for path in PACKAGE.rglob("*.py")
        if any(name.startswith(("PySide6.QtWidgets", "PySide6.QtGui")) for name in imported_names(path))
    }

    assert drawing
    assert {path for path in drawing if path.parts[0] not in MAY_DRAW} == set()
