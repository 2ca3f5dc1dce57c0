// The Models tab: its parts, what of the models is looked at, and what is selected of them. Only ids and choices of the view are kept.
const models = { opened: "", picked: new Set(), question: "", toDrawer: false, sort: "", reverse: false, asked: 0, looked: 0, again: false, step: null, trash: "" };
const mapSize = () => (isNarrow() ? { width: one("#disk-view").clientWidth - 32, height: 400 } : { width: Math.max(320, (one(".tiles") ?? one("#disk-view")).clientWidth), height: 232 });
const wantedModels = () => ({
  text: one("#models-text")?.value ?? "",
  format: one("#models-format")?.value ?? "",
  size: one("#models-size")?.value ?? "",
  sort: models.sort,
  reverse: models.reverse,
  opened: models.opened,
  picked: [...models.picked],
  ...mapSize(),
});

const looksAtDisk = () => document.body.dataset.view === "models" && document.body.dataset.part === "disk" && document.visibilityState === "visible";

// One asking at a time: what changes meanwhile is asked for when the answer is here.
function lookAtModels() {
  if (!looksAtDisk()) return;
  if (Date.now() - models.asked < 10000) {
    models.again = true;
    return;
  }
  Object.assign(models, { asked: Date.now(), looked: Date.now(), again: false });
  emit("models", { wanted: wantedModels(), mark: one("#disk-view .disk").dataset.mark ?? "" });
}

function setPart(part) {
  document.body.dataset.part = part;
  markPart();
}

function markPart() {
  document.body.dataset.part ??= "disk";
  const tabs = all("[role=tab][data-part]");
  for (const tab of tabs) tab.setAttribute("aria-selected", String(tab.dataset.part === document.body.dataset.part));
  rove(tabs, "aria-selected");
}

// What is drawn is as the server knows it; what is selected, and where the slider stands, this page knows best.
function markModels() {
  for (const box of all("#disk-view input[data-pick]")) box.checked = models.picked.has(box.dataset.pick);
  for (const tile of all("#disk-view button[data-pick]")) tile.setAttribute("aria-pressed", String(models.picked.has(tile.dataset.pick)));
  for (const row of all("#disk-view tr[data-model-row]")) row.classList.toggle("picked", one("input[data-pick]", row)?.checked ?? false);
  for (const chip of all("[data-do=models-suggest]")) chip.setAttribute("aria-pressed", String(JSON.parse(chip.dataset.keys).every((key) => models.picked.has(key))));
  const boxes = all("#disk-view tr input[data-pick]");
  const every = one("[data-do=models-all]");
  const checked = boxes.filter((box) => box.checked).length;
  if (every) Object.assign(every, { checked: checked > 0 && checked === boxes.length, indeterminate: checked > 0 && checked < boxes.length });
  roveTiles();
  markForecast();
}

function choose(keys, chosen) {
  for (const key of keys) {
    if (chosen) models.picked.add(key);
    else models.picked.delete(key);
  }
  markModels();
  lookAtModels();
}

// The map is one stop of the Tab key; the arrows lead to the nearest tile that way.
const tileButtons = () => all(".tiles button");
function roveTiles(stop) {
  const tiles = tileButtons();
  const here = stop ?? tiles.find((tile) => tile === document.activeElement) ?? tiles.find((tile) => tile.tabIndex === 0) ?? tiles[0];
  for (const tile of tiles) tile.tabIndex = tile === here ? 0 : -1;
}

const middleOf = (tile) => {
  const box = tile.getBoundingClientRect();
  return { x: box.left + box.width / 2, y: box.top + box.height / 2 };
};

