// Keys, the pulse that keeps the pill true, and the first moment of the page.
document.addEventListener("keydown", (event) => {
  const meta = event.metaKey || event.ctrlKey;
  const key = event.key.toLowerCase();
  if (event.target.id === "message" && event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  } else if (event.key === "Escape" && event.shiftKey) {
    event.preventDefault();
    setView("chat");
    one("#message")?.focus();
  } else if (event.key === "Escape") {
    if (document.body.dataset.menu === "open") closeMenu();
    else if (document.body.dataset.busy === "yes") emit("stop", {});
  } else if (meta && !event.shiftKey && key === "k") {
    event.preventDefault();
    setView("chat");
    setSide("open");
    one("#search")?.focus();
  } else if (meta && event.shiftKey && key === "o") {
    event.preventDefault();
    openChat("");
  } else if (meta && !event.shiftKey && key === "b") {
    event.preventDefault();
    setSide(document.body.dataset.side === "open" ? "shut" : "open");
  } else if (event.target.id === "message" && !event.target.value && !meta && !event.shiftKey && !event.altKey && otherVersion(event.key)) {
    event.preventDefault();
  } else if (event.target.role === "tab" || event.target.role === "radio") arrowKeys(event);
});

// The arrows in the empty message box lead through the versions of the last message that has any.
function otherVersion(key) {
  const versions = all("#history .versions").at(-1);
  const button = versions && { ArrowLeft: one("button:first-of-type", versions), ArrowRight: one("button:last-of-type", versions) }[key];
  if (!button || button.disabled || isBusy()) return false;
  button.click();
  return true;
}

function arrowKeys(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const peers = all(`[role=${event.target.role}]`, event.target.parentElement);
  const next = peers[(peers.indexOf(event.target) + step + peers.length) % peers.length];
  next.focus();
  next.click();
}

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
  const { scrollHeight, scrollTop, clientHeight } = event.target;
  state.follow = scrollHeight - scrollTop - clientHeight < 48;
  document.body.dataset.away = scrollHeight - scrollTop - clientHeight > 240 ? "yes" : "no";
}, true);

window.addEventListener("hashchange", () => { if (chatOfAddress() !== state.chat) openChat(chatOfAddress()); });
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
    sessionStorage.setItem("draft", one("#message").value || state.pending || "");
    location.reload();
    return;
  }
  emit("pulse", { model: state.model });
}

function begin() {
  const narrow = window.matchMedia("(max-width: 900px)").matches;
  document.body.dataset.view = "chat";
  setTheme(localStorage.getItem("theme") ?? "system", false);
  setSide(narrow ? "shut" : localStorage.getItem("side") ?? "open", false);
  setPanel(narrow ? "" : localStorage.getItem("panel") ?? "", false);
  markView();
  const address = chatOfAddress() || localStorage.getItem("chat") || "";
  rememberChat(/^[0-9a-f]{1,64}$/.test(address) ? address : "");
  askToOpen();
  const draft = sessionStorage.getItem("draft");
  sessionStorage.removeItem("draft");
  if (draft) putText(draft);
  if (!narrow) one("#message")?.focus();
  const grown = new ResizeObserver(() => { if (state.follow) one("#scroll").scrollTop = one("#scroll").scrollHeight; });
  for (const id of ["#history", "#live", "#scroll"]) grown.observe(one(id));
  window.setTimeout(pulse, 1500);
  document.body.dataset.ready = "yes";
}

window.harmony = { surface, bridge };
