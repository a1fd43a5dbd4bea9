"""Who performs a talk: on a socket, in a thread, in a process. Never what is right to say."""
