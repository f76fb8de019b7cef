"""What a class takes, by its signature and annotations: the schema of configs and checkpoints."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

# Strict for scalars: neither "1" nor 1.0 is an integer. Lenient for containers: a list serves as a tuple.
_STRICT = ConfigDict(arbitrary_types_allowed=True, strict=True, allow_inf_nan=False)


def argument_hints(target: Any, signature: inspect.Signature) -> dict[str, Any]:
    """Annotation of each argument that can be named.

    ``**kwargs`` admits nothing, unless its annotation names the class whose arguments they are:
    ``Annotated[Any, Trainer]``.
    """
    function = inspect.getattr_static(target, "__init__") if isinstance(target, type) else target
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError:  # an annotation that is only imported for type checkers
        hints = {}
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = {}
    for name, parameter in signature.parameters.items():
        hint = hints.get(name, Any)
        if parameter.kind in kinds and name != "self":
            found[name] = hint
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD and get_origin(hint) is Annotated:
            further = get_args(hint)[1]
            found = {**argument_hints(further, inspect.signature(further)), **found}
    return found


def admits(hint: Any, value: Any) -> bool:
    """Whether a plain value fits an annotation."""
    return wrong_value(hint, value) is None


def wrong_value(hint: Any, value: Any) -> str | None:
    """What an annotation accepts, as the end of "expected ...", if a plain value does not fit it."""
    adapter = TypeAdapter(hint, config=_STRICT)
    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        details = error.errors()
        own_words = [str(detail["ctx"]["error"]) for detail in details if detail["type"] == "value_error"]
        if own_words:
            return own_words[0].removeprefix("expected ")
        try:
            return expected_value(adapter.json_schema())
        except PydanticInvalidForJsonSchema:  # an annotation with tensors, say
            return " or ".join(dict.fromkeys(detail["msg"] for detail in details))
    return None


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
