"""What can be asked of the directory and of extensions: a part of the table in `operations.py`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from endpoint.agents.identity import Scope
from endpoint.gateways.native import directorymessages as directory
from endpoint.gateways.native import extensionmessages as extensions
from endpoint.gateways.native.operation import Operation, Whose
from endpoint.gateways.native.operation import reading as _get


def _directory() -> Iterable[Operation]:
    path = "/directory"
    yield _get(path, Scope.ADMIN_READ, Whose.TENANT, "The directory.", directory.Directory)
    change = Operation("", "", Scope.ADMIN_WRITE, Whose.TENANT, "", refusals=(404, 409, 413))
    yield replace(
        change,
        method="POST",
        path=f"{path}/import",
        text="Bring many in at once, or none.",
        body=directory.DirectoryImport,
        answer=directory.DirectoryImported,
    )
    yield replace(
        change,
        method="PUT",
        path=f"{path}/agents/{{agent}}/password",
        text="Let an agent have another password.",
        body=directory.SetPassword,
        status=204,
    )
    for kind, entry in directory.ENTRIES.items():
        word = kind.removesuffix("s")
        all_, one = f"{path}/{kind}", f"{path}/{kind}/{{{word}}}"
        # What agents choose among is theirs to read.
        known = kind in ("skills", "modes", "reasons")
        read = replace(
            change,
            method="GET",
            scope=Scope.AGENTS_READ if known else Scope.ADMIN_READ,
            whose=Whose.ANYBODYS if known else Whose.TENANT,
        )
        yield replace(read, path=all_, text=f"All {kind}.", answer=directory.Directory)
        yield replace(read, path=one, text=f"One of the {kind}.", answer=entry)
        yield replace(
            change,
            method="POST",
            path=all_,
            text="Add one.",
            body=entry,
            answer=entry,
            status=201,
        )
        yield replace(
            change,
            method="PUT",
            path=one,
            text="Have this.",
            body=entry,
            answer=entry,
            adds=True,
        )
        yield replace(
            change,
            method="PATCH",
            path=one,
            text="Change what is named (RFC 7396).",
            answer=entry,
            media=("application/json", "application/merge-patch+json"),
        )
        yield replace(change, method="DELETE", path=one, text="Remove one.", status=204)


DIRECTORY = tuple(_directory())

_ONE_EXTENSION = "/extensions/{extension}"
EXTENSIONS = (
    _get(
        "/extensions",
        Scope.ADMIN_READ,
        Whose.TENANT,
        "Who may register here.",
        extensions.Extensions,
    ),
    _get(
        _ONE_EXTENSION,
        Scope.ADMIN_READ,
        Whose.TENANT,
        "One extension.",
        extensions.Extension,
        refusals=(404,),
    ),
    Operation(
        "PUT",
        _ONE_EXTENSION,
        Scope.ADMIN_WRITE,
        Whose.TENANT,
        "Have this extension; a password that is made for it is told once.",
        extensions.KeptExtension,
        body=extensions.PutExtension,
        adds=True,
        refusals=(409,),
    ),
    Operation(
        "DELETE",
        _ONE_EXTENSION,
        Scope.ADMIN_WRITE,
        Whose.TENANT,
        "Remove an extension, and what its telephones have registered.",
        None,
        204,
        refusals=(404,),
    ),
)
