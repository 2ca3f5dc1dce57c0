// Counts what is on the screen: the last token's number after each paint, long tasks, and how long a key takes to show.
(() => {
  const after = new MessageChannel();
  const waiting = [];
  after.port1.onmessage = () => { for (const done of waiting.splice(0)) done(performance.timeOrigin + performance.now()); };
  // A message posted from an animation frame is handled after that frame's layout and paint.
  const painted = (done) => requestAnimationFrame(() => { waiting.push(done); after.port2.postMessage(0); });
  const seen = { paints: [], tasks: [], keys: [] };
  // A page that never rests answers no question, but what it says by itself still comes out.
  let aloud = false;
  const note = (what, at, number) => {
    seen[what].push([at, number]);
    if (aloud) console.debug(`probe ${what} ${at} ${number}`);
  };
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) note("tasks", performance.timeOrigin + startTime, duration);
  }).observe({ type: "longtask" });
  document.addEventListener("keydown", (event) => {
    const pressed = performance.timeOrigin + event.timeStamp;
    painted((now) => seen.keys.push(now - pressed));
  }, true);

  let observer = null;
  function watch(selector, name, speak = false) {
    aloud = speak;
    const token = new RegExp(`\\b${name}(\\d+)\\b`, "g");
    for (const list of Object.values(seen)) list.length = 0;
    observer?.disconnect();
    let last = -1;
    let asked = false;
    observer = new MutationObserver(() => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        const text = [...document.querySelectorAll(selector)].at(-1)?.textContent.slice(-400) ?? "";
        const number = Number([...text.matchAll(token)].at(-1)?.[1] ?? -1);
        if (number <= last) return;
        last = number;
        painted((now) => note("paints", now, number));
      });
    });
    observer.observe(document.body, { subtree: true, childList: true, characterData: true });
  }
  // Calls `act`, then resolves with the milliseconds until `done` is true and painted.
  const timed = (act, done) => new Promise((resolve) => {
    const began = performance.timeOrigin + performance.now();
    act();
    const look = () => (done() ? painted((now) => resolve(now - began)) : requestAnimationFrame(look));
    look();
  });
  window.probe = { watch, seen, timed, last: () => seen.paints.at(-1)?.[1] ?? -1 };
})();
