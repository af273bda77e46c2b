// The JSON API of the service that served this page.

const ROOT = new URL("..", import.meta.url); // the service may be published under a path
const KEY_NAME = "driftline.key";
const TIMEOUT_MS = 10_000;
const SENDABLE = /^[!-~]+$/; // in a header

/** The service has answered, and not with what was asked for. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Nobody has answered. */
export class Unreachable extends Error {}

/** The API key of this browser tab; it is kept in the session storage and nowhere else. */
export const key = {
  get: () => sessionStorage.getItem(KEY_NAME),
  set: (value) => sessionStorage.setItem(KEY_NAME, value),
  forget: () => sessionStorage.removeItem(KEY_NAME),
};

/** The service's clock, in milliseconds: ages must not depend on whether this machine's is right. */
export const clock = {
  aheadMs: 0,
  now: () => Date.now() + clock.aheadMs,
};

/** The answer to GET; the path is a list of segments. Throws Problem or Unreachable. */
export function read(path, query = {}) {
  return ask("GET", path, query);
}

/** The answer to POST without a body. */
export function post(path) {
  return ask("POST", path, {});
}

/** What `/page/service` says; throws a Problem where the key opens nothing, before anything else is asked in vain. */
export async function readService(route) {
  const service = await read(["page", "service"]);
  if (service.access.read === "unknown") {
    throw new Problem(401, "no or unknown API key");
  }
  if (service.access.read === "forbidden" && route.model === undefined) {
    throw new Problem(403, "the API key does not have scope 'read' for all models");
  }
  return service;
}

/** The deliveries, or a Problem where the key may not read them: they are of all models. */
export async function readDeliveries(service, query) {
  if (service.access.read !== "ok") {
    return new Problem(403, "the API key does not have scope 'read' for all models");
  }
  return read(["v1", "deliveries"], query);
}

async function ask(method, path, query) {
  const url = new URL(path.map((part) => encodeURIComponent(part.toWellFormed?.() ?? part)).join("/"), ROOT);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) {
      url.searchParams.set(name, value);
    }
  }
  const headers = { Accept: "application/json" };
  const mine = key.get();
  if (mine !== null) {
    if (!SENDABLE.test(mine)) {
      throw new Problem(401, "this cannot be a key");
    }
    headers.Authorization = `Bearer ${mine}`;
  }
  const response = await answer(url, { method, headers, cache: "no-store", credentials: "same-origin", redirect: "error" });
  const date = Date.parse(response.headers.get("date") ?? "");
  if (!Number.isNaN(date)) {
    clock.aheadMs = date - Date.now();
  }
  return body(response);
}

async function answer(url, options) {
  try {
    return await fetch(url, { ...options, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new Unreachable(late ? `no answer within ${TIMEOUT_MS / 1000} s` : "no connection");
  }
}

async function body(response) {
  let document = null;
  try {
    document = await response.json();
  } catch {
    document = null; // a proxy's page, or an answer that was cut off
  }
  if (!response.ok) {
    throw new Problem(response.status, document?.detail ?? `the answer was ${response.status} ${response.statusText}`);
  }
  if (document === null) {
    throw new Unreachable("the answer was no JSON");
  }
  return document;
}
