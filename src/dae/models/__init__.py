"""Networks and noise as plain modules, and the two LightningModules that train them."""
