// Makes the pages live. Everything can be read without it.
"use strict";
const root = document.documentElement, base = document.body.dataset.base;
root.classList.add("scripted");
const byId = (id) => document.getElementById(id);

function localTimes() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime), minutes = (Date.now() - moment) / 60000;
    time.title = moment.toLocaleString();
    if (time.dataset.full !== undefined) time.textContent = `${moment.toLocaleString()} (${relative(minutes)})`;
    else time.textContent = minutes < 60 ? relative(minutes) : moment.toDateString() === new Date().toDateString() ? moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : moment.toLocaleDateString([], { day: "numeric", month: "short" });
  }
}
function relative(minutes) {
  if (minutes < 1) return "now";
  if (minutes < 60) return `${Math.floor(minutes)} min ago`;
  return minutes < 1440 ? `${Math.floor(minutes / 60)} h ago` : `${Math.floor(minutes / 1440)} d ago`;
}

let news = 0, timer = 0;
const doomed = new Map();
async function refresh() {
  const list = byId("list");
  const answer = await fetch(list.dataset.url);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html"), fresh = page.getElementById("list");
  const current = list.querySelector("li.current");
  // beside a mail there are only the rows and the links to the other pages
  list.replaceChildren(...list.closest(".panes") ? fresh.querySelectorAll(".mails, .pager") : fresh.childNodes);
  if (current) list.querySelector(`li[data-id="${current.dataset.id}"]`)?.classList.add("current");
  for (const id of doomed.keys()) list.querySelector(`li[data-id="${id}"]`)?.classList.add("gone");
  if (!list.closest(".panes")) document.title = page.title;
  news = 0;
  byId("news").hidden = true;
  localTimes();
}
function follow() {
  let events;
  const changed = (event) => {
    if (event.type === "new") news += 1;
    const isScrolled = window.scrollY > 80 || document.querySelector(".panes > .list")?.scrollTop > 80;
    // The timer is not started again by the next event: while mail comes without a pause, the list must follow.
    if (!isScrolled) timer ||= setTimeout(() => { timer = 0; refresh(); }, 150);
    else if (news) {
      byId("news").textContent = `${news} new`;
      byId("news").hidden = false;
    }
  };
  const listen = () => {
    events = new EventSource(`${base}/api/mailpact/v1/events?last=${byId("list").dataset.last}`);
    for (const kind of ["new", "update", "delete", "truncate", "prune", "reset"]) events.addEventListener(kind, changed);
  };
  listen();
  // Browsers open only six connections to a server. The list keeps its connection, for the count in its title.
  if (document.querySelector(".panes")) document.addEventListener("visibilitychange", () => {
    events.close();
    if (!document.hidden) { listen(); refresh(); }
  });
}

function remove(id) {
  const finish = () => {
    if (!doomed.delete(id)) return;
    byId("undo").hidden = doomed.size === 0;
    fetch(`${base}/api/v1/messages`, { method: "DELETE", keepalive: true, headers: { "Content-Type": "application/json" }, body: JSON.stringify({ IDs: [id] }) })
      .then((answer) => { if (!answer.ok && byId("list")) refresh(); });  // the mail is still there
  };
  doomed.set(id, { finish, timer: setTimeout(finish, 6000) });
  document.querySelector(`#list li[data-id="${id}"]`)?.classList.add("gone");
  byId("undo").hidden = false;
}
addEventListener("pagehide", () => { for (const { finish } of [...doomed.values()]) finish(); });

document.addEventListener("click", async (event) => {
  const target = event.target.closest("button");
  if (!target) return;
  if (target.id === "news") { window.scrollTo(0, 0); refresh(); }
  if (target.id === "take-back") {
    for (const [id, { timer }] of doomed) {
      clearTimeout(timer);
      document.querySelector(`#list li[data-id="${id}"]`)?.classList.remove("gone");
    }
    doomed.clear();
    byId("undo").hidden = true;
  }
  if (target.dataset.copy !== undefined) {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(target.dataset.copy);
      target.textContent = "Copied";
    } else prompt("Copy this text:", target.dataset.copy);  // browsers have a clipboard by https and on localhost only
  }
});
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.delete) { event.preventDefault(); remove(form.dataset.delete); }
  if (form.dataset.confirm && !confirm(form.dataset.confirm)) event.preventDefault();
});
byId("eml")?.addEventListener("change", async (event) => {
  for (const file of event.target.files) {
    const answer = await fetch(`${base}/api/mailpact/v1/import`, { method: "POST", headers: { "Content-Type": "message/rfc822" }, body: file });
    if (!answer.ok) alert(`${file.name} was not stored: ${await answer.text()}`);
  }
  event.target.value = "";  // so that the same file can be chosen again
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const all = [...document.querySelectorAll("#list li[data-id]")], now = all.findIndex((row) => row.classList.contains("current"));
  const isThere = (row) => !row.classList.contains("gone"), isPanes = document.querySelector(".panes") !== null;
  const below = all.slice(now + 1).find(isThere), above = all.slice(0, Math.max(now, 0)).findLast(isThere);
  if (event.key === "/") { event.preventDefault(); byId("query").focus(); }
  if (event.key === "?") byId("keys").showModal();
  const next = { j: below, k: above }[event.key], row = all[now];
  if (next && isPanes) location.assign(next.querySelector("a").href);
  else if (next) { row?.classList.remove("current"); next.classList.add("current"); next.querySelector("a").focus(); }
  if (row && isThere(row) && event.key === "d") {
    remove(row.dataset.id);
    // Beside the list the deleted mail is still shown, so the next mail must not become the one that `d` deletes.
    if (!isPanes) { row.classList.remove("current"); (below ?? above)?.classList.add("current"); }
  }
  if (row && event.key === "u") fetch(`${base}/api/v1/messages`, { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ Read: false, IDs: [row.dataset.id] }) });
});

localTimes();
setInterval(localTimes, 30000);
if (byId("list")) follow();
