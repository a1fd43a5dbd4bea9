"""From a target to a conversation: connect, TLS, octets and time.

Never an actor, or what a program wrote as an option.
"""
