"""Kegbrowser: a desktop file browser for remote storage."""

__version__ = "0.1.0"
