"""``python -m dae``, and the command ``dae``. Ctrl-C ends it without a traceback, in its imports too."""

from __future__ import annotations

import sys

from dae.runs.process import leave_quietly


def main() -> int:
    """Run the command line; the exit code."""
    leave_quietly()
    from dae import cli  # most of a second

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
