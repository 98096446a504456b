// Who is there: an agent, by its password, for a token of its own that ends soon and is renewed meanwhile; or who has a token.

/** So much of a token's time is left when it is renewed: a part of it, and no more than this. */
const LEFT = 0.25, MOST_LEFT_MS = 60_000;
const KEPT = "own-token";

export class SignIn {
  #issued = null;
  #timer = 0;

  /** entered is told a token that was shown or given, renewed each that follows it. */
  constructor({ api, form, entered, renewed }) {
    Object.assign(this, { api, form, entered, renewed, fault: form.querySelector(".fault") });
    const kept = sessionStorage.getItem(KEPT);
    if (kept) { this.#take(JSON.parse(kept)); }  // the page was reloaded
    form.addEventListener("submit", (event) => { event.preventDefault(); this.#enter(); });
  }

  /** The token is an agent's own. */
  get on() { return Boolean(this.#issued); }

  /** Nobody is there any more. */
  ask(reason) {
    this.#forget();
    this.fault.textContent = reason;
    this.form.elements.agent.focus();
  }

  /** Let nobody use the token any more. */
  end(token) {
    if (!this.#issued) { return; }
    const headers = { Authorization: `Bearer ${token}` };
    fetch(`${this.api}/tokens/${this.#issued.token}`, { method: "DELETE", headers, keepalive: true }).catch(() => {});
  }

  async #enter() {
    const fields = this.form.elements;
    const [shown, agent, password] = ["token", "agent", "password"].map((name) => fields[name].value.trim());
    for (const name of ["token", "password"]) { fields[name].value = ""; }
    this.fault.textContent = "";
    if (shown) { this.#forget(); this.entered(shown); return; }
    try {
      if (!agent || !password) { throw new Error("Say who you are, and your password; or show a token."); }
      this.#take(await this.#post("/tokens", { agent, password }));
      this.entered(this.#issued.access_token);
    } catch (error) {
      this.fault.textContent = error.message;
    }
  }

  #forget() {
    clearTimeout(this.#timer);
    this.#issued = null;
    sessionStorage.removeItem(KEPT);
  }

  #take(issued) {
    this.#issued = issued;
    sessionStorage.setItem(KEPT, JSON.stringify(issued));
    clearTimeout(this.#timer);
    const lasts = Date.parse(issued.expires_at) - Date.now();
    this.#timer = setTimeout(() => this.#renew(), Math.max(0, lasts - Math.min(MOST_LEFT_MS, LEFT * lasts)));
  }

  async #renew() {
    const before = this.#issued;
    try {
      const issued = await this.#post("/tokens/refresh", { refresh_token: before.refresh_token });
      if (this.#issued !== before) { return; }  // signed out meanwhile
      this.#take(issued);
      this.renewed(issued.access_token);
    } catch { /* what follows is answered 401, and the page asks who is there */ }
  }

  async #post(path, body) {
    const answer = await fetch(this.api + path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    const told = await answer.json();
    if (!answer.ok) { throw new Error(told.text || told.error); }
    return told;
  }
}
