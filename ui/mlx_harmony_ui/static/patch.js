// Draws HTML from the server into the page by keys: what did not change is not touched, so selections, focus and folds stay.
const folds = new Map();

function patch(target, html) {
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  for (const fold of fresh.content.querySelectorAll("details[data-fold]")) {
    if (folds.has(fold.dataset.fold)) fold.open = folds.get(fold.dataset.fold);
  }
  const giveFocusBack = holdFocus(target);
  mergeChildren(target, fresh.content);
  giveFocusBack();
}

function mergeChildren(old, fresh) {
  const known = new Map([...old.children].map((child) => [child.dataset.key, child]));
  let place = old.firstElementChild;
  for (const child of [...fresh.children]) {
    const same = known.get(child.dataset.key);
    if (!same) {
      old.insertBefore(child, place);
      continue;
    }
    known.delete(child.dataset.key);
    if (same === place) place = place.nextElementSibling;
    else old.insertBefore(same, place);
    mergeElement(same, child);
  }
  // What the person is typing in stays, whatever the server draws around it.
  for (const gone of known.values()) if (!gone.dataset.keep) gone.remove();
}

function mergeElement(old, fresh) {
  // What the page itself has filled in stays as it is.
  if (old.isEqualNode(fresh) || (old.dataset.own && old.dataset.own === fresh.dataset.own)) return;
  const children = [...fresh.children];
  const keyed = children.length > 0 && children.every((child) => child.dataset.key);
  if (old.tagName !== fresh.tagName || !keyed) {
    old.replaceWith(fresh);
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  mergeChildren(old, fresh);
}

// A fold the reader touched stays as he left it, also when the server draws it again.
document.addEventListener("click", (event) => {
  const fold = event.target.closest?.("summary")?.parentElement;
  if (fold?.dataset.fold) folds.set(fold.dataset.fold, !fold.open);
});
