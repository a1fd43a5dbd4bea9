"""DKIM signatures (RFC 6376, RFC 8463): what is signed, written and checked. Never a key."""
