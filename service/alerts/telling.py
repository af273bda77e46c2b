"""Notices that one step makes of one episode, numbered as they are made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from service.alerts.decision import Decision
from service.alerts.documents import DryRun, EpisodeChange, SentNotice, span_of
from service.alerts.notice import About, Resolution, derived_id, instant, notice_document, outbox_notices
from service.alerts.state import OpenEpisode
from service.domain.targets import NoticeKind
from service.ports import OutboxNotice

__all__ = ["Telling"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """An episode in the middle of a step.

    Parameters
    ----------
    episode : OpenEpisode
    about : About
    notices : tuple of OutboxNotice
    sent : tuple of SentNotice
    dry_targets : tuple of str
        Targets whose retraining would have been started.
    """

    episode: OpenEpisode
    about: About
    notices: tuple[OutboxNotice, ...] = ()
    sent: tuple[SentNotice, ...] = ()
    dry_targets: tuple[str, ...] = ()

    @property
    def is_silenced(self) -> bool:
        """Whether the episode sends nothing now."""
        until_us = self.episode.silenced_until_us
        return until_us is not None and self.about.at_us < until_us

    def tell(
        self,
        kind: NoticeKind,
        targets: Sequence[str],
        reason: Resolution | None = None,
        watch: Mapping[str, Any] | None = None,
    ) -> "Telling":
        """Send a notice to targets; without a number, and without effect, if there are none or the episode is silenced."""
        if not targets or self.is_silenced:
            return self
        notice_id = derived_id("ntc", self.episode.id, kind, self.episode.sequence + 1)
        return self._sent(kind, targets, notice_id, reason=reason, watch=watch)

    def tell_to_retrain(self, target: str) -> "Telling":
        """Start a retraining. An episode has one for each target: the id says nothing of how and when it came to it."""
        telling = self._sent("retrain", (target,), derived_id("ntc", self.episode.id, "retrain", target))
        episode = replace(telling.episode, retrained=(*telling.episode.retrained, target))
        return replace(telling, episode=episode)

    def change(self, decision: Decision | None, **more: Any) -> EpisodeChange:
        """What the step does to the episode; `more` are further fields of the change."""
        window = None if decision is None else span_of(decision)
        at = instant(self.about.at_us)
        dry_runs = [DryRun(target=target, at=at, window=window) for target in self.dry_targets if window is not None]
        return EpisodeChange(
            id=self.episode.id,
            reference_id=self.episode.reference_id,
            subject=self.about.subject,
            opened_at_us=self.episode.opened_at_us,
            at_us=self.about.at_us,
            window=window,
            verdict=None if decision is None else decision.verdict,
            notices=self.sent,
            would_have_sent=tuple(dry_runs),
            **more,
        )

    def _sent(
        self,
        kind: NoticeKind,
        targets: Sequence[str],
        notice_id: str,
        *,
        reason: Resolution | None = None,
        watch: Mapping[str, Any] | None = None,
    ) -> "Telling":
        sequence, at_us = self.episode.sequence + 1, self.about.at_us
        document = notice_document(
            kind,
            self.about,
            notice_id=notice_id,
            sequence=sequence,
            episode_id=self.episode.id,
            reason=reason,
            watch=watch,
        )
        sent = SentNotice(id=notice_id, kind=kind, sequence=sequence, at=instant(at_us), targets=tuple(targets))
        return replace(
            self,
            episode=replace(self.episode, sequence=sequence),
            notices=self.notices + outbox_notices(document, targets, order_key=self.episode.id, created_at_us=at_us),
            sent=(*self.sent, sent),
        )
