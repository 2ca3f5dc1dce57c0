// What comes with the next message. The server keeps the texts; the page holds their ids, also over a reload, and draws them as chips.
const LONG_PASTE = { characters: 2000, lines: 40 };
const tray = { ids: JSON.parse(sessionStorage.getItem("attached") ?? "[]"), sent: [], asked: 0, reading: 0 };
const cardTexts = new Map();

function keepTray() {
  sessionStorage.setItem("attached", JSON.stringify([...tray.sent, ...tray.ids]));
  askTray();
  measureSoon();
}

function askTray() {
  tray.asked += 1;
  if (tray.ids.length) emit("tray", { attached: tray.ids, model: state.model, ask: tray.asked });
  else drawTray("");
}

function drawTray(html) {
  patch(one("#tray"), html);
  one("#tray").hidden = !html;
}

// Sent with a message, the ids wait until the server has taken it: what it refuses comes back.
function takeTray() {
  tray.sent = tray.ids;
  tray.ids = [];
  drawTray("");
  return tray.sent;
}

function returnTray() {
  if (!tray.sent.length) return;
  tray.ids = [...tray.sent, ...tray.ids];
  tray.sent = [];
  keepTray();
}

function letTrayGo() {
  tray.sent = [];
  keepTray();
}

async function attachFiles(files, pasted = false) {
  const { largest, largestSaid, most } = limits();
  const refusals = [];
  setView("chat");
  tray.reading += 1;
  for (const file of files) {
    if (tray.ids.length >= Number(most)) {
      refusals.push(`At most ${most} files can come with one message.`);
      break;
    }
    const query = `?${new URLSearchParams({ name: file.name, pasted })}`;
    const tooLarge = file.size > Number(largest);
    const told = tooLarge ? { error: `${file.name} is larger than ${largestSaid}, the most that can be attached.` } : await upload("attachments", file, query);
    if (told.error) refusals.push(told.error);
    else tray.ids.push(told.id);
  }
  tray.reading -= 1;
  keepTray();
  say(refusals.join(" "), { tone: refusals.length ? "bad" : "" });
  return !refusals.length;
}

function detach(id) {
  const chips = all("#tray .chip");
  const at = chips.findIndex((chip) => chip.dataset.attachment === id);
  const next = chips[at + 1] ?? chips[at - 1];
  (one("[data-do=detach]", next ?? document.createElement("i")) ?? one("#message")).focus();
  tray.ids = tray.ids.filter((each) => each !== id);
  emit("detach", { attachment: id });
  keepTray();
}

function insertText(text) {
  const box = one("#message");
  box.setRangeText(text, box.selectionStart, box.selectionEnd, "end");
  growBox();
  measureSoon();
  box.focus();
}

const isLong = (text) => text.length > LONG_PASTE.characters || text.split("\n").length > LONG_PASTE.lines;

async function attachPaste(text) {
  const number = all("#tray .chip [data-do=into-text]").length + 1;
  const name = number > 1 ? `Pasted text ${number}` : "Pasted text";
  if (!(await attachFiles([new File([text], name)], true)) && text.length < Number(limits().largest)) insertText(text);
}

document.addEventListener("paste", (event) => {
  if (event.target.id !== "message") return;
  const text = event.clipboardData.getData("text/plain");
  const files = [...event.clipboardData.files];
  if (!isLong(text) && (text || !files.length)) return;
  event.preventDefault();
  if (text) attachPaste(text);
  else attachFiles(files);
});

document.addEventListener("keydown", (event) => {
  const chip = event.target.closest?.("#tray .chip");
  if (!chip || !["Delete", "Backspace"].includes(event.key)) return;
  event.preventDefault();
  detach(chip.dataset.attachment);
});

// A card's text is asked for when it is opened: a history full of long files is drawn as fast as one without.
document.addEventListener("toggle", (event) => {
  const card = event.target;
  if (!card.matches?.("details.attached") || !card.open) return;
  const { attachment } = card.dataset;
  if (cardTexts.has(attachment)) fillCards(attachment);
  else emit("attachment", { chat: state.chat, message: card.closest("[data-message]").dataset.message, attachment });
}, true);

// What a person opens stays in sight, also at the end of a chat that is followed.
document.addEventListener("click", (event) => { if (event.target.closest?.(".attached > summary")) state.follow = false; });

function fillCards(id) {
  for (const place of all(`details.attached[data-attachment="${CSS.escape(id)}"] pre`)) place.textContent = cardTexts.get(id);
}

Object.assign(acts, {
  attach: () => one("#attach").click(),
  detach: (button) => detach(button.closest(".chip").dataset.attachment),
  "into-text": (button) => emit("into_text", { attachment: button.closest(".chip").dataset.attachment }),
  "copy-attached": (button) => copyText(one("pre", button.closest("details")).textContent, button),
});

Object.assign(commands, {
  tray({ ask, ids, html }) {
    if (ask !== tray.asked) return;
    const gone = tray.ids.length - ids.length;
    tray.ids = ids;
    drawTray(ids.length ? html : "");
    if (gone) say("An attachment is no longer there. Attach it again.");
  },
  insert({ id, text }) {
    insertText(text);
    detach(id);
    one("#message").focus();
  },
  attachment({ id, text }) {
    cardTexts.set(id, text);
    fillCards(id);
  },
});
