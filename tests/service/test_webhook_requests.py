"""What a webhook sends: bodies, signatures, addresses; and what becomes of a delivery. All of it pure."""

import base64
import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from service.alerts.decision import Decision, Subject
from service.alerts.lifecycle import step
from service.alerts.notice import make_test_notice
from service.alerts.rules import Rules
from service.alerts.state import AlertState
from service.domain.targets import TargetConfiguration
from service.errors import DeclarationError
from service.webhooks import resolve_target
from service.webhooks.addresses import refusal_of
from service.webhooks.payloads import rendered, request_of
from service.webhooks.retry import fate_of, parse_retry_after_us
from service.webhooks.signature import decode_secret, signed_headers

GOLDEN = Path(__file__).parent.parent / "golden"
KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
OTHER_KEY = "whsec_" + base64.b64encode(b"x" * 24).decode()
ENVIRONMENT = {"KEY": KEY, "OTHER_KEY": OTHER_KEY, "TOKEN": "t0ken"}
AT = 1_330_923_600
SECOND = 1_000_000


def target_of(**document):
    configuration = TargetConfiguration.model_validate({"url": "https://ci.example/hook"} | document)
    return resolve_target("ci", configuration, ENVIRONMENT)


def github(**document):
    return target_of(preset="github", url=None, repository="acme/bikes", token={"env": "TOKEN"}, **document)


def firing_notice():
    """Of the golden evaluation."""
    evaluation = json.loads((GOLDEN / "evaluation.json").read_text())
    decision = Decision(
        subject=Subject(model=evaluation["model"], version=evaluation["version"]),
        reference_id=evaluation["reference_id"],
        window_start_us=AT * SECOND,
        window_end_us=(AT + 7 * 86_400) * SECOND,
        verdict="drifted",
        evaluations=[evaluation],
    )
    rules = Rules(fire_after=1, notify=("ci",), public_url="https://drift.example")
    made = step(AlertState(), decision, rules, (AT + 8 * 86_400) * SECOND)
    return json.loads(made.notices[0].notice)


# Bodies


def golden_bodies():
    notice = firing_notice()
    targets = {
        "webhook_generic_plain.json": target_of(),
        "webhook_generic_cloudevents.json": target_of(format="cloudevents"),
        "webhook_github.json": github(),
    }
    return {name: json.loads(request_of(target, notice, AT).body) for name, target in targets.items()}


def test_the_bodies_are_the_golden_ones():
    """Made by `PYTHONPATH=tests python tests/service/test_webhook_requests.py`; names may be added, never changed."""
    for name, body in golden_bodies().items():
        assert body == json.loads((GOLDEN / name).read_text())


def test_a_plain_body_is_the_notice():
    notice = firing_notice()

    request = request_of(target_of(headers={"X-Team": "a", "User-Agent": "mine"}), notice, AT)

    assert request.body == msgspec.json.encode(notice)
    assert (request.method, request.url) == ("POST", "https://ci.example/hook")
    assert request.headers["content-type"] == "application/json"
    assert (request.headers["x-team"], request.headers["user-agent"]) == ("a", "mine")
    assert request.headers["webhook-id"] == notice["id"]
    assert not {"authorization", "webhook-signature"} & set(request.headers)


def test_a_cloudevent_carries_the_notice():
    notice = firing_notice()

    request = request_of(target_of(format="cloudevents", token={"env": "TOKEN"}), notice, AT)

    event = json.loads(request.body)
    assert (event["id"], event["subject"], event["type"]) == (notice["id"], "m", "driftline.drift.firing.v1")
    assert event["source"] == "https://drift.example/v1/models/m"
    assert event["data"] == notice
    assert request.headers["content-type"].startswith("application/cloudevents+json")
    assert request.headers["authorization"] == "Bearer t0ken"


def test_github_is_dispatched_with_at_most_ten_members():
    request = request_of(github(), firing_notice(), AT)

    body = json.loads(request.body)
    assert request.url == "https://api.github.com/repos/acme/bikes/dispatches"
    assert len(body["client_payload"]) == 10
    assert len(request.body) < 64_000
    assert request.headers["authorization"] == "Bearer t0ken"
    assert "webhook-id" not in request.headers
    enterprise = replace(github(), url="https://git.acme/api/v3/")
    assert request_of(enterprise, firing_notice(), AT).url == "https://git.acme/api/v3/repos/acme/bikes/dispatches"


