// The OpenAPI and AsyncAPI documents, for a reader. Text only ever becomes text.

function made(name, text = "", ...inside) {
  const found = document.createElement(name);
  if (text) found.textContent = text;
  found.append(...inside);
  return found;
}

function named(reference) {
  return reference.split("/").at(-1);
}

// What a schema is, in a few words; messages are links.
function kind(schema) {
  if (!schema) return [made("span", "anything")];
  if (schema.$ref) {
    const link = made("a", named(schema.$ref));
    link.href = `#${named(schema.$ref)}`;
    return [link];
  }
  if (schema.enum) return [made("code", schema.enum.map((each) => JSON.stringify(each)).join(" "))];
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.flatMap((each, at) => (at ? [" or ", ...kind(each)] : kind(each)));
  if (schema.type === "array") return ["list of ", ...kind(schema.items)];
  if (schema.type === "object" && typeof schema.additionalProperties === "object")
    return ["object of ", ...kind(schema.additionalProperties)];
  const bounds = [];
  if (schema.format) bounds.push(schema.format);
  if (schema.minLength !== undefined || schema.maxLength !== undefined)
    bounds.push(`${schema.minLength ?? 0} to ${schema.maxLength ?? "any"} characters`);
  if (schema.minimum !== undefined) bounds.push(`from ${schema.minimum}`);
  if (schema.maximum !== undefined) bounds.push(`to ${schema.maximum}`);
  if (schema.pattern) bounds.push(`like ${schema.pattern}`);
  return [[schema.type ?? "anything", ...bounds].join(", ")];
}

function fields(schema) {
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) => {
    const needed = (schema.required ?? []).includes(name);
    return made(
      "tr",
      "",
      made("td", "", made("code", needed ? name : `${name}?`)),
      made("td", "", ...kind(field)),
      made("td", field.description ?? ""),
    );
  });
  return made("table", "", made("tbody", "", ...rows));
}

function bodies(content) {
  return Object.entries(content ?? {}).flatMap(([type, { schema }]) =>
    type === "application/json" ? kind(schema) : [" ", made("code", type)],
  );
}

function operation(method, path, told) {
  const lines = [made("p", [told.summary, told.description].filter(Boolean).join(". "))];
  for (const each of told.parameters)
    lines.push(made("p", "", made("code", each.name), ` ${each.in}: ${each.description ?? ""} `, ...kind(each.schema)));
  if (told.requestBody) lines.push(made("p", "body: ", ...bodies(told.requestBody.content)));
  const answers = Object.entries(told.responses).map(([status, answer]) =>
    answer.$ref ? ` ${status}` : made("span", ` ${status} `, ...bodies(answer.content)),
  );
  lines.push(made("p", "answers:", ...answers));
  const title = made("summary", "", made("code", `${method.toUpperCase()} ${path}`), ` ${told.summary}`);
  return made("details", "", title, ...lines);
}

function message(name, schema) {
  const found = made("section", "", made("h3", name), made("p", schema.description ?? ""), fields(schema));
  found.id = name;
  return found;
}

async function read(name) {
  const answer = await fetch(`/api/v1/${name}.json`);
  if (!answer.ok) throw new Error(`${name}.json: ${answer.status}`);
  return answer.json();
}

// A channel of a WebSocket, with the frames that it brings.
function channel(told, messages) {
  const lines = [made("p", told.description)];
  for (const [name, field] of Object.entries(told.bindings.ws.query.properties))
    lines.push(made("p", "", made("code", name), ` query: ${field.description} `, ...kind(field)));
  for (const reference of Object.values(told.messages)) {
    const frame = messages[named(reference.$ref)];
    lines.push(made("p", `${frame.title}: `, ...kind(frame.payload)));
  }
  const title = made("summary", "", made("code", `WebSocket ${told.address}`), ` ${told.description}`);
  return made("details", "", title, ...lines);
}

// A part of the document, that the contents lead to.
function part(section, id, title, ...inside) {
  const heading = made("h2", title);
  heading.id = id;
  document.querySelector(section).append(heading, ...inside);
  const link = made("a", title);
  link.href = `#${id}`;
  document.querySelector("#contents").append(link, " ");
}

async function show() {
  const [open, events] = await Promise.all([read("openapi"), read("asyncapi")]);
  const groups = new Map();
  for (const [path, methods] of Object.entries(open.paths))
    for (const [method, told] of Object.entries(methods)) {
      const group = groups.get(told.tags[0]) ?? [];
      groups.set(told.tags[0], [...group, operation(method, path, told)]);
    }
  document.querySelector("#operations").replaceChildren();
  for (const [tag, found] of groups) part("#operations", `about-${tag}`, tag, ...found);
  const told = Object.entries(open.webhooks).flatMap(([name, methods]) =>
    Object.entries(methods).map(([method, each]) => operation(method, name, each)),
  );
  part("#webhooks", "about-what-webhooks-are-told", "What webhooks are told", ...told);
  const channels = Object.values(events.channels).map((each) => channel(each, events.components.messages));
  part("#events", "about-events", "Events", ...channels);
  const schemas = { ...open.components.schemas, ...events.components.schemas };
  const sorted = Object.entries(schemas).sort(([one], [other]) => one.localeCompare(other));
  part("#messages", "about-messages", "Messages", ...sorted.map(([name, each]) => message(name, each)));
}

show().catch((error) => {
  document.querySelector("#operations").replaceChildren(made("p", String(error)));
});
