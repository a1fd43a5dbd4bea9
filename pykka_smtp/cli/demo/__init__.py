"""``pykka-smtp demo``, and the servers it sends to. Never anything that ``send`` needs."""
