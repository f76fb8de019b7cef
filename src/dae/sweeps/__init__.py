"""A sweep as a whole: names of its jobs, its leaderboard, the stage 1 that jobs share."""
