"""Who says what when: the dialog, and its scripts. Never what takes a socket or a clock."""
