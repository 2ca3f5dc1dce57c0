// The job tray: looked at often while it is open or something runs, else only when the page is looked at again.
const jobs = { asked: 0, looked: 0, asking: "", known: null };
const jobsTray = () => one("#jobs-tray");
const trayIsOpen = () => jobsTray()?.matches(":popover-open") ?? false;

// One asking at a time; where no answer comes, it is given up after a while.
function lookAtJobs() {
  if (document.visibilityState !== "visible" || document.body.dataset.offline === "yes" || Date.now() - jobs.asked < 10000) return;
  Object.assign(jobs, { asked: Date.now(), looked: Date.now() });
  emit("jobs", { asking: jobs.asking, mark: jobsTray()?.dataset.mark ?? "" });
}

window.setInterval(() => {
  const first = jobs.looked === 0 && document.body.dataset.ready === "yes";
  if (first || trayIsOpen() || Number(jobsTray()?.dataset.running)) lookAtJobs();
}, 1000);
for (const [target, name] of [[document, "visibilitychange"], [window, "focus"]]) target.addEventListener(name, () => { if (jobs.looked) lookAtJobs(); });

function askBeforeCancel(job) {
  jobs.asking = job;
  jobs.asked = 0;
  lookAtJobs();
}

function actOnJob(job, action) {
  Object.assign(jobs, { asking: "", asked: Date.now() });
  emit("job", { job, action });
}

let jobsSayTimer = 0;
function jobsSay({ text, tone = "" }) {
  const line = one("#jobs-say");
  line.textContent = text;
  line.dataset.tone = tone;
  window.clearTimeout(jobsSayTimer);
  jobsSayTimer = window.setTimeout(() => { line.textContent = ""; }, Math.max(8000, text.length * 120));
}

Object.assign(acts, {
  "jobs-go": ({ dataset }) => actOnJob(dataset.model, dataset.action),
  "jobs-act": ({ dataset }) => actOnJob(dataset.model, dataset.kind),
  "jobs-cancel": ({ dataset }) => (dataset.lost ? askBeforeCancel(dataset.model) : actOnJob(dataset.model, "cancel")),
  "jobs-keep": () => askBeforeCancel(""),
  "jobs-show": () => jobsTray().showPopover(),
  "jobs-get": () => { jobsTray().hidePopover(); acts.real(); },
  "jobs-talk": (button) => { jobsTray().hidePopover(); acts.talk(button); },
});

Object.assign(commands, {
  jobs_looked: () => { jobs.asked = 0; },
  jobs_say: (command) => jobsSay(command),
  job_landed: () => one("#jobs-open")?.animate([{ scale: 1 }, { scale: 1.25 }, { scale: 1 }], { duration: window.matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 180 }),
});

// The button in the top bar tells of what stands in the tray.
function markJobs() {
  const button = one("#jobs-open");
  const { count, running, failed, told, fraction } = jobsTray()?.dataset ?? {};
  if (!button || count === undefined) return;
  button.setAttribute("aria-label", `Jobs: ${told}`);
  button.title = `Jobs: ${told}`;
  button.dataset.failed = failed;
  button.dataset.running = running;
  button.style.setProperty("--done", fraction);
  one(".count", button).textContent = count === "0" ? "" : count;
  document.body.dataset.jobs = one("#jobs-tray .job") ? "yes" : "no";
}

// What has ended since the last look is said, and looked at by whoever shows models.
drawn.jobs = () => {
  markJobs();
  const now = new Map(all("#jobs-tray .job").map((job) => [job.dataset.job, job.dataset.state]));
  const before = jobs.known;
  jobs.known = now;
  const asks = one("#jobs-tray .job-asks button");
  if (asks && trayIsOpen() && !one("#jobs-tray .job-asks").contains(document.activeElement)) asks.focus();
  if (!before || (before.size === now.size && [...now].every(([job, state]) => before.get(job) === state))) return;
  for (const [job, state] of now) {
    const ended = ["done", "failed"].includes(state) && ["waiting", "running"].includes(before.get(job));
    if (ended) jobsSay({ text: one(`.job[data-job="${CSS.escape(job)}"]`).dataset.said, tone: state === "failed" ? "bad" : "" });
  }
  getChanged();
  lookAtModels();
};

document.addEventListener("toggle", (event) => {
  if (event.target.id !== "jobs-tray") return;
  jobs.asking = "";
  if (event.newState === "open") lookAtJobs();
}, true);
// Esc shuts the tray, and only the tray.
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && trayIsOpen()) event.stopPropagation(); }, true);
