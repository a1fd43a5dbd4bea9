"""What an outbox decides: states, retries, doubt. Never a file, a clock, a thread or a socket."""
