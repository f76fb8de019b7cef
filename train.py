"""Train a denoising autoencoder, then a classifier on its frozen encoder.

python train.py --help    the stages, the groups with their choices, example commands
"""

import sys

from dae.runs.process import leave_quietly

if __name__ == "__main__":
    leave_quietly()  # what follows takes most of a second to import
    from dae.launch import launch

    sys.exit(launch(sys.argv[1:], program=sys.argv[0]))
