"""``outbox run``: worker processes, and who keeps them running. Never an email."""
