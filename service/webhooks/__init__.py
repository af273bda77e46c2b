"""Webhooks out: notices from the outbox to targets, signed, in order, at least once."""

from service.webhooks.dispatcher import Dispatcher, send_test
from service.webhooks.outbox import AttemptEnded
from service.webhooks.sender import Answer, Sender
from service.webhooks.target import Target, resolve_target, resolve_targets

__all__ = ["Answer", "AttemptEnded", "Dispatcher", "Sender", "Target", "resolve_target", "resolve_targets", "send_test"]
