// What a screen reader hears: the answer in whole sentences while it is written, and progress in steps; never tokens. It only looks at
// what has been drawn, so it knows nothing of how that is done.
const HEAR_MS = 400;
const KEPT_SENTENCES = 40;
const heard = { key: "", chat: "", kept: new Set(), chars: 0, stage: "", step: "", since: 0 };
let hearing = 0;

function beginListening() {
  const listener = new MutationObserver(() => {
    if (!hearing) hearing = window.setTimeout(() => { hearing = 0; listen(); }, HEAR_MS);
  });
  for (const name of ["live", "history"]) listener.observe(surfaces.get(name).element, { childList: true, characterData: true, subtree: true });
}

function listen() {
  const live = one("#live .answer");
  const article = live ?? (heard.key && one(`#history [data-key="${CSS.escape(heard.key)}"]`));
  if (article) hear(article, live);
  heard.chat = state.chat;
  heard.kept = new Set(all("#history .answer").map(({ dataset }) => dataset.key));
  if (!article) heard.key = "";
}

function hear(article, live) {
  const running = article.getAttribute("aria-busy") === "true";
  if (article.dataset.key !== heard.key) beginHearing(article, running);
  hearSteps(article);
  hearSentences(article, running);
  if (running || live) return;
  if (!one("[role=alert]", article)) tell(one(".notice b", article)?.textContent ?? "The answer is complete.");
  heard.key = "";
}

// What stood there before is not read again: the first part of an answer that goes on, or what was written while another chat was open.
function beginHearing(article, running) {
  const { key } = article.dataset;
  const known = heard.kept.has(key) || (heard.chat !== "" && heard.chat !== state.chat);
  if (heard.key !== "a-next") Object.assign(heard, { chars: known ? speakable(article, running).length : 0, stage: "", step: "", since: 0 });
  heard.key = key;
}

function hearSentences(article, running) {
  const text = speakable(article, running);
  const fresh = text.slice(heard.chars);
  if (!fresh.trim()) return;
  heard.chars = text.length;
  for (const line of fresh.split("\n")) if (line.trim()) sayAloud(line.trim());
}

function sayAloud(text) {
  const log = one("#said");
  log.append(Object.assign(document.createElement("p"), { textContent: text }));
  while (log.childElementCount > KEPT_SENTENCES) log.firstElementChild.remove();
}

// The text that will not change any more: whole blocks, and of the one being written its whole sentences. A line for each block.
function speakable(article, running) {
  const blocks = all(":is(.answer-text, .aside) .md > div, .call", article);
  const last = running ? blocks.pop() : null;
  const text = blocks.map((block) => `${spoken(block)}\n`).join("");
  return text + (last && !last.matches(".call") && !one(".code, table", last) ? wholeSentences(wordsOf(last)) : "");
}

function spoken(block) {
  if (block.matches(".call")) return `The model asks for the tool ${one("summary b", block).textContent}.`;
  const code = one(".code pre", block);
  if (code) return `Code, ${code.textContent.trimEnd().split("\n").length} lines.`;
  const rows = all("tr", block);
  if (rows.length) return rows.map((row) => all("th, td", row).map((cell) => cell.textContent).join(", ")).join("; ");
  return wordsOf(block).replace(/\s+/g, " ").trim();
}

// A formula is heard as it was written: its drawing is no text.
function wordsOf(block) {
  if (!one("math", block)) return block.textContent;
  const copy = block.cloneNode(true);
  for (const math of all("math", copy)) math.replaceWith(math.getAttribute("alttext"));
  return copy.textContent;
}

const wholeSentences = (text) => /^[\s\S]*[.!?…。！？](?=["”’)\]]*\s)["”’)\]]*/.exec(text)?.[0].replace(/\s+/g, " ").trimStart() ?? "";

// Loading and reading are told once they take longer than a second, then at every quarter; thinking is told once.
function hearSteps(article) {
  const progress = one(".progress span", article)?.textContent.trim();
  const [stage, percent] = progress ? [progress.split("·")[0].trim(), Number(/(\d+)\s*%/.exec(progress)?.[1] ?? 0)] : ["", 0];
  if (stage && stage !== heard.stage) Object.assign(heard, { stage, since: Date.now(), step: "" });
  const step = stage ? `${stage} ${Math.floor(percent / 25)}` : one(".thinking", article) ? "Thinking" : heard.step;
  if (step === heard.step || (stage && Date.now() - heard.since < 1000)) return;
  heard.step = step;
  tell(stage ? progress : "The model is thinking.");
}

function tell(text) {
  one("#status").textContent = text;
}
