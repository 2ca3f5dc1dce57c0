// The trash: bringing back, and emptying after a question.
Object.assign(acts, {
  restore: ({ dataset }) => emit("restore", { id: dataset.id, kind: dataset.kind, chat: dataset.chatId, query: one("#search").value }),
  "ask-empty": () => openSheet("empty-trash"),
  "empty-trash": (button) => { button.closest("dialog").close(); emit("empty_trash", {}); },
});

Object.assign(commands, {
  restored({ chat }) {
    if (chat === state.chat) askToOpen();
  },
});
