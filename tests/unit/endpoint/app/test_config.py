"""Where settings come from, which goes over which, and how every mistake is told at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from endpoint.app.config import Loaded, load, values
from endpoint.app.facts import outside_accounts, sip_config
from endpoint.app.settings import Config, HttpSettings, SipSettings, advertised, is_loopback
from endpoint.errors import ConfigurationError
from endpoint.legs.line import Transfers
from signaling.user_agent import RingReliably

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that says nothing, and an empty working directory."""
    for name in list(os.environ):
        if name.startswith("AGENT_ENDPOINT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(named: Path | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        load(named)
    return refused.value.mistakes


def shown(loaded: Loaded) -> dict[str, tuple[object, str]]:
    return {value.key: (value.value, value.origin) for value in values(loaded)}


def test_without_any_file_the_defaults_listen_on_loopback_only() -> None:
    loaded = load()
    assert loaded.path is None
    config = loaded.config
    assert (config.http.host, config.sip.host, config.media.host) == ("127.0.0.1",) * 3
    assert (config.http.port, config.http.plain_port, config.sip.port) == (8443, 8080, 5060)
    assert (config.media.port_first, config.media.port_last) == (20_000, 29_999)
    assert config.open_hosts == []


def test_the_file_is_searched_in_the_documented_order(home: Path) -> None:
    last = write(home / "xdg/agent-endpoint/config.toml", "[http]\nport = 3\n")
    assert load().path == last
    write(home / "agent-endpoint.toml", "[http]\nport = 2\n")
    assert load().config.http.port == 2
    named = write(home / "elsewhere.toml", "[http]\nport = 1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENT_ENDPOINT_CONFIG", str(named))
        assert load().config.http.port == 1
        other = write(home / "given.toml", "[http]\nport = 4\n")
        assert load(other).config.http.port == 4


@pytest.mark.parametrize("by", ["--config", "AGENT_ENDPOINT_CONFIG"])
def test_a_file_that_was_named_must_be_there(
    home: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    named = home / "nowhere.toml"
    if by == "AGENT_ENDPOINT_CONFIG":
        monkeypatch.setenv(by, str(named))
    (mistake,) = mistakes(named if by == "--config" else None)
    assert mistake.startswith(f"{by}: found '{named}', expected a file")


def test_the_environment_goes_over_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(home / "agent-endpoint.toml", "[http]\nport = 2\nplain_port = 3\n")
    monkeypatch.setenv("AGENT_ENDPOINT_HTTP__PORT", "5")
    monkeypatch.setenv("AGENT_ENDPOINT_HTTP__ORIGINS", '["https://crm.example.com"]')
    loaded = load()
    assert loaded.config.http.origins == ["https://crm.example.com"]
    origins = shown(loaded)
    assert origins["http.port"] == (5, "AGENT_ENDPOINT_HTTP__PORT")
    assert origins["http.plain_port"] == (3, str(file.relative_to(home)))
    assert origins["sip.port"] == (5060, "default")


def test_one_host_serves_all_sections_that_name_none(home: Path) -> None:
    write(
        home / "agent-endpoint.toml",
        'host = "0.0.0.0"\nadvertised_host = "192.0.2.7"\n[sip]\nhost = "127.0.0.1"\n',
    )
    loaded = load()
    config = loaded.config
    assert (config.http.host, config.sip.host, config.media.host) == (
        "0.0.0.0",
        "127.0.0.1",
        "0.0.0.0",
    )
    assert config.media_advertised_host == "192.0.2.7"
    assert config.open_hosts == ["http"]
    assert shown(loaded)["media.host"] == ("0.0.0.0", "host, agent-endpoint.toml")


def test_every_mistake_is_told_at_once_with_key_found_and_expected(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        home / "agent-endpoint.toml",
        """
        [http]
        port = 99999
        origins = ["https://crm.example.com/agent"]
        [sip]
        prot = 5060
        [media]
        port_first = 30000
        [[account]]
        device = "6001"
        server = "https://pbx.example.com"
        password = "not to be shown"
        [[station]]
        device = "6002"
        kind = "file"
        """,
    )
    monkeypatch.setenv("AGENT_ENDPOINT_SIP__PORT", "many")
    monkeypatch.setenv("AGENT_ENDPOINT_HTPP__PORT", "1")
    told = mistakes()
    file = "(agent-endpoint.toml)"
    expected = [
        "AGENT_ENDPOINT_HTPP__PORT: unknown variable, expected http?",
        f"http.port {file}: found 99999, expected at most 65535",
        f"http.origins {file}: 'https://crm.example.com/agent' is no origin",
        "sip.port (AGENT_ENDPOINT_SIP__PORT): found 'many', expected a whole number",
        f"sip.prot {file}: unknown key, expected port?",
        f"media {file}: port_last is 29999: expected more than port_first (30000)",
        f"account.0.server {file}: 'https://pbx.example.com': expected wss://",
        f'station.0 {file}: kind is "file": expected path to name a WAV file',
    ]
    for line in expected:
        assert any(mistake.startswith(line) for mistake in told), line
    assert len(told) == len(expected)
    assert "not to be shown" not in "".join(told)


def test_mistakes_in_how_audio_travels_are_told(home: Path) -> None:
    write(
        home / "agent-endpoint.toml",
        """
        [media]
        websocket_phones = "video"
        telephones = "webrtc"
        srtp_suites = ["AES_CM_128_HMAC_SHA1_32"]
        [[media.ice_servers]]
        url = "coturn.example.com:3478"
        [[media.ice_servers]]
        url = "turn:coturn.example.com"
        username = "endpoint"
        [[account]]
        device = "6001"
        server = "wss://pbx.example.com/ws"
        password = "x"
        media = "dtls"
        """,
    )
    told = mistakes()
    file = "(agent-endpoint.toml)"
    expected = [
        f"media.websocket_phones {file}: found 'video', expected 'webrtc', 'srtp' or 'rtp'",
        f"media.telephones {file}: found 'webrtc', expected 'srtp', 'srtp-over-tls' or 'rtp'",
        f"media.srtp_suites.0 {file}: found 'AES_CM_128_HMAC_SHA1_32', expected 'AES_CM_128",
        f"media.ice_servers.0.url {file}: found 'coturn.example.com:3478', expected stun:",
        f"media.ice_servers.1 {file}: turn:coturn.example.com: expected username and credential",
        f"account.0.media {file}: found 'dtls', expected 'webrtc', 'srtp' or 'rtp'",
    ]
    for line in expected:
        assert any(mistake.startswith(line) for mistake in told), (line, told)
    assert len(told) == len(expected)


def test_an_account_says_who_transfers(home: Path) -> None:
    account = '[[account]]\ndevice = "6001"\nserver = "ws://a"\npassword = "x"\n'
    write(home / "agent-endpoint.toml", account)
    (plain,) = outside_accounts(load().config)
    assert plain.transfers == Transfers(by_refer=False, accepts=False)
    write(home / "agent-endpoint.toml", account + 'transfer = "refer"\naccept_refer = true\n')
    (referring,) = outside_accounts(load().config)
    assert referring.transfers == Transfers(by_refer=True, accepts=True)
    write(home / "agent-endpoint.toml", account + 'transfer = "bounce"\n')
    (mistake,) = mistakes()
    assert "found 'bounce', expected 'endpoint' or 'refer'" in mistake


def test_only_a_relay_hides_an_address(home: Path) -> None:
    write(
        home / "agent-endpoint.toml",
        """
        [media]
        ice_relay_only = true
        ice_servers = [{ url = "stun:[2001:db8::1]:3478" }]
        """,
    )
    (mistake,) = mistakes()
    assert "ice_relay_only is on: expected a turn: server among ice_servers" in mistake


def test_a_list_in_a_variable_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_ENDPOINT_HTTP__ORIGINS", "https://crm.example.com")
    assert mistakes() == [
        "AGENT_ENDPOINT_HTTP__ORIGINS: found 'https://crm.example.com', expected a JSON list"
    ]


def test_text_that_is_no_toml_is_told_with_its_place(home: Path) -> None:
    write(home / "agent-endpoint.toml", "[http\nport = 1\n")
    (mistake,) = mistakes()
    assert mistake.startswith("agent-endpoint.toml: expected TOML:")
    assert "line 1" in mistake


def test_secrets_are_masked_when_shown(home: Path) -> None:
    write(
        home / "agent-endpoint.toml",
        """
        [http]
        token = "canary-token-canary-token"
        [database]
        url = "postgresql://me:canary-database@db/endpoint"
        [[account]]
        device = "6001"
        server = "wss://pbx.example.com/ws"
        password = "canary-password"
        [[media.ice_servers]]
        url = "turns:coturn.example.com:5349?transport=tcp"
        username = "endpoint"
        credential = "canary-credential"
        """,
    )
    text = repr(shown(load())) + repr(load())
    assert "canary" not in text
    assert shown(load())["account.0.password"] == ("********", "agent-endpoint.toml")


def test_a_device_has_one_account(home: Path) -> None:
    account = '[[account]]\ndevice = "6001"\nserver = "ws://a"\npassword = "x"\n'
    write(home / "agent-endpoint.toml", account * 2)
    assert mistakes() == [
        "account (agent-endpoint.toml): found 6001 twice, expected each device once"
    ]


def test_devices_that_may_have_part_in_calls_of_others_are_named_or_begin_so(home: Path) -> None:
    write(
        home / "agent-endpoint.toml",
        """
        supervision = [
          { supervisor = "6900", devices = [] }, { supervisor = "69*", devices = ["*01"] }
        ]
        pickup_group = [{ devices = ["60*", "6 1"] }]
        """,
    )
    expected = "expected a device, or how some begin, as 60*"
    first, *others = mistakes()
    assert first.startswith("supervision.0.devices (agent-endpoint.toml): found a list, expected")
    assert others == [
        f"supervision.1.devices.0 (agent-endpoint.toml): found '*01', {expected}",
        f"pickup_group.0.devices.1 (agent-endpoint.toml): found '6 1', {expected}",
    ]


def test_a_password_can_be_kept_in_a_file_of_its_own(home: Path) -> None:
    secret = write(home / "secret", "s3cret\n")
    write(
        home / "agent-endpoint.toml",
        f'[[account]]\ndevice = "6001"\nserver = "sip:pbx"\npassword_file = "{secret}"\n',
    )
    assert load().config.account[0].read_password() == "s3cret"


@pytest.mark.parametrize(
    ("host", "told", "expected"),
    [
        ("127.0.0.1", "", "127.0.0.1"),
        ("localhost", "", "127.0.0.1"),
        ("192.0.2.1", "", "192.0.2.1"),
        ("0.0.0.0", "phone.example.com", "phone.example.com"),
    ],
)
def test_what_others_are_told_is_an_address_that_leads_here(
    host: str, told: str, expected: str
) -> None:
    assert advertised(host, told) == expected


def test_a_wildcard_is_never_told_to_others() -> None:
    assert advertised("0.0.0.0", "") not in ("0.0.0.0", "")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost.example", False),
    ],
)
def test_loopback_is_known_by_its_address(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_configuration_can_be_made_without_file_or_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGENT_ENDPOINT_HTTP__PORT", "1")
    config = Config(http=HttpSettings(port=0), sip=SipSettings(port=0))
    assert (config.http.port, config.sip.port) == (0, 0)


@pytest.mark.parametrize("token", ["", "two words", "with/slash", "tökentökentöken"])
def test_a_token_that_no_client_could_send_is_refused(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty one would open the interface to everybody on this machine."""
    monkeypatch.setenv("AGENT_ENDPOINT_HTTP__TOKEN", token)
    (told,) = mistakes()
    assert told.startswith("http.token (AGENT_ENDPOINT_HTTP__TOKEN): ")
    assert "expected" in told
    assert not token or token not in told


@pytest.mark.parametrize(
    "text",
    [
        '[account]\ndevice = "6001"\nserver = "sip:pbx"\npassword = "canary-secret"\n',
        'account = ["canary-secret"]\n',
        'account = "canary-secret"\n',
        '[[account]]\ndevice = "6001"\nserver = "wss://ann:canary-secret@pbx"\npassword = "x"\n',
    ],
)
def test_a_mistake_never_repeats_what_may_hold_a_secret(home: Path, text: str) -> None:
    told = mistakes(write(home / "named.toml", text))
    assert told[0].startswith("account")
    assert "canary-secret" not in " ".join(told)


def test_broken_json_in_a_variable_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_ENDPOINT_ACCOUNT", '[{"password": "canary-secret",}]')
    assert mistakes() == ["AGENT_ENDPOINT_ACCOUNT: found something else, expected a JSON list"]


def test_a_relative_path_goes_by_the_file_that_names_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home / "etc/6001.secret", "s3cret\n")
    file = write(
        home / "etc/agent-endpoint.toml",
        """
        account = [{ device = "6001", server = "sip:pbx", password_file = "6001.secret" }]
        station = [{ device = "6002", kind = "file", path = "/srv/voice.wav" }]
        state.directory = "state"
        database.url = "sqlite:///calls.db"
        """,
    )
    monkeypatch.setenv("AGENT_ENDPOINT_HTTP__CERTIFICATE", "chain.pem")
    monkeypatch.setenv("AGENT_ENDPOINT_HTTP__KEY", "key.pem")
    for named in (file, file.relative_to(home)):
        config = load(named).config
        assert config.account[0].read_password() == "s3cret"
        assert config.state.directory == home / "etc/state"
        assert config.station[0].path == Path("/srv/voice.wav")
        assert config.http.certificate == Path("chain.pem")
        assert config.database.url is not None
        assert config.database.url.get_secret_value() == f"sqlite:///{home}/etc/calls.db"


def test_every_file_that_is_named_is_tried_with_the_other_mistakes(home: Path) -> None:
    write(home / "empty", "\n")
    write(home / "no.wav", "text")
    file = write(
        home / "agent-endpoint.toml",
        """
        sip.port = 99999
        [http]
        certificate = "chain.pem"
        key = "key.pem"
        [[account]]
        device = "6001"
        server = "wss://pbx.example.com"
        password_file = "6001.secret"
        ca = "ca.pem"
        [[account]]
        device = "6002"
        server = "sip:pbx.example.com"
        password_file = "empty"
        [[account]]
        device = "6003"
        server = "sip:pbx.example.com:70000"
        password = ""
        [[station]]
        device = "6004"
        kind = "file"
        path = "voice.wav"
        [[station]]
        device = "6005"
        kind = "file"
        path = "no.wav"
        [[media.ice_servers]]
        url = "turns:turn.example.com:99999"
        username = "endpoint"
        credential = "x"
        """,
    )
    with pytest.raises(ConfigurationError) as refused:
        load(file, files=True)
    told = refused.value.mistakes
    by, missing = f"({file})", "(No such file or directory), expected"
    expected = [
        f"http.certificate {by}: found '{home}/chain.pem' {missing} a PEM file",
        f"http.key {by}: found '{home}/key.pem' {missing} a PEM file",
        f"account.0.password_file {by}: found '{home}/6001.secret' {missing} a text file",
        f"account.0.ca {by}: found '{home}/ca.pem' {missing} a PEM file",
        f"account.1.password_file {by}: found nothing in the first line of '{home}/empty'",
        f"account.2.server {by}: found 'sip:pbx.example.com:70000', expected a port",
        f"account.2.password {by}: found an empty one, expected a password",
        f"station.0.path {by}: found '{home}/voice.wav' {missing} a WAV file",
        f"station.1.path {by}: found '{home}/no.wav' (not a WAV file), expected a WAV file",
        f"media.ice_servers.0.url {by}: found 'turns:turn.example.com:99999', expected a port",
        f"sip.port {by}: found 99999, expected at most 65535",
    ]
    for line in expected:
        assert any(mistake.startswith(line) for mistake in told), (line, told)
    assert len(told) == len(expected)


def test_a_list_of_tables_is_shown_as_it_is_written(home: Path) -> None:
    write(home / "agent-endpoint.toml", 'media.ice_servers = ["stun:stun.example.com"]\n')
    (mistake,) = mistakes()
    assert mistake.endswith('expected [[media.ice_servers]] and below it url = "stun:…"')


def test_one_list_written_in_two_ways_is_said_so(home: Path) -> None:
    first = 'account = [{ device = "6001", server = "ws://a", password = "x" }]\n'
    write(home / "agent-endpoint.toml", first + '[[account]]\ndevice = "6002"\n')
    (mistake,) = mistakes()
    assert "account is written in two ways: write all as [[account]], or all as" in mistake


def test_a_key_of_the_whole_file_below_a_table_is_sent_above_it(home: Path) -> None:
    account = '[[account]]\ndevice = "6001"\nserver = "ws://a"\npassword = "x"\n'
    write(home / "agent-endpoint.toml", account + 'host = "0.0.0.0"\n')
    (mistake,) = mistakes()
    assert mistake.startswith("account.0.host (agent-endpoint.toml): unknown key here; put host")
    assert mistake.endswith("above the first [table] of the file")


def test_ringing_is_acknowledged_as_the_file_says(home: Path) -> None:
    assert sip_config(load().config).user_agent.ring_reliably is RingReliably.ASKED
    write(home / "agent-endpoint.toml", '[sip]\nring_reliably = "possible"\n')
    assert sip_config(load().config).user_agent.ring_reliably is RingReliably.POSSIBLE
    write(home / "agent-endpoint.toml", '[sip]\nring_reliably = "never"\n')
    (mistake,) = mistakes()
    assert mistake.startswith("sip.ring_reliably")


@pytest.mark.parametrize(("given", "is_right"), [("0", True), ("90", True), ("89", False)])
def test_a_session_lasts_at_least_what_is_taken_from_others(
    home: Path, given: str, is_right: bool
) -> None:
    write(home / "agent-endpoint.toml", f"[sip]\nsession_expires_s = {given}\n")
    if is_right:
        assert load().config.sip.session_expires_s == int(given)
    else:
        (mistake,) = mistakes()
        assert "session_expires_s is 89: expected 0, or not less than" in mistake


def test_a_host_that_can_be_none_is_told_at_the_check(home: Path) -> None:
    write(home / "agent-endpoint.toml", 'host = "not a host"\n[media]\nadvertised_host = "a b"\n')
    told = mistakes()
    assert any("found 'not a host', expected an address or a host name" in line for line in told)
    assert any("found 'a b', expected an address or a host name" in line for line in told)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "fe80::1%eth0", "localhost", "pbx.example.com"])
def test_hosts_that_can_be_listened_on_are_taken(home: Path, host: str) -> None:
    write(home / "agent-endpoint.toml", f'host = "{host}"\n')
    assert load().config.sip.host == host


def test_one_port_can_not_be_listened_on_twice(home: Path) -> None:
    write(home / "agent-endpoint.toml", "[http]\nport = 8643\nplain_port = 8643\n")
    (mistake,) = mistakes()
    assert "port and plain_port are both 8643" in mistake


def test_a_rule_of_recordings_that_is_about_nobody_or_says_no_sound_is_told_in_words(
    home: Path,
) -> None:
    file = home / "agent-endpoint.toml"
    (home / "text.wav").write_text("This call is recorded.")
    rule = '[[recording]]\nname = "sales"\n'
    for more, told in (
        ("", 'recording.0.devices: found nothing, expected [[recording]] and below it name = "'),
        ('devices = ["*"]\nannounce = "none.wav"\n', "none.wav' (No such file or directory)"),
        ('devices = ["*"]\nannounce = "text.wav"\n', "text.wav' (not a WAV file), expected a WAV"),
    ):
        file.write_text(rule + more)
        with pytest.raises(ConfigurationError) as caught:
            load(file, files=True)
        (mistake,) = caught.value.mistakes
        assert told in mistake


def test_a_key_of_recordings_that_is_no_use_is_told_with_all_else(home: Path) -> None:
    file = home / "agent-endpoint.toml"
    (home / "short.key").write_text("00")
    for name, why in (("none.key", "(No such file"), ("short.key", "which holds something else")):
        file.write_text(f'[recordings]\nkey_file = "{name}"\n')
        with pytest.raises(ConfigurationError) as caught:
            load(file, files=True)
        (told,) = caught.value.mistakes
        assert told.startswith("recordings.key_file")
        assert why in told
        assert "openssl rand -hex 32" in told
