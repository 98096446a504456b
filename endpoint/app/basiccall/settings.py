"""`[basiccall]`: the soft phone interface of BasicCall's script WSSoftPhone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, SecretStr

from endpoint.app.section import STRICT, Host, Port, Seconds, checked_networks
from endpoint.gateways.basiccall.parameters import BadParameters, Parameters, parsed

LOOPBACK_NETWORKS = ("127.0.0.0/8", "::1/128")


def _checked_table(table: dict[str, str]) -> dict[str, str]:
    try:
        parsed(table)
    except BadParameters as error:
        raise ValueError(str(error)) from None
    return table


def _checked_des(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value().encode()) != 8:
        raise ValueError("expected 8 characters of ASCII")
    return key


class BasicCallSettings(BaseModel):
    """`[basiccall]`: pages that were written for BasicCall (docs/reference/basiccall.md)."""

    model_config = STRICT

    enabled: bool = False
    """Listen for them."""
    host: Host = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8887
    """With TLS and without, by how a connection begins."""
    second_port: Port | None = None
    """Another one, for pages that have a `serverUri2`; none: there is one port. It is of the same
    process, so it helps where the way to the first is lost, and not where the process is.
    """
    plain: Literal["loopback", "anywhere", "never"] = "loopback"
    """From where connections without TLS are taken."""
    trust_agent_id: Annotated[list[str], AfterValidator(checked_networks)] = [*LOOPBACK_NETWORKS]
    """Networks from which an agent's number alone is believed, without token or password.

    Only for closed networks: whoever is in one of them may be any agent. What a proxy hands on
    (`Forwarded`, `X-Forwarded-For`, `X-Real-IP`) is not believed.
    """
    jsonp: bool = False
    """Take commands of other pages as scripts too, from the pages of `http.origins`: whoever can
    put a script into one of those, and has read a session's `commandToken`, can use the session.
    """
    reload_from_loopback: bool = False
    """Read `system_param` anew for whoever asks on this machine, without a token."""
    keep_logon_s: Seconds = 28_800
    """A page with `KeepLogon` on may be away for so long before its agent is logged off; one
    without it for `agents.grace_s`.
    """
    rsa_key_file: Path | None = None
    """An RSA private key (PEM), to read the numbers of `EncryptDial` with `encryptMode` 2."""
    des_key: Annotated[SecretStr, AfterValidator(_checked_des)] | None = None
    """8 characters, to read those with `encryptMode` 3. Pages have it too, so it is no secret."""
    system_param: Annotated[dict[str, str], AfterValidator(_checked_table)] = {}
    """BasicCall's table SystemParam, by its own keys, as `SOFTPHONEMASKENABLED = "33,34"`."""

    @property
    def parameters(self) -> Parameters:
        """What the table says."""
        return parsed(self.system_param)
