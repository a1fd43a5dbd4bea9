"""Bytes in, steps out: it plays a script against replies. Never what one script is about."""
