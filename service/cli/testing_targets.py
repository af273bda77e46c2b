"""A test notice to a target, and what its answer would lead to."""

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import Final, NoReturn

import click

from service.cli.config import settings_or_exit
from service.cli.options import plain
from service.clock import SystemClock
from service.domain.targets import TargetConfiguration
from service.errors import DeclarationError
from service.webhooks import Answer, Sender, Target, resolve_target, send_test
from service.webhooks.presets import GONE

__all__ = ["run_test"]

EXIT_NOT_DELIVERED: Final = 2
_BODY_CHARACTERS_MAX: Final = 300

_ENDED: Final = {
    "timeout": "no answer within {timeout:g} s, the target's `timeout`",
    "lookup": "the name could not be looked up",
    "refused_address": "the address is link-local, of cloud metadata or the like: it is never called",
    "private_address": "the address is a private one; `allow_private: true` allows it",
    "connect": "no connection: nobody listens there, or something in between refuses",
    "tls": "no trust: the certificate was not accepted",
    "broken": "the connection broke, or what came was no HTTP",
}


def run_test(name: str, config: Path) -> NoReturn:
    """Send a test notice to a target of a configuration, print the answer, and leave."""
    targets = settings_or_exit(config).targets
    if name not in targets:
        raise DeclarationError(f"target '{name}' is not configured; there are: {', '.join(targets) or 'none'}")
    resolved = resolve_target(name, targets[name], os.environ)
    click.echo(_described(resolved, targets[name]))
    answer = asyncio.run(send_test({name: resolved}, name, Sender(), SystemClock(), random.SystemRandom()))
    delivered = answer.status is not None and answer.status in resolved.preset.success
    click.echo(_answered(answer, resolved))
    body = plain(answer.body.decode(errors="replace")[:_BODY_CHARACTERS_MAX])
    if body:
        click.echo(f"body: {body}")
    click.echo("delivered" if delivered else f"not delivered: {_fate(answer, resolved, targets[name])}")
    sys.exit(0 if delivered else EXIT_NOT_DELIVERED)


def _described(target: Target, configuration: TargetConfiguration) -> str:
    # An address that is a secret is not shown, nor is any other secret.
    where = "a secret address"
    if configuration.url is None or isinstance(configuration.url, str):
        where = target.url + (f", repository {target.repository}" if target.repository else "")
    keys = len(target.keys) if target.preset.signed else 0
    signed = f"signed with {keys} secret{'s' if keys > 1 else ''}" if keys else "not signed"
    token = ", with a token" if target.token is not None else ""
    return f"{target.name}: {plain(where)} ({configuration.preset}, {configuration.format}), {signed}{token}"


def _answered(answer: Answer, target: Target) -> str:
    if answer.status is None:
        return f"no answer: {_ENDED.get(answer.ended, answer.ended).format(timeout=target.timeout_s)}"
    patience = f", Retry-After: {plain(answer.retry_after)}" if answer.retry_after else ""
    return f"answer: {answer.status} after {answer.duration_s * 1e3:.0f} ms{patience}"


def _fate(answer: Answer, target: Target, configuration: TargetConfiguration) -> str:
    if answer.status == GONE:
        return f"410 would disable the target until POST /v1/targets/{target.name}/enable"
    if answer.status in target.preset.permanent:
        return f"{answer.status} is final for this kind of target: the notice would be dead at once"
    return f"a notice would be tried again, at growing intervals of up to an hour, for {configuration.retry_for}"
