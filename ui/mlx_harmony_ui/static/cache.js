// The Cache tab: kept true while it is looked at, its tree led through by keys, its entries pinned, dropped, saved and loaded.
const cache = { model: "", here: "", asked: 0, looked: 0, sought: "", folds: new Map(), sure: null };
const nodes = () => all("#cache-view .node");
const shownNodes = () => nodes().filter((node) => !node.hidden);
const nodeOf = (element) => element.closest?.("#cache-view .node");

// Asked again only once the last asking was answered, or has been given up.
function lookAtCache() {
  const view = one("#cache-view .cache");
  if (document.body.dataset.view !== "cache" || document.visibilityState !== "visible" || Date.now() - cache.asked < 10000) return;
  // What lies on the disk of a model that sleeps changes seldom, and reading it takes longer.
  if (view?.dataset.phase === "asleep" && one("#pill .dot.asleep") && Date.now() - cache.looked < 7000) return;
  cache.asked = cache.looked = Date.now();
  emit("cache", { model: cache.model || state.model, mark: view?.dataset.mark ?? "" });
}

window.setInterval(() => { if (document.body.dataset.offline !== "yes") lookAtCache(); }, 2000);

// A branch that was folded or unfolded by hand stays so; of the others the server says how they begin.
function foldTree() {
  const all = nodes();
  let shut = Infinity;
  for (const node of all) {
    const level = Number(node.dataset.level);
    const set = cache.folds.get(node.dataset.node);
    if (set !== undefined && node.ariaExpanded !== null) node.ariaExpanded = String(set);
    node.hidden = level > shut;
    if (!node.hidden) shut = node.ariaExpanded === "false" ? level : Infinity;
  }
  const stop = all.find((node) => node.dataset.node === cache.here && !node.hidden) ?? all[0];
  for (const node of all) node.tabIndex = node === stop ? 0 : -1;
}

function fold(node, open) {
  cache.folds.set(node.dataset.node, open);
  foldTree();
}

function toNode(node) {
  if (!node) return;
  cache.here = node.dataset.node;
  foldTree();
  node.focus();
}

function parentOf(node) {
  const before = nodes().slice(0, nodes().indexOf(node)).reverse();
  return before.find((each) => Number(each.dataset.level) < Number(node.dataset.level));
}

function inward(node, shown) {
  if (node.ariaExpanded === "false") fold(node, true);
  else if (node.ariaExpanded === "true") toNode(shown[shown.indexOf(node) + 1]);
}

function outward(node) {
  if (node.ariaExpanded === "true") fold(node, false);
  else toNode(parentOf(node));
}

function treeKey(key, node) {
  const shown = shownNodes();
  const at = shown.indexOf(node);
  const moves = {
    ArrowDown: () => toNode(shown[at + 1]),
    ArrowUp: () => toNode(shown[at - 1]),
    Home: () => toNode(shown[0]),
    End: () => toNode(shown.at(-1)),
    ArrowRight: () => inward(node, shown),
    ArrowLeft: () => outward(node),
    Enter: () => (one("a", node) ? one("a", node).click() : node.ariaExpanded !== null && fold(node, node.ariaExpanded === "false")),
    Delete: () => one("[data-do=cache-drop]", node)?.click(),
  };
  moves[key]?.();
  return Boolean(moves[key]);
}

