"""How older files become current ones: one step a version, `STEPS[n]` turns version n into n + 1.

A step takes and gives the whole content without its version, and must never need the network or the keyring.
"""

from __future__ import annotations

from kegbrowser.profiles.documents import Migration

CONNECTIONS_VERSION = 1
CONNECTIONS_STEPS: dict[int, Migration] = {}

SETTINGS_VERSION = 1
SETTINGS_STEPS: dict[int, Migration] = {}
