"""What ``send`` says: rows, report and progress. Never anything it reads or sends."""