document.addEventListener("keydown", (event) => {
  if (!event.target.matches?.("#cache-view .node") || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  if (treeKey(event.key, event.target)) event.preventDefault();
});

document.addEventListener("click", (event) => {
  const node = nodeOf(event.target);
  if (!node || event.target.closest("a, button")) return;
  if (node.ariaExpanded !== null && event.target.closest(".begin")) fold(node, node.ariaExpanded === "false");
  toNode(node);
});

document.addEventListener("focusin", (event) => {
  const node = nodeOf(event.target);
  if (!node || cache.here === node.dataset.node) return;
  cache.here = node.dataset.node;
  foldTree();
});

let cacheSayTimer = 0;
function cacheSay(text, tone = "") {
  const line = one("#cache-say");
  if (!line) return;
  line.textContent = text;
  line.dataset.tone = tone;
  window.clearTimeout(cacheSayTimer);
  if (text && tone !== "busy") cacheSayTimer = window.setTimeout(() => { line.textContent = ""; }, Math.max(12000, text.length * 120));
}

// One question for all that cannot be undone: what goes stands in it.
function ask({ name, text, yes }, sure) {
  one("#cache-question-name").textContent = name;
  one("#cache-question-text").textContent = text;
  one("#cache-question [data-do=cache-sure]").textContent = yes;
  cache.sure = sure;
  openSheet("cache-question");
}

const shownModel = () => one("#cache-view .cache")?.dataset.model ?? "";
const actOnCache = (action, entry = "") => emit("cache_act", { model: shownModel(), action, entry });

Object.assign(acts, {
  "cache-pin": ({ dataset }) => actOnCache(dataset.action, dataset.entry),
  "cache-drop": ({ dataset }) => ask({ name: "Drop this entry?", text: dataset.text, yes: "Drop it" }, () => actOnCache("drop", dataset.entry)),
  "cache-clear": ({ dataset }) => ask({ name: dataset.name, text: dataset.text, yes: "Clear it" }, () => actOnCache(dataset.action)),
  "cache-sure": (button) => { button.closest("dialog").close(); cache.sure?.(); },
  "cache-save": ({ dataset }) => saveCache(dataset.entry),
  "cache-choose": () => one("#cache-file").click(),
  "cache-of": ({ dataset }) => { Object.assign(cache, { model: dataset.model, sought: dataset.ofChat }); setView("cache"); },
});

Object.assign(commands, {
  cache_looked: () => { cache.asked = 0; },
  cache_say: ({ text, tone }) => cacheSay(text, tone),
});

drawn.cache = () => {
  foldTree();
  seekPrompt();
};

// The latest prompt of the chat whose answer led here.
function seekPrompt() {
  const prompt = cache.sought && one(`.prompt[data-of-chat="${CSS.escape(cache.sought)}"]`);
  if (!prompt) return;
  cache.sought = "";
  prompt.scrollIntoView({ block: "center" });
  prompt.classList.add("sought");
  one("a", prompt)?.focus({ preventScroll: true });
}

document.addEventListener("change", (event) => {
  if (event.target.id === "cache-model") {
    Object.assign(cache, { model: event.target.value, asked: 0, looked: 0 });
    lookAtCache();
  }
  if (event.target.id !== "cache-file" || !event.target.files.length) return;
  loadCaches([...event.target.files]);
  event.target.value = "";
});

const said = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`);

// The server writes the file first, so that what cannot be saved is said here; then the browser fetches it by itself.
async function saveCache(entry) {
  cacheSay("Writing the file…", "busy");
  const answer = await fetch(`files/caches/save?${new URLSearchParams({ model: shownModel(), entry })}`, { method: "POST" }).catch(() => null);
  const told = await answer?.json().catch(() => null);
  if (!answer?.ok) {
    cacheSay(told?.error?.message ?? "The app did not answer. Nothing was saved.", "bad");
    return;
  }
  Object.assign(document.createElement("a"), { href: `files/caches/saved/${told.id}`, download: told.name }).click();
  cacheSay(`Saved ${told.tokens.toLocaleString("en")} tokens as ${told.name}, ${said(told.bytes)}.`);
}

async function loadCaches(files) {
  const refused = [];
  for (const file of files) {
    const why = await loadCache(file);
    if (why) refused.push(`${file.name} was not loaded. ${why}`);
  }
  const loaded = files.length === 1 ? files[0].name : `${files.length} files`;
  cacheSay(refused.join(" ") || `Loaded ${loaded}. What was saved is kept again.`, refused.length ? "bad" : "");
  cache.looked = 0;
  lookAtCache();
}

// Why the file was refused, "" where it was not. Not by fetch: it cannot tell how far a large file is.
const loadCache = (file) => new Promise((resolve) => {
  const request = new XMLHttpRequest();
  const end = () => {
    let told = null;
    try { told = JSON.parse(request.responseText); } catch { told = null; }
    resolve(request.status === 200 ? "" : told?.error?.message ?? "The app did not answer.");
  };
  cacheSay(`Loading ${file.name}…`, "busy");
  request.upload.onprogress = ({ loaded, total }) => cacheSay(loaded < total ? `Loading ${file.name} · ${Math.floor((loaded / total) * 100)} %` : `Checking ${file.name}…`, "busy");
  request.onload = end;
  request.onerror = end;
  request.open("POST", `files/caches/load?${new URLSearchParams({ model: shownModel() })}`);
  request.setRequestHeader("content-type", "application/octet-stream");
  request.send(file);
});
