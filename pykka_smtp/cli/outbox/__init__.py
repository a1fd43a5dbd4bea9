"""``pykka-smtp outbox``: what people do with the file of an Outbox. Never a decision about an email."""
