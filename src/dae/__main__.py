"""``python -m dae``: the same as ``dae``."""

from dae.cli import main

raise SystemExit(main())
