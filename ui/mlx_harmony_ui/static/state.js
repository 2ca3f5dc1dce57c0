// What this browser tab shows and has chosen. Only ids and choices of the view are kept between visits, never text of a chat;
// a draft lives as long as its tab.
const state = { chat: "", pending: null, taken: 0, follow: true, top: 0, keepBelow: false, heldChats: false, drawn: { chat: "", stamp: 0 }, emitted: 0, listed: 0, opening: false, asked: 0, rows: 0, model: "", profile: "", effort: "medium", tools: new Set(), sought: "", terms: [], raw: false, replayed: "" };

function rememberChat(id) {
  state.chat = id;
  const hash = id ? `#chat=${id}` : "";
  if (location.hash !== hash) history.replaceState(null, "", location.pathname + hash);
  if (id) localStorage.setItem("chat", id);
  else localStorage.removeItem("chat");
  markChat();
}

function chatOfAddress() {
  return /^#chat=([\w-]{1,64})(?=&|$)/.exec(location.hash)?.[1] ?? "";
}

const messageOfAddress = () => /&at=([\w-]{1,64})$/.exec(location.hash)?.[1] ?? "";

// `at` is a message of the chat to lead to.
function openChat(id, focus = true, at = "") {
  const other = id !== state.chat;
  const begun = other && all("#history form.edit").some((form) => edits.has(form.closest("article").dataset.message));
  rememberChat(id);
  state.follow = !at;
  state.top = 0;
  if (other) {
    patch(surfaces.get("history").element, "");
    for (const name of ["live", "meter"]) surfaces.get(name).draw(true);
    showEmpty();
  }
  setView("chat");
  say(begun ? "The message that you were editing waits in the chat you left." : "");
  if (isNarrow()) setSide("shut", false);
  askToOpen(at);
  if (focus) one("#message")?.focus();
}

// Until the chat's own options are there, none can be changed: a change would be drawn over.
function askToOpen(at = "") {
  const ask = ++state.asked;
  markOpening(true);
  emit("open", { chat: state.chat, ask, at });
  window.setTimeout(() => opened({ ask }), 8000);
}

function opened({ ask }) {
  if (ask === state.asked) markOpening(false);
}

function markOpening(opening) {
  state.opening = opening;
  const controls = "#tuning :is(input, textarea, button, select:not([data-fixed])), .composer-row :is(.effort, .tools) button";
  for (const control of all(controls)) control.disabled = opening;
}

function markChat() {
  for (const row of all("[data-chat-row]")) {
    const here = row.dataset.chatRow === state.chat;
    row.classList.toggle("here", here);
    if (here) one("a", row)?.setAttribute("aria-current", "page");
    else one("a", row)?.removeAttribute("aria-current");
  }
  const links = rowLinks();
  const stop = links.find((link) => link.ariaCurrent === "page") ?? links[0];
  for (const link of links) link.tabIndex = link === stop ? 0 : -1;
}

function setView(view) {
  if (document.body.dataset.view === view) return;
  document.body.dataset.view = view;
  markView();
  if (view !== "chat") emit("show", { view, model: cache.model || state.model });
}

function markView() {
  const tabs = all("[role=tab][data-view]");
  for (const tab of tabs) tab.setAttribute("aria-selected", String(tab.dataset.view === document.body.dataset.view));
  rove(tabs, "aria-selected");
  const here = one(".tabs [aria-selected=true]");
  if (here) here.parentElement.scrollLeft = here.offsetLeft - (here.parentElement.clientWidth - here.offsetWidth) / 2;
}

// Gradio draws the places themselves; what they are is told here.
function markPlaces() {
  for (const [id, tab] of [["middle", "chat"], ["models-view", "models"], ["cache-view", "cache"], ["settings-view", "settings"]]) {
    one(`#${id}`).setAttribute("role", "tabpanel");
    one(`#${id}`).setAttribute("aria-labelledby", `tab-${tab}`);
  }
  for (const id of ["tuning", "details"]) one(`#${id}`).setAttribute("role", "tabpanel");
}

const isNarrow = () => window.matchMedia("(max-width: 900px)").matches;

function setSide(side, keep = true) {
  document.body.dataset.side = side;
  if (isNarrow() && side === "open") setPanel("", false);
  else if (keep) localStorage.setItem("side", side);
  for (const button of all("[data-do=side]")) button.setAttribute("aria-expanded", String(side === "open"));
}

function setPanel(panel, keep = true) {
  document.body.dataset.panel = panel;
  if (isNarrow() && panel) setSide("shut", false);
  else if (keep) localStorage.setItem("panel", panel);
  const tabs = all("[role=tab][data-panel]");
  for (const tab of tabs) tab.setAttribute("aria-selected", String(tab.dataset.panel === panel));
  rove(tabs, "aria-selected");
  for (const id of ["tuning", "details"]) one(`#${id}`).setAttribute("aria-labelledby", `panel-${panel || "tuning"}`);
  one(".panel-open")?.setAttribute("aria-expanded", String(Boolean(panel)));
}

// On a narrow screen the list of chats and the side panel lie over the conversation: shut, the focus goes back to what opened them.
function closeSheets() {
  const opener = one(document.body.dataset.panel ? ".panel-open" : ".side-open");
  setSide("shut", false);
  setPanel("", false);
  opener?.focus();
}

function setTheme(theme, keep = true) {
  const dark = theme === "dark" || (theme !== "light" && window.matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  document.documentElement.dataset.choice = theme;
  document.body?.classList.toggle("dark", dark);
  if (keep) localStorage.setItem("theme", theme);
  markTheme();
}

function markTheme() {
  const choice = document.documentElement.dataset.choice;
  for (const group of all("[role=radiogroup]:has([data-theme])")) {
    const buttons = all("[role=radio]", group);
    for (const button of buttons) button.setAttribute("aria-checked", String(button.dataset.theme === choice));
    rove(buttons, "aria-checked");
  }
}

// A line above the composer, or over another view; `undo` says what can come back: a deleted chat by its id, a deleted message by its
// token and chat, a deleted preset by its name. What failed, in the tone "bad", stays until it is closed or something else is said.
let sayTimer = 0;
function say(text, { undo = null, tone = "" } = {}) {
  const line = one("#say");
  if (!line) return;
  line.textContent = text;
  line.dataset.tone = tone;
  if (undo) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Undo", className: "plain" });
    Object.assign(button.dataset, { do: "undo", ...undo });
    line.append(" ", button);
  }
  window.clearTimeout(sayTimer);
  if (text && tone !== "bad") sayTimer = window.setTimeout(() => { line.textContent = ""; }, Math.max(12000, text.length * 120));
}
