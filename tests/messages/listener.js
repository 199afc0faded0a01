// An event application that does what messages tell it to. The data of a message is JSON:
// name, and `answers`, a list of what to answer to its first delivery, its second and so on, the
// last of them for ever: a status, "hang" (no answer), "die", "late" (200 after 11 seconds).
const http = require("node:http");

const recorder = process.env.RECORDER;
const seen = new Map();

function record(line) {
  if (!recorder) {
    return Promise.resolve();
  }
  return new Promise((resolve, reject) => {
    const sent = http.request(recorder, { method: "POST" }, (answer) => {
      answer.resume();
      answer.on("end", resolve);
    });
    sent.on("error", reject);
    sent.end(line);
  });
}

async function deliver(request, response, body) {
  const envelope = JSON.parse(body);
  const { message } = envelope;
  const told = message.data ? JSON.parse(Buffer.from(message.data, "base64").toString()) : {};
  const count = seen.get(message.messageId) ?? 0;
  seen.set(message.messageId, count + 1);
  const answers = told.answers ?? [204];
  const answer = answers[Math.min(count, answers.length - 1)];
  if (!told.quiet) {
    console.log(
      JSON.stringify({
        name: told.name,
        count,
        answer,
        path: request.url,
        agent: request.headers["user-agent"],
        correlation: request.headers["x-correlation-id"],
        envelope,
      }),
    );
  }
  await record(`${message.messageId} ${answer}`);
  if (answer === "die") {
    process.exit(1);
  } else if (answer === "late") {
    setTimeout(() => {
      console.log(JSON.stringify({ late: told.name }));
      response.writeHead(200).end();
    }, 11_000);
  } else if (answer === 102) {
    response.writeProcessing();
    setTimeout(() => console.log(JSON.stringify({ processed: told.name })), 300);
  } else if (answer !== "hang") {
    response.writeHead(answer).end(answer === 204 ? undefined : `said ${answer}`);
  }
}

http
  .createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      deliver(request, response, Buffer.concat(parts)).catch((error) => {
        console.error(error);
        response.writeHead(500).end();
      });
    });
  })
  .listen(8080, () => console.log("listening"));
