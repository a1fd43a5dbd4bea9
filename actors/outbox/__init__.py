"""The actor that keeps emails in a file until they are sent and heard. Never a queue in memory."""
