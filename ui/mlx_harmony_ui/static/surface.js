// The surfaces the server draws on, and the bridge by which the page speaks to it. Commands come back over the bridge, each once.
const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const surfaces = new Map();
const seen = new Set();
let emit = () => {};

// What stands as a surface's value once it has been taken over. Gradio copies and compares the values of all its components with each
// message of its own, many times while an answer is written: a long history costs nothing there when it is in our hands only.
const TAKEN = "<!--taken-->";

function surface(name, element, props, watch) {
  let html = surfaces.get(name)?.html() ?? "";
  let last = null;
  const draw = (again = false) => {
    if (html === last && !again) return;
    last = html;
    drawOn(name, element, html);
  };
  const take = () => {
    if (props.value !== TAKEN) {
      html = props.value || "";
      // Not at once: by then Gradio may hold a newer value that it has yet to tell of.
      window.setTimeout(() => { if (props.value === html) props.value = TAKEN; }, 0);
    }
    draw();
  };
  surfaces.set(name, { draw, element, html: () => html });
  watch("value", take);
  take();
}

function bridge(trigger, props, watch) {
  // The list of chats is drawn by many an event; each says what of it the page has asked for.
  emit = (name, data = {}) => trigger(name, { query: one("#search")?.value ?? "", rows: state.rows, asked: ++state.emitted, ...data });
  watch("value", () => obey(props.value));
  window.setTimeout(begin, 0);
}

// What belongs to another chat than the one on screen: a live turn waits unseen, a history is not drawn over this one.
function drawOn(name, element, html) {
  const owner = /data-chat="([^"]*)"/.exec(html.slice(0, 300))?.[1];
  const foreign = owner !== undefined && owner !== state.chat;
  if (name === "history" && (foreign || isOvertaken(owner, html))) return;
  if (name === "chats" && !isNext(element, html)) return;
  const ask = name === "tuning" && /data-ask="(\d+)"/.exec(html)?.[1];
  if (ask && Number(ask) < state.asked) return;
  // Where the end is followed, the watch on the sizes does it (start.js): asking for a size here would have the page laid out twice.
  const scroll = name === "history" && state.keepBelow ? one("#scroll") : null;
  const below = scroll && scroll.scrollHeight - scroll.scrollTop;
  if (name === "history" || (name === "live" && !html.includes("<article"))) letGo();
  patch(element, foreign ? "" : html);
  drawn[name]?.(element);
  if (!scroll) return;
  scroll.scrollTop = scroll.scrollHeight - below;
  state.keepBelow = false;
}

// Whether a later window of this chat was drawn before this one, which took longer.
function isOvertaken(chat, html) {
  const stamp = Number(/data-stamp="(\d+)"/.exec(html.slice(0, 300))?.[1] ?? 0);
  if (stamp && state.drawn.chat === chat && stamp < state.drawn.stamp) return true;
  if (stamp) state.drawn = { chat, stamp };
  return false;
}

// Whether this list of chats is to be drawn: not where a later one has overtaken it, and not while a title is being typed in the one
// that stands; the end of the typing draws it.
function isNext(element, html) {
  const asked = Number(/data-asked="(\d+)"/.exec(html)?.[1] ?? 0);
  if (asked < state.listed) return false;
  state.heldChats = one(".rename", element) !== null;
  if (!state.heldChats) state.listed = asked;
  return !state.heldChats;
}

// What stands in the live turn is moved into the history as it is, whichever of the two is drawn first.
let forgetTimer = 0;
function letGo() {
  for (const article of all("#live article")) leaving.set(article.dataset.key, article);
  window.clearTimeout(forgetTimer);
  forgetTimer = window.setTimeout(() => leaving.clear(), 1000);
}

const drawn = {
  history(element) {
    const turns = one(".turns", element);
    document.title = turns?.dataset.title ? `${turns.dataset.title} · MLX Harmony` : "MLX Harmony";
    showEmpty();
    takeUpEdits();
    if (turns) putAfar(turns);
    seek();
    measureSoon();
  },
  live(element) {
    putBlocksAfar(element);
    const busy = one("#live .answer[aria-busy=true]") ? "yes" : "no";
    if (busy === "no" && one("#say")?.textContent === WAIT) say("");
    if (busy !== document.body.dataset.busy) window.setTimeout(() => emit("pulse", { model: state.model }), 250);
    document.body.dataset.busy = busy;
    showEmpty();
  },
  tuning(element) {
    const options = one(".options", element);
    if (!options) return;
    adopt(options.dataset);
    measureSoon();
    opened({ ask: Number(options.dataset.ask) });
  },
  chats: () => markChat(),
  pill(element) {
    one(".pill-face", element)?.setAttribute("aria-expanded", String(document.body.dataset.menu === "pill-menu"));
  },
  settings: () => markTheme(),
  "side-foot": () => markTheme(),
  topbar: () => { markTheme(); markView(); },
  side: () => {},
};

function showEmpty() {
  const some = one("#history article, #history .earlier, #live article");
  document.body.dataset.empty = some ? "no" : "yes";
}

function obey(value) {
  if (!value) return;
  for (const command of JSON.parse(value)) {
    if (seen.has(command.serial)) continue;
    seen.add(command.serial);
    commands[command.do]?.(command);
  }
}

const commands = {
  opened: (command) => opened(command),
  chat({ id }) {
    rememberChat(id);
    fixProfile();
    for (const name of ["history", "live"]) surfaces.get(name).draw(true);
  },
  accepted() {
    state.pending = null;
    letTrayGo();
  },
  refused({ text, say: why }) {
    giveBack(text);
    say(why, { tone: "bad" });
  },
  say({ text, undo = "", token = "", preset = "", tone = "" }) {
    say(text, { undo: undo || preset ? { chatId: undo, token, preset } : null, tone });
  },
  list() {
    emit("search");
  },
  go({ id }) {
    openChat(id);
  },
  notice({ text }) {
    if (sessionStorage.getItem("told") === text) return;
    sessionStorage.setItem("told", text);
    say(text);
  },
  gone({ id = state.chat }) {
    if (id !== state.chat) return;
    openChat("");
    say("That chat is no longer there.");
  },
  clipboard({ text }) {
    copyText(text);
  },
  theme({ name }) {
    if (!localStorage.getItem("theme")) setTheme(name, false);
  },
};
