"""Many jobs told as one: who leads, and the stage 1 that they share."""