function nextTile(tile, key) {
  const from = middleOf(tile);
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  const reach = (other) => {
    const to = middleOf(other);
    const along = (to.x - from.x) * way[0] + (to.y - from.y) * way[1];
    const aside = Math.abs((to.x - from.x) * way[1]) + Math.abs((to.y - from.y) * way[0]);
    return along > 1 ? along + 2 * aside : Infinity;
  };
  const others = tileButtons().filter((other) => other !== tile && reach(other) < Infinity);
  return others.sort((a, b) => reach(a) - reach(b))[0];
}

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) {
    const undo = key.toLowerCase() === "z" && !event.shiftKey && !isTyping(target) && document.body.dataset.view === "models" && one("#models-say button");
    if (undo) undo.click();
    return;
  }
  if (key === "Escape" && models.opened && looksAtDisk() && !one("dialog[open]")) shutDrawer();
  if (!key.startsWith("Arrow") || !target.matches?.(".tiles button")) return;
  const next = nextTile(target, key);
  event.preventDefault();
  if (!next) return;
  roveTiles(next);
  next.focus();
});

function openDrawer(model) {
  Object.assign(models, { opened: model, step: null, toDrawer: true });
  lookAtModels();
}

function shutDrawer() {
  const { opened } = models;
  models.opened = "";
  lookAtModels();
  one(`.opener[data-model="${CSS.escape(opened)}"]`)?.focus({ preventScroll: true });
}

// The slider's words and bar, from what the server has worked out for each of its steps.
function markForecast() {
  const place = one("#disk-view .forecast");
  if (!place) return;
  const points = JSON.parse(place.dataset.points);
  const slider = one("input", place);
  if (models.step?.of !== place.dataset.of) models.step = { of: place.dataset.of, at: Number(place.dataset.step) };
  const at = Math.min(models.step.at, points.length - 1);
  const point = points[at];
  if (slider) {
    slider.value = String(at);
    slider.setAttribute("aria-valuetext", `${point.context}: ${point.total}`);
  }
  for (const [name, text] of [["total", point.total], ["context", point.context], ["parts", point.told], ["fit", point.fit]]) one(`.forecast-${name}`, place).textContent = text;
  for (const name of ["weights", "kv", "working"]) one(`i.${name}`, place).style.width = `${point[name]}%`;
  one(".forecast-bar", place).setAttribute("aria-label", `${point.total}: ${point.told}`);
  Object.assign(one(".forecast-free", place).style, { left: `${point.free}%`, display: point.free < 0 ? "none" : "" });
  place.dataset.verdict = point.free >= 0 && point.weights + point.kv + point.working > point.free + 0.01 ? "over" : "within";
}

let modelsTimer = 0;
document.addEventListener("input", (event) => {
  if (event.target.id === "models-text") {
    window.clearTimeout(modelsTimer);
    modelsTimer = window.setTimeout(lookAtModels, 150);
  }
  if (event.target.id === "forecast-context") {
    models.step.at = Number(event.target.value);
    markForecast();
  }
});
document.addEventListener("change", (event) => { if (["models-format", "models-size"].includes(event.target.id)) lookAtModels(); });
document.addEventListener("submit", (event) => {
  const { profileOf } = event.target.dataset;
  if (profileOf) actOnModel(profileOf, "profile", one("input", event.target).value);
});
document.addEventListener("click", (event) => {
  const row = event.target.closest?.("tr[data-model-row]");
  if (row && !event.target.closest("button, input, a") && !String(getSelection())) openDrawer(row.dataset.modelRow);
});

let modelsSayTimer = 0;
function modelsSay({ text, tone = "", ids = [], alias = null }) {
  if (document.body.dataset.view === "cache") cacheSay(text, tone);
  const line = one("#models-say");
  line.textContent = text;
  line.dataset.tone = tone;
  const undone = ids.length || alias;
  if (undone) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Undo", className: "plain" });
    Object.assign(button.dataset, alias ? { do: "alias-undo", alias: JSON.stringify(alias) } : { do: "models-undo", ids: JSON.stringify(ids) });
    line.append(" ", button);
  }
  window.clearTimeout(modelsSayTimer);
  if (text) modelsSayTimer = window.setTimeout(() => { line.textContent = ""; }, Math.max(undone ? 30000 : 12000, text.length * 120));
}

const actOnModel = (model, action, name = "") => emit("models_act", { model, action, name, chosen: state.model });

