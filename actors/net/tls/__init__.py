"""TLS with one server: the context, the channel, and why it failed. Never a socket."""
