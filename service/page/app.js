// The page: what is shown follows from the address, what was read last, and what the reader has asked for; every few seconds
// it is read anew and drawn over.

import { Problem, Unreachable, clock, key, post, read, readService } from "./api.js";
import { draw, h } from "./dom.js";
import { forbidden, head, isStale, keyForm, missing, notes } from "./frame.js";
import * as model from "./model.js";
import * as overview from "./overview.js";
import { address } from "./parts.js";
import { startTips } from "./tip.js";

const EVERY_MS = 15_000;
const EVERY_HIDDEN_MS = 60_000; // the title is read there too
const SHARE_OF_TIME = 10; // reading takes at most a tenth of the time: a page must not load a service that is slow already
const TICK_MS = 1_000;
const ROUTE = ["model", "version", "window", "at", "column"];

const parts = Object.fromEntries(["head", "notes", "main", "announcer", "tip"].map((id) => [id, document.getElementById(id)]));
const look = { sort: "verdict", filter: "", all: false };
const page = {
  route: routeOf(location.search),
  data: null,
  refusal: null, // a Problem that stands in the place of the view
  service: null,
  firstVersion: null,
  notReady: null,
  told: null,
  at: null,
  every: EVERY_MS,
  paused: false,
  failure: null,
  failedSince: null,
};
const redrawTip = startTips(parts.tip);
let turn = 0; // of reading; what an older one brings is dropped
let timer = 0;

function routeOf(search) {
  const query = new URLSearchParams(search);
  return Object.fromEntries(ROUTE.filter((name) => query.has(name)).map((name) => [name, query.get(name)]));
}

function viewOf(route) {
  return route.model === undefined ? overview : model;
}

async function refresh() {
  clearTimeout(timer);
  turn += 1;
  const [mine, route, begun] = [turn, page.route, performance.now()];
  const changes = await readAll(route);
  if (mine !== turn) {
    return;
  }
  Object.assign(page, changes);
  page.every = Math.max(EVERY_MS, SHARE_OF_TIME * (performance.now() - begun));
  show();
  schedule();
}

function schedule() {
  clearTimeout(timer);
  if (!page.paused) {
    timer = setTimeout(refresh, document.hidden ? Math.max(page.every, EVERY_HIDDEN_MS) : page.every);
  }
}

async function readAll(route) {
  try {
    const [service, notReady] = await Promise.all([readService(route), readiness()]);
    const data = await viewOf(route).load(route, service, page.data);
    const firstVersion = page.firstVersion ?? service.version;
    return { data, service, firstVersion, notReady, refusal: null, failure: null, failedSince: null, at: clock.now() };
  } catch (error) {
    if (error instanceof Problem && [401, 403, 404].includes(error.status)) {
      return { data: null, refusal: error, failure: null, failedSince: null, at: clock.now() };
    }
    if (!(error instanceof Problem || error instanceof Unreachable)) {
      console.error(error);
    }
    return { failure: error, failedSince: page.failedSince ?? clock.now() };
  }
}

async function readiness() {
  try {
    await read(["readyz"]);
    return null;
  } catch (error) {
    if (error instanceof Problem) {
      return error.message;
    }
    throw error;
  }
}

function show() {
  frame();
  const asked = document.getElementById("key") !== null;
  draw(parts.main, content());
  redrawTip();
  if (!asked) {
    document.getElementById("key")?.focus();
  }
  parts.main.classList.toggle("stale", isStale(page));
  const title = titleOf();
  if (document.title !== title) {
    document.title = title;
    parts.announcer.textContent = title;
  }
}

function frame() {
  const renewed = page.service !== null && page.firstVersion !== page.service.version;
  draw(parts.head, head(page, page.service));
  draw(parts.notes, notes(page, page.notReady, renewed, page.told));
}

function content() {
  const { data, refusal, route, service } = page;
  switch (refusal?.status) {
    case 401:
      return keyForm(key.get() !== null);
    case 403:
      return forbidden(refusal, route);
    case 404:
      return missing(refusal);
    default:
      return data === null ? h("p", { class: "quiet" }, "Loading\u2026") : viewOf(route).view(data, route, service, look);
  }
}

