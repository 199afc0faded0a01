// A real one deletes the Subscription here.
console.log(`no subscription to ${process.env.CONNECT_GCP_TOPIC_NAME} any more`);
