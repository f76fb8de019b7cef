"""Networks and noise as plain modules; the two LightningModules."""
