// Commands typed into the message box: a list of what fits while one is typed, and the server's answer above the box.
const COMMAND = /^\s*[\\/][A-Za-z]+(\s[\s\S]*)?$/;
const UNFINISHED = /^[\\/]([A-Za-z]*|set +[A-Za-z_-]*(=.*)?)$/i;
const suggested = { at: -1 };
const fitting = () => all("#suggest [role=option]").filter((option) => !option.hidden);

// The settings are listed once `set ` stands there; before that only the commands.
function suggest() {
  const typed = one("#message").value;
  const text = `\\${typed.slice(1).toLowerCase().replace(/ +/g, " ")}`;
  const begun = UNFINISHED.test(typed);
  for (const option of all("#suggest [role=option]")) {
    const whole = option.dataset.text;
    const fits = whole.startsWith(text) ? whole.includes("=") === text.includes(" ") : whole.endsWith("=") && text.startsWith(whole);
    option.hidden = !begun || !fits;
  }
  const shown = fitting();
  one("#suggest").hidden = !shown.length;
  const done = text.includes("=") || shown.some((option) => option.dataset.text === text);
  markSuggested(shown.length && !done ? 0 : -1);
}

function markSuggested(at) {
  const shown = fitting();
  suggested.at = at;
  for (const option of all("#suggest [role=option]")) option.setAttribute("aria-selected", String(option === shown[at]));
  shown[at]?.scrollIntoView({ block: "nearest" });
  for (const each of all("#message, #suggest")) {
    if (shown[at]) each.setAttribute("aria-activedescendant", shown[at].id);
    else each.removeAttribute("aria-activedescendant");
  }
}

function closeSuggest() {
  one("#suggest").hidden = true;
  markSuggested(-1);
}

function complete(option, go) {
  const slash = one("#message").value[0] ?? "\\";
  putText(slash + option.dataset.text.slice(1));
  one("#message").focus();
  if (go && option.dataset.whole === "yes") {
    closeSuggest();
    send();
  } else suggest();
}

function suggestKey(event) {
  const shown = fitting();
  const chosen = shown[suggested.at];
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (event.key === "Escape") { closeSuggest(); one("#message").focus(); }
  else if (step) markSuggested((suggested.at + step + shown.length) % shown.length);
  else if (chosen && ["Enter", "Tab"].includes(event.key) && !event.shiftKey) complete(chosen, event.key === "Enter");
  else return false;
  return true;
}

// The box that is typed in, and the list itself: it scrolls, so the focus can go into it.
const offers = (element) => ["message", "suggest"].includes(element?.id);

function closeNote() {
  one("#note").hidden = true;
  patch(one("#note"), "");
}

document.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  const listed = offers(event.target) && !one("#suggest").hidden && suggestKey(event);
  const noted = !listed && event.key === "Escape" && !event.shiftKey && !one("#note").hidden && event.target.closest?.("#composer");
  if (noted) {
    closeNote();
    one("#message").focus();
  }
  if (listed || noted) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }
}, true);

document.addEventListener("input", (event) => { if (event.target.id === "message") suggest(); });
document.addEventListener("focusout", (event) => { if (offers(event.target) && !offers(event.relatedTarget)) closeSuggest(); });
// A click on the list leaves the caret where it is.
document.addEventListener("mousedown", (event) => { if (event.target.closest?.("#suggest")) event.preventDefault(); });

Object.assign(acts, {
  suggest: (option) => complete(option, true),
  "close-note": () => { closeNote(); one("#message").focus(); },
  "send-plain": () => { closeNote(); send("message"); },
});

Object.assign(commands, {
  plain: () => send("message"),
  obeyed({ text }) {
    closeNote();
    if (one("#message").value === text) putText("");
  },
  note({ text, html }) {
    if (one("#message").value === text) putText("");
    patch(one("#note"), html);
    one("#note").hidden = false;
  },
});
