// Earlier messages that were asked for are laid out and painted only near what is looked at: a thousand of them would slow every stroke
// of an answer that is being written. Each keeps the height it had, so that nothing moves.
const NEAR_TURNS = 60;
const heights = new ResizeObserver((changes) => {
  for (const { target, contentBoxSize: [box] } of changes) {
    heights.unobserve(target);
    target.style.containIntrinsicHeight = `auto ${box.blockSize}px`;
    target.style.contentVisibility = "auto";
  }
});

function putAfar(turns) {
  for (const article of all(":scope > article", turns).slice(0, -NEAR_TURNS)) if (!article.style.contentVisibility) heights.observe(article);
}
