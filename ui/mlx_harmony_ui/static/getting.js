// Get models: what was searched for and which offer is looked at. Only the words of the search and ids are kept, and the hub is never
// spoken to from here: the program asks it when a search is sent or a model opened.
const getting = { text: "", begun: false, opened: "", revision: "", asked: 0, toOffer: false };

const looksAtHub = () => document.body.dataset.view === "models" && document.body.dataset.part === "get";

// With `again` the server draws what it knows already and asks nobody.
function findModels(again = false) {
  if (!again) getStatus("Asking the hub…");
  const mark = one("#get-found .get")?.dataset.mark ?? "";
  emit("find_models", { text: getting.text, opened: getting.opened, asked: String(++getting.asked), mark: again ? mark : "", ...(again ? { again: "yes" } : {}), ...(getting.begun ? { begun: "yes" } : {}) });
}

function askOffer(again = false) {
  if (getting.opened) emit("offer", { model: getting.opened, revision: getting.revision, ...(again ? { again: "yes" } : {}) });
}

function getStatus(text) {
  if (one("#get-status")) one("#get-status").textContent = text;
}

function searchFor(text) {
  Object.assign(getting, { text: text.trim(), begun: true });
  one("#get-text").value = getting.text;
  shutOffer(false);
  findModels();
}

function openOffer(model, revision = "") {
  Object.assign(getting, { opened: model, revision, toOffer: true });
  markFinds();
  getStatus("Asking the hub…");
  askOffer();
}

function shutOffer(giveBack = true) {
  const { opened } = getting;
  if (!opened) return;
  getting.opened = "";
  patch(surfaces.get("get-offer").element, "");
  markFinds();
  if (giveBack) one(`#get-found .opener[data-model="${CSS.escape(opened)}"]`)?.focus({ preventScroll: true });
}

function markFinds() {
  for (const row of all("#get-found tr[data-find]")) {
    const here = row.dataset.find === getting.opened;
    row.classList.toggle("here", here);
    one(".opener", row).setAttribute("aria-expanded", String(here));
  }
}

// What is here, and what is coming, stands otherwise now.
function getChanged() {
  if (!looksAtHub()) return;
  findModels(true);
  askOffer(true);
}

Object.assign(acts, {
  "get-start": ({ dataset }) => searchFor(dataset.text),
  "get-open": ({ dataset }) => (getting.opened === dataset.model ? shutOffer() : openOffer(dataset.model)),
  "get-shut": () => shutOffer(),
  "get-again": () => openOffer(getting.opened, getting.revision),
  "get-newest": () => openOffer(getting.opened),
  "get-model": (button) => { button.disabled = true; emit("get_model", { model: getting.opened, revision: getting.revision }); },
  "get-local": ({ dataset }) => { setPart("disk"); openDrawer(dataset.model); },
});

Object.assign(commands, {
  get_found: () => getStatus(""),
  get_offered: () => getStatus(""),
});

// An answer that another question has overtaken is not the one to show: the server knows both by now.
drawn["get-found"] = (element) => {
  const asked = Number(one(".get", element)?.dataset.asked || 0);
  if (asked && asked < getting.asked) findModels(true);
  markFinds();
};
drawn["get-offer"] = (element) => {
  const offer = one(".offer", element);
  if (!offer) return;
  const overtaken = offer.dataset.of !== getting.opened || offer.dataset.revision !== (getting.revision || "main");
  if (overtaken) {
    patch(element, "");
    askOffer(true);
    return;
  }
  if (getting.toOffer) { getting.toOffer = false; one("#offer-name", element).focus({ preventScroll: true }); }
};

document.addEventListener("submit", (event) => {
  if (event.target.id === "get-form") searchFor(one("#get-text").value);
  const { revisionOf } = event.target.dataset;
  if (revisionOf) openOffer(revisionOf, one("input", event.target).value.trim());
});
document.addEventListener("click", (event) => {
  const row = event.target.closest?.("tr[data-find]");
  if (row && !event.target.closest("button, a") && !String(getSelection())) openOffer(row.dataset.find);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && looksAtHub() && getting.opened && !one("dialog[open]") && !document.body.dataset.menu) shutOffer();
});
new MutationObserver(() => { if (looksAtHub() && document.body.dataset.offline !== "yes") findModels(true); }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-view", "data-part"], subtree: true });
