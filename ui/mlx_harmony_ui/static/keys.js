// The keys people bring. What each does is told by the sheet of shortcuts (shortcuts.py); Cmd or Ctrl with N, R, T and W stay the browser's.
const ON_A_MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const isTyping = (element) => element.matches?.("textarea, select, [contenteditable], input:not([type=range], [type=checkbox], [type=radio])");

const chords = {
  k: () => { setView("chat"); setSide("open"); one("#search")?.focus(); },
  b: () => setSide(document.body.dataset.side === "open" ? "shut" : "open"),
  "/": () => openSheet("shortcuts-sheet"),
};

document.addEventListener("keydown", (event) => {
  const taken = !event.isComposing && (chord(event) || plainKey(event));
  if (taken) event.preventDefault();
});

function chord(event) {
  const key = event.key.toLowerCase();
  if (!(ON_A_MAC ? event.metaKey : event.ctrlKey) || event.altKey) return false;
  if (key === "o" && event.shiftKey) { openChat(""); return true; }
  if (key === "z" && !event.shiftKey) return !isTyping(event.target) && undoLast();
  if (event.shiftKey && key !== "/") return false;
  chords[key]?.();
  return Boolean(chords[key]);
}

function undoLast() {
  const button = one("#say [data-do=undo]");
  button?.click();
  return Boolean(button);
}

function plainKey(event) {
  const { key, target } = event;
  if (event.metaKey || event.ctrlKey || event.altKey) return false;
  const menu = target.closest?.("[role=menu]");
  if (key === "Escape") return event.shiftKey ? toMessage() : leave();
  if (menu) { menuKeys(event, menu); return false; }
  if (key === "?" && !isTyping(target)) { openSheet("shortcuts-sheet"); return true; }
  if (event.shiftKey) return false;
  if (target.id === "message") return messageKey(event);
  if (target.matches?.("[role=tab], [role=radio]")) return arrowKeys(event);
  if (target.matches?.("[aria-haspopup=menu]") && key === "ArrowDown") { toggleMenu(target); return true; }
  const row = target.closest?.("[data-chat-row]");
  return row && !isTyping(target) ? rowKeys(key, row, target) : target.id === "search" && key === "ArrowDown" && toFirstRow();
}

function messageKey({ key, target }) {
  if (key === "Enter") { send(); return true; }
  return !target.value && otherVersion(key);
}

function toMessage() {
  setView("chat");
  one("#message")?.focus();
  return true;
}

// Esc closes the nearest thing that is open; with nothing open it stops the answer.
function leave() {
  if (one("dialog[open]")) return false;
  if (document.body.dataset.menu) closeMenu(true);
  else if (isNarrow() && document.body.dataset.view === "chat" && (document.body.dataset.side === "open" || document.body.dataset.panel)) closeSheets();
  else if (document.body.dataset.busy === "yes") emit("stop", {});
  return false;
}

// The arrows in the empty message box lead through the versions of the last message that has any.
function otherVersion(key) {
  const versions = all("#history .versions").at(-1);
  const button = versions && { ArrowLeft: one("button:first-of-type", versions), ArrowRight: one("button:last-of-type", versions) }[key];
  if (!button || button.disabled || isBusy()) return false;
  button.click();
  return true;
}

function arrowKeys({ key, target }) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[key];
  const peers = all(`[role=${target.role}]`, target.closest("[role=tablist], [role=radiogroup]"));
  const next = { Home: peers[0], End: peers.at(-1) }[key] ?? (step && peers[(peers.indexOf(target) + step + peers.length) % peers.length]);
  if (!next) return false;
  next.focus();
  next.click();
  return true;
}

// Of each group of tabs or choices one takes part in the Tab order: the one that is chosen.
function rove(peers, mark) {
  const chosen = peers.filter((peer) => peer.getAttribute(mark) === "true");
  for (const peer of peers) peer.tabIndex = peer === (chosen[0] ?? peers[0]) ? 0 : -1;
}

const rowLinks = () => all("#chats [data-chat-row] > a:first-of-type");

function toFirstRow() {
  const first = rowLinks()[0];
  first?.focus();
  return Boolean(first);
}

function rowKeys(key, row, target) {
  const links = rowLinks();
  const at = links.findIndex((link) => link.closest("[data-chat-row]") === row);
  const next = { ArrowDown: links[at + 1], ArrowUp: links[at - 1] ?? one("#search"), Home: links[0], End: links.at(-1) }[key];
  if (next) next.focus();
  const act = !next && target.matches("a") && { F2: "rename", Delete: "remove" }[key];
  if (act) one(`[data-do=${act}]`, row)?.click();
  return Boolean(next || act);
}
