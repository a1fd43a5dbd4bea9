"""``pykka-smtp outbox``: what people do with the file. Never a decision about an email."""
