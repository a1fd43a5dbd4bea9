"""The file of an outbox, by SQLite: its tables, a statement for each step. Never a decision."""
