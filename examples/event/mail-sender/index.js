// Gets the platform's messages in the envelope of Pub/Sub's push, and would send a mail for each
// new order. What is acknowledged does not come again; everything else does.
const http = require("node:http");

const sender = process.env.SENDER;

function answer(request, body) {
  if (request.method !== "POST" || request.url !== "/mail-sender") {
    return 404;
  }
  let notification;
  try {
    const { message } = JSON.parse(body);
    notification = JSON.parse(Buffer.from(message.data, "base64").toString());
  } catch {
    return 400; // not ours: the message becomes a dead letter, where somebody can look at it
  }
  const type = notification.type ?? notification.notificationType;
  if (notification.resource?.typeId === "subscription") {
    console.log("the subscription is there");
  } else if (type === "OrderCreated") {
    const order = notification.order ?? {};
    console.log(JSON.stringify({ mail: order.customerEmail, from: sender, order: order.orderNumber }));
  } else {
    console.log(`nothing to do for ${type}`);
  }
  return 204;
}

const server = http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    response.writeHead(answer(request, Buffer.concat(parts)));
    response.end();
  });
});

server.listen(8080, () => console.log("listening on 8080"));
