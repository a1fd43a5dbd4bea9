"""The octets of an email: read from a source, and written out. Never a reply or a verdict."""
