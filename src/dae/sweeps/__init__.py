"""What is done with many runs at once."""
