"""Checks whether a command is right, and says what is wrong with it."""
