"""What an email is made of: its header, texts and files, and how they nest. Never a file's name."""
