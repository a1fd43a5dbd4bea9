"""What a relay can take: how many at a time, and how fast. Never which email, or a connection."""
