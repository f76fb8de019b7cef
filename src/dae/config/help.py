"""The page of ``python train.py --help``."""

from __future__ import annotations

import re
import string

import yaml

from dae.config.groups import conf_folder, group_choices, group_names
from dae.words import train_command


def help_page() -> str:
    """The text of ``conf/hydra/help/page.yaml``, filled with the groups.

    Hydra makes the same page, but on the way it copies its whole configuration once for each group.
    """
    page = yaml.safe_load((conf_folder() / "hydra" / "help" / "page.yaml").read_text(encoding="utf-8"))
    groups = "".join(f"{group}: {', '.join(group_choices(group))}\n" for group in group_names())
    text = string.Template(page["template"]).substitute(APP_CONFIG_GROUPS=groups)
    # What is said beside a command stays in its column.
    pattern, typed = re.compile(r"python train\.py(.*?)(?=(   )|$)", re.MULTILINE), train_command()
    missing = " " * (len("python train.py") - len(typed))
    return pattern.sub(lambda found: typed + found[1] + (missing if found[2] else ""), text)
