// All models at a glance: what has drifted, who was told, and whether rows come.

import { Problem, clock, read, readDeliveries } from "./api.js";
import { h } from "./dom.js";
import { age, count, counted, wallClock, windowLabel } from "./format.js";
import { calibrationMark, link, name, progress, provisionalMark, table, verdict } from "./parts.js";
import { history, standing } from "./standing.js";
import { smallStrip, summaryText } from "./strip.js";
import { deliveryTable } from "./deliveries.js";
import { reasonSentence } from "./words.js";

const AT_ONCE = 4; // requests; a browser makes six, and the reader may want one
const EVALUATIONS = 60;
const SHOWN = 20;
const KEPT_MS = 60_000; // late rows correct windows without a newer row
const RANK = { drifted: 0, undecided: 1, learning: 2, stable: 3 };

/** Read all that the overview shows; `before` is what was read the last time. */
export async function load(_route, service, before) {
  const [{ models }, { episodes }, dead, pending] = await Promise.all([
    read(["v1", "models"]),
    read(["v1", "episodes"], { open: true, limit: 1000 }),
    readDeliveries(service, { state: "dead", limit: 50 }),
    readDeliveries(service, { state: "pending", limit: 50 }),
  ]);
  const wanted = models.flatMap((model) => model.versions.map((version) => ({ model, version })));
  const evaluations = new Map();
  const left = [...wanted];
  const work = async () => {
    for (let one = left.shift(); one !== undefined; one = left.shift()) {
      evaluations.set(keyOf(one), await evaluationsOf(one, before?.evaluations.get(keyOf(one))));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return { models, episodes, dead, pending, evaluations };
}

/** What the title of the window says. */
export function title(data) {
  const { drifted, firing } = tally(data);
  if (firing > 0) {
    return `\u25b2 ${counted(firing, "alert")} firing, ${drifted} drifted`;
  }
  return drifted > 0 ? `\u25b2 ${drifted} drifted` : `\u25cf nothing drifted`;
}

export function view(data, _route, service) {
  const { drifted, firing, undecided, learning, stable } = tally(data);
  const words = [[drifted, "drifted"], [undecided, "undecided"], [learning, "learning"], [stable, "stable"]];
  const parts = words.filter(([n]) => n > 0).map(([n, word]) => `${n} ${word}`);
  return [
    h("h1", null, firing > 0 ? `${counted(firing, "alert")} firing` : "No alert is firing"),
    h("p", { class: "lead" }, parts.length ? `${counted(data.models.length, "model")}: ${parts.join(", ")}.` : nothing()),
    parts.length ? models(data) : null,
    undelivered(data, service),
  ];
}

async function evaluationsOf({ model, version }, known) {
  const stamp = `${version.newest_row} ${version.evaluated_until} ${version.reference_id}`;
  if (known?.stamp === stamp && clock.now() - known.atMs < KEPT_MS) {
    return known;
  }
  const query = { version: version.version, brief: true, limit: EVALUATIONS };
  const found = await read(["v1", "models", model.model, "evaluations"], query).catch(goneMeanwhile);
  return { stamp, atMs: clock.now(), evaluations: found.evaluations, learning: found.learning };
}

function goneMeanwhile(error) {
  if (error instanceof Problem && error.status === 404) {
    return { evaluations: [], learning: null };
  }
  throw error;
}

function keyOf({ model, version }) {
  return `${model.model}/${version.version}`;
}

function rowsOf(data) {
  return data.models.flatMap((model) =>
    model.versions.map((version) => {
      const found = data.evaluations.get(keyOf({ model, version }));
      const episode = data.episodes.find((one) => one.model === model.model && one.version === version.version) ?? null;
      const stands = standing(found.evaluations);
      const word = found.learning ? "learning" : stands === null ? "undecided" : stands.verdict;
      return { model, version, found, episode, stands, word };
    }),
  );
}

function tally(data) {
  const rows = rowsOf(data);
  const count_ = (word) => rows.filter((row) => row.word === word).length;
  return {
    firing: rows.filter((row) => row.episode !== null).length,
    drifted: count_("drifted"),
    undecided: count_("undecided"),
    learning: count_("learning"),
    stable: count_("stable"),
  };
}

function models(data) {
  const columns = [
    { label: "Model" },
    { label: "State" },
    { label: "Alert" },
    { label: "Rows in the window", class: "number" },
    { label: "Newest row" },
    { label: "Last windows", class: "wide" },
  ];
  const order = (row) => (row.episode === null ? 4 : 0) + RANK[row.word];
  const rows = rowsOf(data).sort((one, other) => order(one) - order(other) || (keyOf(one) < keyOf(other) ? -1 : 1));
  return table("Models", columns, rows.map(rowFor));
}

function rowFor(row) {
  const { model, version, found, episode, word } = row;
  const windows = history(found.evaluations, windowLabel(model.configuration.base_window, 1)).slice(-SHOWN);
  return {
    key: keyOf(row),
    attributes: { "data-model": model.model, "data-version": version.version, "data-state": word },
    cells: [
      link({ model: model.model, version: version.version }, [
        name(model.model),
        h("span", { class: "quiet" }, " version ", name(version.version)),
      ]),
      state(row),
      episode === null
        ? h("span", { class: "quiet" }, "none")
        : firingSince(episode, model.configuration.time_zone),
      rowsIn(row),
      version.newest_row === null
        ? h("span", { class: "quiet" }, "no row yet")
        : h("time", { datetime: version.newest_row, "data-tip": version.newest_row }, age(version.newest_row, clock.now())),
      windows.length
        ? h("span", { "data-tip": summaryText(windows) }, smallStrip(windows))
        : h("span", { class: "quiet" }, "none yet"),
    ],
  };
}

function firingSince({ opened_at: opened }, zone) {
  const tip = `${opened}, the end of the first drifted window`;
  const since = h("time", { datetime: opened, "data-tip": tip }, wallClock(opened, zone));
  const when = `${age(opened, clock.now())}, ${zone}`;
  return [h("span", { class: "firing" }, "firing since ", since), h("p", { class: "quiet" }, when)];
}

function state({ found, stands, word }) {
  if (found.learning) {
    const { rows, rows_wanted: wanted } = found.learning;
    return [verdict("learning"), progress(rows, wanted, `${count(rows)} of ${counted(wanted, "row")}`)];
  }
  if (stands === null) {
    return [verdict("undecided"), h("p", { class: "quiet" }, "No window has rows yet.")];
  }
  const { base, decisive, reason } = stands;
  const said = decisive.find((evaluation) => evaluation.verdict === word) ?? base;
  const why =
    word === "drifted"
      ? ["Most of all ", said.columns_strongest.map((column, index) => [index ? ", " : "", name(column)])]
      : reasonSentence(reason);
  return [
    verdict(word, reason),
    " ",
    calibrationMark(said),
    base.provisional ? [" ", provisionalMark()] : null,
    word === "drifted" || reason ? h("p", { class: "quiet" }, why) : null,
  ];
}

function rowsIn({ stands }) {
  if (stands === null) {
    return count(null);
  }
  const { base, open } = stands;
  return [
    count(base.rows),
    h("span", { class: "quiet" }, ` in ${base.window.size}`),
    open && open !== base ? h("p", { class: "quiet" }, `${count(open.rows)} in the open window `, provisionalMark()) : null,
  ];
}

function undelivered({ dead, pending }, service) {
  const [lost, waiting] = [dead.deliveries, pending.deliveries];
  if (lost.length + waiting.length === 0) {
    return h("p", { class: "quiet" }, "Every notice that was to be sent has been delivered.");
  }
  const parts = [
    lost.length > 0 ? counted(lost.length, "dead letter") : null,
    waiting.length > 0 ? `${counted(waiting.length, "notice")} on the way` : null,
  ];
  const heading = parts.filter(Boolean).join(", ");
  return h("section", null, h("h2", null, heading), deliveryTable([...lost, ...waiting], service, true));
}

function nothing() {
  return "No model is watched yet: post rows or training data for one, or declare it in driftline.yaml.";
}
