// The list of alarms and what a person may ask of each; the gateway decides, this only asks.
const list = document.getElementById("alarm-list"), note = document.getElementById("alarm-note");
const count = document.getElementById("alarm-count"), section = document.getElementById("alarms");
const ask = document.getElementById("ask"), form = document.getElementById("ask-form");
const minutes = document.getElementById("ask-minutes"), comment = document.getElementById("ask-comment");
const once = document.getElementById("ask-once");
const rows = new Map();
const STATES = {
  NORM: "normal", UNACK: "unacknowledged", ACKED: "acknowledged", RTN_UNACK: "returned, unacknowledged",
  LATCH_UNACK: "latched, unacknowledged", LATCH_ACKED: "latched", SHELVED: "shelved",
  SUPPRESSED: "suppressed", OUT_OF_SERVICE: "out of service",
};
const KINDS = {leak: "Leak", failure: "Failure", off_spec: "Off specification", maintenance: "Maintenance"};
const QUIET = ["SHELVED", "SUPPRESSED", "OUT_OF_SERVICE", "NORM"];
// label, words, when it makes sense, whether more is asked first
const ACTIONS = [
  ["acknowledge", "Acknowledge", a => !a.acked && !QUIET.includes(a.state), false],
  ["confirm", "Confirm", a => a.acked && !a.confirmed && !!a.event_id, false],
  ["comment", "Comment", a => !!a.event_id, true],
  ["shelve", "Shelve", a => !["SHELVED", "SUPPRESSED", "OUT_OF_SERVICE"].includes(a.state), true],
  ["unshelve", "Unshelve", a => a.state === "SHELVED", false],
  ["reset", "Reset", a => a.state.startsWith("LATCH"), false],
  ["take_out_of_service", "Take out of service", a => a.state !== "OUT_OF_SERVICE", true],
  ["return_to_service", "Return to service", a => a.state === "OUT_OF_SERVICE", false],
];
let user = {token: null, may: []}, lost = true, said = "", asked = null;

// year first, local time: nobody takes a day for a month
const clock = ms => ms === null ? "" : new Date(ms).toLocaleString("sv-SE");
function set(node, text) { if (node.textContent !== text) node.textContent = text; }

export function showAlarms(alarms, who) {
  user = who;
  if (lost) { lost = false; section.classList.remove("lost"); }
  const shown = alarms.filter(each => each.retain)
    .sort((a, b) => a.acked - b.acked || b.active - a.active || b.severity - a.severity || b.changed_ms - a.changed_ms);
  const open = shown.filter(each => !each.acked && !QUIET.includes(each.state)).length;
  set(count, shown.length ? `(${open} of ${shown.length} unacknowledged)` : "");
  set(note, said || (shown.length ? "" : "No alarm stands."));
  const ids = new Set(shown.map(each => each.id));
  for (const [id, row] of rows) if (!ids.has(id)) { row.root.remove(); rows.delete(id); }
  shown.forEach((alarm, place) => {
    const row = rows.get(alarm.id) || makeRow(alarm.id);
    fill(row, alarm);
    if (list.children[place] !== row.root) {
      const focused = document.activeElement;
      list.insertBefore(row.root, list.children[place] || null);
      if (row.root.contains(focused)) focused.focus();  // moving an element takes its focus away
    }
  });
  return open;
}

export function loseAlarms() {
  lost = true;
  section.classList.add("lost");
  set(note, "UNKNOWN: these alarms may have changed since");
  for (const button of list.querySelectorAll("button")) button.disabled = true;
  if (ask.open) ask.close();
}

function makeRow(id) {
  const row = {root: document.createElement("li"), labels: "", alarm: null};
  row.badge = row.root.appendChild(document.createElement("span"));
  row.badge.className = "badge";
  const what = row.root.appendChild(document.createElement("div"));
  what.className = "what";
  row.title = what.appendChild(document.createElement("strong"));
  row.more = what.appendChild(document.createElement("small"));
  row.buttons = row.root.appendChild(document.createElement("div"));
  row.buttons.className = "buttons";
  rows.set(id, row);
  return row;
}

