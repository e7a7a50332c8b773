"""The way in: a verb runs the command line, anything else opens the window."""

from __future__ import annotations

import sys

from kegbrowser.commands import VERBS

_HELPER = "--helper"
_COMMAND_LINE = (*VERBS, "--version", "-V", "--help", "-h")


def main() -> int:
    """Run what the words ask for and give the exit status."""
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if first == _HELPER:
        from kegbrowser.worker.child import main as run_helper

        return run_helper()
    if first in _COMMAND_LINE:
        from kegbrowser.cli import main as run_command

        return run_command(sys.argv[1:])
    from kegbrowser.app import run_window

    return run_window(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
