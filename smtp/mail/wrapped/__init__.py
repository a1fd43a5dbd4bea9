"""The content of an email in a wrapper: signed, or encrypted (RFC 1847). Never the keys for it."""
