"""The callbacks that only look at a fit, and how they draw."""