function fill(row, alarm) {
  row.alarm = alarm;
  const quiet = QUIET.includes(alarm.state);
  row.root.className = alarm.kind + (quiet ? " quiet" : "") + (!alarm.acked && !quiet ? " unacked" : "");
  set(row.badge, (alarm.active && quiet ? "active, " : "") + (STATES[alarm.state] || alarm.state));
  const place = [alarm.camera || "this device", alarm.zone && "zone " + alarm.zone].filter(each => each).join(", ");
  set(row.title, (alarm.test ? "TEST: " : "") + (KINDS[alarm.kind] || alarm.kind) + ": " + place);
  set(row.more, [alarm.message.replace(/^TEST: /, ""), alarm.onset_ms && "since " + clock(alarm.onset_ms),
    alarm.shelved_until_ms && "shelved until " + clock(alarm.shelved_until_ms) + (alarm.shelved_once ? " or normal" : ""),
    alarm.chattering && "chattering",
    alarm.comment && "“" + alarm.comment + "”" + (alarm.who ? " " + alarm.who : "")]
    .filter(each => each).join(" · "));
  const may = ACTIONS.filter(([label, , fits]) => user.may.includes(label) && fits(alarm));
  const labels = may.map(each => each[0]).join();
  if (row.labels !== labels) {
    const focused = row.buttons.contains(document.activeElement) ? document.activeElement.dataset.label : null;
    row.buttons.replaceChildren(...may.map(action => button(row, action)));
    row.labels = labels;
    if (focused) (row.buttons.querySelector(`[data-label="${focused}"]`) || row.buttons.firstChild)?.focus();
  }
  for (const each of row.buttons.children) if (each.disabled && !each.dataset.busy) each.disabled = false;
}

function button(row, [label, words, , more]) {
  const made = document.createElement("button");
  made.type = "button";
  made.dataset.label = label;
  made.textContent = words;
  made.setAttribute("aria-label", words + ": " + row.title.textContent);
  made.addEventListener("click", () => more ? openDialog(row.alarm, label, words) : send(row.alarm, label, {}, made));
  return made;
}

function openDialog(alarm, label, words) {
  asked = {alarm, label};
  document.getElementById("ask-title").textContent = words;
  document.getElementById("ask-what").textContent = (KINDS[alarm.kind] || alarm.kind) + " " + alarm.id;
  document.getElementById("ask-ok").textContent = words;
  document.getElementById("ask-minutes-label").hidden = label !== "shelve";
  minutes.disabled = once.disabled = label !== "shelve";
  document.getElementById("ask-once-label").hidden = label !== "shelve";
  once.checked = false;
  comment.value = "";
  ask.showModal();
  (label === "shelve" ? minutes : comment).focus();
}

document.getElementById("ask-cancel").addEventListener("click", () => ask.close());
form.addEventListener("submit", () => {
  if (!asked || lost) return;
  const more = {comment: comment.value};
  if (asked.label === "shelve") Object.assign(more, {minutes: Number(minutes.value), once: once.checked});
  send(asked.alarm, asked.label, more, null);
});

async function send(alarm, kind, more, pressed) {
  if (pressed) { pressed.disabled = true; pressed.dataset.busy = "1"; }
  let words;
  try {
    const reply = await fetch("act", {
      method: "POST",
      headers: {"Content-Type": "application/json", "X-Gasedge-Token": user.token || ""},
      body: JSON.stringify({alarm: alarm.id, kind, event_id: alarm.event_id, ...more}),
      signal: AbortSignal.timeout(10000),
    });
    const text = await reply.text();
    let message = text;
    try { message = JSON.parse(text).message || text; } catch { /* plain words */ }
    words = reply.ok ? "" : `Not done (${kind} ${alarm.id}): ${message}`;
  } catch (error) {
    words = `Not done (${kind} ${alarm.id}): the gateway does not answer`;
  }
  said = words;
  if (words) setTimeout(() => { if (said === words) said = ""; }, 15000);
  if (!lost) set(note, words);
  if (pressed) { delete pressed.dataset.busy; pressed.disabled = false; }
}
