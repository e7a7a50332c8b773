"""The verbs of the command line: what `kegbrowser.cli` runs once the words are understood. No Qt."""

VERBS = ("ls", "stat", "get", "put", "cp", "mv", "rm", "mkdir", "check", "manifest", "cleanup", "connections")
