"""The tables of an outbox in a project's own SQLite file. Never for other databases."""
