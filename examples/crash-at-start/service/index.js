// Ends before it listens, as an application does whose configuration is not as it wants it.
console.log('reading the configuration');
console.error('CTP_CLIENT_ID must have 24 characters');
process.exit(3);
