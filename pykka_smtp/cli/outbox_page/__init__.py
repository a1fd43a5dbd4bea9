"""``pykka-smtp outbox page``: an operator's view of an outbox. Never sends, claims or publishes."""
