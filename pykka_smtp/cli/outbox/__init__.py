"""``pykka-smtp outbox``: what people do with the file of an Outbox. It decides nothing."""
