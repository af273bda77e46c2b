// How one version stands, in words: verdict, alert, rows, reference and calibration.

import { clock } from "./api.js";
import { h } from "./dom.js";
import { age, count, counted, number, wallClock } from "./format.js";
import { calibrationMark, facts, progress, provisionalMark, verdict } from "./parts.js";
import { standing } from "./standing.js";
import { windowText } from "./strip.js";
import { CALIBRATIONS, reasonSentence } from "./words.js";

/** The first thing to read. */
export function stateSection(data, episodes) {
  const { model, version, latest } = data;
  const zone = model.configuration.time_zone;
  const firing = episodes.find((one) => one.state === "open") ?? null;
  const stands = standing(latest.evaluations);
  const word = latest.learning ? "learning" : (stands?.verdict ?? "undecided");
  return h(
    "section",
    { class: `state ${firing ? "drifted" : word}`, "aria-label": "State", "data-state": word },
    h(
      "p",
      { class: "headline" },
      verdict(word, stands?.reason ?? null),
      stands === null ? null : calibrationMark(stands.base),
      stands?.base.provisional ? provisionalMark() : null,
    ),
    firing ? h("p", { class: "firing" }, firingText(firing, zone)) : null,
    word === "drifted" && !firing ? h("p", null, quietText(model.configuration.policy)) : null,
    h("div", null, sentences(data, stands)),
    facts([
      ["newest row", version.newest_row === null ? "none yet" : instant(version.newest_row, zone)],
      ["rows in the window", stands === null ? null : `${count(stands.base.rows)} in ${stands.base.window.size}`],
      ["decided until", version.evaluated_until === null ? null : instant(version.evaluated_until, zone)],
      ["reference", version.reference_id === null ? "none yet" : reference(version.reference_id)],
      ["times are in", zone],
    ]),
    stands === null ? null : h("p", { class: "quiet" }, calibration(stands.base, version.calibration)),
  );
}

function sentences({ model, latest }, stands) {
  const zone = model.configuration.time_zone;
  if (latest.learning) {
    const { rows, rows_wanted: wanted } = latest.learning;
    return [
      h("p", null, "Its first rows become the reference; until then nothing is compared."),
      progress(rows, wanted, `${count(rows)} of ${counted(wanted, "row")}`),
    ];
  }
  if (stands === null) {
    return h("p", null, "No window has been evaluated yet.");
  }
  const { decisive, open, base } = stands;
  return [
    decisive.map((evaluation) => h("p", null, h("b", null, evaluation.window.size), ` ${windowText(evaluation, zone)}.`)),
    stands.reason === null ? null : h("p", null, reasonSentence(stands.reason)),
    open && open !== base
      ? h("p", { class: "quiet" }, provisionalMark(), " ", h("b", null, open.window.size), ` ${windowText(open, zone)}.`)
      : null,
  ];
}

function instant(text, zone) {
  return h("time", { datetime: text, "data-tip": text }, `${age(text, clock.now())} (${wallClock(text, zone)})`);
}

/** Why there may be drift and no alert. */
function quietText({ fire_after: least, cool_down: coolDown }) {
  const row = least === 1 ? "one drifted window" : `${least} drifted windows in a row`;
  const pause = coolDown === null ? "" : `, and none is raised for ${coolDown} after the one before`;
  return `No alert is firing: it takes ${row}${pause}.`;
}

function reference(id) {
  return h("code", { "data-tip": id }, `${id.replace("sha256:", "").slice(0, 12)}\u2026`);
}

function firingText({ opened_at: opened }, zone) {
  return `Alert firing since ${wallClock(opened, zone)}, ${age(opened, clock.now())}`;
}

/** What the version says of its reference is of now; the window knows what was known when it was evaluated. */
function calibration(evaluation, now) {
  const { calibration: status, false_alarms_per_30d: expected, budget_per_30d: budget } = evaluation;
  const said = now ?? { status, advice: evaluation.calibration_advice };
  const rate =
    expected === null ? "" : ` False alarms expected in 30 days at this strength: ${number(expected)}, of ${budget} allowed.`;
  const replay = now === null || now.replayed_alarms === null ? "" : ` ${replayText(now)}`;
  return [
    h("b", null, `Calibration ${said.status}. `),
    `${CALIBRATIONS[said.status] ?? ""}${replay}${rate}`,
    said.advice ? h("span", { class: "advice" }, ` To make it better: ${said.advice}.`) : null,
  ];
}

function replayText({ replayed_alarms: alarms, replayed_days: days }) {
  return `Its replay raised ${counted(alarms, "alarm")} in ${counted(Math.round(days), "day")}.`;
}
