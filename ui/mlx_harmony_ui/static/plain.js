// An answer as plain text, just as the model wrote it; and formulas that are copied as what was written, not as how they are drawn.
Object.assign(acts, {
  "as-text": (button) => {
    const shown = one(":scope > .as-text", button.closest("article"));
    button.setAttribute("aria-pressed", String(!shown));
    if (shown) shown.remove();
    else emit("as_text", { chat: state.chat, message: messageOf(button) });
  },
});

Object.assign(commands, {
  as_text({ message, text }) {
    const article = one(`#history [data-message="${CSS.escape(message)}"]`);
    if (!article || one(":scope > .as-text", article)) return;
    const plain = Object.assign(document.createElement("pre"), { className: "as-text", textContent: text, tabIndex: 0 });
    plain.dataset.key = "as-text";
    plain.dataset.keep = "yes";
    article.insertBefore(plain, one(":scope > :is(.answer-text, .notice, footer)", article));
  },
});

document.addEventListener("copy", (event) => {
  const selection = document.getSelection();
  if (!selection.rangeCount || event.target.closest?.("input, textarea")) return;
  const copy = selection.getRangeAt(0).cloneContents();
  const formulas = all("math", copy);
  if (!formulas.length) return;
  for (const math of formulas) math.replaceWith(sourceOf(math));
  for (const piece of all("code > [data-key]", copy)) piece.replaceWith(...piece.childNodes);
  // Laid out unseen, so that lines and paragraphs come out as they stand.
  const box = Object.assign(document.createElement("div"), { className: "unseen-copy" });
  box.append(copy);
  document.body.append(box);
  event.clipboardData.setData("text/plain", box.innerText);
  box.remove();
  event.preventDefault();
});

function sourceOf(math) {
  const source = math.getAttribute("alttext");
  return math.getAttribute("display") === "block" ? `$$${source}$$` : `$${source}$`;
}
