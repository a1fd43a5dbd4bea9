"""Recorded emails: what a test sees of the emails that its program sends, and their outcomes.

Never a socket: no email leaves the process.
"""
