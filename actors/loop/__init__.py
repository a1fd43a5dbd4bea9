"""The actor type and the one thread it lives on. Never anything about SMTP."""
