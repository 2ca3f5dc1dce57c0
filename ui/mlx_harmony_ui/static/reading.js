// Reading a prompt into a file, from the Cache tab. What was typed stays as it is, whatever comes of it; leaving the tab stops nothing.
const LONGEST_PROMPT = 7e6;
const reading = { stop: null, began: 0, from: 0 };
const fieldOf = { prompt: "#read-text", model: "#read-model" };

async function openReading() {
  one("#reading").hidden = false;
  await listModels();
  one("#reading").scrollIntoView({ block: "nearest" });
  one("#read-text").focus({ preventScroll: true });
}

// Every model that can be used, the one whose cache is looked at first chosen.
async function listModels() {
  const list = one("#read-model");
  const chosen = list.value || shownModel();
  const told = await fetch("v1/models").then((answer) => answer.json()).catch(() => null);
  const ids = (told?.data ?? []).filter((model) => !model.problem).map((model) => model.id);
  if (!ids.includes(chosen)) ids.unshift(chosen);
  list.replaceChildren(...ids.map((id) => new Option(id === "starter" ? "Starter" : id, id, false, id === chosen)));
}

function readFailed(text, field = "") {
  one("#read-error").textContent = text;
  for (const each of ["#read-text", "#read-model", "#read-name"]) one(each).removeAttribute("aria-invalid");
  if (!field) return;
  one(field).setAttribute("aria-invalid", "true");
  one(field).focus();
}

function markReading(busy) {
  one("#reading").dataset.busy = busy ? "yes" : "no";
  one("#reading").setAttribute("aria-busy", String(busy));
  one("#read-progress").hidden = !busy;
  for (const each of ["#read-text", "#read-name"]) one(each).readOnly = busy;
  for (const each of ["#read-model", "#read-replace"]) one(each).disabled = busy;
}

const plainly = (count) => count.toLocaleString("en");

function howFar(line) {
  const words = {
    waiting: () => "Waiting for its turn…",
    loading: () => `${line.stage || "Loading the model"} · ${Math.floor(line.fraction * 100)} %`,
    reading: () => readSoFar(line),
  };
  const share = line.step === "reading" ? line.done / Math.max(1, line.total) : line.fraction;
  const bar = one("#read-progress progress");
  if (share === undefined) bar.removeAttribute("value");
  else bar.value = share;
  one("#read-step").textContent = words[line.step]?.() ?? "";
}

function readSoFar({ done, total }) {
  if (!reading.began) Object.assign(reading, { began: performance.now(), from: done });
  const rate = (done - reading.from) / ((performance.now() - reading.began) / 1000);
  const share = `Reading ${plainly(done)} of ${plainly(total)} tokens · ${Math.floor((done / Math.max(1, total)) * 100)} %`;
  if (done >= total) return `${share} · saving…`;
  return rate > 0 && done > reading.from ? `${share} · ${plainly(Math.round(rate))} tok/s · ${Math.ceil((total - done) / rate)} s left` : share;
}

function showRead(told) {
  const all = told.prompt_tokens - told.read_tokens > 1 ? `${plainly(told.read_tokens)}, the rest was kept` : plainly(told.read_tokens);
  const facts = {
    "Tokens in the file": `${plainly(told.tokens)}, ${said(told.bytes)}`,
    "Tokens read": all,
    Speed: `${plainly(Math.round(told.tokens_per_second))} tok/s`,
    "Peak memory": told.peak_bytes ? said(told.peak_bytes) : "not known",
    File: told.path,
  };
  const list = document.createElement("dl");
  for (const [name, value] of Object.entries(facts)) {
    const row = document.createElement("div");
    const shown = Object.assign(document.createElement("dd"), { textContent: name === "File" ? "" : value });
    if (name === "File") shown.append(Object.assign(document.createElement("code"), { textContent: value }));
    row.append(Object.assign(document.createElement("dt"), { textContent: name }), shown);
    list.append(row);
  }
  one("#read-done").replaceChildren(list);
  cache.looked = 0;
}

// What is wrong is said beside what it is about; the name is about the file that is there already too.
function refuseReading({ message, hint, param }) {
  const taken = param === "path";
  readFailed(taken ? "A file of that name is there already. Choose another name, or tick Replace." : [message, hint].filter(Boolean).join(" "), fieldOf[param] ?? (taken || param === "name" ? "#read-name" : ""));
}

async function* linesOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const lines = (rest + piece.value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

function askedToRead() {
  const asked = { model: one("#read-model").value, prompt: one("#read-text").value, name: one("#read-name").value, replace: one("#read-replace").checked };
  if (!asked.prompt.trim()) readFailed("The prompt is empty. Paste a text, or drop a file.", "#read-text");
  else if (!asked.name.trim()) readFailed("The file has no name yet.", "#read-name");
  else return asked;
  return null;
}

async function readPrompt(asked) {
  const stop = new AbortController();
  Object.assign(reading, { stop, began: 0, from: 0 });
  readFailed("");
  one("#read-done").replaceChildren();
  markReading(true);
  howFar({ step: "waiting" });
  try {
    const headers = { "content-type": "application/json" };
    const answer = await fetch("files/caches/read", { method: "POST", headers, body: JSON.stringify(asked), signal: stop.signal });
    if (!answer.ok) return refuseReading((await answer.json()).error);
    let last = {};
    for await (const line of linesOf(answer.body)) howFar(last = line);
    if (last.step === "done") showRead(last);
    else refuseReading(last.step === "failed" ? last : { message: "The app ended before the prompt was read. Nothing was saved." });
  } catch {
    readFailed(stop.signal.aborted ? "Cancelled. Nothing was saved." : "The app did not answer. Nothing was saved.");
  } finally {
    markReading(false);
  }
}

// A text file becomes the prompt; its name the file's, where none was given.
async function takePrompt(file) {
  await openReading();
  if (one("#reading").dataset.busy === "yes") return;
  const text = file.size > LONGEST_PROMPT ? null : await file.text().catch(() => "\0");
  if (text === null) readFailed(`“${file.name}” is larger than ${LONGEST_PROMPT / 1e6} MB, the most that can be read at once.`);
  else if (/[\0\uFFFD]/.test(text)) readFailed(`“${file.name}” is no text in UTF-8.`);
  else {
    one("#read-text").value = text;
    one("#read-name").value ||= file.name.replace(/\.[^.]*$/, "").replace(/^\.+/, "").slice(0, 100);
    readFailed("");
  }
}

Object.assign(acts, {
  "read-open": () => openReading(),
  "read-close": () => { one("#reading").hidden = true; one("[data-do=read-open]")?.focus(); },
  "read-choose": () => one("#read-file").click(),
  "read-cancel": () => reading.stop?.abort(),
});

document.addEventListener("submit", (event) => {
  if (event.target.id !== "read-form") return;
  event.preventDefault();
  const asked = one("#reading").dataset.busy === "yes" ? null : askedToRead();
  if (asked) readPrompt(asked);
});

document.addEventListener("change", (event) => {
  if (event.target.id !== "read-file" || !event.target.files.length) return;
  takePrompt(event.target.files[0]);
  event.target.value = "";
});
