"""Configuration of targets, and where their secrets come from."""

import pytest
from pydantic import ValidationError

from service.domain.targets import NOTICE_KINDS, SecretReference, TargetConfiguration, resolve
from service.errors import DeclarationError
from service.webhooks import resolve_target, resolve_targets

URL = "https://ci.example/hook"
TOKEN = {"env": "TOKEN"}
SIGNING = "whsec_" + "QUJD" * 10
ENVIRONMENT = {"TOKEN": "t0ken", "SIGNING": SIGNING, "URL": "https://hooks.example/T000/secret", "EMPTY": " "}


@pytest.mark.parametrize(
    "document",
    [
        {"url": URL},
        {"url": {"env": "URL"}},
        {"url": "http://ci.example:8080/hook?x=1"},
        {"url": "http://[::1]:80/", "token": TOKEN, "allow_private": True},
        {"url": URL, "headers": {"X-Team": "drift monitors"}, "secrets": [TOKEN, {"file": "/run/secret"}]},
        {"preset": "github", "repository": "acme/models.train-1", "token": TOKEN},
        {"preset": "github", "url": "https://git.acme/api/v3", "repository": "a/b", "token": TOKEN, "event_type": "x"},
        {"url": URL, "kinds": list(NOTICE_KINDS), "format": "cloudevents"},
    ],
)
def test_targets_are_read(document):
    found = TargetConfiguration.model_validate(document)

    assert TargetConfiguration.model_validate(found.model_dump()) == found


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({}, "url is missing"),
        ({"url": "ftp://x"}, "http or https"),
        ({"url": "https://"}, "http or https"),
        ({"url": "https://x:port/"}, "http or https"),
        ({"url": "https://x:0/"}, "http or https"),
        ({"url": "https://[::1/"}, "http or https"),
        ({"url": "https://x/\n"}, "http or https"),
        ({"url": "https://x/" + "a" * 3000}, "http or https"),
        ({"url": "https://user:hunter2@x/"}, "without user and password"),
        ({"url": "https://x/#here"}, "fragment"),
        ({"url": "HTTP://x/", "token": TOKEN}, "plain http"),
        ({"url": URL, "repository": "a/b"}, "preset github"),
        ({"url": URL, "event_type": "a"}, "preset github"),
        ({"preset": "github", "repository": "a/b"}, "repository and token"),
        ({"preset": "github", "token": TOKEN}, "repository and token"),
        ({"preset": "github", "repository": "a/..", "token": TOKEN}, "repository"),
        ({"preset": "github", "repository": "a/b", "token": TOKEN, "format": "cloudevents"}, "GitHub's own"),
        ({"url": URL, "timeout": "1h"}, "timeout"),
        ({"url": URL, "retry_for": "soon"}, "retry_for"),
        ({"url": URL, "concurrency": 0}, "concurrency"),
        ({"url": URL, "headers": {"Authorization": "Bearer hunter2"}}, "authorization is not free"),
        ({"url": URL, "headers": {"x y": "1"}}, "visible ASCII"),
        ({"url": URL, "headers": {"x": "hunter2\r\nhost: y"}}, "visible ASCII"),
        ({"url": URL, "token": "hunter2"}, "token"),
        ({"url": URL, "token": {"env": "A", "file": "B"}}, "either env or file"),
        ({"url": URL, "token": {}}, "either env or file"),
        ({"url": URL, "secrets": [TOKEN] * 3}, "secrets"),
        ({"url": URL, "kinds": ["drift"]}, "kinds"),
        ({"url": URL, "secret": "hunter2"}, "secret"),
    ],
)
def test_targets_that_cannot_be_are_refused_without_repeating_what_may_be_a_secret(document, reason):
    with pytest.raises(ValidationError, match=reason) as raised:
        TargetConfiguration.model_validate(document)

    assert "hunter2" not in str(raised.value)


def test_a_target_wants_its_kinds_and_always_a_test():
    some = TargetConfiguration(url=URL, kinds=("retrain",))

    assert [kind for kind in NOTICE_KINDS if some.wants(kind)] == ["retrain", "test"]
    assert all(TargetConfiguration(url=URL).wants(kind) for kind in NOTICE_KINDS)


def test_secrets_come_from_the_environment_or_a_file_without_white_space(tmp_path):
    (tmp_path / "token").write_text("t0ken\n")

    assert resolve(SecretReference(env="TOKEN"), {"TOKEN": " t0ken "}) == "t0ken"
    assert resolve(SecretReference(file=str(tmp_path / "token")), {}) == "t0ken"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"hunter2\nhunter3", "holds no secret"),
        ("hunter2\u00e4".encode(), "holds no secret"),
        (b"hunter2\xff", "not UTF-8"),
        (b"hunter2" * 4000, "holds no secret"),
        (None, "No such file"),
    ],
)
def test_a_secret_that_is_not_there_is_named_and_never_shown(tmp_path, content, reason):
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(DeclarationError, match=reason) as raised:
        resolve(SecretReference(file=str(path)), {})

    assert str(path) in str(raised.value)
    assert "hunter" not in str(raised.value)


def test_a_variable_that_is_not_set_is_named():
    with pytest.raises(DeclarationError, match="environment variable TOKEN is not set"):
        resolve(SecretReference(env="TOKEN"), {})
    with pytest.raises(DeclarationError, match="environment variable EMPTY is empty"):
        resolve(SecretReference(env="EMPTY"), ENVIRONMENT)


def test_targets_are_resolved_and_their_secrets_never_printed():
    configuration = TargetConfiguration.model_validate(
        {"url": {"env": "URL"}, "secrets": [{"env": "SIGNING"}], "token": TOKEN, "timeout": "5s", "retry_for": "1h"}
    )

    target = resolve_targets({"ci": configuration}, ENVIRONMENT)["ci"]

    assert (target.url, target.token, target.keys) == (ENVIRONMENT["URL"], "t0ken", (b"ABC" * 10,))
    assert (target.timeout_s, target.retry_for_us) == (5, 3_600_000_000)
    assert not any(secret in repr(target) for secret in ("hooks.example", "t0ken", "ABC"))


@pytest.mark.parametrize(
    ("document", "environment", "reason"),
    [
        ({"url": URL, "token": TOKEN}, {}, "target 'ci': secret: environment variable TOKEN is not set"),
        ({"url": URL, "secrets": [TOKEN]}, ENVIRONMENT, "target 'ci': signing secret: wanted whsec_"),
        ({"url": {"env": "URL"}}, {"URL": "ftp://hunter2"}, "target 'ci': url: wanted an http or https address"),
        ({"url": {"env": "URL"}, "token": TOKEN}, ENVIRONMENT | {"URL": "http://hunter2"}, "not sent over plain http"),
    ],
)
def test_what_cannot_be_resolved_names_the_target(document, environment, reason):
    with pytest.raises(DeclarationError, match=reason) as raised:
        resolve_target("ci", TargetConfiguration.model_validate(document), environment)

    assert "hunter2" not in str(raised.value)
    assert "t0ken" not in str(raised.value)
