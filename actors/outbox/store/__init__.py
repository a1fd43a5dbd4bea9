"""The file of an outbox: what is read and written, its locks. Never a decision about an email."""
