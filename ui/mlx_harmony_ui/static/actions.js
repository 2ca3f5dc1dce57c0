// What a click does: every button names its act in data-do.
const acts = {
  view: (button, event) => { event.preventDefault(); setView(button.dataset.view); closeMenu(); },
  theme: (button) => { setTheme(button.dataset.theme); emit("setting", { name: "theme", value: button.dataset.theme }); },
  menu: (button) => { toggleMenu(button); if (button.closest("#pill")) emit("pulse", { model: state.model }); },
  "models-menu": () => toggleMenu(one(".pill-face")),
  keys: () => openSheet("shortcuts-sheet"),
  close: (button) => button.closest("dialog").close(),
  pick: (button) => { state.model = button.dataset.model; saveSoon(); emit("pulse", { model: state.model }); closeMenu(); one("#message")?.focus(); },
  talk: (button) => { state.model = button.dataset.model; saveSoon(); emit("pulse", { model: state.model }); setView("chat"); one("#message")?.focus(); },
  new: () => openChat(""),
  side: () => setSide(document.body.dataset.side === "open" ? "shut" : "open"),
  panel: (button) => setPanel(button.dataset.panel),
  "panel-open": () => setPanel(document.body.dataset.panel ? "" : "tuning"),
  earlier: () => { state.keepBelow = true; emit("earlier", { chat: state.chat, shown: all("#history article").length + 60 }); },
  older: (button) => { state.rows = Number(button.dataset.rows); emit("search"); },
  stop: () => emit("stop", {}),
  latest: () => { state.follow = true; one("#scroll").scrollTop = one("#scroll").scrollHeight; },
  effort: (button) => { state.effort = button.dataset.effort; markOptions(); saveSoon(); },
  tool: (button) => {
    const tool = button.dataset.tool;
    if (!state.tools.delete(tool)) state.tools.add(tool);
    markOptions();
    saveSoon();
  },
  example: (button) => { putText(button.dataset.text); send(); },
  copy: (button) => emit("copy", { chat: state.chat, message: messageOf(button) }),
  "copy-code": (button) => copyText(one("code", button.closest("figure")).textContent, button),
  "copy-report": (button) => copyText(button.dataset.report),
  regenerate: (button) => regenerate(messageOf(button)),
  edit: (button) => beginEdit(button.closest(".ask")),
  "go-on": (button) => goOn(messageOf(button)),
  fork: (button) => emit("fork", { chat: state.chat, message: messageOf(button) }),
  drop: (button) => emit("drop", { chat: state.chat, message: messageOf(button) }),
  version: (button) => emit("version", { chat: state.chat, message: button.dataset.version }),
  reset: (button) => {
    const row = button.closest(".slide");
    const number = one("[data-field]", row);
    number.value = number.dataset.default;
    const slider = one("[data-slides]", row);
    if (slider && number.value !== "") slider.value = number.value;
    markSet(row, number);
    saveSoon();
  },
  section: (button, event) => { event.preventDefault(); one(`#section-${button.dataset.section}`)?.scrollIntoView({ block: "start" }); },
  rename: (button) => beginRename(button.closest("[data-chat-row]")),
  remove: (button) => {
    const id = button.closest("[data-chat-row]").dataset.chatRow;
    emit("remove", { chat: id, query: one("#search").value });
    if (id === state.chat) openChat("", false);
  },
  export: (button) => {
    closeMenu(true);
    const { kind } = button.dataset;
    if (kind !== "all" && !state.chat) say("There is no chat open to export.");
    else download(kind === "all" ? { kind: "json" } : { kind, chat: state.chat });
  },
  import: () => { closeMenu(true); one("#import").click(); },
  "copy-as": (button) => {
    const { kind, message } = button.dataset;
    emit("copy_as", { chat: state.chat, message, kind, address: location.origin });
  },
  "say-nothing": () => { say(""); one("#message").focus(); },
  undo: (button) => {
    const { chatId: chat, token, preset } = button.dataset;
    if (preset) presetAct("restore", preset);
    else if (token) emit("undrop", { chat, token });
    else emit("undo", { chat, query: one("#search").value });
    say("");
  },
};

const messageOf = (button) => button.closest("[data-message]").dataset.message;

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-do]");
  if (!event.target.closest?.("[role=menu], [aria-haspopup=menu], [data-do=models-menu]")) closeMenu();
  // A link to the chat that is open already changes no address, so that nothing else would lead there.
  const again = !event.ctrlKey && !event.metaKey && state.chat && event.target.closest?.(`a[href="#chat=${state.chat}"]`);
  if (again) setView("chat");
  if (button) acts[button.dataset.do]?.(button, event);
  else if (event.target.id === "veil") closeSheets();
});

function beginRename(row) {
  const link = one("a", row);
  const box = Object.assign(document.createElement("input"), { value: link.textContent, className: "rename", maxLength: 200 });
  box.setAttribute("aria-label", "New title");
  let over = false;
  const end = (keep) => {
    if (over) return;
    over = true;
    const renamed = keep && box.value.trim() && box.value !== link.textContent;
    if (renamed) {
      link.textContent = box.value;
      sources.delete(row);
      emit("rename", { chat: row.dataset.chatRow, title: box.value, query: one("#search").value });
    }
    const held = box === document.activeElement;
    box.replaceWith(link);
    if (held) link.focus();
    if (state.heldChats && !renamed) surfaces.get("chats").draw(true);
    state.heldChats = false;
  };
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter") end(true);
    if (event.key === "Escape") end(false);
    event.stopPropagation();
  });
  box.addEventListener("blur", () => end(true));
  link.replaceWith(box);
  box.focus();
  box.select();
}

async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    if (button) { button.textContent = "Copied"; window.setTimeout(() => { button.textContent = "Copy"; }, 1500); }
    else say("Copied.");
  } catch {
    say("This browser does not let the page copy here. Select the text instead.", { tone: "bad" });
  }
}
