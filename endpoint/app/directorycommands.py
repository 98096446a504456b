"""`agents`, `skills`, `queues`, `modes`, `reasons`: what the directory of agents holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from endpoint.agents.model import Role
from endpoint.app.context import ConfigFile
from endpoint.app.directorycsv import level_of
from endpoint.app.directorydesk import (
    NONE,
    app_of,
    directory_desk,
    import_file,
    importing,
    keep_one,
    once,
)
from endpoint.app.gathering import Unread, number, one_of, whole
from endpoint.app.importing import Check, CsvFile, GivenPassword, Only
from endpoint.app.importing import Generate as GenerateAll
from endpoint.app.output import Json, Output, good
from endpoint.app.secrecy import new_password
from endpoint.app.setupcommands import asked_password, loaded_or_fail

AgentNumber = Annotated[str, typer.Argument(help="The agent's number, as 1001.")]
Code = Annotated[str, typer.Argument(help="By which it is named elsewhere.")]
Name = Annotated[str | None, typer.Option(help="For people.")]
Levels = Annotated[
    list[str] | None,
    typer.Option("--skill", help="A skill, with a level of 1 to 9, as sales:7; may be repeated."),
]
Enabled = Annotated[bool | None, typer.Option("--on/--off", help="Whether it counts.")]
Visible = Annotated[bool | None, typer.Option(help="Whether agents may choose it.")]
Generate = Annotated[
    bool, typer.Option("--generate", help="Make a strong password and print it once.")
]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


def _levels(given: Sequence[str] | None) -> list[dict[str, Any]] | Unread | None:
    try:
        return None if given is None else [level_of(each) for each in given if each]
    except ValueError:
        return Unread(" ".join(given or ()), "CODE or CODE:LEVEL, as sales:7")


def _filled(given: Sequence[str] | None) -> list[str] | None:
    return None if given is None else [each for each in given if each]


# -- agents ---------------------------------------------------------------------------------------

agents_app = app_of("agents", "The people who log on: who they are, and how they are now.")


def _keeping_agent(new: bool) -> Callable[..., None]:
    def command(
        agent: AgentNumber,
        name: Name = None,
        department: Annotated[str | None, typer.Option(help="Where it belongs.")] = None,
        role: Annotated[
            str | None,
            typer.Option(
                parser=one_of(*Role),
                metavar="|".join(Role),
                help="What it may: a monitor about those of --supervises.",
            ),
        ] = None,
        supervises: Annotated[
            list[str] | None, typer.Option(help="A department, of a monitor; may be repeated.")
        ] = None,
        skill: Levels = None,
        wrap_up: Annotated[
            float | None,
            typer.Option(
                parser=number,
                metavar="<float>",
                help="Seconds that it works after a call of a queue.",
            ),
        ] = None,
        device: Annotated[
            list[str] | None,
            typer.Option(help="Where it may log on, as 6001 or 60*; may be repeated."),
        ] = None,
        enabled: Annotated[
            bool | None, typer.Option("--on/--off", help="Whether it may log on.")
        ] = None,
        dials_for_skill: Annotated[
            bool | None, typer.Option(help="What it dials outside is a call of its skill.")
        ] = None,
        generate: Generate = False,
        password_stdin: FromStdin = False,
        config: ConfigFile = None,
        as_json: Json = False,
    ) -> None:
        said = {
            "name": name,
            "department": department,
            "role": role,
            "supervises": _filled(supervises),
            "skills": _levels(skill),
            "wrap_up_s": wrap_up,
            "devices": _filled(device),
            "enabled": enabled,
            "dials_for_skill": dials_for_skill,
        }
        password = _password(generate, password_stdin) if generate or password_stdin else None
        keep_one("agents", agent, said, new, config, as_json, password)

    return command


def _password(generate: bool, from_stdin: bool) -> GivenPassword:
    if generate and from_stdin:
        raise typer.BadParameter("--generate and --password-stdin exclude each other")
    if generate:
        return GivenPassword(new_password(), shown=True)
    return GivenPassword(asked_password(from_stdin))


agents_app.command("add", help="Add an agent.")(_keeping_agent(True))
agents_app.command(
    "change", help="Change what is said of an agent; the rest stays. Empty text takes away."
)(_keeping_agent(False))


@agents_app.command("password")
def set_password(
    agent: AgentNumber,
    generate: Generate = False,
    password_stdin: FromStdin = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Let an agent have another password: asked for, read, or made."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    password = _password(generate, password_stdin)

    async def keep() -> None:
        async with directory_desk(loaded) as desk:
            await desk.set_agent_password(agent, password.text)

    output.run(keep())
    result: dict[str, Any] = {"ok": True, "id": agent}
    lines = [good(f"agent {agent} has another password")]
    if password.shown:
        result["password"] = password.text
        lines.append(once(password.text))
    output.result(result, *lines)


@agents_app.command("import")
def import_agents(
    file: CsvFile,
    only: Only = False,
    generate: GenerateAll = False,
    check: Check = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Add and change the agents of a file of CSV: all of it, or nothing."""
    import_file("agents", file, only, check, generate, config, as_json)


# -- skills, modes, reasons -----------------------------------------------------------------------

skills_app = app_of("skills", "What agents can do, and calls need.")
modes_app = app_of("modes", "Work modes: the ways in which agents work.")
reasons_app = app_of("reasons", "Leave reasons: why agents are not ready.")
queues_app = app_of("queues", "Where calls wait for agents, and how.", show="settings")
for _kind, _its_app in (
    ("skills", skills_app),
    ("queues", queues_app),
    ("modes", modes_app),
    ("reasons", reasons_app),
):
    _its_app.command("import")(importing(_kind))


