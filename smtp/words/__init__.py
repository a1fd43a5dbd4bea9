"""The vocabulary of the protocol: replies, commands, stages and verdicts.

Nothing here knows emails or passwords, or decides on the next step.
"""
