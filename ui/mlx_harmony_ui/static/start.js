// The pulse that keeps the pill true, and the first moment of the page.
let searchTimer = 0;
document.addEventListener("input", (event) => {
  if (event.target.id === "message") { growBox(); measureSoon(); }
  if (event.target.id === "search") {
    window.clearTimeout(searchTimer);
    searchTimer = window.setTimeout(() => emit("search", { query: event.target.value }), 180);
  }
});

document.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.target.id === "composer-form") send();
});

document.addEventListener("scroll", (event) => {
  if (event.target.id !== "scroll") return;
  // Only scrolling up ends the following: at the end one may also be left behind by an answer that has grown since.
  const up = event.target.scrollTop < state.top;
  state.top = event.target.scrollTop;
  if (toEnd() < 48) state.follow = true;
  else if (up) state.follow = false;
  markAway();
}, true);

function toEnd() {
  const { scrollHeight, scrollTop, clientHeight } = one("#scroll");
  return scrollHeight - scrollTop - clientHeight;
}

function markAway() {
  document.body.dataset.away = !state.follow && toEnd() > 240 ? "yes" : "no";
}

function followEnd() {
  if (state.follow) one("#scroll").scrollTop = one("#scroll").scrollHeight;
  markAway();
}

// What is not sent yet stays in this tab over a reload: the text here, attachments by their ids (attach.js).
window.addEventListener("pagehide", () => {
  const draft = one("#message")?.value || state.pending;
  if (draft) sessionStorage.setItem("draft", draft);
  sessionStorage.setItem("place", JSON.stringify({ view: document.body.dataset.view, part: document.body.dataset.part }));
});
window.addEventListener("hashchange", () => { if (chatOfAddress() !== state.chat || messageOfAddress()) openChat(chatOfAddress(), true, messageOfAddress()); });
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(document.documentElement.dataset.choice, false));

// While the page is looked at: is the app there, and how does the model stand. Often while something loads, else seldom.
async function pulse() {
  window.setTimeout(pulse, one("#pill .dot.loading, #models-view .dot.loading") ? 700 : 3000);
  if (document.visibilityState !== "visible") return;
  const offline = document.body.dataset.offline === "yes";
  try {
    const answer = await fetch(offline ? location.pathname : "health", { cache: "no-store" });
    if (offline && !answer.ok) return;
  } catch {
    document.body.dataset.offline = "yes";
    return;
  }
  if (offline) {
    location.reload();
    return;
  }
  emit("pulse", { model: state.model });
}

// What cannot know what it stands beside is told by these how wide, or how high, that is. It is told itself, not the whole page: every
// element of a long chat would have to be styled anew.
const MEASURED = [
  { of: ".ends", side: "inlineSize", name: "--ends", told: ["#topbar", "#pill"] },
  { of: "#pill", side: "inlineSize", name: "--pill", told: ["#topbar"] },
  { of: "#starter", side: "blockSize", name: "--notice", told: ["#offline"] },
];
const fit = new ResizeObserver((changes) => {
  for (const { target, borderBoxSize: [box] } of changes) {
    const { side, name, told } = MEASURED.find(({ of }) => target.matches(of));
    for (const selector of told) one(selector).style.setProperty(name, `${box[side]}px`);
  }
});

// A reload comes back to where one was; an address that is opened shows its chat.
function backToPlace() {
  const { view, part } = JSON.parse(sessionStorage.getItem("place") ?? "{}");
  const [arrival] = performance.getEntriesByType("navigation");
  if (arrival?.type !== "reload" || view === "chat" || !one(`#tab-${view}`)) return;
  if (part) setPart(part);
  setView(view);
}

function begin() {
  const narrow = isNarrow();
  document.body.dataset.view = "chat";
  setTheme(localStorage.getItem("theme") ?? "system", false);
  setSide(narrow ? "shut" : localStorage.getItem("side") ?? "open", false);
  setPanel(narrow ? "" : localStorage.getItem("panel") ?? "", false);
  markPlaces();
  beginListening();
  markView();
  const address = chatOfAddress() || localStorage.getItem("chat") || "";
  const at = messageOfAddress();
  rememberChat(/^[\w-]{1,64}$/.test(address) ? address : "");
  state.follow = !at;
  askToOpen(at);
  const draft = sessionStorage.getItem("draft");
  sessionStorage.removeItem("draft");
  if (draft) putText(draft);
  if (tray.ids.length) askTray();
  if (!narrow) one("#message")?.focus();
  const grown = new ResizeObserver(followEnd);
  for (const id of ["#history", "#live", "#scroll"]) grown.observe(one(id));
  for (const { of } of MEASURED) fit.observe(one(of));
  window.setTimeout(pulse, 1500);
  document.body.dataset.ready = "yes";
  backToPlace();
}

window.harmony = { surface, bridge };
