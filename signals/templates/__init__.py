"""Emails that are made of templates, with the values of each reader. Never the address of one."""
