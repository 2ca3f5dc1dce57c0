// Other windows on the same chat: what they add is asked for when this one is looked at again, and while it watches an answer of theirs.
const drawnTurns = () => one("#history .turns");
const lastSeen = () => (drawnTurns()?.dataset.chat === state.chat ? { last: drawnTurns().dataset.last } : {});

// Nothing is redrawn while the person writes into the history or the list, or while this window has an answer of its own coming.
function look(watching) {
  const turns = drawnTurns();
  if (state.opening || isBusy() || !turns || turns.dataset.chat !== state.chat || one(".turns form.edit, .rename")) return;
  const { mark } = turns.dataset;
  emit("look", { chat: state.chat, mark, watching: watching ? 1 : 0, shown: all("#history article").length, query: one("#search").value });
}

const watchesAnother = () => document.visibilityState === "visible" && one("#history .answer[aria-busy=true]") !== null;

document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") look(watchesAnother()); });
window.addEventListener("focus", () => look(watchesAnother()));
window.setInterval(() => { if (watchesAnother()) look(true); }, 2000);
