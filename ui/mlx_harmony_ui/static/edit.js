// A message of the person's own, edited in its place: Enter sends the new version, Esc leaves all as it was. What is typed is kept for
// its message until then: another chat, another version or a reload takes the box away, and it stands there again when the message does.
const edits = new Map(JSON.parse(sessionStorage.getItem("edits") ?? "[]"));

function beginEdit(article, focus = true) {
  if (!article || one("form", article) || (focus ? mustWait() : isBusy())) return;
  const { message } = article.dataset;
  const form = document.createElement("form");
  form.className = "edit";
  form.dataset.key = "edit";
  form.dataset.keep = "yes";
  form.innerHTML = '<textarea aria-label="Edit your message"></textarea><div><button type="button" class="plain">Cancel</button><button type="submit" class="plain main">Send</button></div>';
  const box = one("textarea", form);
  box.value = edits.get(message) ?? one(".typed", article).textContent;
  const end = () => { edits.delete(message); form.remove(); };
  const leave = () => { end(); one("[data-do=edit]", article)?.focus(); };
  const finish = () => {
    if (!box.value.trim() || mustWait()) return;
    const text = box.value;
    end();
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
  box.addEventListener("input", () => { edits.set(message, box.value); grow(); });
  one(".typed", article).after(form);
  grow();
  if (focus) box.focus();
}

// Edits that were begun in the messages that have just been drawn.
function takeUpEdits() {
  for (const message of edits.keys()) beginEdit(one(`#history .ask[data-message="${CSS.escape(message)}"]`), false);
}

window.addEventListener("pagehide", () => sessionStorage.setItem("edits", JSON.stringify([...edits])));
