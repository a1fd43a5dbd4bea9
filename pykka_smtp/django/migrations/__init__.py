"""The tables of an outbox, in a project's own SQLite file. Not for other databases."""
