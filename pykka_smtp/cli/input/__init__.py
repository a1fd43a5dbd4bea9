"""What ``send`` reads: emails and recipients, as people write them. Never anything it says."""
