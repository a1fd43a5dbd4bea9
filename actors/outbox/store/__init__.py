"""The file of an outbox: its statements, locks and thread. Never a decision about an email."""
