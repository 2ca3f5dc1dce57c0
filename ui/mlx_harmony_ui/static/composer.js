// The message box: sending, giving text back when it was not taken, growing with its lines.
function putText(text) {
  const box = one("#message");
  box.value = text;
  closeSuggest();
  growBox();
}

function growBox() {
  const box = one("#message");
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight, 240)}px`;
}

const isBusy = () => document.body.dataset.busy === "yes" || state.pending !== null;

// What begins like a command is the server's to read, unless it is to be sent `as` a "message" all the same.
function send(as = "") {
  const text = one("#message").value;
  if (document.body.dataset.offline === "yes") return;
  if (state.opening || tray.reading) {
    window.setTimeout(send, 40, as);
    return;
  }
  if (as !== "message" && COMMAND.test(text)) {
    emit("command", { text, chat: state.chat, ask: state.asked, options: options() });
    return;
  }
  if (isBusy()) return;
  closeNote();
  if (!text.trim() && !tray.ids.length) {
    putText("");
    say("Type a message first.");
    return;
  }
  take(text);
  putText("");
  emit("send", { chat: state.chat, text, seen: lastSeen(), attached: takeTray(), options: options() });
}

function regenerate(message) {
  if (isBusy()) return;
  take("");
  emit("regenerate", { chat: state.chat, message, options: options() });
}

function goOn(message) {
  if (isBusy()) return;
  take("");
  emit("go_on", { chat: state.chat, message, options: options() });
}

// A message of the person's own becomes a box in its place; Enter sends the new version, Esc leaves all as it was.
function beginEdit(article) {
  if (!article || isBusy() || one("form", article)) return;
  const form = document.createElement("form");
  form.className = "edit";
  form.dataset.key = "edit";
  form.dataset.keep = "yes";
  form.innerHTML = '<textarea aria-label="Edit your message"></textarea><div><button type="button" class="plain">Cancel</button><button type="submit" class="plain main">Send</button></div>';
  const box = one("textarea", form);
  box.value = one(".typed", article).textContent;
  const leave = () => { form.remove(); one("[data-do=edit]", article)?.focus(); };
  const finish = () => {
    if (!box.value.trim() || isBusy()) return;
    const { message } = article.dataset;
    const text = box.value;
    form.remove();
    take(text);
    emit("edit", { chat: state.chat, message, text, options: options() });
  };
  one("button", form).addEventListener("click", leave);
  form.addEventListener("submit", (event) => { event.preventDefault(); event.stopPropagation(); finish(); });
  box.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") leave();
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); finish(); }
  });
  const grow = () => { box.style.height = "auto"; box.style.height = `${Math.min(box.scrollHeight + 2, 320)}px`; };
  box.addEventListener("input", grow);
  one(".typed", article).after(form);
  grow();
  box.focus();
}

function take(text) {
  const taken = ++state.taken;
  state.pending = text;
  state.follow = true;
  say("");
  window.setTimeout(() => {
    if (state.taken !== taken || state.pending === null || document.body.dataset.busy === "yes") return;
    giveBack(text);
    say("The app did not answer. Your text is back in the box; is MLX Harmony still running?");
  }, 15000);
}

function giveBack(given) {
  const text = given || state.pending;
  state.pending = null;
  returnTray();
  const typed = one("#message").value;
  // What was typed meanwhile stays, and what comes back is not lost for it.
  if (text && !typed.includes(text)) putText(typed.trim() ? `${typed}\n\n${text}` : text);
}
