"""An email from its acceptance to its outcome: parts, retries, counts. Never a connection."""
