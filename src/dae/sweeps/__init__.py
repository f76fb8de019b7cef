"""Many jobs, told as one: who won, who failed, how to go on."""
