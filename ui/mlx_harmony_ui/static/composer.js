// The message box: sending, giving text back when it was not taken, growing with its lines.
function putText(text) {
  const box = one("#message");
  box.value = text;
  growBox();
}

function growBox() {
  const box = one("#message");
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight, 240)}px`;
}

const isBusy = () => document.body.dataset.busy === "yes" || state.pending !== null;

function send() {
  const text = one("#message").value;
  if (isBusy()) return;
  if (state.opening) {
    window.setTimeout(send, 40);
    return;
  }
  if (!text.trim()) {
    putText("");
    say("Type a message first.");
    return;
  }
  take(text);
  putText("");
  emit("send", { chat: state.chat, text, options: options() });
}

function regenerate(message) {
  if (isBusy()) return;
  take("");
  emit("regenerate", { chat: state.chat, message, options: options() });
}

function take(text) {
  state.pending = text;
  state.follow = true;
  say("");
  window.setTimeout(() => {
    if (state.pending !== text || document.body.dataset.busy === "yes") return;
    giveBack(text);
    say("The app did not answer. Your text is back in the box; is MLX Harmony still running?");
  }, 15000);
}

function giveBack(text) {
  state.pending = null;
  if (text && !one("#message").value) putText(text);
}