def _keeping_skill(new: bool) -> Callable[..., None]:
    def command(
        code: Code, name: Name = None, config: ConfigFile = None, as_json: Json = False
    ) -> None:
        keep_one("skills", code, {"name": name}, new, config, as_json)

    return command


def _keeping_reason(new: bool) -> Callable[..., None]:
    def command(
        code: Code,
        name: Name = None,
        visible: Visible = None,
        config: ConfigFile = None,
        as_json: Json = False,
    ) -> None:
        keep_one("reasons", code, {"name": name, "visible": visible}, new, config, as_json)

    return command


def _keeping_mode(new: bool) -> Callable[..., None]:
    def command(
        code: Annotated[int, typer.Argument(help="By which clients ask for it.")],
        name: Name = None,
        basic: Annotated[
            str | None,
            typer.Option(
                help="What it means: normal (takes calls), off_duty, non_real_time, outbound, "
                "supervisor, preview, leave, blocked."
            ),
        ] = None,
        skill: Annotated[
            str | None, typer.Option(help="Calls of this skill alone are taken in it.")
        ] = None,
        visible: Visible = None,
        position: Annotated[
            int | None,
            typer.Option(parser=whole, metavar="<int>", help="In lists, lowest first."),
        ] = None,
        config: ConfigFile = None,
        as_json: Json = False,
    ) -> None:
        said = {
            "name": name,
            "basic": basic,
            "skill": skill,
            "visible": visible,
            "position": position,
        }
        keep_one("modes", str(code), said, new, config, as_json)

    return command


# -- queues ---------------------------------------------------------------------------------------


def _keeping_queue(new: bool) -> Callable[..., None]:
    def command(
        code: Code,
        name: Name = None,
        skill: Levels = None,
        priority: Annotated[
            int | None,
            typer.Option(parser=whole, metavar="<int>", help="0 to 9; higher goes first."),
        ] = None,
        ring: Annotated[
            float | None,
            typer.Option(parser=number, metavar="<float>", help="Seconds that it rings at one."),
        ] = None,
        rest: Annotated[
            float | None,
            typer.Option(
                parser=number,
                metavar="<float>",
                help="Seconds that who did not answer is left alone.",
            ),
        ] = None,
        no_answer: Annotated[
            str | None, typer.Option(help="next, or leave (with --no-answer-reason).")
        ] = None,
        no_answer_reason: Annotated[str | None, typer.Option(help="A leave reason.")] = None,
        overflow: Annotated[
            str | None,
            typer.Option(
                help="As after=60,waiting=10,queue=night or after=60,device=6009; '' for none."
            ),
        ] = None,
        announce_every: Annotated[
            float | None,
            typer.Option(
                parser=number,
                metavar="<float>",
                help="Seconds from one position told to the next; 0 never.",
            ),
        ] = None,
        announce_wait: Annotated[
            bool | None, typer.Option(help="Whether callers are told how long it may take.")
        ] = None,
        music: Annotated[
            str | None, typer.Option(help="A file below the directory of sounds.")
        ] = None,
        call_back: Annotated[
            bool | None, typer.Option(help="Whether callers may ask to be called back.")
        ] = None,
        most_waiting: Annotated[
            int | None,
            typer.Option(
                parser=whole,
                metavar="<int>",
                help="Who comes when so many wait is turned away; 0: nobody.",
            ),
        ] = None,
        enabled: Enabled = None,
        config: ConfigFile = None,
        as_json: Json = False,
    ) -> None:
        said: dict[str, Any] = {
            "name": name,
            "skills": _levels(skill),
            "priority": priority,
            "ring_s": ring,
            "rest_s": rest,
            "no_answer": no_answer,
            "no_answer_reason": no_answer_reason,
            "announce_every_s": announce_every,
            "announce_wait": announce_wait,
            "music": music,
            "call_back": call_back,
            "enabled": enabled,
        }
        # What is not said stays as it is.
        if overflow is not None:
            said["overflow"] = _overflow(overflow) if overflow else NONE
        if most_waiting is not None:
            said["most_waiting"] = most_waiting or NONE
        keep_one("queues", code, said, new, config, as_json)

    return command


_OVERFLOW = {"after": "after_s", "waiting": "waiting", "queue": "queue", "device": "device"}


def _overflow(text: str) -> dict[str, Any] | Unread:
    said: dict[str, Any] = {}
    for part in text.split(","):
        word, equals, value = part.strip().partition("=")
        if word not in _OVERFLOW or not equals or not value:
            expected = "after=SECONDS, waiting=CALLS, queue=CODE or device=NUMBER, with commas"
            return Unread(part, expected)
        if word in ("after", "waiting") and not value.isdecimal():
            return Unread(part, "a whole number")
        said[_OVERFLOW[word]] = int(value) if word in ("after", "waiting") else value
    return said


for _kept, _word, _made in (
    (skills_app, "a skill", _keeping_skill),
    (queues_app, "a queue", _keeping_queue),
    (modes_app, "a work mode", _keeping_mode),
    (reasons_app, "a leave reason", _keeping_reason),
):
    _kept.command("add", help=f"Add {_word}.")(_made(True))
    _kept.command(
        "change", help=f"Change what is said of {_word}; the rest stays. Empty text takes away."
    )(_made(False))