@pytest.mark.parametrize(
    ("kind", "configured", "sent"),
    [
        ("retrain", None, "driftline.retrain"),
        ("retrain", "model-drift", "model-drift"),
        ("drift.firing", "model-drift", "driftline.drift.firing"),
        ("drift.resolved", "model-drift", "driftline.drift.resolved"),
        ("test", "model-drift", "driftline.test"),
    ],
)
def test_only_a_retrain_notice_starts_the_workflow(kind, configured, sent):
    request = request_of(github(event_type=configured), firing_notice() | {"kind": kind}, AT)

    assert json.loads(request.body)["event_type"] == sent


def test_a_test_notice_fits_every_preset():
    notice = make_test_notice("ci", AT * SECOND, "nonce")

    for target in (target_of(), target_of(format="cloudevents"), github()):
        assert b"driftline-test" in request_of(target, notice, AT).body


def test_what_stands_in_a_notice_names_nothing():
    context = {"notice": {"model": "{target.url}"}, "target": {"url": "secret"}}

    assert rendered({"a": "{notice.model}", "b": "of {notice.model}"}, context) == {
        "a": "{target.url}",
        "b": "of {target.url}",
    }


def test_a_request_is_printed_without_its_secrets():
    printed = repr(request_of(github(), firing_notice(), AT))

    assert "t0ken" not in printed
    assert "api.github.com" not in printed


# Signatures

SAMPLE_BODY = '{"type":"drift.detected","timestamp":"2026-01-01T00:00:05Z","data":{"model":"churn","model_version":"7","environment":"prod","severity":"critical","reason":"drift","drift":{"detector":"psi","scope":"feature","features":["age","plan"],"score":0.31,"threshold":0.2,"p_value":null,"share_drifted":0.67},"window":{"start":"2025-12-31T23:00:00Z","end":"2026-01-01T00:00:00Z","rows":5120},"reference":{"id":"churn-7","dataset":"data/train.csv","dvc_md5":"d4e201c70d08ae5815e54f99275d91be","mlflow_dataset_digest":"0f0ca646","rows":2000},"links":{"report":"https://drift.example.com/models/churn/events/0b9d7c1e-5a44-4a0e-9d0b-6f7f1c2a3b4d"}}}'


def test_the_sample_of_standard_webhooks_has_our_signature():
    headers = signed_headers(
        [decode_secret(KEY)], "msg_0b9d7c1e5a444a0e9d0b6f7f1c2a3b4d", 1_767_225_605, SAMPLE_BODY.encode()
    )

    assert headers == {
        "webhook-id": "msg_0b9d7c1e5a444a0e9d0b6f7f1c2a3b4d",
        "webhook-timestamp": "1767225605",
        "webhook-signature": "v1,IID91BbiILBznSwvpsjSTp9oYoeQjbmGL+iRlI9rm/w=",
    }


@pytest.mark.parametrize("known", [KEY, OTHER_KEY])
def test_while_one_secret_replaces_another_receivers_verify_with_either(known):
    target = target_of(secrets=[{"env": "KEY"}, {"env": "OTHER_KEY"}])
    now_s = int(datetime.now(UTC).timestamp())  # the receiver's library asks the clock itself

    request = request_of(target, firing_notice(), now_s)

    assert Webhook(known).verify(request.body, dict(request.headers)) == firing_notice()


def test_the_padding_of_a_secret_may_be_absent():
    assert decode_secret(KEY.rstrip("=")) == decode_secret(KEY) == b"0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    "text", ["", "whsec_", KEY.removeprefix("whsec_"), "whsec_QUJD", "whsec_" + "QUJD" * 40, KEY + "!"]
)
def test_other_secrets_are_refused_without_repeating_them(text):
    with pytest.raises(DeclarationError, match="24 to 64 bytes") as raised:
        decode_secret(text)

    assert "QUJD" not in str(raised.value)


# Fates


def fate(status, *, target=None, attempts=0, age_us=0, retry_after_us=None, seed=0):
    return fate_of(
        target or target_of(),
        status,
        retry_after_us=retry_after_us,
        attempts=attempts,
        created_at_us=0,
        now_us=age_us,
        rng=random.Random(seed),  # noqa: S311 - jitter is no secret
    )


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_delivered(status):
    assert fate(status).state == fate(status, target=github()).state == "delivered"


