// A real one creates a Subscription here with this destination.
const names = ["SUBSCRIPTION_DESTINATION", "GCP_TOPIC_NAME", "GCP_PROJECT_ID", "PROVIDER"];
const found = names.map((name) => process.env[`CONNECT_${name}`]);
if (!found.every(Boolean)) throw new Error(`one of ${names} is not set`);

console.log(`subscription to ${found.join(" ")}`);
