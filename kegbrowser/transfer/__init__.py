"""The engine: decides, then moves. No Qt, no SDK; runs in the helper process, in the command line and in tests."""