def test_gone_is_dead_and_disables_the_target():
    for target in (target_of(), target_of(format="cloudevents"), github()):
        assert fate(410, target=target).disables
        assert fate(410, target=target).state == "dead"


@pytest.mark.parametrize(
    ("target", "dead"),
    [
        (target_of(), set()),
        (target_of(format="cloudevents"), {400, 401, 403, 404, 415}),
        (github(), {401, 404, 422}),
    ],
    ids=["plain", "cloudevents", "github"],
)
def test_what_is_permanent_depends_on_the_preset_and_all_else_is_tried_again(target, dead):
    statuses = {301, 302, 307, 400, 401, 403, 404, 408, 415, 422, 429, 500, 502, 503, 504, None}

    assert {status for status in statuses if fate(status, target=target).state == "dead"} == dead
    assert not any(fate(status, target=target).disables for status in statuses)


def test_back_off_doubles_up_to_an_hour_with_full_jitter():
    longest = [
        max(fate(500, attempts=n, seed=seed).next_attempt_us for seed in range(300)) for n in (0, 1, 2, 30, 10**6)
    ]
    shortest = [min(fate(500, attempts=n, seed=seed).next_attempt_us for seed in range(300)) for n in (0, 30)]

    assert [round(us / SECOND) for us in longest[:3]] == [5, 10, 20]
    assert longest[3] == longest[4] <= 3_600 * SECOND
    assert longest[3] > 3_500 * SECOND
    assert shortest[0] >= SECOND
    assert shortest[1] < 60 * SECOND


def test_a_receiver_may_ask_for_more_patience_but_not_beyond_the_end():
    target = target_of(retry_for="1h")

    assert fate(429, retry_after_us=600 * SECOND).next_attempt_us == 600 * SECOND
    assert fate(429, retry_after_us=7200 * SECOND, target=target).next_attempt_us == 3600 * SECOND


def test_the_last_attempt_is_made_when_the_time_is_over():
    target = target_of(retry_for="1m")

    before = fate(500, target=target, attempts=20, age_us=59 * SECOND)

    assert (before.state, before.next_attempt_us) == ("pending", 60 * SECOND)
    assert fate(500, target=target, age_us=60 * SECOND).state == "dead"
    assert fate(204, target=target, age_us=600 * SECOND).state == "delivered"


@given(
    st.one_of(st.none(), st.integers(100, 599)),
    st.integers(0, 10**9),
    st.integers(0, 10**12),
    st.one_of(st.none(), st.integers(0, 86_400 * SECOND)),
    st.integers(0, 100),
)
def test_a_delivery_that_is_pending_is_tried_later_and_in_time(status, attempts, age_us, retry_after_us, seed):
    made = fate(status, attempts=attempts, age_us=age_us, retry_after_us=retry_after_us, seed=seed)

    if made.state == "pending":
        assert age_us < made.next_attempt_us <= 3 * 86_400 * SECOND


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("\u0665", None),
        ("0", 0),
        (" 120 ", 120),
        ("99999999999999999999", 86_400),
        ("Mon, 05 Mar 2012 05:01:00 GMT", 60),
        ("Mon, 05 Mar 2012 05:01:00 -0000", 60),
        ("Mon, 05 Mar 2012 04:00:00 GMT", 0),
        ("Mon, 05 Mar 2040 05:00:00 GMT", 86_400),
        ("Mon, 99 Mar 2012 05:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date_within_a_day(value, seconds):
    assert parse_retry_after_us(value, AT * SECOND) == (None if seconds is None else seconds * SECOND)


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "0.1.2.3",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ],
)
def test_metadata_and_link_local_addresses_are_never_called(address):
    assert refusal_of([address], allow_private=True) == "refused_address"
    assert refusal_of(["10.0.0.1", address], allow_private=False) == "refused_address"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "198.18.0.1",
    ],
)
def test_private_addresses_are_called_only_if_that_is_allowed(address):
    assert refusal_of([address], allow_private=True) is None
    assert refusal_of([address, "8.8.8.8"], allow_private=False) == "private_address"


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_called(address):
    assert refusal_of([address], allow_private=False) is None


if __name__ == "__main__":
    for golden_name, golden_body in golden_bodies().items():
        (GOLDEN / golden_name).write_text(json.dumps(golden_body, indent=1) + "\n")
