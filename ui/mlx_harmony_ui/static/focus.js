// Keeps the focus when the server draws over it: on the same control, else in the same place of its list, else on the message box.
const FOCUSABLE = "a[href], button:not(:disabled), input:not(:disabled), textarea:not(:disabled), select:not(:disabled), summary, [role=treeitem]";
const canFocus = (element) => element.matches(FOCUSABLE) && element.checkVisibility();

// Returns what gives the focus back once `target` has been drawn.
function holdFocus(target) {
  const here = document.activeElement;
  if (!here || here === document.body || !target.contains(here)) return () => {};
  const places = [];
  for (let place = here.closest("[data-key]"); place && place !== target; place = place.parentElement.closest("[data-key]")) {
    places.push({ parent: place.parentElement, key: place.dataset.key, at: [...place.parentElement.children].indexOf(place), place });
  }
  const control = controlOf(here);
  return () => {
    if (document.activeElement === here) return;
    if (here.isConnected && canFocus(here)) here.focus({ preventScroll: true });
    else (successor(target, places, control) ?? fallback())?.focus({ preventScroll: true });
  };
}

function controlOf(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  const named = Object.entries(element.dataset).filter(([name]) => ["do", "field", "slides", "text", "model", "panel", "kind"].includes(name));
  const marks = named.map(([name, value]) => `[data-${name}="${CSS.escape(value)}"]`).join("");
  return element.tagName.toLowerCase() + marks;
}

function successor(target, places, control) {
  for (const { parent, key, at, place } of places) {
    const fresh = all("[data-key]", target).find((each) => each.dataset.key === key);
    const same = fresh && (fresh.matches(control) ? fresh : one(control, fresh));
    if (same && canFocus(same)) return same;
    const beside = !place.isConnected && !fresh && parent.isConnected && (parent.children[at] ?? parent.lastElementChild);
    const first = beside && [beside, ...all(FOCUSABLE, beside)].find(canFocus);
    if (first) return first;
  }
  return null;
}

// Not where typing is done on glass: the focus would bring up the keyboard.
const fallback = () => (window.matchMedia("(hover: hover)").matches ? one("#message") : null);