function titleOf() {
  const { data, refusal, failure, notReady, route } = page;
  const said = () => (data === null ? "loading" : viewOf(route).title(data));
  if (failure !== null) {
    return `\u26a0 ${failure instanceof Problem ? "error" : "unreachable"} \u00b7 Driftline`;
  }
  if (refusal !== null) {
    return `${{ 401: "key needed", 403: "not allowed", 404: "not found" }[refusal.status]} \u00b7 Driftline`;
  }
  return `${notReady === null ? "" : "\u26a0 not ready, "}${said()} \u00b7 Driftline`;
}

/** Go to another state of the page; data of another view are not shown for it. */
function go(route, { replace = false } = {}) {
  const sameView = route.model === page.route.model && route.version === page.route.version;
  if (replace) {
    history.replaceState(null, "", address(route));
  } else {
    history.pushState(null, "", address(route));
  }
  arrive(route, sameView);
}

function arrive(route, sameView) {
  page.route = route;
  page.told = null;
  if (!sameView) {
    Object.assign(page, { data: null, refusal: null });
    Object.assign(look, { filter: "", all: false });
    window.scrollTo(0, 0);
    parts.main.focus({ preventScroll: true });
  } else if (page.data !== null) {
    page.data = { ...page.data, shares: null };
  }
  show();
  refresh();
}

function useKey(value) {
  if (value === null) {
    key.forget();
  } else {
    key.set(value);
  }
  Object.assign(page, { data: null, refusal: value === null ? new Problem(401, "") : null, service: null });
  show();
  refresh();
}

async function retry(id, button) {
  button.disabled = true;
  try {
    await post(["v1", "deliveries", id, "retry"]);
    page.told = "The notice will be sent again.";
  } catch (error) {
    page.told = `The notice cannot be sent again: ${error.message}.`;
  }
  refresh();
}

const CLICKS = [
  ["[data-route]", (element) => go(routeOf(element.getAttribute("href")))],
  ["[data-open]", ({ dataset }) => toggle(dataset.open)],
  ["[data-at]", ({ dataset }) => go({ ...page.route, at: dataset.at }, { replace: true })],
  ["[data-sort]", ({ dataset }) => change({ sort: dataset.sort })],
  ["[data-all]", () => change({ all: true })],
  ["[data-retry]", (element) => retry(element.dataset.retry, element)],
  ["[data-forget]", () => useKey(null)],
  ["[data-pause]", pause],
];

function pause() {
  page.paused = !page.paused;
  show();
  if (page.paused) {
    schedule();
  } else {
    refresh();
  }
}

function toggle(column) {
  go({ ...page.route, column: page.route.column === column ? undefined : column }, { replace: true });
}

function change(asked) {
  Object.assign(look, asked);
  show();
}

function onClick(event) {
  if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) {
    return; // a new tab, a new window, a download
  }
  for (const [selector, act] of CLICKS) {
    const element = event.target.closest(selector);
    if (element !== null) {
      event.preventDefault();
      act(element);
      return;
    }
  }
}

function onKey(event) {
  const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
  const cell = event.target.closest?.(".strip .cell");
  if (!cell || steps[event.key] === undefined) {
    return;
  }
  event.preventDefault();
  const cells = [...cell.parentElement.children];
  const to = Math.max(0, Math.min(cells.length - 1, cells.indexOf(cell) + steps[event.key]));
  cells[to].focus();
  go({ ...page.route, at: cells[to].dataset.at }, { replace: true });
}

function onSubmit(event) {
  event.preventDefault();
  const input = event.target.querySelector("input");
  const value = input.value.trim();
  if (event.target.dataset.form === "key") {
    input.value = "";
    useKey(value);
  } else {
    go({ model: value });
  }
}

document.addEventListener("click", onClick);
document.addEventListener("keydown", onKey);
document.addEventListener("submit", onSubmit);
document.addEventListener("input", (event) => event.target.matches("[data-filter]") && change({ filter: event.target.value }));
document.addEventListener("visibilitychange", () => (document.hidden || page.paused ? schedule() : refresh()));
window.addEventListener("popstate", () => {
  const route = routeOf(location.search);
  arrive(route, route.model === page.route.model && route.version === page.route.version);
});
setInterval(frame, TICK_MS);
show();
refresh();
