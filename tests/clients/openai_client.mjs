// The official npm package: an answer, a stream, a tool, an error.
import assert from "node:assert";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const common = {
  model: process.env.MODEL,
  messages: [{ role: "user", content: "What is the weather?" }],
  max_tokens: 200,
  seed: 7,
};
const parameters = {
  type: "object",
  properties: { city: { type: "string", enum: ["Paris", "Rome"] } },
  required: ["city"],
  additionalProperties: false,
};
const tools = [{ type: "function", function: { name: "weather", parameters, strict: true } }];

const whole = await client.chat.completions.create(common);
let text = "";
for await (const chunk of await client.chat.completions.create({ ...common, stream: true })) {
  text += chunk.choices[0]?.delta?.content ?? "";
}
assert.equal(text, whole.choices[0].message.content);

const forced = { ...common, tools, tool_choice: "required", parallel_tool_calls: false };
const called = await client.chat.completions.create(forced);
const [call] = called.choices[0].message.tool_calls;
assert.ok(["Paris", "Rome"].includes(JSON.parse(call.function.arguments).city));
const final = await client.chat.completions.stream(forced).finalChatCompletion();
assert.equal(final.choices[0].message.tool_calls[0].function.arguments, call.function.arguments);

await assert.rejects(client.chat.completions.create({ ...common, model: "nobody" }), OpenAI.NotFoundError);
const page = await client.models.list();
assert.ok(page.data.some((model) => model.id === process.env.MODEL));
