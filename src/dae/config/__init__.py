"""Whether a command is right, and what is wrong with it."""
