"""A trained model at work. Nothing here, or below it, needs Hydra, OmegaConf or Lightning."""
