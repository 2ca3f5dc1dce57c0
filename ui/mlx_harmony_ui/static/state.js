// What this browser tab shows and has chosen. Only ids and choices of the view are kept between visits, never text of a chat.
const state = { chat: "", pending: null, follow: true, keepBelow: false, opening: false, asked: 0, model: "", profile: "", effort: "medium", tools: new Set() };

function rememberChat(id) {
  state.chat = id;
  const hash = id ? `#chat=${id}` : "";
  if (location.hash !== hash) history.replaceState(null, "", location.pathname + hash);
  if (id) localStorage.setItem("chat", id);
  else localStorage.removeItem("chat");
  markChat();
}

function chatOfAddress() {
  return /^#chat=([0-9a-f]{1,64})$/.exec(location.hash)?.[1] ?? "";
}

function openChat(id, focus = true) {
  const other = id !== state.chat;
  rememberChat(id);
  state.follow = true;
  if (other) {
    patch(surfaces.get("history").element, "");
    surfaces.get("live").draw(true);
    showEmpty();
  }
  setView("chat");
  say("");
  if (window.matchMedia("(max-width: 900px)").matches) setSide("shut", false);
  askToOpen();
  if (focus) one("#message")?.focus();
}

// Until the chat's own options are there, none can be changed: a change would be drawn over.
function askToOpen() {
  const ask = ++state.asked;
  markOpening(true);
  emit("open", { chat: state.chat, ask });
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
}

function setView(view) {
  if (document.body.dataset.view === view) return;
  document.body.dataset.view = view;
  markView();
  if (view !== "chat") emit("show", { view });
}

function markView() {
  for (const tab of all("[role=tab][data-view]")) tab.setAttribute("aria-selected", String(tab.dataset.view === document.body.dataset.view));
}

function setSide(side, keep = true) {
  document.body.dataset.side = side;
  if (keep) localStorage.setItem("side", side);
}

function setPanel(panel, keep = true) {
  document.body.dataset.panel = panel;
  for (const tab of all("[data-panel]")) tab.setAttribute("aria-selected", String(tab.dataset.panel === panel));
  if (keep) localStorage.setItem("panel", panel);
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
  for (const button of all("[data-theme][role=radio]")) button.setAttribute("aria-checked", String(button.dataset.theme === choice));
}

// A line above the composer, or over another view; `undo` is the id of a deleted chat that can come back, or the chat of a deleted
// message, which `token` brings back.
let sayTimer = 0;
function say(text, undo = "", token = "") {
  const line = one("#say");
  if (!line) return;
  line.textContent = text;
  if (undo) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Undo", className: "plain" });
    button.dataset.do = "undo";
    button.dataset.chatId = undo;
    if (token) button.dataset.token = token;
    line.append(" ", button);
  }
  window.clearTimeout(sayTimer);
  if (text) sayTimer = window.setTimeout(() => { line.textContent = ""; }, Math.max(12000, text.length * 120));
}
