import {loseAlarms, showAlarms} from "./alarms.js";
import {clearTrend, drawTrend, makeTrend} from "./trend.js";

const POLL_MS = 400, LOST_MS = 2000, TREND_MS = 4000, OLD_MS = 5000;
const WORDS = {NONE: "No leak seen", SUSPECT: "Suspect", LEAK: "LEAK", UNKNOWN: "Unknown"};
const ZONE_WORDS = {0: "no leak seen", 1: "suspect", 2: "LEAK"};
const NE107 = ["normal", "failure", "check function", "off specification", "maintenance required"];
const main = document.getElementById("cameras"), link = document.getElementById("link");
const logout = document.getElementById("logout"), eventList = document.getElementById("event-list");
const cards = new Map();
let answered = -Infinity;  // when the gateway last spoke, by this browser's steady clock
let why = "this page cannot reach the gateway", active = true, token = null, eventsShown = "";

function element(name, className, parent) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (parent) parent.append(made);
  return made;
}

function card(name) {
  if (cards.has(name)) return cards.get(name);
  const c = {name, pictureMs: null, busy: false};
  c.root = element("article", "UNKNOWN", main);
  c.root.tabIndex = 0;
  c.root.setAttribute("aria-label", "camera " + name);
  const head = element("div", "head", c.root);
  element("h2", "", head).textContent = name;
  c.quality = element("span", "quality", head);
  const view = element("div", "view", c.root);
  c.img = element("img", "", view);
  c.img.alt = "live picture of " + name + " with the gas overlay";
  c.img.hidden = true;
  c.cover = element("div", "cover", view);
  element("strong", "", c.cover).textContent = "UNKNOWN";
  element("span", "", c.cover).textContent = "nobody is looking";
  c.why = element("span", "", c.cover);
  c.state = element("div", "state", c.root);
  c.state.setAttribute("role", "status");
  c.reasons = element("div", "reasons", c.root);
  c.list = element("dl", "", c.root);
  c.trend = makeTrend(c.root, name);
  const details = element("details", "", c.root);
  element("summary", "", details).textContent = "all tags";
  c.table = element("table", "", details);
  cards.set(name, c);
  return c;
}

function setText(node, text) { if (node.textContent !== text) node.textContent = text; }

function unknown(c, because) {
  c.root.className = "UNKNOWN";
  setText(c.state, WORDS.UNKNOWN);
  setText(c.reasons, because);
  setText(c.why, because);
  setText(c.quality, "quality BAD");
  c.list.replaceChildren();
  c.table.replaceChildren();
}

function number(value, digits, unit) {
  return value === null || value === undefined ? "–" : value.toFixed(digits) + unit;
}

function show(state) {
  const c = card(state.camera), t = state.tags, because = state.meanings.join(", ");
  if (state.quality === "BAD" || !(state.state in WORDS) || state.state === "UNKNOWN") {
    unknown(c, because);
  } else {
    c.root.className = state.state + " " + state.quality;
    const drill = state.reasons.includes("DRILL") ? "DRILL: " : "";
    setText(c.state, drill + WORDS[state.state] + (state.quality === "STALE" ? " (old)" : ""));
    const still = t["Leak/Still"] ? "it does not move" : "";
    const disturbed = t["Leak/Disturbed"] ? "the whole picture changes" : "";
    setText(c.reasons, [still, disturbed, because].filter(each => each).join(", "));
    setText(c.quality, "quality " + state.quality);
    const rows = [
      ["score", number(t["Leak/Score"], 3, "")],
      ["area", number(t["Leak/AreaFraction"] === null ? null : t["Leak/AreaFraction"] * 100, 2, " %")],
      ["regions", number(t["Leak/Count"], 0, "")],
      ["leak no.", number(t["Leak/Id"], 0, "") + (t["Leak/Zone"] ? " in " + t["Leak/Zone"] : "")],
      ["for", number(t["Leak/DurationS"], 0, " s")],
      ["frames", number(t["Frame/Fps"], 1, " /s")],
      ["latency p99", number(t["Frame/LatencyP99Ms"], 0, " ms")],
      ["device (NE 107)", NE107[t["Health/NE107"]] || "unknown"],
    ];
    for (let n = 1; ("Zone/Name" + n) in t; n++)
      if (t["Zone/Name" + n]) rows.push(["zone " + t["Zone/Name" + n], ZONE_WORDS[t["Zone/State" + n]] || "unknown"]);
    c.list.replaceChildren(...rows.map(([name, value]) => {
      const group = element("div");
      element("dt", "", group).textContent = name;
      element("dd", "", group).textContent = value;
      return group;
    }));
  }
  if (c.table.parentElement.open) {
    c.table.replaceChildren(...Object.entries(t).map(([name, value]) => {
      const row = element("tr");
      element("td", "", row).textContent = name;
      element("td", "", row).textContent = value === null ? "–" : String(value);
      return row;
    }));
  }
  if (state.picture_ms !== null && state.picture_ms !== c.pictureMs && !c.busy) picture(c, state.picture_ms);
  // an old picture beside a fresh state would show a plume where there is none, or none where one is:
  // what counts is the one that is shown, not the newest that the gateway has; one from before the
  // device began anew, where its clock does, is older than it can tell
  c.img.hidden = state.picture_ms === null || c.pictureMs === null || state.picture_ms < c.pictureMs
    || state.picture_age_ms + state.picture_ms - c.pictureMs > OLD_MS;
}

