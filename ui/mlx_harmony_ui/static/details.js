// The details of an answer: raw tokens on demand, which voices the chat shows, and the replay.
const hiddenVoices = new Set((localStorage.getItem("hidden-voices") ?? "").split(" ").filter(Boolean));

function markVoices() {
  document.body.dataset.hidden = [...hiddenVoices].join(" ");
  for (const button of all("[data-do=channel]")) button.setAttribute("aria-pressed", String(!hiddenVoices.has(button.dataset.channel)));
}

const askDetails = (message) => emit("details", { chat: state.chat, message, raw: state.raw ? 1 : 0 });

Object.assign(acts, {
  details: (button) => { setPanel("details"); askDetails(messageOf(button)); },
  raw: (box) => { state.raw = box.checked; askDetails(one("#details .details").dataset.of); },
  channel: ({ dataset }) => {
    if (!hiddenVoices.delete(dataset.channel)) hiddenVoices.add(dataset.channel);
    localStorage.setItem("hidden-voices", [...hiddenVoices].join(" "));
    markVoices();
  },
  replay: ({ dataset }) => replay(dataset.message, false),
  "replay-anyway": (button) => { button.closest("dialog").close(); replay(state.replayed, true); },
  "copy-ids": (button) => copyText(all(".token i", button.closest("li")).map((id) => id.textContent).join(" ")),
});

Object.assign(commands, {
  ask_replay: ({ message }) => { state.replayed = message; openSheet("replay-question"); },
});

// A panel drawn after an answer's end tells of its words; who looks at raw tokens goes on seeing them.
drawn.details = (element) => {
  markVoices();
  const view = one(".details", element);
  if (state.raw && view?.dataset.of && view.dataset.raw === "no") askDetails(view.dataset.of);
};

function replay(message, anyway) {
  if (mustWait()) return;
  state.follow = true;
  emit("replay", { chat: state.chat, message, anyway: anyway ? 1 : 0 });
}
