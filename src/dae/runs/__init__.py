"""A run folder: its checkpoints, ``run.json``, ``result.json``, and how a run goes on."""
