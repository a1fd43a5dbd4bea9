"""Attacks on pykka-smtp: fuzzing of what it reads and writes, and chaos for what it does.

``python -m fuzz --seconds 60`` runs each target for a minute; docs/testing.md says what they check.
"""
