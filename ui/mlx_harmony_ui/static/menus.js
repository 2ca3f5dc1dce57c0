// Menus and sheets: a button with aria-haspopup opens the menu it controls; arrows, Home, End and first letters lead through it; Esc
// closes and gives the focus back. Sheets are dialogs of the browser's own: it keeps the focus in them and gives it back.
const menuButton = () => one(`[aria-haspopup=menu][aria-controls="${document.body.dataset.menu || "none"}"]`);
const menuItems = (menu) => all("[role^=menuitem]", menu).filter((item) => !item.disabled);

function toggleMenu(button) {
  const id = button.getAttribute("aria-controls");
  const open = document.body.dataset.menu === id;
  closeMenu();
  if (open) return;
  document.body.dataset.menu = id;
  button.setAttribute("aria-expanded", "true");
  const items = menuItems(one(`#${id}`));
  (items.find((item) => item.getAttribute("aria-checked") === "true") ?? items[0])?.focus();
}

function closeMenu(giveBack = false) {
  const button = menuButton();
  document.body.dataset.menu = "";
  button?.setAttribute("aria-expanded", "false");
  if (giveBack) button?.focus();
}

function menuKeys(event, menu) {
  const items = menuItems(menu);
  const at = items.indexOf(event.target);
  const letter = event.key.length === 1 && event.key.toLowerCase();
  const later = letter ? [...items.slice(at + 1), ...items.slice(0, at + 1)] : [];
  const next = {
    ArrowDown: items[(at + 1) % items.length],
    ArrowUp: items[(at - 1 + items.length) % items.length],
    Home: items[0],
    End: items.at(-1),
  }[event.key] ?? later.find((item) => item.textContent.trim().toLowerCase().startsWith(letter));
  if (event.key === "Tab") closeMenu(true);
  if (!next) return;
  event.preventDefault();
  next.focus();
}

function openSheet(id) {
  closeMenu();
  const sheet = one(`#${id}`);
  for (const key of all("kbd[data-meta]", sheet)) key.textContent = ON_A_MAC ? "⌘" : "Ctrl";
  if (sheet.open) sheet.close();
  else sheet.showModal();
}

document.addEventListener("click", (event) => { if (event.target.matches?.("dialog.card")) event.target.close(); });
