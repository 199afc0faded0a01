// An event application that does what messages tell it to. The data of a message is JSON:
// name, and `answers`, a list of what to answer to its first delivery, its second and so on, the
// last of them for ever: a status, "die", "late" (200 after 11 seconds), "slow" (204 after 0.2 s),
// "twice" (204, and another answer that nobody asked for).
const http = require("node:http");

const recorder = process.env.RECORDER;
const seen = new Map();

// How many deliveries there were of a message: a recorder remembers that over deaths.
function countOf(id, answers) {
  if (!recorder) {
    const count = seen.get(id) ?? 0;
    seen.set(id, count + 1);
    return count;
  }
  return new Promise((resolve, reject) => {
    const sent = http.request(`${recorder}${id}`, { method: "POST" }, (answer) => {
      let text = "";
      answer.on("data", (part) => (text += part));
      answer.on("end", () => resolve(Number(text)));
    });
    sent.on("error", reject);
    sent.end(JSON.stringify(answers));
  });
}

async function deliver(request, response, body) {
  const envelope = JSON.parse(body);
  const { message } = envelope;
  const told = message.data ? JSON.parse(Buffer.from(message.data, "base64").toString()) : {};
  const answers = told.answers ?? [204];
  const count = await countOf(message.messageId, answers);
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
  } else if (answer === "slow") {
    setTimeout(() => response.writeHead(204).end(), 200);
  } else if (answer === "twice") {
    response.writeHead(204).end();
    request.socket.write("HTTP/1.1 500 Again\r\nContent-Length: 0\r\n\r\n");
  } else {
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
