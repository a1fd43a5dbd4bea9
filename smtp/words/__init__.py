"""The vocabulary of the protocol: replies, commands, stages and verdicts.

Never emails or passwords, and never a decision about the next step.
"""
