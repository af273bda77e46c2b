// Elements from data, and a redraw that changes only what differs.
//
// Whatever comes from the service becomes a text node or an attribute, never markup; the page's Content-Security-Policy
// (`require-trusted-types-for 'script'`) makes the browser refuse anything else. A redraw keeps the elements that stay as they
// are, and with them focus, selection, scroll positions and what was typed: a refresh every few seconds must not be felt.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "rect", "circle", "line"]);

/** An element. `attributes` of null, undefined or false are left out; children may be nested lists, texts, or nothing. */
export function h(tag, attributes, ...children) {
  const element = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Make the children of an element equal to new ones. */
export function draw(parent, ...children) {
  const focused = document.activeElement;
  morphChildren(parent, h("div", null, children));
  // An element that moved among its siblings has lost the focus on the way.
  if (focused !== document.activeElement && focused?.isConnected && parent.contains(focused)) {
    focused.focus({ preventScroll: true });
  }
}

function morphChildren(parent, wanted) {
  const known = new Map();
  for (const child of parent.children) {
    if (child.dataset.key !== undefined) {
      known.set(child.dataset.key, child);
    }
  }
  let at = parent.firstChild;
  for (const next of [...wanted.childNodes]) {
    const key = next.dataset?.key;
    const kept = key === undefined ? (isLike(at, next) ? at : null) : known.get(key);
    if (kept && isLike(kept, next)) {
      if (kept === at) {
        at = at.nextSibling;
      } else {
        parent.insertBefore(kept, at);
      }
      morph(kept, next);
    } else {
      parent.insertBefore(next, at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function isLike(old, next) {
  return Boolean(old) && old.nodeName === next.nodeName && old.dataset?.key === next.dataset?.key;
}

function morph(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== next.data) {
      old.data = next.data;
    }
    return;
  }
  for (const { name } of [...old.attributes]) {
    // Whether details are open is up to the reader.
    if (!next.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) {
      old.removeAttribute(name);
    }
  }
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value) {
      old.setAttribute(name, value);
    }
  }
  morphChildren(old, next);
}