Object.assign(acts, {
  part: ({ dataset }) => setPart(dataset.part),
  real: () => { setView("models"); setPart("get"); },
  "models-open": ({ dataset }) => (models.opened === dataset.model ? shutDrawer() : openDrawer(dataset.model)),
  "models-shut": () => shutDrawer(),
  "models-sort": ({ dataset }) => { Object.assign(models, { sort: dataset.field, reverse: dataset.reverse === "yes" }); lookAtModels(); },
  "models-unfilter": () => { for (const id of ["text", "format", "size"]) one(`#models-${id}`).value = ""; lookAtModels(); },
  "models-pick": ({ dataset }) => choose([dataset.pick], !models.picked.has(dataset.pick)),
  "models-all": (box) => choose(all("#disk-view tr input[data-pick]").map((each) => each.dataset.pick), box.checked),
  "models-suggest": (chip) => choose(JSON.parse(chip.dataset.keys), chip.ariaPressed !== "true"),
  "models-clear": () => { models.picked.clear(); markModels(); lookAtModels(); },
  load: ({ dataset }) => { emit("load_model", { model: dataset.model, force: dataset.force ?? "" }); window.setTimeout(lookAtModels, 80); },
  unload: ({ dataset }) => emit("unload_model", { model: dataset.model }),
  "models-act": ({ dataset }) => actOnModel(dataset.model, dataset.kind),
  "models-ask": ({ dataset }) => { if (dataset.only) models.picked = new Set([dataset.only]); markModels(); lookAtModels(); emit("models_ask", { wanted: wantedModels() }); },
  "models-remove": (button) => {
    const dialog = button.closest("dialog");
    dialog.close();
    document.body.dataset.going = "yes";
    emit("models_remove", { wanted: wantedModels(), mark: dialog.dataset.mark });
  },
  "models-undo": ({ dataset }) => { modelsSay({ text: "" }); emit("models_restore", { ids: JSON.parse(dataset.ids) }); },
  "models-restore": ({ dataset }) => emit("models_restore", { ids: [dataset.kind] }),
  "models-ask-empty": () => openSheet("empty-models"),
  "models-empty": (button) => { button.closest("dialog").close(); emit("models_empty", {}); },
});

Object.assign(commands, {
  models_looked: () => {
    models.asked = 0;
    if (models.again) lookAtModels();
  },
  models_changed: () => { document.body.dataset.going = ""; lookAtModels(); },
  models_say: (command) => modelsSay(command),
  models_ask: ({ mark }) => { models.question = mark; openQuestion(); },
  models_gone: (command) => {
    models.picked.clear();
    document.body.dataset.going = "";
    modelsSay(command);
    lookAtModels();
  },
});

// Whichever comes first, the command or the question it speaks of.
function openQuestion() {
  const question = one("#removal-question");
  if (!models.question || question?.dataset.mark !== models.question) return;
  models.question = "";
  openSheet("removal-question");
}

// The head is drawn once; how much lies in the trash stands in what was drawn last of the disk or of the trash.
function markTrash(view) {
  models.trash = one("[data-trash]", view)?.dataset.trash ?? models.trash;
  const place = one("#part-bin .in-trash");
  if (place) place.textContent = models.trash;
}

drawn["models-head"] = () => { markPart(); markTrash(); };
drawn.removal = openQuestion;
drawn.discarded = markTrash;
drawn.models = (view) => {
  markTrash(view);
  markModels();
  if (models.toDrawer && one("#drawer-name")) { models.toDrawer = false; one("#drawer-name").focus({ preventScroll: true }); }
};

// Looked at at once when the part is opened, then again from time to time; often while something loads.
function keepModelsTrue() {
  if (document.body.dataset.offline === "yes" || !looksAtDisk()) return;
  if (Date.now() - models.looked > (one("#disk-view .dot.loading") ? 350 : 4000)) lookAtModels();
}
window.setInterval(keepModelsTrue, 350);
new MutationObserver(() => {
  lookAtModels();
  if (document.body.dataset.view === "models" && document.body.dataset.part === "bin") emit("models_trash", {});
}).observe(document.documentElement, { attributes: true, attributeFilter: ["data-view", "data-part"], subtree: true });
