// Draws HTML from the server into the page by keys: what did not change is not touched, so selections, focus and folds stay.
// What stands between <!--[x--> and <!--x]--> is compared as text first: where it is what was drawn before, it is not even parsed.
// No text of a chat can hold such a mark: the server escapes every < in it.
const folds = keptFolds();
const MOST_FOLDS = 400;
const SEALED = /<!--\[(\w)-->([\s\S]*?)<!--\1\]-->/g;
// What the element's inside was drawn from.
const sources = new WeakMap();
// Messages that have just left the live turn: the history takes them over as they stand.
const leaving = new Map();

function patch(target, html) {
  const giveFocusBack = holdFocus(target);
  const fresh = read(html);
  mergeChildren(target, fresh.content, fresh.inner);
  giveFocusBack();
}

// The HTML as elements, with a numbered comment in the place of each sealed piece; `inner` holds the pieces.
function read(html) {
  const inner = [];
  const fresh = document.createElement("template");
  fresh.innerHTML = html.replace(SEALED, (whole, name, piece) => `<!--${inner.push(piece) - 1}-->`);
  for (const fold of fresh.content.querySelectorAll("details[data-fold]")) {
    if (folds.has(fold.dataset.fold)) fold.open = folds.get(fold.dataset.fold);
  }
  return { content: fresh.content, inner };
}

const pieceOf = (element, inner) => (element.firstChild?.nodeType === Node.COMMENT_NODE ? inner[element.firstChild.data] : undefined);
const isKeyed = (parent) => parent.childElementCount > 0 && [...parent.children].every((child) => child.dataset.key);

// Puts every sealed piece within a new element in its place.
function unseal(element, inner) {
  const places = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_COMMENT);
  while (walker.nextNode()) if (walker.currentNode.parentElement) places.push(walker.currentNode.parentElement);
  for (const place of places) {
    const piece = pieceOf(place, inner);
    if (piece === undefined) continue;
    const { content, inner: within } = read(piece);
    unseal(content, within);
    sources.set(place, piece);
    place.replaceChildren(content);
  }
  return element;
}

function mergePiece(old, piece) {
  if (sources.get(old) === piece) return;
  sources.set(old, piece);
  const { content, inner } = read(piece);
  if (isKeyed(content)) mergeChildren(old, content, inner);
  else old.replaceChildren(unseal(content, inner));
}

function mergeChildren(old, fresh, inner) {
  const known = new Map([...old.children].map((child) => [child.dataset.key, child]));
  let place = keepAbove(old, fresh, known, inner);
  for (const child of [...fresh.children]) {
    const moved = leaving.get(child.dataset.key);
    const same = known.get(child.dataset.key) ?? moved;
    if (!same) {
      old.insertBefore(unseal(child, inner), place);
      continue;
    }
    known.delete(child.dataset.key);
    leaving.delete(child.dataset.key);
    if (same === place) place = place.nextElementSibling;
    else old.insertBefore(same, place);
    mergeElement(same, child, inner);
  }
  // What the person is typing in stays, whatever the server draws around it.
  for (const gone of known.values()) if (!gone.dataset.keep) gone.remove();
}

// Earlier messages that were asked for stay above a window of the same conversation: what came before a message never changes.
function keepAbove(old, fresh, known, inner) {
  const first = "window" in (fresh.dataset ?? {}) && one(":scope > article", fresh);
  const stands = first && known.get(first.dataset.key);
  const above = stands ? [...old.children].slice(0, [...old.children].indexOf(stands)) : [];
  if (!above.some((child) => child.tagName === "ARTICLE")) return old.firstElementChild;
  const title = one(":scope > h1", fresh);
  if (title && known.has(title.dataset.key)) {
    mergeElement(known.get(title.dataset.key), title, inner);
    known.delete(title.dataset.key);
    title.remove();
  }
  for (const child of above) if (child.matches("article, .earlier")) known.delete(child.dataset.key);
  one(":scope > .earlier", fresh)?.remove();
  return stands;
}

function mergeElement(old, fresh, inner) {
  // What the page itself has filled in stays as it is.
  if (old.dataset.own && old.dataset.own === fresh.dataset.own) return;
  const piece = pieceOf(fresh, inner);
  if (piece === undefined && old.isEqualNode(fresh)) return;
  if (old.tagName !== fresh.tagName || (piece === undefined && !isKeyed(fresh))) {
    old.replaceWith(unseal(fresh, inner));
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !(name === "style" && afar.has(old))) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (piece === undefined) mergeChildren(old, fresh, inner);
  else mergePiece(old, piece);
}

// A fold the reader touched stays as he left it, also when the server draws it again.
document.addEventListener("click", (event) => {
  const fold = event.target.closest?.("summary")?.parentElement;
  if (!fold?.dataset.fold) return;
  folds.delete(fold.dataset.fold);
  folds.set(fold.dataset.fold, !fold.open);
  localStorage.setItem("folds", JSON.stringify([...folds].slice(-MOST_FOLDS)));
});

// How folds were left, also before the window was last loaded; the ids are of messages and places in them.
function keptFolds() {
  try {
    return new Map(JSON.parse(localStorage.getItem("folds") ?? "[]"));
  } catch {
    return new Map();
  }
}
