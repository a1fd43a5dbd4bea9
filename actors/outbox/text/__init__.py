"""Emails and outcomes as text for a file, and back. Never pickled, never a file itself."""
