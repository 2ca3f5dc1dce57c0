// Earlier messages that were asked for, and the earlier blocks of a long answer, are laid out and painted only near what is looked at: a
// thousand of them would slow every stroke of an answer that is being written, and hold the page up when it becomes history. Each keeps
// the height it had, so that nothing moves.
const NEAR_TURNS = 60;
const NEAR_BLOCKS = 40;
const afar = new WeakSet();
const heights = new ResizeObserver((changes) => {
  for (const { target, contentBoxSize: [box] } of changes) {
    heights.unobserve(target);
    afar.add(target);
    target.style.containIntrinsicHeight = `auto ${box.blockSize}px`;
    target.style.contentVisibility = "auto";
    // The ring of what has the focus reaches over the edge.
    target.style.overflowClipMargin = "8px";
  }
});

function putAfar(turns) {
  for (const article of all(":scope > article", turns).slice(0, -NEAR_TURNS)) if (!afar.has(article)) heights.observe(article);
}

function putBlocksAfar(live) {
  for (const text of all(".answer-text > .md", live)) {
    let block = text.children[text.children.length - 1 - NEAR_BLOCKS];
    for (; block && !afar.has(block); block = block.previousElementSibling) heights.observe(block);
  }
}
