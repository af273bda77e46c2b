// One version of a model: how it stands, what its windows said, its columns, and its alerts.

import { Problem, read, readDeliveries } from "./api.js";
import { columnTable } from "./columns.js";
import { comparisonOf, comparisonSection } from "./comparison.js";
import { h } from "./dom.js";
import { episodeList, otherDeliveries } from "./episodes.js";
import { count, counted, number, pvalue, span, wallClock, windowLabel } from "./format.js";
import { calibrationMark, link, name, provisionalMark, verdict } from "./parts.js";
import { history, standing } from "./standing.js";
import { stateSection } from "./state.js";
import { legend, strip, summaryText } from "./strip.js";
import { CALIBRATIONS, REASONS, VERDICTS } from "./words.js";

const WINDOWS = 60;
const FEW = 15; // a strip of these is kept short
const LATEST = 100; // of all sizes, for how it stands
const EPISODES = 20;
const DELIVERIES = 200;

/** Read all that the view shows. */
export async function load(route, service) {
  const path = ["v1", "models", route.model];
  const model = await read(path);
  const name_ = route.version ?? model.default_version;
  const version = model.versions.find((one) => one.version === name_);
  if (version === undefined) {
    throw new Problem(404, "no such version of the model");
  }
  const query = { version: name_, brief: true };
  const size = route.window ?? windowLabel(model.configuration.base_window, 1);
  const [latest, sized, { episodes }, deliveries, comparison] = await Promise.all([
    read([...path, "evaluations"], { ...query, limit: LATEST }),
    read([...path, "evaluations"], { ...query, limit: WINDOWS, window: size }),
    read(["v1", "episodes"], { model: route.model, limit: EPISODES }),
    readDeliveries(service, { limit: DELIVERIES }),
    comparisonOf(path, version),
  ]);
  const windows = history(sized.evaluations, size);
  const chosen = chosenOf(windows, route.at);
  const data = { model, version, size, latest, windows, chosen, episodes, deliveries, comparison, evaluation: null, shares: null };
  if (chosen !== null) {
    data.evaluation = await fullOf(path, name_, size, chosen);
    data.shares = route.column === undefined ? null : await sharesOf(path, name_, data.evaluation, route.column);
  }
  return data;
}

/** What the title of the window says. */
export function title({ model, latest, episodes, version }) {
  const stands = standing(latest.evaluations);
  const firing = episodes.some((one) => one.state === "open" && one.version === version.version);
  const word = latest.learning ? "learning" : (stands?.verdict ?? "undecided");
  const sign = firing || word === "drifted" ? "\u25b2" : word === "stable" ? "\u25cf" : "\u25cb";
  return `${sign} ${model.model} ${version.version}: ${word}${firing ? ", alert firing" : ""}`;
}

export function view(data, route, service, look) {
  const { model, version, latest, episodes, deliveries } = data;
  const zone = model.configuration.time_zone;
  const own = episodes.filter((one) => one.version === version.version);
  return [
    h("nav", { "aria-label": "Where this is" }, link({}, "All models"), " / ", name(model.model), versions(data)),
    h("h1", null, name(model.model), h("span", { class: "quiet" }, " version ", name(version.version))),
    stateSection(data, own),
    comparisonSection(data.comparison),
    latest.learning ? null : windowSection(data, route, zone),
    latest.learning ? null : columnSection(data, route, service, look, zone),
    h(
      "section",
      { "aria-label": "Alerts" },
      h("h2", null, "Alerts"),
      episodeList(own, deliveries, zone, service),
      otherDeliveries(episodes, deliveries, model.model, service),
    ),
    glossary(),
  ];
}

/** The window that was asked for, else the newest closed one, else the open one. */
function chosenOf(windows, at) {
  const asked = windows.find((one) => (at === "open" ? one.provisional : !one.provisional && one.window.end === at));
  const closed = windows.filter((one) => !one.provisional);
  return asked ?? closed.at(-1) ?? windows.at(-1) ?? null;
}

async function fullOf(path, version, size, chosen) {
  const query = { version, window: size, limit: 1 };
  const { start, end } = chosen.window;
  const span_ = chosen.provisional ? {} : { since: start, until: end };
  const { evaluations } = await read([...path, "evaluations"], { ...query, ...span_ });
  return evaluations[0] ?? null;
}

async function sharesOf(path, version, evaluation, column) {
  if (evaluation === null || !Object.hasOwn(evaluation.columns, column)) {
    return null;
  }
  if (column === "." || column === "..") {
    return new Problem(400, "no address can hold this name");
  }
  const { start, end } = evaluation.window;
  try {
    return await read([...path, "columns", column], { version, since: start, until: end });
  } catch (error) {
    if (error instanceof Problem && error.status !== 401) {
      return error;
    }
    throw error;
  }
}

