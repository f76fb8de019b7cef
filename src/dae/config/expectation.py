"""Describes in words the values that an annotation accepts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def expected_value(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words, like ``an integer >= 0 or null``."""
    if "anyOf" in schema:
        return " or ".join(expected_value(member) for member in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        words = schema.get("enum", [schema.get("const")])
        return " or ".join(map(json.dumps, words)).replace('"', "'")
    if "description" in schema:
        return schema["description"]
    articles = {"integer": "an integer", "array": "a list", "object": "a mapping", "boolean": "true or false"}
    kind = schema.get("type", "value")
    text = articles.get(kind, kind if kind == "null" else f"a {kind}")
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    bounds += [f"a multiple of {schema['multipleOf']}"] if "multipleOf" in schema else []
    bounds += [f"matching {schema['pattern']}"] if "pattern" in schema else []
    if "items" in schema:
        least = schema.get("minItems")
        length = (
            "" if least is None else f" of {least}" + ("" if schema.get("maxItems") == least else " or more")
        )
        text += f"{length} ({expected_value(schema['items'])} each)"
    return " ".join([text, ", ".join(bounds)]).strip()
