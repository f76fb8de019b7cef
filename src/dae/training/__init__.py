"""One stage: Trainer, loggers, memory, several devices, and the callbacks that take part in a fit."""
