// The chat's options: sliders with their numbers, effort, tools, model and texts; read as one record, saved a moment after a change.
function adopt({ effort, tools, model, profile }) {
  state.effort = effort;
  state.tools = new Set(tools ? tools.split(" ") : []);
  state.model = model;
  state.profile = profile;
  markOptions();
}

function markOptions() {
  const efforts = all("[data-effort][role=radio]");
  for (const button of efforts) button.setAttribute("aria-checked", String(button.dataset.effort === state.effort));
  rove(efforts, "aria-checked");
  for (const button of all("[data-tool]")) button.setAttribute("aria-pressed", String(state.tools.has(button.dataset.tool)));
}

// A chat keeps the profile it began with.
function fixProfile() {
  const picker = one("#profile");
  if (picker) Object.assign(picker, { disabled: true }).dataset.fixed = "";
}

function options() {
  const numbers = {};
  for (const input of all("#tuning [data-field]")) {
    const typed = input.value.trim();
    numbers[input.dataset.field] = typed === "" && !input.validity.badInput ? null : Number(typed || NaN);
  }
  const text = (name) => one(`#tuning [data-text=${name}]`)?.value ?? "";
  const choice = (name, usual = "") => one(`#tuning [data-choice=${name}]`)?.value ?? usual;
  return {
    numbers: Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, Number.isNaN(value) ? "not a number" : value])),
    effort: state.effort,
    tools: [...state.tools],
    model: state.model,
    identity: text("identity"),
    instructions: text("instructions"),
    stop: text("stop"),
    end_tokens: text("end_tokens"),
    channels: [...all("#tuning [data-channel]:checked").map((box) => box.dataset.channel), "final"],
    xtc_special_tokens: text("xtc_special_tokens"),
    loop_detection: choice("loop_detection"),
    reseed_each_turn: choice("reseed_each_turn"),
    speculation: choice("speculation", "auto"),
    draft_model: choice("draft_model"),
    profile: state.profile,
  };
}

// The meter above the composer: asked for a moment after what it counts has changed, never while an answer is written.
let meterTimer = 0;
function measureSoon() {
  window.clearTimeout(meterTimer);
  meterTimer = window.setTimeout(() => {
    if (!state.opening && document.body.dataset.busy !== "yes") emit("context", { chat: state.chat, text: one("#message").value, attached: tray.ids, options: options() });
    if (one("#tray [data-exact=no]")) askTray();
  }, 400);
}

let saveTimer = 0;
function saveSoon() {
  measureSoon();
  window.clearTimeout(saveTimer);
  const chat = state.chat;
  if (!chat) return;
  saveTimer = window.setTimeout(() => { if (state.chat === chat) emit("options", { chat, options: options() }); }, 500);
}

function markSet(row, input) {
  row.dataset.set = input.value !== "" && input.value !== input.dataset.default ? "yes" : "no";
  input.setAttribute("aria-invalid", String(!input.validity.valid));
}

// A list, a text or the channels: marked where it is not as usual, so that there is a way back.
const chosenIn = (row) => one("[data-choice], [data-text]", row);

function markChoice(row) {
  const control = chosenIn(row);
  const changed = control ? control.value !== control.dataset.default : one("[data-channel]:not(:checked)", row) !== null;
  row.dataset.set = changed ? "yes" : "no";
  control?.setAttribute("aria-invalid", String(!control.validity.valid));
}

function resetChoice(button) {
  const row = button.closest(".choice");
  const control = chosenIn(row);
  if (control) control.value = control.dataset.default;
  for (const box of all("[data-channel]", row)) box.checked = true;
  markChoice(row);
  (control ?? one("[data-channel]", row)).focus();
  saveSoon();
}

document.addEventListener("input", (event) => {
  const { slides, field, text } = event.target.dataset ?? {};
  const row = event.target.closest?.(".slide");
  if (slides) {
    const number = one("[data-field]", row);
    number.value = event.target.value;
    markSet(row, number);
  } else if (field) {
    const slider = one("[data-slides]", row);
    if (slider && event.target.value !== "") slider.value = event.target.value;
    markSet(row, event.target);
  }
  const chosen = event.target.closest?.(".choice[data-set]");
  if (chosen) markChoice(chosen);
  if (slides || field || text) saveSoon();
});

document.addEventListener("change", (event) => {
  const { setting, channel, choice } = event.target.dataset ?? {};
  if (setting) emit("setting", { name: setting, value: event.target.value });
  if (channel || choice) saveSoon();
  if (event.target.id === "profile") emit("profile", { profile: event.target.value, ask: state.asked, options: options() });
});
