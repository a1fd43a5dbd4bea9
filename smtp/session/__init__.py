"""The order of commands and replies: the dialog and its scripts. Never a socket or a clock."""
