"""What proves a webhook's message, judged by the vector and the library of Standard Webhooks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from endpoint.app.signatures import new_secret, signed

pytestmark = pytest.mark.unit

BODY = '{"type":"event","text":"grüß Gott"}'.encode()


def test_it_is_the_vector_of_the_standard() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    message, at, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signed(secret, message, at, body) == expected


def test_the_library_takes_what_was_sent_and_nothing_else() -> None:
    secret, at = new_secret(), int(datetime.now(UTC).timestamp())
    sent = {
        "Webhook-Id": "m-1",
        "Webhook-Timestamp": str(at),
        "Webhook-Signature": signed(secret, "m-1", at, BODY),
    }
    Webhook(secret).verify(BODY, sent)
    for other, headers, body in (
        (new_secret(), sent, BODY),
        (secret, sent, BODY + b" "),
        (secret, sent | {"Webhook-Id": "m-2"}, BODY),
        (secret, sent | {"Webhook-Timestamp": str(at - 1)}, BODY),
    ):
        with pytest.raises(WebhookVerificationError, match="No matching signature"):
            Webhook(other).verify(body, headers)


def test_no_two_secrets_are_the_same() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(each.startswith("whsec_") for each in made)
