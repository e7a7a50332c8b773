"""What survives a restart: connections without their secrets, secrets in the system's keyring, settings, the Playground.

Blocking, any thread, no Qt. Nothing here imports the keyring until a secret is asked for.
"""
