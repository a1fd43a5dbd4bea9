"""The order of commands and replies: the dialog and its scripts; without sockets and clocks."""
