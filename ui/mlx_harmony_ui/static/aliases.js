// The form of an alias: its lists grow and shrink here, the whole of it is sent, and what is refused is said beside its field.
const aliasSheet = () => one("#alias-sheet");
const aliasRows = (list) => all(`#alias-form [data-list=${list}] [data-row]`);

function aliasSent() {
  const form = one("#alias-form");
  const parts = (row) => Object.fromEntries(all("[data-part]", row).map((control) => [control.dataset.part, control.value]));
  return {
    name: one("#alias-name")?.value ?? form.dataset.name,
    new: form.dataset.new,
    strategy: one("[data-strategy][aria-checked=true]", form).dataset.strategy,
    models: aliasRows("models").map((row) => parts(row).model),
    rules: aliasRows("rules").map(parts),
    fallbacks: aliasRows("fallbacks").map((row) => parts(row).model),
  };
}

function clearAliasFaults() {
  for (const line of all("#alias-form .field-error")) Object.assign(line, { hidden: true, textContent: "" });
  for (const control of all("#alias-form [aria-invalid]")) {
    control.removeAttribute("aria-invalid");
    control.removeAttribute("aria-describedby");
  }
}

// The field is named as in the file: `name`, `models[1]`, `rules[0].max_tokens`. What has no place here is said at the foot.
function aliasFault({ field, text, why }) {
  if (!aliasSheet()?.open) {
    modelsSay({ text: why, tone: "bad" });
    return;
  }
  clearAliasFaults();
  const [, list, at, part] = /^(\w+)(?:\[(\d+)\])?(?:\.(\w+))?$/.exec(field) ?? [];
  const place = list && one(`#alias-form [data-list=${list}]`);
  const row = place && at !== undefined ? all("[data-row]", place)[Number(at)] : place;
  const control = row && (one(`[data-part=${part ?? "model"}]`, row) ?? one("[data-part]", row) ?? one("button:not([role])", row));
  const line = (row && [...row.children].findLast((child) => child.matches(".field-error"))) ?? one("#alias-fault");
  Object.assign(line, { hidden: false, textContent: text, id: line.id || "alias-fault-here" });
  if (!control) return;
  if (control.matches("[data-part]")) {
    control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-describedby", line.id);
  }
  control.focus();
}

function chooseStrategy(button) {
  for (const each of all("[data-strategy]", button.parentElement)) each.setAttribute("aria-checked", String(each === button));
  rove(all("[data-strategy]", button.parentElement), "aria-checked");
}

Object.assign(acts, {
  "alias-open": ({ dataset }) => emit("alias_form", { alias: dataset.model ?? "" }),
  "alias-remove": ({ dataset }) => emit("alias_remove", { alias: dataset.model }),
  "alias-undo": ({ dataset }) => { modelsSay({ text: "" }); emit("alias_save", { form: { ...JSON.parse(dataset.alias), new: "yes", undo: "yes" } }); },
  "alias-strategy": chooseStrategy,
  "alias-more": (button) => {
    const { list } = button.closest("[data-list]").dataset;
    const row = one(`#alias-form [data-blank=${list}] [data-row]`).cloneNode(true);
    const chosen = new Set(aliasRows(list).map((each) => one("select", each).value));
    const free = all("option", one("select", row)).find((option) => !chosen.has(option.value));
    one("ol", button.closest("[data-list]")).append(row);
    if (free && list !== "rules") one("select", row).value = free.value;
    one("select", row).focus();
  },
  "alias-less": (button) => {
    const row = button.closest("[data-row]");
    const next = row.nextElementSibling ?? row.previousElementSibling;
    (next ? one("[data-do=alias-less]", next) : one("[data-do=alias-more]", row.closest("[data-list]"))).focus();
    row.remove();
  },
  "alias-up": (button) => {
    const row = button.closest("[data-row]");
    row.previousElementSibling?.before(row);
    button.focus();
  },
});

// Whichever comes first, the command or the form it speaks of.
let aliasWanted = "";
function openAliasForm() {
  const sheet = aliasSheet();
  if (!aliasWanted || sheet?.dataset.mark !== aliasWanted) return;
  aliasWanted = "";
  openSheet("alias-sheet");
  one("#alias-name")?.focus();
}

Object.assign(commands, {
  alias_form: ({ mark }) => { aliasWanted = mark; openAliasForm(); },
  alias_refused: aliasFault,
  alias_kept: () => { if (aliasSheet()?.open) aliasSheet().close(); },
});
drawn["alias-form"] = openAliasForm;

document.addEventListener("submit", (event) => {
  if (event.target.id !== "alias-form") return;
  clearAliasFaults();
  emit("alias_save", { form: aliasSent() });
});
