from __future__ import annotations

import gc
import weakref

from dae.training.memory import freeze_imports, release_memory


class Node:
    itself: Node


def test_what_a_stage_leaves_behind_is_collected_and_imports_are_not_searched():
    freeze_imports()
    count = gc.get_freeze_count()
    assert count > 0
    node = Node()
    node.itself = node  # as a Trainer and its module hold each other
    freeze_imports()
    left = weakref.ref(node)
    del node
    release_memory()
    assert left() is None, "frozen a second time, it would stay for good"
    assert gc.get_freeze_count() <= count
