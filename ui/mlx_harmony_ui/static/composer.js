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
const WAIT = "An answer is being written here. Stop it or wait until it is done.";

// Whether what was asked for has to wait for the answer that is being written; then that is said.
function mustWait() {
  if (isBusy()) say(WAIT);
  return isBusy();
}

// What begins like a command is the server's to read, unless it is to be sent `as` a "message" all the same.
function send(as = "") {
  const text = one("#message").value;
  if (document.body.dataset.offline === "yes") {
    say("MLX Harmony is not running. Your text stays here: send it once this page is back.", { tone: "bad" });
    return;
  }
  if (state.opening || tray.reading) {
    window.setTimeout(send, 40, as);
    return;
  }
  if (as !== "message" && COMMAND.test(text)) {
    emit("command", { text, chat: state.chat, ask: state.asked, options: options() });
    return;
  }
  if (mustWait()) return;
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
  if (mustWait()) return;
  take("");
  emit("regenerate", { chat: state.chat, message, options: options() });
}

function goOn(message) {
  if (mustWait()) return;
  take("");
  emit("go_on", { chat: state.chat, message, options: options() });
}

function take(text) {
  const taken = ++state.taken;
  state.pending = text;
  state.follow = true;
  say("");
  window.setTimeout(() => {
    if (state.taken !== taken || state.pending === null || document.body.dataset.busy === "yes") return;
    giveBack(text);
    say("The app did not answer. Your text is back in the box; is MLX Harmony still running?", { tone: "bad" });
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
