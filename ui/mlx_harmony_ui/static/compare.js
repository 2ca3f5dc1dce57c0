// Compare: one prompt to two models. What is chosen stands in its controls. Over a reload the tab keeps that, which comparison it looks
// at, and which answers were kept, by their chats.
const comparing = { kept: new Set(JSON.parse(sessionStorage.getItem("compare-kept") ?? "[]")), follow: true, top: 0 };
const looksAtCompare = () => document.body.dataset.view === "models" && document.body.dataset.part === "compare";
const isComparing = () => document.body.dataset.comparing === "yes";

function compareSide(side) {
  const read = (input) => {
    if (input.type !== "number") return input.value;
    if (input.value.trim() === "" && !input.validity.badInput) return null;
    return input.value.trim() === "" ? "not a number" : Number(input.value);
  };
  return Object.fromEntries(all(`[data-compare-side=${side}] [data-compare]`).map((input) => [input.dataset.compare, read(input)]));
}

const bothSides = () => {
  if (one("[data-compare-side]")) return { left: compareSide("left"), right: compareSide("right") };
  return JSON.parse(sessionStorage.getItem("compare-sides") ?? "{}");
};

function lookAtCompare() {
  if (!looksAtCompare() || document.body.dataset.offline === "yes") return;
  emit("compare_look", { ...bothSides(), mark: one("#compare-setup .compare-setup")?.dataset.mark ?? "" });
}

function compareNow() {
  if (document.body.dataset.offline === "yes") {
    modelsSay({ text: "MLX Harmony is not running. Your prompt stays here: compare once this page is back.", tone: "bad" });
    return;
  }
  if (isComparing()) {
    modelsSay({ text: "A comparison is running here. Stop it or wait until it is done." });
    return;
  }
  modelsSay({ text: "" });
  comparing.follow = true;
  emit("compare", { text: one("#compare-text").value, ...bothSides() });
}

// Who stops, or begins, by a button that then goes, is not left without a place.
function markComparing() {
  const running = one(":is(#compare-left, #compare-right) .answer[aria-busy=true]") !== null;
  const [before, here] = [isComparing(), document.activeElement?.id];
  document.body.dataset.comparing = running ? "yes" : "no";
  if (running && !before && here === "compare-go") one("#compare-stop").focus();
  if (!running && before && here === "compare-stop") one("#compare-go").focus();
  if (!running && before) tell(all(".compare-side .notice.bad").length ? "The comparison is over. Not every answer is complete." : "Both answers are complete.");
}

function markKept() {
  for (const button of all("[data-do=compare-keep]")) {
    if (!comparing.kept.has(button.dataset.kind)) continue;
    button.dataset.do = "compare-open";
    button.textContent = "Kept: open the chat";
    button.removeAttribute("aria-label");
  }
}

function drewSide() {
  const chats = all(".compare-side[data-stands-in]").map(({ dataset }) => [dataset.side, dataset.standsIn]);
  if (chats.length) sessionStorage.setItem("compare-chats", JSON.stringify(Object.fromEntries(chats)));
  markComparing();
  markKept();
  if (comparing.follow && isComparing()) followAnswers();
}

// Side by side the ends are looked at; one under the other the first answer is, from its beginning.
function followAnswers() {
  const scroll = one("#compare-scroll");
  scroll.scrollTop = isNarrow() ? one("#compare-asked").offsetTop - scroll.offsetTop : scroll.scrollHeight;
  comparing.top = scroll.scrollTop;
}

function growCompareBox() {
  const box = one("#compare-text");
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight, 200)}px`;
}

Object.assign(acts, {
  "compare-stop": ({ dataset }) => emit("compare_stop", { side: dataset.kind ?? "" }),
  "compare-keep": ({ dataset }) => emit("compare_keep", { chat: dataset.kind }),
  "compare-open": ({ dataset }) => openChat(dataset.kind),
  "compare-anyway": ({ dataset }) => {
    emit("load_model", { model: dataset.model, force: "yes" });
    modelsSay({ text: isComparing() ? "It is loaded now, whatever was forecast." : "It is being loaded, whatever was forecast. Compare again once it is awake." });
  },
});

Object.assign(commands, {
  compare_begun: ({ id }) => { sessionStorage.setItem("compare-id", id); markComparing(); },
  compare_gone: () => sessionStorage.removeItem("compare-id"),
  compare_refused: ({ text }) => { modelsSay({ text, tone: "bad" }); one("#compare-text").focus(); },
  compare_kept: ({ id }) => {
    comparing.kept.add(id);
    sessionStorage.setItem("compare-kept", JSON.stringify([...comparing.kept].slice(-50)));
    markKept();
  },
});

drawn["compare-left"] = drewSide;
drawn["compare-right"] = drewSide;
drawn["compare-composer"] = () => {
  const draft = sessionStorage.getItem("compare-draft");
  sessionStorage.removeItem("compare-draft");
  if (draft) one("#compare-text").value = draft;
};

document.addEventListener("submit", (event) => { if (event.target.id === "compare-form") compareNow(); });
document.addEventListener("input", (event) => { if (event.target.id === "compare-text") growCompareBox(); });
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target.id === "compare-text") {
    event.preventDefault();
    compareNow();
  }
  const open = one("dialog[open]") || document.body.dataset.menu;
  if (event.key !== "Escape" || event.shiftKey || !looksAtCompare() || !isComparing() || open) return;
  event.stopImmediatePropagation();
  emit("compare_stop", { side: "" });
}, true);

// Scrolling up ends the following, being at the end again takes it up; on a narrow screen any scrolling ends it.
document.addEventListener("scroll", ({ target }) => {
  if (target.id !== "compare-scroll" || target.scrollTop === comparing.top) return;
  const atEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 48;
  comparing.follow = !isNarrow() && (atEnd || (comparing.follow && target.scrollTop > comparing.top));
  comparing.top = target.scrollTop;
}, true);

window.addEventListener("pagehide", () => {
  if (one("#compare-text")?.value) sessionStorage.setItem("compare-draft", one("#compare-text").value);
  sessionStorage.setItem("compare-sides", JSON.stringify(bothSides()));
});

// The page was loaded anew: what was compared before is still held by the program, else by its chats.
function backToCompare() {
  const id = sessionStorage.getItem("compare-id");
  const chats = JSON.parse(sessionStorage.getItem("compare-chats") ?? "{}");
  if (id) emit("compare_back", { ...chats, id });
}

new MutationObserver((changes) => {
  if (changes.some((change) => change.attributeName === "data-ready")) backToCompare();
  lookAtCompare();
}).observe(document.documentElement, { attributes: true, attributeFilter: ["data-view", "data-part", "data-ready"], subtree: true });
