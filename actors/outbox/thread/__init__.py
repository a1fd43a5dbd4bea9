"""The thread that works with the file, and what it is asked to do. Never an email or a socket."""
