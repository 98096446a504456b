"""Options that several commands share: said once, and given to each as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import update_wrapper
from inspect import Parameter, Signature, signature
from typing import Any, NamedTuple, get_type_hints


class Shared(NamedTuple):
    """What one option is."""

    kind: Any
    """Its annotation, as typer reads it,"""
    default: Any
    """and what it is where nobody says it."""


Command = Callable[..., None]


def sharing(
    into: str, options: Mapping[str, Shared], made: Callable[..., object]
) -> Callable[[Command], Command]:
    """Give a command these options behind its own; its `into` is what is made of them."""

    def decorate(function: Command) -> Command:
        def command(**given: Any) -> None:
            shared = {name: given.pop(name) for name in options}
            function(**given, **{into: made(**shared)})

        hints = get_type_hints(function, include_extras=True)
        own = [
            each.replace(annotation=hints[each.name], kind=Parameter.KEYWORD_ONLY)
            for each in signature(function).parameters.values()
            if each.name != into
        ]
        ours = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=each.default, annotation=each.kind)
            for name, each in options.items()
        ]
        update_wrapper(command, function)
        del command.__wrapped__  # type: ignore[attr-defined]
        command.__signature__ = Signature([*own, *ours])  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in (*own, *ours)}
        return command

    return decorate


def options_of(made: type[Any]) -> dict[str, Shared]:
    """An option for each field of a dataclass."""
    hints = get_type_hints(made, include_extras=True)
    fields = made.__dataclass_fields__.values()
    return {each.name: Shared(hints[each.name], each.default) for each in fields}
