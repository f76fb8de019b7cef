"""From a name to images and labels, and from those to batches."""
