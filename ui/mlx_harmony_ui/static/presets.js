// Presets in the Tuning panel. Each act sends the numbers as they stand and has the panel drawn anew.
const presetAct = (act, preset) => emit("preset", { act, preset, chat: state.chat, ask: state.asked, options: options() });

document.addEventListener("change", (event) => { if (event.target.id === "preset") presetAct("use", event.target.value); });

document.addEventListener("submit", (event) => {
  if (event.target.id !== "preset-form") return;
  const name = one("#preset-name").value;
  if (name.trim()) presetAct("save", name);
  else one("#preset-name").focus();
});

// A number changed by hand: what stands there is no preset any more.
function leavePreset() {
  const place = one("#tuning .presets");
  if (!place) return;
  place.dataset.chosen = "none";
  one("#preset").value = "";
  one("#h-preset").textContent = one("#h-preset").dataset.none;
}

document.addEventListener("input", (event) => { if (event.target.closest?.("#tuning .slide")) leavePreset(); });
document.addEventListener("click", (event) => { if (event.target.closest?.("#tuning .slide .reset")) leavePreset(); });

acts["remove-preset"] = () => presetAct("remove", one("#preset").value);
acts["reset-choice"] = resetChoice;