async function picture(c, pictureMs) {
  c.busy = true;
  try {
    const reply = await fetch("camera/" + encodeURIComponent(c.name) + ".jpg", {signal: AbortSignal.timeout(LOST_MS)});
    if (reply.ok) {
      const url = URL.createObjectURL(await reply.blob());
      const old = c.img.src;
      c.img.src = url;
      c.pictureMs = pictureMs;
      if (old) URL.revokeObjectURL(old);
    }
  } catch (error) { /* the next answer asks again, and hides what has become too old */ }
  c.busy = false;
}

async function poll() {
  const headers = active ? {"X-Gasedge-Active": "1"} : {};
  active = false;
  try {
    const reply = await fetch("state.json", {headers, signal: AbortSignal.timeout(LOST_MS)});
    if (reply.status === 401) { why = "you are logged out"; logout.textContent = "Log in"; }
    if (!reply.ok) throw new Error(String(reply.status));
    const state = await reply.json();
    why = "this page cannot reach the gateway";
    token = state.user.token;
    logout.hidden = !token;
    logout.textContent = "Log out";
    setText(document.getElementById("user"), state.user.name ? state.user.name + " (" + state.user.role + ")" : "");
    state.cameras.forEach(show);
    const names = new Set(state.cameras.map(each => each.camera));
    for (const [name, c] of cards) if (!names.has(name)) { c.root.remove(); cards.delete(name); }
    const open = showAlarms(state.alarms, state.user);
    document.getElementById("events").hidden = !state.has_evidence;
    const bad = state.cameras.filter(each => each.state !== "NONE" || each.quality !== "GOOD");
    setText(link, state.cameras.length + (state.cameras.length === 1 ? " camera, " : " cameras, ")
      + (bad.length ? bad.length + " need a look" : "all clear"));
    link.className = "";
    answered = performance.now();  // only now: a page that cannot be drawn must not look fresh
    const calls = bad.length + open;
    document.title = (calls ? "(" + calls + ") " : "") + "gasedge";
  } catch (error) { lost(); }
  setTimeout(poll, POLL_MS);
}

// without an answer this page must not go on showing the last one
function lost() {
  if (performance.now() - answered <= LOST_MS) return;
  for (const c of cards.values()) {
    unknown(c, why);
    c.img.hidden = true;
    c.pictureMs = null;
    clearTrend(c.trend);
  }
  loseAlarms();
  setText(link, why === "you are logged out" ? "UNKNOWN: you are logged out" : "UNKNOWN: the gateway does not answer");
  link.className = "lost";
  document.title = "UNKNOWN - gasedge";
}

async function slow() {
  for (const c of cards.values()) {
    try {
      const reply = await fetch("trend/" + encodeURIComponent(c.name) + ".json", {signal: AbortSignal.timeout(LOST_MS)});
      if (reply.ok) drawTrend(c.trend, await reply.json());
    } catch (error) { /* the cards say that nobody answers */ }
  }
  if (!document.getElementById("events").hidden) {
    try {
      const reply = await fetch("evidence.json", {signal: AbortSignal.timeout(LOST_MS)});
      if (reply.ok) showEvents(await reply.json());
    } catch (error) { /* as above */ }
  }
  setTimeout(slow, TREND_MS);
}

function showEvents(events) {
  const seen = JSON.stringify(events);
  if (seen === eventsShown) return;
  eventsShown = seen;
  eventList.replaceChildren(...events.map(event => {
    const row = element("li"), what = element("div", "what", row);
    element("strong", "", what).textContent = (event.test ? "TEST: " : "") + "leak at " + event.camera
      + (event.zones.length ? ", zone " + event.zones.join(", ") : "");
    element("small", "", what).textContent = new Date(event.onset_ms).toLocaleString("sv-SE") + " · "
      + event.seconds.toFixed(0) + " s";
    const buttons = element("div", "buttons", row);
    for (const clip of event.clips) {
      const address = "evidence/" + event.folder + "/" + clip, name = clip.replace(/\.\w+$/, "");
      if (clip.endsWith(".webm")) {
        const button = element("button", "", buttons);
        button.type = "button";
        button.textContent = "Play " + name;
        button.addEventListener("click", () => play(address, [...what.children].map(each => each.textContent).join(" · ") + " · " + name));
      } else {
        const anchor = element("a", "", buttons);
        anchor.href = address;
        anchor.textContent = name + " (file)";
        anchor.download = event.folder + "-" + clip;
      }
    }
    const manifest = element("a", "", buttons);
    manifest.href = "evidence/" + event.folder + "/manifest.json";
    manifest.textContent = "manifest";
    return row;
  }));
  if (!events.length) element("li", "", eventList).textContent = "No event yet.";
}

const player = document.getElementById("player"), video = document.getElementById("video");
function play(address, title) {
  document.getElementById("player-title").textContent = title;
  player.hidden = false;
  video.src = address;
  video.play().catch(() => {});
  video.focus();
}
document.getElementById("player-close").addEventListener("click", () => {
  video.pause();
  video.removeAttribute("src");
  video.load();
  player.hidden = true;
  eventList.querySelector("button")?.focus();
});

logout.addEventListener("click", async () => {
  try {
    await fetch("logout", {method: "POST", headers: {"Content-Type": "application/json", "X-Gasedge-Token": token || ""}, body: "{}"});
  } finally { location.href = "login"; }
});
for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, () => { active = true; }, {passive: true});
setInterval(lost, 250);
poll();
setTimeout(slow, 1000);
