// Files that come into the page, chosen, dropped or pasted: texts go to the message box, exports to the list of chats; both as plain
// bodies to the server, which alone decides what they are. And chats that go out as files.
const limits = () => one("#drop .drop").dataset;
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
const dropPlace = (event) => event.target.closest?.("[data-drop]")?.dataset.drop ?? { chat: "attach", cache: "cache" }[document.body.dataset.view] ?? "chats";

async function upload(place, file, query = "") {
  try {
    const headers = { "content-type": "application/octet-stream" };
    const answer = await fetch(`files/${place}${query}`, { method: "POST", headers, body: file });
    const told = await answer.json();
    return answer.ok ? told : { error: told.error.message };
  } catch {
    return { error: `${file.name} could not be read, or the app did not answer.` };
  }
}

// Fetched before it is kept, so that what cannot be given out is said here and not kept as a file.
async function download(what) {
  try {
    const answer = await fetch(`files/chats?${new URLSearchParams(what)}`);
    if (!answer.ok) {
      say((await answer.json()).error.message, { tone: "bad" });
      return;
    }
    const name = /filename\*=UTF-8''([^;]+)/.exec(answer.headers.get("content-disposition"))[1];
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(await answer.blob()), download: decodeURIComponent(name) });
    link.click();
    window.setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  } catch {
    say("The app did not give out the file. Is MLX Harmony still running?", { tone: "bad" });
  }
}

async function importFiles(files) {
  const { largestChats, largestChatsSaid } = limits();
  const came = { imported: [], warnings: [], refused: {} };
  say(files.length === 1 ? "Importing…" : `Importing ${files.length} files…`);
  for (const file of files) {
    const tooLarge = file.size > Number(largestChats);
    const told = tooLarge ? { error: `It is larger than ${largestChatsSaid}, the most that can be imported at once.` } : await upload("chats", file);
    if (told.error) came.refused[file.name] = told.error;
    else {
      came.imported.push(...told.imported);
      came.warnings.push(...told.warnings);
    }
  }
  emit("imported", came);
}

function showDrop(shown) {
  document.body.dataset.drag = shown ? "yes" : "no";
  for (const zone of all("#drop [data-drop]")) zone.dataset.over = "no";
}

document.addEventListener("dragenter", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  if (document.body.dataset.drag !== "yes") showDrop(true);
});

document.addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "copy";
  window.clearTimeout(dragGone);
  for (const zone of all("#drop [data-drop]")) zone.dataset.over = zone.dataset.drop === dropPlace(event) ? "yes" : "no";
});

// Leaving one element for the next is no leaving of the page, and not every browser tells the two apart: the next dragover does.
let dragGone = 0;
document.addEventListener("dragleave", (event) => {
  window.clearTimeout(dragGone);
  if (hasFiles(event)) dragGone = window.setTimeout(showDrop, 300, false);
});

document.addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  const place = dropPlace(event);
  const files = [...event.dataTransfer.files];
  showDrop(false);
  if (place === "attach") attachFiles(files);
  else if (place === "cache") loadCaches(files);
  else if (place === "prompt") takePrompt(files[0]);
  else importFiles(files);
});

document.addEventListener("change", (event) => {
  if (!["import", "attach"].includes(event.target.id)) return;
  const files = [...event.target.files];
  event.target.value = "";
  if (!files.length) return;
  if (event.target.id === "attach") attachFiles(files);
  else importFiles(files);
});
