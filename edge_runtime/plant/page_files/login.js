const form = document.getElementById("login"), wrong = document.getElementById("wrong");

form.addEventListener("submit", async event => {
  event.preventDefault();
  const button = form.querySelector("button"), password = document.getElementById("password");
  button.disabled = true;
  wrong.textContent = "";
  try {
    const reply = await fetch("login", {
      method: "POST",
      headers: {"Content-Type": "application/json"},
      body: JSON.stringify({name: document.getElementById("name").value, password: password.value}),
    });
    if (reply.ok) return location.replace("./");
    wrong.textContent = await reply.text();
  } catch (error) {
    wrong.textContent = "the gateway does not answer";
  }
  button.disabled = false;
  password.value = "";
  password.focus();
});
