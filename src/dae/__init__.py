"""Denoising pretraining, measured: a DAE, then a classifier on its frozen encoder."""
