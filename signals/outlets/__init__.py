"""Where outcomes go besides receivers: the log, and event loops of the program. Never an actor."""
