"""Train a denoising autoencoder, then a classifier on its frozen encoder.

python train.py --help    the stages, the groups with their choices, example commands
"""

import sys

from dae.launch import launch

if __name__ == "__main__":
    sys.exit(launch())
