"""An outbox's file, seen and changed by a person. Never one of its lives: claims, sends nothing."""
