"""What is pure: no database, no clock, no randomness of its own."""