function versions({ model, version }) {
  if (model.versions.length < 2) {
    return null;
  }
  const links = model.versions.map((one) =>
    link({ model: model.model, version: one.version }, name(one.version), {
      "aria-current": one.version === version.version ? "page" : null,
    }),
  );
  return h("span", { class: "tabs" }, "versions ", links);
}

function windowSection(data, route, zone) {
  const { model, windows, chosen, size } = data;
  const { base_window: base, scales, views } = model.configuration;
  const labels = [...scales.map((scale) => windowLabel(base, scale)), ...views.map((one) => one.size ?? `${one.rows}rows`)];
  const tabs = [...new Set([windowLabel(base, 1), ...labels])].map((label) =>
    link({ ...route, window: label, at: undefined }, label, { "aria-current": label === size ? "true" : null }),
  );
  return h(
    "section",
    { "aria-label": "Windows" },
    h("h2", null, "Windows"),
    tabs.length > 1 ? h("p", { class: "tabs" }, "size ", tabs) : null,
    windows.length === 0
      ? h("p", { class: "quiet" }, `No window of ${size} has been evaluated yet.`)
      : [
          h(
            "div",
            { class: windows.length > FEW ? "timeline" : "timeline few" },
            strip(windows, zone, chosen),
            ends(windows, zone),
          ),
          h("p", { class: "steps" }, steps(windows, chosen), h("span", { class: "quiet" }, summaryText(windows))),
          legend(),
        ],
  );
}

function ends(windows, zone) {
  const times = [windows[0].window.start, windows.at(-1).window.end].map((time) => h("span", null, wallClock(time, zone)));
  return h("p", { class: "ends", "aria-hidden": "true" }, times);
}

function steps(windows, chosen) {
  const at = windows.indexOf(chosen);
  const step = (to, label) => {
    const target = windows[to];
    const where = target === undefined ? null : target.provisional ? "open" : target.window.end;
    return h("button", { type: "button", "data-at": where, disabled: where === null }, label);
  };
  return [step(at - 1, "\u2039 earlier"), step(at + 1, "later \u203a")];
}

function columnSection(data, route, service, look, zone) {
  const { evaluation } = data;
  if (evaluation === null) {
    return null;
  }
  const names = Object.values(evaluation.columns);
  const drifted = names.filter((column) => column.verdict === "drifted").length;
  return h(
    "section",
    { "aria-label": "Columns", "data-window-end": evaluation.window.end },
    h("h2", null, `Columns, ${span(evaluation.window, zone)} `, evaluation.provisional ? provisionalMark() : null),
    h(
      "p",
      null,
      verdict(evaluation.verdict, evaluation.reason),
      " ",
      calibrationMark(evaluation),
      ` ${drifted} of ${counted(names.length, "column")}, ${counted(evaluation.rows, "row")}`,
      evaluation.late_rows > 0 ? `, ${count(evaluation.late_rows)} of them late` : null,
      evaluation.revision > 1 ? `, revision ${evaluation.revision}` : null,
    ),
    names.length ? h("p", { class: "quiet" }, line(names)) : null,
    evaluation.calibration_advice
      ? h("p", { class: "quiet advice" }, `Calibration ${evaluation.calibration}; to make it better: ${evaluation.calibration_advice}.`)
      : null,
    columnTable(evaluation, { ...look, column: route.column }, data.shares, service),
  );
}

/** The line that a column has to cross; one for the whole window as yet, but each column says its own. */
function line(columns) {
  const [pvalues, effects] = ["pvalue_threshold", "effect_threshold"].map((field) => [
    ...new Set(columns.map((column) => column[field]).filter((value) => value !== null)),
  ]);
  if (pvalues.length !== 1 || effects.length !== 1) {
    return "Columns have thresholds of their own.";
  }
  return `A column has drifted if its p-value is at most ${pvalue(pvalues[0])} and its effect above ${number(effects[0])}.`;
}

function glossary() {
  const entry = ([word, said]) => h("div", null, h("dt", null, word), h("dd", null, said));
  const entries = (words) => Object.entries(words).map(entry);
  return h(
    "details",
    { class: "glossary", "data-key": "glossary" },
    h("summary", null, "What the words mean"),
    h("h3", null, "Verdicts"),
    h("dl", null, entries(VERDICTS)),
    h("h3", null, "Why a verdict is undecided"),
    h("dl", null, entries(Object.fromEntries(Object.values(REASONS)))),
    h("h3", null, "Calibration"),
    h("dl", null, entries(CALIBRATIONS)),
  );
}
