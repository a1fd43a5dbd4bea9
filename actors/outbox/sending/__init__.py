"""The sending half of an outbox: emails in hand, their gates, what follows them. Never a file."""
