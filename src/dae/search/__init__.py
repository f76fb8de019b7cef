"""The search behind ``hydra/sweeper=optuna``."""
