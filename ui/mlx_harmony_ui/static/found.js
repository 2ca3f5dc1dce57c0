// From a place that a search found to the message itself: its chat opens there, the message is marked, and in it the words looked for.
Object.assign(acts, {
  place: (link, event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    state.terms = all("mark", link).map((mark) => mark.textContent.toLowerCase());
    const [, chat, message] = /#chat=([0-9a-f]+)&at=([0-9a-f]+)/.exec(link.hash);
    openChat(chat, false, message);
  },
});

Object.assign(commands, {
  sought: ({ message }) => { state.sought = message; seek(); },
});

// Whichever comes first, the command or the history it speaks of: the message is looked for until it is there.
function seek() {
  const message = state.sought && one(`#history [data-message="${CSS.escape(state.sought)}"]`);
  if (!message) return;
  state.sought = "";
  state.follow = false;
  for (const other of all(".sought")) other.classList.remove("sought");
  message.classList.add("sought");
  message.scrollIntoView({ block: "center" });
  message.tabIndex = -1;
  message.focus({ preventScroll: true });
  markWords(message, state.terms);
  state.terms = [];
}

// Marked without touching what the server drew: by the browser's own highlights.
function markWords(root, terms) {
  if (!CSS.highlights) return;
  const found = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.data.toLowerCase();
    for (const term of terms) {
      for (let at = text.indexOf(term); term && at >= 0 && found.length < 500; at = text.indexOf(term, at + term.length)) {
        found.push(new StaticRange({ startContainer: node, startOffset: at, endContainer: node, endOffset: at + term.length }));
      }
    }
  }
  CSS.highlights.set("sought", new Highlight(...found));
}
