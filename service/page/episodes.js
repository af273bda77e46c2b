// Alert episodes of one model version: since when, who was told, and what became of it.

import { Problem, clock } from "./api.js";
import { deliveryTable } from "./deliveries.js";
import { h } from "./dom.js";
import { age, counted, span, wallClock } from "./format.js";
import { facts, name } from "./parts.js";
import { RESOLUTIONS } from "./words.js";

/** All that is known of them; `deliveries` may be a Problem. */
export function episodeList(episodes, deliveries, zone, service) {
  if (episodes.length === 0) {
    return h("p", { class: "quiet" }, "No alert has been raised.");
  }
  return episodes.map((episode) => article(episode, deliveries, zone, service));
}

/** Deliveries of a model that belong to none of its episodes, such as those about silence. */
export function otherDeliveries(episodes, deliveries, model, service) {
  if (deliveries instanceof Problem) {
    return null;
  }
  const told = new Set(episodes.flatMap((episode) => episode.notices.map((notice) => notice.id)));
  const others = deliveries.deliveries.filter(({ id, model: of }) => of === model && !told.has(id.slice(0, id.indexOf(":"))));
  return others.length ? [h("h3", null, "Other notices"), deliveryTable(others, service, false)] : null;
}

function article(episode, deliveries, zone, service) {
  const open = episode.state === "open";
  const { windows } = episode;
  const of = `${windows.drifted} drifted, ${windows.stable} stable, ${windows.undecided} undecided`;
  const heading = `${open ? "Firing since" : "Resolved; opened"} ${wallClock(episode.opened_at, zone)}`;
  return h(
    "article",
    { class: `episode ${episode.state}`, "data-key": episode.id, "data-episode": episode.id, "data-state": episode.state },
    h("h3", null, heading),
    facts([
      ["seen by the service", time(episode.recorded_at)],
      ["resolved", open ? null : [time(episode.resolved_at), `, ${RESOLUTIONS[episode.resolution] ?? episode.resolution}`]],
      ["by", episode.resolved_by === null ? null : name(episode.resolved_by)],
      ["windows", `${of}; ${span(windows.first, zone)} until ${wallClock(windows.last.end, zone)}`],
      ["strength", episode.tier],
      ["drifted at first", drifted(episode)],
      ["acknowledged", episode.acknowledged && ["by ", name(episode.acknowledged.by), ", ", time(episode.acknowledged.at)]],
      ["sends nothing until", open ? episode.silenced_until : null],
      ["retraining", outcomes(episode)],
      ["dry run", dryRuns(episode.would_have_sent)],
    ]),
    notices(episode, deliveries, service),
  );
}

function time(instant) {
  return h("time", { datetime: instant, "data-tip": instant }, age(instant, clock.now()));
}

function drifted({ evidence }) {
  if (!evidence || evidence.columns.length === 0) {
    return null;
  }
  const more = evidence.columns_drifted - evidence.columns.length;
  return [evidence.columns.map((column, index) => [index ? ", " : "", name(column.name)]), more > 0 ? ` and ${more} more` : ""];
}

/** What pipelines reported, oldest first; episodes from before all was kept have the last only. */
function outcomes({ outcome: last, outcomes: all = [] }) {
  const reported = all.length || last === null ? all : [last];
  return reported.length ? reported.map((one, index) => [index ? "; " : "", outcome(one)]) : null;
}

function outcome({ state, link, at }) {
  // An address that somebody reported is followed only if it is one of the web.
  const usable = /^https?:\/\//i.test(link ?? "");
  const shown = usable ? h("a", { href: link, rel: "noopener noreferrer", target: "_blank" }, "its run") : null;
  return [`${state}, `, time(at), shown ? ", " : null, shown];
}

function dryRuns(runs) {
  if (runs.length === 0) {
    return null;
  }
  return [
    "a retraining would have been started: ",
    runs.map((run, index) => [index ? ", " : "", name(run.target), ", ", time(run.at)]),
  ];
}

function notices(episode, deliveries, service) {
  if (episode.notices.length === 0) {
    return h("p", { class: "quiet" }, "Nobody was told: no target takes its notices.");
  }
  if (deliveries instanceof Problem) {
    const told = episode.notices.map((notice) => `${notice.kind} to ${notice.targets.join(", ")}`).join("; ");
    return h("p", { class: "quiet" }, `Notices: ${told}. This key may not read deliveries.`);
  }
  const known = new Map(deliveries.deliveries.map((delivery) => [delivery.id, delivery]));
  const wanted = episode.notices.flatMap((notice) => notice.targets.map((target) => `${notice.id}:${target}`));
  const found = wanted.map((id) => known.get(id)).filter(Boolean);
  const gone = wanted.length - found.length;
  return [
    found.length ? deliveryTable(found, service, false) : null,
    gone ? h("p", { class: "quiet" }, `${counted(gone, "notice")} too old to be listed here.`) : null,
  ];
}
