"""``python -m dae``: the same as ``dae``."""

from dae.cli import main

if __name__ == "__main__":  # whoever imports it runs nothing
    raise SystemExit(main())
