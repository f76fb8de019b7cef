"""Is this command right? Composed by Hydra, held against its classes, built once before anything is read."""
