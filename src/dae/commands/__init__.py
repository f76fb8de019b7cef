"""The subcommands of ``dae``, a file each. Their own imports wait for their turn: torch takes seconds."""
