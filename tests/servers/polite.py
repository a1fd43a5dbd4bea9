"""The server that keeps to the rules, by the name under which the tests know it."""

from pykka_smtp.testing.polite import polite

__all__ = ["polite"]
